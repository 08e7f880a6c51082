"""The gallery of missed items: the right class, the worst first, with pictures where there are any."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from poolaudit.evaluation.evaluate import evaluate
from poolaudit.evaluation.missed import missed_items
from poolaudit.subject.pictures import item_pictures
from specimens.outcomes import diagonal, from_confusion, scored_counts


def test_the_class_of_interest_worst_first() -> None:
    given = scored_counts(60, 40, 10, 390)
    missed = missed_items(given, evaluate(given, positive="fraud"), lambda chosen: [f"png{i}" for i in chosen])
    assert missed is not None
    assert (missed.class_name, missed.total, len(missed.items)) == ("fraud", 40, 24)
    scores = [item.score for item in missed.items]
    assert scores == sorted(scores)  # type: ignore[type-var]
    assert all(given.labels[item.index] == 1 and given.predicted[item.index] == 0 for item in missed.items)
    assert [item.picture for item in missed.items] == [f"png{item.index}" for item in missed.items]


def test_without_a_class_of_interest_the_weakest_is_shown() -> None:
    given = from_confusion([[50, 0, 0], [20, 30, 0], [1, 0, 49]])
    missed = missed_items(given, evaluate(given))
    assert missed is not None
    assert (missed.class_name, missed.total) == (given.class_names[1], 20)
    assert {item.score for item in missed.items} == {None}


def test_nothing_missed_nothing_shown() -> None:
    given = from_confusion(diagonal(3, 20, 1.0))
    assert missed_items(given, evaluate(given)) is None


@pytest.mark.parametrize(
    ("shape", "channels_first"),
    [
        ((28, 28), False),
        ((28, 28, 1), False),
        ((5, 7, 3), False),
        ((300, 200, 2), False),
        ((3, 20, 30), True),
        ((6, 8, 9, 1), False),
        ((40,), False),
        ((40, 2), False),
    ],
)
def test_items_of_each_form_have_a_picture(shape: tuple[int, ...], channels_first: bool) -> None:
    items = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    for png in item_pictures(list(items), channels_first=channels_first):
        assert png is not None
        with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
            picture.load()
            assert max(picture.size) <= 160
            assert len(png) < 25_000


def test_nan_and_constant_items_have_a_picture_too() -> None:
    bad = np.full((8, 8, 1), np.nan)
    assert all(item_pictures([bad, np.ones((8, 8, 1)), np.full((8, 8, 1), np.inf)]))


def test_what_has_no_form_has_no_picture() -> None:
    assert item_pictures([np.zeros((2, 2, 2, 2, 2))]) == (None,)
    assert item_pictures([np.zeros((0, 4))]) == (None,)
    assert item_pictures([]) == ()
