"""The policy: its defaults, its file, and every way a file can be wrong."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from poolaudit.errors import InvalidInputError
from poolaudit.outcomes import Severity
from poolaudit.policy import Policy, load_policy, policy_from_mapping


def test_defaults_are_the_documented_ones() -> None:
    assert dataclasses.asdict(Policy()) == {
        "good_accuracy": 0.85,
        "good_precision": 0.85,
        "good_recall": 0.85,
        "bad_accuracy": 0.70,
        "bad_recall": 0.70,
        "precision_recall_gap": 0.20,
        "smallest_effect": 0.03,
        "confidence": 0.95,
        "family_wise_error": 0.05,
        "fail_level": Severity.MAJOR,
    }


def test_every_key_can_be_set(tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    numbers = {f.name: 0.75 for f in dataclasses.fields(Policy) if f.name != "fail_level"}
    file.write_text("".join(f"{key} = {value}\n" for key, value in numbers.items()) + 'fail_level = "critical"\n')
    policy = load_policy(file)
    assert dataclasses.asdict(policy) == {**numbers, "fail_level": Severity.CRITICAL}


def test_the_folder_is_searched_in_order(tmp_path: Path) -> None:
    assert load_policy(None, folder=tmp_path) == Policy()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'ours'\n")
    assert load_policy(None, folder=tmp_path) == Policy()
    (tmp_path / "pyproject.toml").write_text("[tool.poolaudit]\ngood_recall = 0.9\n")
    assert load_policy(None, folder=tmp_path) == Policy(good_recall=0.9)
    assert load_policy(tmp_path / "pyproject.toml") == Policy(good_recall=0.9)
    (tmp_path / "poolaudit.toml").write_text("good_recall = 0.95\n")
    assert load_policy(None, folder=tmp_path) == Policy(good_recall=0.95)


def test_integers_count_as_numbers() -> None:
    assert policy_from_mapping({"good_recall": 1}, "here").good_recall == 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("good_recal = 0.9", "Did you mean 'good_recall'"),
        ("good_recall = '0.9'", "a number from 0 to 1"),
        ("good_recall = true", "a number from 0 to 1"),
        ("good_recall = [0.9]", "a number from 0 to 1"),
        ("good_recall = nan", "a number from 0 to 1"),
        ("good_recall = inf", "a number from 0 to 1"),
        ("good_recall = 85", "a number from 0 to 1"),
        ("good_recall = -0.1", "a number from 0 to 1"),
        (f"good_recall = 1{'0' * 400}", "a number from 0 to 1"),
        ("bad_recall = 0.9", "bad_recall <= good_recall"),
        ("bad_accuracy = 0.9", "bad_accuracy <= good_accuracy"),
        ("confidence = 1.0", "0.5 to below 1"),
        ("confidence = 0.1", "0.5 to below 1"),
        ("family_wise_error = 0", "above 0 and below 1"),
        ("fail_level = 'fatal'", "'critical', 'major', 'minor', 'info'"),
        ("fail_level = 3", "'critical', 'major', 'minor', 'info'"),
        ("fail_level = []", "'critical', 'major', 'minor', 'info'"),
        ("good_recall = ", "not valid TOML"),
        ("good_recall = 0.9\ngood_recall = 0.8", "not valid TOML"),
        ("a = " + "[" * 5_000, "not valid TOML"),
    ],
)
def test_wrong_files_are_refused_with_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        load_policy(file)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\npoolaudit = 3", "tool = []", "[[tool.poolaudit]]\na = 1"])
def test_a_table_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    for load in (lambda: load_policy(tmp_path / "pyproject.toml"), lambda: load_policy(None, folder=tmp_path)):
        with pytest.raises(InvalidInputError, match="table"):
            load()


def test_a_pyproject_named_on_purpose_must_hold_the_table(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.poolaudt]\ngood_recall = 0.9\n")
    with pytest.raises(InvalidInputError, match=r"no \[tool\.poolaudit\]"):
        load_policy(tmp_path / "pyproject.toml")


def test_unreadable_files_are_refused_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "poolaudit.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="not valid TOML"):
        load_policy(tmp_path / "poolaudit.toml")
    with pytest.raises(InvalidInputError, match=r"Did you mean .poolaudit\.toml."):
        load_policy(tmp_path / "poolaudi.toml")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        load_policy(tmp_path)
    (tmp_path / "large.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(InvalidInputError, match="larger than 1 MB"):
        load_policy(tmp_path / "large.toml")


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.01, 1.01])
def test_python_callers_are_told_as_well(value: float) -> None:
    with pytest.raises(InvalidInputError, match="smallest_effect"):
        Policy(smallest_effect=value)
