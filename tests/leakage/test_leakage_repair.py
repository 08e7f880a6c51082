"""The clean split: copies and groups stay together, classes keep their shares, the user's files stay as they are."""

from __future__ import annotations

import csv
import json
from collections import Counter

import numpy as np
import pytest

from leakage.leakage_examples import splits_of, textures
from poolaudit.audit.leaks import find_leaks
from poolaudit.leakage.clusters import Links, join, units_of
from poolaudit.leakage.find import find_in_splits
from poolaudit.leakage.resplit import LEFT_OUT, redivide

SEED = 31


def links(*pairs: tuple[int, int, float]) -> Links:
    rows = np.array(pairs).reshape(-1, 3)
    return Links(rows[:, 0].astype(int), rows[:, 1].astype(int), rows[:, 2])


def test_copies_of_one_original_are_one_unit_and_neighbours_of_neighbours_are_not() -> None:
    star = units_of(5, links((1, 0, 3.0), (2, 0, 2.0), (3, 0, 1.0)), None)
    assert len(set(star.unit[:4].tolist())) == 1
    assert star.unit[4] not in star.unit[:4]
    assert not len(star.loose)
    drift = units_of(100, links(*((i, i + 1, 100.0 - i) for i in range(99))), None)
    assert np.bincount(drift.unit).max() <= 3
    assert len(drift.loose) > 20


def test_the_same_content_is_always_one_unit() -> None:
    chain = units_of(6, links((0, 1, np.inf), (1, 2, np.inf), (2, 3, np.inf)), None)
    assert len(set(chain.unit.tolist())) == 3


def test_groups_join_the_copies_of_their_items() -> None:
    units = units_of(6, links((0, 3, 1.0)), ["a", "a", "b", "b", None, None])
    assert len(set(units.unit[:4].tolist())) == 1
    assert len(set(units.unit.tolist())) == 3


@pytest.mark.parametrize("with_groups", [False, True])
def test_no_link_and_no_group_straddles_the_new_split(with_groups: bool) -> None:
    rng = np.random.default_rng(SEED)
    n = 6000
    old = np.repeat([0, 1, 2], [4200, 1200, 600])
    labels = rng.choice(3, n, p=[0.7, 0.25, 0.05])
    found = Links(
        rng.integers(0, n, 700), rng.integers(0, n, 700), np.where(rng.random(700) < 0.3, np.inf, rng.random(700))
    )
    groups = [f"p{i}" if i < 900 else None for i in rng.integers(0, 1500, n)] if with_groups else None
    units = units_of(n, found, groups)
    new = redivide(old, labels, units, rng)
    first, second = new[found.first], new[found.second]
    assert not ((first != second) & (first != LEFT_OUT) & (second != LEFT_OUT)).any()
    for group in set(groups or ()) - {None}:
        own = new[[i for i, name in enumerate(groups or ()) if name == group]]
        assert len(set(own[own != LEFT_OUT].tolist())) <= 1
    assert (new == LEFT_OUT).sum() < 0.02 * n
    for split, size in enumerate((4200, 1200, 600)):
        shares = np.bincount(labels[new == split], minlength=3) / (new == split).sum()
        assert abs((new == split).sum() - size) < 0.02 * n
        assert np.abs(shares - np.bincount(labels) / n).max() < 0.01


def test_an_innocent_split_stays_as_it_is_where_its_classes_have_their_shares() -> None:
    old, labels = np.repeat([0, 1], [80, 20]), np.tile([0, 1], 50)
    new = redivide(old, labels, units_of(100, join([]), None), np.random.default_rng(SEED))
    assert (new == old).all()


@pytest.fixture(scope="module")
def leaky():  # type: ignore[no-untyped-def]
    """200 training and 80 test items: 6 flipped copies across, 4 copies within the training split."""
    items = textures(280, np.random.default_rng(SEED))
    train, test = items[:200].copy(), items[200:].copy()
    test[:6] = train[:6, :, ::-1]
    train[100:104] = np.clip(train[10:14].astype(int) + 12, 0, 255)
    return train, test


def test_copies_across_and_within_come_into_one_split(leaky) -> None:  # type: ignore[no-untyped-def]
    train, test = leaky
    found = find_in_splits(splits_of(train, test), new_split=True)
    new = found.division.anew
    assert all(new["test"][i] == new["train"][i] for i in range(6))
    assert all(new["train"][10 + i] == new["train"][100 + i] for i in range(4))
    summary = found.evidence.clean_split.anew
    assert summary is not None
    assert dict(summary.items) == {"train": 200, "test": 80}
    assert (summary.kept_together, summary.largest_unit, summary.left_out) == (20, 2, 0)
    assert summary.share_difference < 0.02
    own = next(c for c in found.evidence.comparisons if c.first == c.second == "train")
    assert (own.exact, own.near, own.near_assessed) == (0, 4, True)


def test_without_leaks_nothing_has_to_stay_together() -> None:
    items = textures(280, np.random.default_rng(SEED + 1))
    found = find_in_splits(splits_of(items[:200], items[200:]), new_split=True)
    summary = found.evidence.clean_split.anew
    assert summary is not None
    assert (summary.kept_together, summary.moved, summary.left_out) == (0, 0, 0)
    assert found.evidence.clean_split.test_items == 80


def test_the_manifest_and_the_positions_say_the_same(leaky, tmp_path) -> None:  # type: ignore[no-untyped-def]
    train, test = leaky
    groups = [np.array([f"p{i // 4}" for i in range(a, b)], object) for a, b in ((0, 200), (196, 276))]
    data = [{"x": x, "y": np.arange(len(x)) % 3, "group": g} for x, g in zip((train, test), groups, strict=True)]
    np.savez(tmp_path / "train.npz", **{k: v.astype(str) if k == "group" else v for k, v in data[0].items()})
    before = (tmp_path / "train.npz").read_bytes()
    result = find_leaks(tmp_path / "train.npz", data[1], clean_split=tmp_path / "clean.csv")
    find_leaks(tmp_path / "train.npz", data[1], clean_split=tmp_path / "clean.npz")
    assert (tmp_path / "train.npz").read_bytes() == before
    rows = list(csv.DictReader((tmp_path / "clean.csv").read_text().splitlines()))
    assert Counter(row["from"] for row in rows) == {"train": 200, "test": 80}
    with np.load(tmp_path / "clean.npz") as positions:
        for old in ("train", "test"):
            for new in ("train", "test"):
                said = [int(r["index"]) for r in rows if (r["from"], r["split"]) == (old, new)]
                assert positions[f"{new}_from_{old}"].tolist() == said
        clean = [int(r["index"]) for r in rows if r["clean_test"] == "yes"]
        assert positions["clean_test"].tolist() == clean
    assert not set(clean) & set(range(6))
    where = {}
    for row in rows:
        group = groups[row["from"] == "test"][int(row["index"])]
        assert where.setdefault(group, row["split"]) == row["split"]
    leak = result.evidence.leakage
    assert leak is not None
    assert leak.clean_split.written == "clean.csv"
    assert json.dumps(leak.clean_split.test_items) == str(len(clean))


def test_items_that_a_sample_left_out_are_in_no_split(leaky) -> None:  # type: ignore[no-untyped-def]
    train, test = leaky
    found = find_in_splits(splits_of(train, test), new_split=True, sample=60)
    assert sum(bool(split) for split in found.division.anew["train"]) == 60
