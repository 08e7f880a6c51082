"""Prediction files that would mislead an audit without an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poolaudit.errors import InvalidInputError
from poolaudit.evaluation.evaluate import evaluate
from poolaudit.subject.predictions import Predictions, read_predictions


def scored(path: Path, seed: int, order: np.ndarray | None = None) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = (rng.random(400) < 0.3).astype(int)
    scores = np.clip(rng.normal(0.1 + 0.3 * labels, 0.05), 0, 1)
    order = np.arange(400) if order is None else order
    np.savez(path, label=labels[order], score=scores[order])
    return read_predictions(path, positive="1")


def test_validation_data_that_are_the_test_data_are_refused(tmp_path: Path) -> None:
    test = scored(tmp_path / "test.npz", 0)
    shuffled = scored(tmp_path / "other.npz", 0, np.random.default_rng(1).permutation(400))
    for same in (test, shuffled):
        with pytest.raises(InvalidInputError, match="are the test data"):
            evaluate(test, positive="1", validation=same)


def test_other_validation_data_give_a_threshold(tmp_path: Path) -> None:
    test, validation = scored(tmp_path / "test.npz", 0), scored(tmp_path / "validation.npz", 1)
    (advice,) = evaluate(test, positive="1", validation=validation).thresholds
    assert advice.threshold is not None


@pytest.mark.parametrize(("label", "predicted"), [("Cat", "cat"), ("cat", "cat "), ("caf\u00e9", "cafe\u0301")])
def test_two_spellings_of_one_class_are_refused(tmp_path: Path, label: str, predicted: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("label,predicted\n" + f"{label},{predicted}\ndog,dog\n" * 20, encoding="utf-8")
    with pytest.raises(InvalidInputError, match="differ only in"):
        read_predictions(file)


def test_classes_that_differ_in_case_are_kept_where_both_are_labels(tmp_path: Path) -> None:
    file = tmp_path / "letters.csv"
    file.write_text("label,predicted\n" + "a,A\nA,A\nb,b\n" * 5)
    assert read_predictions(file).class_names == ("A", "a", "b")


@pytest.mark.parametrize(("labels", "positive", "name"), [("1,0", "1.0", "1"), ("True,False", "true", "True")])
def test_the_positive_class_may_be_spelled_as_the_file_may(
    tmp_path: Path, labels: str, positive: str, name: str
) -> None:
    file = tmp_path / "scores.csv"
    first, second = labels.split(",")
    file.write_text("label,score\n" + f"{first},0.9\n{second},0.1\n" * 20)
    assert evaluate(read_predictions(file, positive=positive), positive=positive).positive == name
