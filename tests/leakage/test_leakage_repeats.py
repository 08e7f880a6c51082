"""Repeats within a split: bursts of copies count one item each, a drift does not chain, distinct items stay."""

from __future__ import annotations

import numpy as np
import pytest

from leakage.leakage_examples import found_in, splits_of, textures
from poolaudit.leakage.find import find_in_splits

SEED = 77


def waves(n: int, rng: np.random.Generator) -> np.ndarray:
    """Independent smooth signals (n, 96, 1), of deviation 0.2."""
    from scipy.ndimage import gaussian_filter1d

    smooth = gaussian_filter1d(rng.normal(size=(n, 96)), 2.0, axis=1)
    return (0.2 * smooth / smooth.std()).astype(np.float32)[..., None]


def burst(items: np.ndarray, copies: int, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Every item `copies` times with noise, uint8 where the items are."""
    many = np.repeat(items, copies, axis=0)
    noisy = many + rng.normal(0, noise, many.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8) if items.dtype == np.uint8 else noisy.astype(items.dtype)


def own(found, split: str = "test"):  # type: ignore[no-untyped-def]
    return next(c for c in found.evidence.comparisons if c.first == c.second == split)


@pytest.mark.parametrize(("kind", "noise"), [("signals", 0.005), ("signals", 0.0), ("images", 2.0)])
@pytest.mark.parametrize(("of", "copies"), [(8, 15), (5, 24)])
def test_a_burst_of_copies_counts_as_one_item(kind: str, noise: float, of: int, copies: int) -> None:
    rng = np.random.default_rng(SEED)
    items = (waves if kind == "signals" else textures)(400, rng)
    test = rng.permutation(np.concatenate([burst(items[200 : 200 + of], copies, noise, rng), items[200 + of :]]))
    found = found_in(items[:200], test)
    assert found.evidence.effective_test_items == 200
    within = own(found)
    assert (within.exact, within.near)[noise > 0] == of * (copies - 1)
    assert (within.exact, within.near)[noise == 0] == 0
    assert len(found.division.clean) == 200
    assert found.evidence.test_items_leaked == 0


def test_the_new_division_keeps_every_burst_together() -> None:
    """Of each burst one item is clean; all of it is one unit and nothing is left out."""
    rng = np.random.default_rng(SEED)
    items = waves(300, rng)
    train = np.concatenate([items[:150], burst(items[140:144], 9, 0.005, rng)])
    test = np.concatenate([burst(items[150:158], 15, 0.005, rng), items[158:]])
    found = find_in_splits(splits_of(train, test), new_split=True)
    units = np.array(found.division.units["test"])[:120].reshape(8, 15)
    assert (units == units[:, :1]).all()
    assert len(np.unique(units)) == 8
    summary = found.evidence.clean_split.anew
    assert summary is not None
    assert summary.left_out == 0
    assert np.bincount(found.division.clean[found.division.clean < 120] // 15).tolist() == [1] * 8
    assert own(found, "train").near == 36


def test_a_drift_does_not_become_one_item() -> None:
    """Every item is nearly its neighbour, and items 12 apart have nothing in common."""
    rng = np.random.default_rng(SEED)
    items = waves(310, rng)
    angle = np.linspace(0, 5 * np.pi, 120)
    corners = items[200:211]
    at = np.minimum((angle / (np.pi / 2)).astype(int), 9)
    turn = (angle - at * np.pi / 2)[:, None, None]
    drift = np.cos(turn) * corners[at] + np.sin(turn) * corners[at + 1]
    found = find_in_splits(splits_of(items[:200], np.concatenate([drift, items[211:]])))
    kept = found.division.clean[found.division.clean < 120]
    assert np.diff(kept).max() <= 12
    assert len(kept) >= 12
    assert found.division.clean.tolist()[-99:] == list(range(120, 219))
    pairs = [pair for pair in found.evidence.pairs if pair.first_split == pair.second_split == "test"]
    assert all(pair.second_item in kept and pair.first_item not in kept for pair in pairs)


@pytest.mark.parametrize("kind", ["signals", "images"])
def test_distinct_items_repeat_nothing(kind: str) -> None:
    rng = np.random.default_rng(SEED)
    items = (waves if kind == "signals" else textures)(500, rng)
    found = found_in(items[:250], items[250:])
    assert found.evidence.effective_test_items == 250


@pytest.mark.parametrize(("kind", "noise"), [("signals", 0.005), ("images", 1.0)])
def test_a_burst_across_the_splits_is_leaked_whole(kind: str, noise: float) -> None:
    """Twelve copies of an item in the training split do not hide the three in the test split."""
    rng = np.random.default_rng(SEED)
    items = (waves if kind == "signals" else textures)(500, rng)
    many = burst(items[300:308], 15, noise, rng).reshape(8, 15, *items.shape[1:])
    train = np.concatenate([items[:300], many[:, :12].reshape(-1, *items.shape[1:])])
    test = np.concatenate([many[:, 12:].reshape(-1, *items.shape[1:]), items[308:]])
    found = found_in(train, test)
    assert found.leaked[:24].all()
    assert not found.leaked[24:].any()
    assert found.evidence.effective_test_items == len(test) - 16
