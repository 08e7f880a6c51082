"""Planted copies are found, independent items are not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from leakage.leakage_examples import found_in, garments, patches, textures
from specimens.planted_copies import COPIERS, plant

SEED = 20_240_917  # never used while thresholds were chosen


def recall_by_copier(train, clean, rng, each):  # type: ignore[no-untyped-def]
    """Recall by copier, wrong originals, and matches among the clean items."""
    copies, _, names = plant(train, rng, each)
    found = found_in(train, np.concatenate([clean, copies]))
    assert found.evidence.pairs_left_out >= 0
    leaked = found.leaked
    hits = Counter(name for name, hit in zip(names, leaked[len(clean) :], strict=True) if hit)
    return {name: hits[name] / each for name in COPIERS}, int(leaked[: len(clean)].sum()), int(leaked.sum())


def test_copies_of_patches_of_photographs_are_found() -> None:
    rng = np.random.default_rng(SEED)
    items = patches()
    order = rng.permutation(len(items))
    cut = int(0.75 * len(items))
    recall, wrong, all_found = recall_by_copier(items[order[:cut]], items[order[cut:]], rng, cut // len(COPIERS))
    assert recall["exact"] == 1.0
    weak = {name: share for name, share in recall.items() if share < 0.9}  # one of thirteen may go
    assert not weak
    assert np.mean(list(recall.values())) > 0.98
    assert wrong <= 0.03 * all_found


@pytest.mark.slow
def test_copies_of_small_patches_of_photographs_are_found() -> None:
    recalls, wrong, all_found = [], 0, 0
    for seed in range(4):
        rng = np.random.default_rng(SEED + seed)
        items = rng.permutation(patches(32))
        cut = int(0.75 * len(items))
        recall, false, found = recall_by_copier(items[:cut], items[cut:], rng, cut // len(COPIERS))
        recalls.append(recall)
        wrong, all_found = wrong + false, all_found + found
    mean = {name: float(np.mean([recall[name] for recall in recalls])) for name in COPIERS}
    assert mean["exact"] == 1.0
    assert min(mean.values()) >= 0.95, mean
    assert wrong <= 0.03 * all_found


def test_copies_of_garments_are_found() -> None:
    train, _, test, _ = garments()
    rng = np.random.default_rng(SEED)
    recall, wrong, all_found = recall_by_copier(train[:8000], test[:600], rng, 20)
    assert recall["exact"] == 1.0
    assert np.mean(list(recall.values())) > 0.98
    assert min(recall.values()) >= 0.9
    assert wrong <= 0.03 * all_found


@pytest.mark.slow
def test_the_whole_battery_on_garments() -> None:
    train, _, test, _ = garments()
    recall, wrong, all_found = recall_by_copier(train, test[:3000], np.random.default_rng(SEED + 1), 200)
    strict = ("exact", "flip horizontally", "flip vertically", "quarter turn", "shift", "noise", "brightness")
    print(recall, wrong)
    assert all(recall[name] >= 0.99 for name in strict), recall
    assert all(share >= 0.90 for share in recall.values())
    assert wrong <= 0.03 * all_found


def test_signals_are_matched_under_shift_gain_noise_and_resampling() -> None:
    from mnist1d.data import get_dataset_args, make_dataset

    data = make_dataset(get_dataset_args())
    train, clean = data["x"][:2000, :, None], data["x_test"][:300, :, None]
    rng = np.random.default_rng(SEED)
    chosen = train[rng.permutation(len(train))[:80]]
    copies = np.concatenate(
        [
            np.roll(chosen[:20], 2, axis=1),
            chosen[20:40] * 1.4,
            chosen[40:60] + rng.normal(0, 0.05, chosen[:20].shape),
            np.stack([np.interp(np.linspace(2, 37, 40), np.arange(40), row[:, 0]) for row in chosen[60:]])[..., None],
        ]
    )
    found = found_in(train, np.concatenate([clean, copies]))
    hits = found.leaked[len(clean) :].reshape(4, 20).mean(axis=1)
    assert (hits >= 0.9).all(), hits
    assert found.leaked[: len(clean)].sum() == 0


def test_volumes_are_matched_when_flipped_turned_or_noisy() -> None:
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(SEED)
    smooth = gaussian_filter(rng.normal(size=(70, 12, 12, 12)), (0, 1.2, 1.2, 1.2))
    volumes = np.clip(128 + 200 * smooth, 0, 255).astype(np.uint8)[..., None]
    train, clean = volumes[:50], volumes[50:]
    copies = np.concatenate(
        [
            train[:4, ::-1],
            np.rot90(train[4:8], 1, (2, 3)),
            np.clip(train[8:12] + rng.normal(0, 5, train[:4].shape), 0, 255).astype(np.uint8),
        ]
    )
    found = found_in(train, np.concatenate([clean, copies]))
    assert found.leaked[len(clean) :].all()
    assert not found.leaked[: len(clean)].any()


@pytest.mark.parametrize("kind", ["float", "standardised", "colour"])
def test_the_same_content_is_exact_whatever_its_form(kind: str) -> None:
    items = textures(120, np.random.default_rng(SEED))
    train, test = items[:100], items[80:]
    other = {
        "float": lambda x: (x / 255.0).astype(np.float32),
        "standardised": lambda x: (x / 127.5 - 1.0).astype(np.float32),
        "colour": lambda x: np.repeat(x, 3, axis=-1),
    }[kind](test)
    found = found_in(train, other)
    assert found.evidence.test_items_exact == 20


def test_plain_items_match_only_exactly() -> None:
    rng = np.random.default_rng(SEED)
    train, test = textures(100, rng), textures(40, rng)
    test[:20] = (60 + np.arange(20) * 3)[:, None, None, None]
    train[:20] = (61 + np.arange(20) * 3)[:, None, None, None]
    ramp = np.linspace(0, 200, 24).astype(np.uint8)[None, :, None, None]
    train[20:24], test[20:24] = ramp, ramp // 2 + np.arange(4, dtype=np.uint8)[:, None, None, None]
    test[24], train[24] = 7, 7
    found = found_in(train, test)
    assert np.flatnonzero(found.leaked).tolist() == [24]
    assert found.evidence.low_information_items >= 20
    assert found.evidence.comparisons[0].flat == 1


def test_independent_textures_never_match() -> None:
    rng = np.random.default_rng(SEED)
    found = found_in(textures(600, rng), textures(300, rng))
    assert found.evidence.test_items_leaked == 0
    assert all(s.found.value is not None and s.found.value >= 0.8 for s in found.evidence.sensitivity)


def test_periodic_patterns_and_drawn_text_are_no_copies() -> None:
    rng = np.random.default_rng(SEED)
    x = np.arange(32)

    def stripes(n: int):  # type: ignore[no-untyped-def]
        angle, period, phase = rng.uniform(0, np.pi, n), rng.uniform(4, 9, n), rng.uniform(0, 7, n)
        along = np.cos(angle)[:, None, None] * x[:, None] + np.sin(angle)[:, None, None] * x
        wave = np.sin(2 * np.pi * (along + phase[:, None, None]) / period[:, None, None])
        return np.clip(128 + 100 * wave + rng.normal(0, 2, wave.shape), 0, 255).astype(np.uint8)[..., None]

    found = found_in(stripes(400), stripes(200))
    assert found.evidence.test_items_leaked <= 4


def test_copies_are_found_where_training_items_repeat_each_other() -> None:
    """Each training item stands there twice, once as it is and once flipped: neither is a rival of the other."""
    rng = np.random.default_rng(SEED)
    items = textures(260, rng)
    train = np.concatenate([items[:200], items[:200], items[:200, :, ::-1]])
    copies = np.clip(items[:40] + rng.normal(0, 6, items[:40].shape), 0, 255).astype(np.uint8)
    found = found_in(train, np.concatenate([items[200:], copies]))
    assert found.leaked[60:].mean() >= 0.95
    assert not found.leaked[:60].any()


def test_drawings_of_few_parameters_match_only_as_they_are() -> None:
    """Any two discs of one radius are the same once one of them is shifted; that is no leak."""
    rng = np.random.default_rng(SEED)
    y, x = np.mgrid[:28, :28]

    def discs(n: int):  # type: ignore[no-untyped-def]
        centre, radius = rng.uniform(8, 20, (n, 2, 1, 1)), rng.uniform(3, 9, (n, 1, 1))
        return np.where(np.hypot(y - centre[:, 0], x - centre[:, 1]) < radius, 220, 30).astype(np.uint8)[..., None]

    train, test = discs(800), discs(150)
    test[:10] = train[:10]
    found = found_in(train, test)
    assert found.leaked[:10].all()
    assert found.leaked[10:].sum() <= 3
    assert "not moved" in found.evidence.calibrated_on


def test_faces_of_different_people_do_not_match() -> None:
    import skimage.data

    faces = np.rint(skimage.data.lfw_subset() * 255).astype(np.uint8)[..., None]
    order = np.random.default_rng(SEED).permutation(200)
    found = found_in(faces[order[:120]], faces[order[120:]])
    assert found.evidence.test_items_leaked <= 1


@pytest.mark.parametrize("size", [2, 4, 8])
def test_tiny_items_do_not_crash_and_do_not_match(size: int) -> None:
    rng = np.random.default_rng(SEED)
    train = rng.integers(0, 256, (60, size, size, 1), dtype=np.uint8)
    test = rng.integers(0, 256, (30, size, size, 1), dtype=np.uint8)
    test[0] = train[3]
    found = found_in(train, test)
    assert found.evidence.test_items_exact == 1
    assert found.evidence.test_items_near <= 2


def test_splits_of_one_item_say_what_they_cannot_tell() -> None:
    items = textures(4, np.random.default_rng(SEED))
    found = found_in(items[:1], items[1:3])
    assert found.evidence.test_items_leaked == 0
    assert not found.evidence.comparisons[0].near_assessed


def test_a_sample_says_what_it_left_out() -> None:
    from leakage.leakage_examples import splits_of
    from poolaudit.leakage.find import find_in_splits

    items = textures(200, np.random.default_rng(SEED))
    found = find_in_splits(splits_of(items[:150], items[100:]), sample=60)
    comparison = found.evidence.comparisons[0]
    assert (comparison.looked_at, comparison.left_out) == (60, 40)
    assert any("left out" in item.what for item in found.evidence.not_assessed)
