"""Groups, times, labels, shortcuts and repeats: each with a guilty and an innocent data set."""

from __future__ import annotations

import numpy as np
import pytest

from leakage.leakage_examples import found_in, textures
from poolaudit.leakage.times import time_overlap
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.policy import Policy
from poolaudit.results import Evidence

SEED = 77


def judged(code, found):  # type: ignore[no-untyped-def]
    return all_detectors().get(code)(Evidence(leakage=found.evidence), Policy())


@pytest.fixture(scope="module")
def items():  # type: ignore[no-untyped-def]
    return textures(300, np.random.default_rng(SEED))


def named(numbers, form):  # type: ignore[no-untyped-def]
    return np.array([form.format(n // 5, n % 5) for n in numbers], object)


def test_groups_in_file_names_are_found_without_a_repeated_pixel(items) -> None:  # type: ignore[no-untyped-def]
    order = np.random.default_rng(SEED).permutation(300)
    paths = named(order, "images/patient{:03d}_slice{:02d}.png")
    found = found_in(items[:200], items[200:], train_path=paths[:200], test_path=paths[200:])
    finding = judged("PA402", found)
    assert (finding.outcome, finding.severity) == (Outcome.FAILED, Severity.MAJOR)
    assert found.evidence.test_items_leaked == 0
    assert found.division.summary.removed_groups > 50


@pytest.mark.parametrize(
    "form",
    ["patient{:03d}_slice{:02d}.png", "patient_{:03d}_{:02d}.png", "p/{:03d}/frame_{:02d}.png"],
)
def test_groups_kept_apart_pass(items, form: str) -> None:  # type: ignore[no-untyped-def]
    paths = named(range(300), form)
    found = found_in(items[:200], items[200:], train_path=paths[:200], test_path=paths[200:])
    assert judged("PA402", found).outcome is Outcome.PASSED


def numbered(form: str, n: int, start: int = 0) -> list[str]:
    """File names by a form that may use i, half, odd, month and scattered."""
    return [
        form.format(i=i, half=i // 2, odd=i % 2, month=1 + i % 12, scattered=(i + 1) * 7919 % 99991)
        for i in range(start, start + n)
    ]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (numbered("img_{i:05d}.png", 200), numbered("img_{i:05d}.png", 100)),
        (numbered("{odd}/{half:04d}.png", 200), numbered("{odd}/{half:04d}.png", 100)),
        (numbered("cat.{i}.jpg", 200), numbered("cat.{i}.jpg", 100, 200)),
        (numbered("2024{month:02d}15_{i}.png", 200), numbered("2024{month:02d}15_{i}x.png", 100)),
        (numbered("photo_224x224_{scattered}.png", 200), numbered("photo_224x224_{scattered}.png", 100, 50)),
    ],
)
def test_counters_classes_and_dates_are_no_groups(items, train, test) -> None:  # type: ignore[no-untyped-def]
    found = found_in(items[:200], items[200:], train_path=np.array(train, object), test_path=np.array(test, object))
    assert judged("PA402", found).outcome in (Outcome.PASSED, Outcome.SKIPPED)


def test_the_column_group_comes_first(items) -> None:  # type: ignore[no-untyped-def]
    train, test = np.arange(200) // 4, np.arange(200, 300) // 4
    assert judged("PA402", found_in(items[:200], items[200:], train_group=train, test_group=test)).outcome is (
        Outcome.PASSED
    )
    test[:10] = 3
    finding = judged("PA402", found_in(items[:200], items[200:], train_group=train, test_group=test))
    assert finding.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("train", "test", "before"),
    [
        (["2023-01-01", "2023-06-01"], ["2023-07-01", "2024-01-01"], 0),
        (["2023-01-01", "2023-06-01"], ["2023-03-01", "2024-01-01"], 1),
        (["1", "2", "10"], ["9", "11"], 1),
    ],
)
def test_times_are_ordered(train: list[str], test: list[str], before: int) -> None:
    found = time_overlap(train, test)
    assert not isinstance(found, str)
    assert found.test_items_before == before


@pytest.mark.parametrize(("train", "test"), [(["soon"], ["later"]), (["2023-01-01T00:00Z"], ["2023-01-02T00:00"])])
def test_times_that_cannot_be_ordered_say_why(train: list[str], test: list[str]) -> None:
    assert isinstance(time_overlap(train, test), str)


def test_one_content_with_two_labels(items) -> None:  # type: ignore[no-untyped-def]
    test = items[200:].copy()
    test[0] = items[1]  # labels alternate, so item 0 of the test and item 1 of the training differ
    assert judged("PA404", found_in(items[:200], test)).outcome is Outcome.FAILED
    assert judged("PA404", found_in(items[:200], items[200:])).outcome is Outcome.PASSED


def test_repeats_within_the_test_narrow_it(items) -> None:  # type: ignore[no-untyped-def]
    test = items[200:].copy()
    test[10:20] = test[:10]
    test[30] = test[29][:, ::-1]
    found = found_in(items[:200], test)
    assert found.evidence.effective_test_items == 89
    assert judged("PA405", found).outcome is Outcome.FAILED
    assert judged("PA405", found_in(items[:200], items[200:])).outcome is Outcome.PASSED


def test_a_bright_corner_on_one_class_is_a_shortcut(items) -> None:  # type: ignore[no-untyped-def]
    innocent = found_in(items[:100], items[100:])
    assert judged("PA406", innocent).outcome is Outcome.PASSED
    marked = items[100:].copy()
    marked[np.arange(200) % 2 == 1, 0, 0] = 255
    finding = judged("PA406", found_in(items[:100], marked))
    assert (finding.outcome, finding.severity) == (Outcome.FAILED, Severity.MAJOR)


def test_classes_of_other_brightness_are_no_shortcut(items) -> None:  # type: ignore[no-untyped-def]
    test = items[100:].astype(float)
    test[np.arange(200) % 2 == 1] += 12 + np.random.default_rng(0).normal(0, 25, (100, 1, 1, 1))
    found = found_in(items[:100], np.clip(test, 0, 255).astype(np.uint8))
    assert judged("PA406", found).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("fitted", "outcome"), [("train", Outcome.PASSED), ("both", Outcome.FAILED), ("each", Outcome.PASSED)]
)
def test_constants_fitted_on_the_test_show(items, fitted: str, outcome: Outcome) -> None:  # type: ignore[no-untyped-def]
    x = items.astype(np.float64)
    x[200:] += 15
    base = {"train": x[:200], "both": x, "each": None}[fitted]
    if base is None:
        x = (x - x.mean(axis=(1, 2, 3), keepdims=True)) / x.std(axis=(1, 2, 3), keepdims=True)
    else:
        x = (x - base.mean()) / base.std()
    assert judged("PA407", found_in(x[:200], x[200:])).outcome is outcome


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_splits_on_two_scales_are_told(items, kind: type) -> None:  # type: ignore[no-untyped-def]
    finding = judged("PA407", found_in(items[:200].astype(np.float32) / 255, items[200:].astype(kind)))
    assert (finding.outcome, finding.severity) == (Outcome.FAILED, Severity.MAJOR)
    darker = judged("PA407", found_in(items[:200], (items[200:] * 0.3).astype(np.uint8)))
    assert darker.outcome is Outcome.SKIPPED
