"""On which items were the constants fitted that standardised the inputs?"""

from __future__ import annotations

from typing import Any

import numpy as np

from poolaudit.evidence.leakage import Standardisation

Array = np.ndarray[Any, Any]

_EXACT = 2e-4
_TELLING = 20
_ANOTHER_SCALE = 20
_MOST_VALUES = 200_000_000


def standardisation_of(train: Array, test: Array) -> Standardisation:
    """Which split has mean 0 and deviation 1 to the last digits; another one then has not, because it was not fitted.

    Only that is told from the data which leaves no room for chance: means of two samples of one population differ by
    more than rounding, and their spreads do not differ twentyfold, as bytes and shares of one picture do.
    """
    nothing = Standardisation("not standardised", "no split has mean 0 and deviation 1")
    if train.size and test.size and train.size + test.size <= _MOST_VALUES and train.dtype.kind in "iuf":
        first, second = (_mean_deviation(_moments(split)) for split in (train, test))
        if min(first[1], second[1]) > 0 and max(first[1], second[1]) > _ANOTHER_SCALE * min(first[1], second[1]):
            detail = "; ".join(
                f"{name}: mean {mean:.5g}, deviation {dev:.5g}"
                for name, (mean, dev) in (("train", first), ("test", second))
            )
            return Standardisation("different scales", detail)
    if train.dtype.kind != "f" or train.size + test.size > _MOST_VALUES or train.size < 1000 or test.size < 1000:
        return nothing
    if all(_each_by_itself(split) for split in (train, test)):
        return Standardisation("each item by itself", "every item has mean 0 and deviation 1 of its own")
    sums = [_moments(split) for split in (train, test)]
    both = tuple(a + b for a, b in zip(*sums, strict=True))
    fits = {name: _mean_deviation(s) for name, s in (("train", sums[0]), ("test", sums[1]), ("both", both))}
    unit = {name: abs(mean) < _EXACT and abs(deviation - 1) < _EXACT for name, (mean, deviation) in fits.items()}
    detail = "; ".join(f"{name}: mean {mean:.5f}, deviation {dev:.5f}" for name, (mean, dev) in fits.items())
    gap = max(abs(fits["train"][0] - fits["test"][0]), abs(fits["train"][1] - fits["test"][1]))
    if unit["train"] and unit["test"] and gap < _EXACT:
        return Standardisation("test itself", detail)
    if unit["both"] and not unit["train"] and gap > _TELLING * _EXACT:
        return Standardisation("train and test together", detail)
    if unit["test"] and not unit["train"] and gap > _TELLING * _EXACT:
        return Standardisation("test itself", detail)
    if unit["train"]:
        return Standardisation("train", detail)
    return Standardisation("not standardised", detail)


def _each_by_itself(values: Array) -> bool:
    some = np.asarray(values[:: max(1, len(values) // 50)], np.float64)
    some = some.reshape(len(some), -1)
    return bool((np.abs(some.mean(axis=1)) < 1e-3).all())


def _moments(values: Array) -> tuple[float, float, float]:
    count = total = squares = 0.0
    step = max(1, 4_000_000 // max(1, values[0].size))
    for start in range(0, len(values), step):
        part = np.asarray(values[start : start + step], np.float64)
        count, total, squares = count + part.size, total + float(part.sum()), squares + float((part * part).sum())
    return count, total, squares


def _mean_deviation(moments: tuple[float, ...]) -> tuple[float, float]:
    count, total, squares = moments
    mean = total / count
    return mean, float(np.sqrt(max(squares / count - mean * mean, 0.0)))
