"""Can the class be told from what should not matter? Small cross-validated classifiers against chance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.leakage import ShortcutProbe
from poolaudit.leakage.layout import Floats

Array = np.ndarray[Any, Any]

_MOST_ITEMS = 1500
_LEAST_A_CLASS = 10
_FOLDS = 3
# In smaller items the corner is part of what is shown.
_CORNERS_ARE_EDGES = 16
_PERMUTATIONS = 9
_BOOTSTRAPS = 400
_DIGITS = re.compile(r"\d+")


def probe_shortcuts(
    values: Floats,
    labels: Array,
    class_names: Sequence[str],
    paths: Sequence[str | None] | None,
    positions: Array,
    confidence: float,
    seed: int,
) -> tuple[ShortcutProbe, ...]:
    """How well each probe of (n, *grid) levels tells one class from the rest, with interval and corrected p-value.

    Args:
        positions: Place of each item in its file.
    """
    rng = np.random.default_rng(seed)
    classes, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(codes)
    kept = np.flatnonzero(counts >= _LEAST_A_CLASS)
    if len(kept) < 2:
        reason = f"fewer than two classes with {_LEAST_A_CLASS} items or more"
        return tuple(
            ShortcutProbe(name, kind, Estimate.not_estimable(reason), None, None, reason)
            for name, kind in (("corner pixels", "artefact"), ("mean intensity", "content"))
        )
    chosen = np.flatnonzero(np.isin(codes, kept))
    if len(chosen) > _MOST_ITEMS:
        chosen = np.sort(rng.permutation(chosen)[:_MOST_ITEMS])
    _, target = np.unique(codes[chosen], return_inverse=True)
    own_paths = None if paths is None else [paths[i] for i in chosen.tolist()]
    probes = _features(values[chosen], own_paths, positions[chosen])
    tried = sum(isinstance(features, np.ndarray) for _, _, features in probes)
    names = [class_names[int(classes[k])] for k in kept]
    return tuple(_probe(name, kind, features, target, names, tried, confidence, rng) for name, kind, features in probes)


def _features(values: Floats, paths: list[str | None] | None, positions: Array) -> list[tuple[str, str, Array | str]]:
    flat = values.reshape(len(values), -1)
    found: list[tuple[str, str, Array | str]] = [
        ("corner pixels", "content" if min(values.shape[1:]) < _CORNERS_ARE_EDGES else "artefact", _corners(values)),
        ("border lines", "content", _borders(values)),
        ("mean intensity", "content", np.stack([flat.mean(axis=1), flat.std(axis=1)], axis=1)),
        ("position in the file", "order", positions[:, None].astype(np.float64)),
    ]
    if paths is None or not any(paths):
        found.append(("file names", "order", "the data have no file names"))
    else:
        found.append(("file names", "order", _names(paths)))
    return found


def _corners(values: Floats) -> Array:
    """Levels in the outermost cells at every corner, each also against the cells beside it."""
    rank = values.ndim - 1
    columns = []
    for corner in np.ndindex(*(2,) * rank):
        at = tuple(0 if end == 0 else -1 for end in corner)
        beside = tuple(1 if end == 0 else -2 for end in corner)
        if min(values.shape[1:]) < 3:
            columns.append(values[_all_at(at)])
            continue
        columns += [values[_all_at(at)], values[_all_at(at)] - values[_all_at(beside)]]
    return np.stack(columns, axis=1)


def _all_at(place: tuple[int, ...]) -> Any:
    return (slice(None), *place)


def _borders(values: Floats) -> Array:
    """Mean, least and most of the outermost line or plane on every side."""
    columns = []
    for axis in range(1, values.ndim):
        for end in (0, -1):
            line = values.take(end, axis=axis).reshape(len(values), -1)
            columns += [line.mean(axis=1), line.min(axis=1), line.max(axis=1)]
    return np.stack(columns, axis=1)


def _names(paths: list[str | None]) -> Array:
    """Length of the name, its ending and its words, without digits and without the folder, which names the class."""
    names = [(path or "").rsplit("/", 1)[-1] for path in paths]
    patterns = [_DIGITS.sub("0", name) for name in names]
    known = {pattern: code for code, pattern in enumerate(dict.fromkeys(patterns))}
    codes = np.array([min(known[pattern], 30) for pattern in patterns])
    return np.concatenate([np.array([[len(name)] for name in names], float), np.eye(31)[codes]], axis=1)


def _probe(
    name: str,
    kind: str,
    features: Array | str,
    target: Array,
    names: Sequence[str],
    tried: int,
    confidence: float,
    rng: np.random.Generator,
) -> ShortcutProbe:
    if isinstance(features, str):
        return ShortcutProbe(name, kind, Estimate.not_estimable(features), None, None, features)
    if (features == features[:1]).all():
        reason = "it is the same for all items"
        return ShortcutProbe(name, kind, Estimate.not_estimable(reason), None, None, reason)
    seed = int(rng.integers(2**31))
    predicted = _cross_validated(features, target, seed)
    value, best = _best_class(predicted, target)
    drawn = []
    for _ in range(_BOOTSTRAPS):
        rows = rng.integers(len(target), size=len(target))
        drawn.append(_one_class(predicted[rows] == best, target[rows] == best))
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    others = [rng.permutation(target) for _ in range(_PERMUTATIONS)]
    shuffled = np.array([_best_class(_cross_validated(features, other, seed), other)[0] for other in others])
    # Few permutations give the mean and the spread of chance; the normal tail gives the rest.
    above = (value - shuffled.mean()) / max(float(shuffled.std(ddof=1)), 0.5 / np.sqrt(len(target)))
    p_value = min(1.0, tried * float(special.ndtr(-above)))
    estimate = Estimate(
        value, min(float(low), value), max(float(high), value), len(target), "cross-validation, bootstrap", confidence
    )
    return ShortcutProbe(name, kind, estimate, p_value, names[best])


def _cross_validated(features: Array, target: Array, seed: int) -> Array:
    """(n,) classes as predicted by a shallow tree that has not seen the item."""
    from sklearn.model_selection import StratifiedKFold
    from sklearn.tree import DecisionTreeClassifier

    predicted = np.zeros(len(target), np.int64)
    for train, test in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(features, target):
        tree = DecisionTreeClassifier(max_depth=5, min_samples_leaf=3, class_weight="balanced", random_state=seed)
        predicted[test] = tree.fit(features[train], target[train]).predict(features[test])
    return predicted


def _best_class(predicted: Array, target: Array) -> tuple[float, int]:
    """The class best told from the rest, and how well."""
    found = [_one_class(predicted == c, target == c) for c in range(int(target.max()) + 1)]
    best = int(np.argmax(found))
    return found[best], best


def _one_class(predicted: Array, true: Array) -> float:
    """Mean of recall and specificity; a half where one of the sides is empty."""
    if true.all() or not true.any():
        return 0.5
    return float((predicted[true].mean() + 1 - predicted[~true].mean()) / 2)
