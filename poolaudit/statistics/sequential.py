"""Looking at the data after every batch of seeds without raising the chance of a false decision.

Error is spent over the looks by the function level * fraction ** EXPONENT (Kim and DeMets 1987), where the fraction is
the share of the planned seeds that has been trained. The nominal level of each look is found from the joint
distribution of the looks' statistics under independent increments (Armitage, McPherson and Rowe 1969; Lan and DeMets
1983) and is then applied to t intervals (the significance-level approach of Jennison and Turnbull 2000, section 3.8).
The items are the same at every look, which ties the looks more closely together than independent increments would: the
chance of a false decision is lower than planned, never higher.

Several variants share the error as in Holm's procedure; a variant whose hypothesis is rejected passes its share on, at
this look and the later ones (Maurer and Bretz 2013).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy import special

EXPONENT = 1.0
_GRID = 257


def spent(fraction: float, level: float) -> float:
    """Error spent when this fraction of the plan has been seen."""
    return float(level * min(1.0, max(0.0, fraction)) ** EXPONENT)


@functools.lru_cache(maxsize=4096)
def nominal_levels(looks: tuple[int, ...], planned: int, level: float) -> tuple[float, ...]:
    """Two-sided nominal levels, one a look, that together err with probability `level` at most.

    Args:
        looks: Seeds at each look, rising; none above `planned`.
        planned: Seeds at which all error is spent; looks may end earlier.
        level: Overall two-sided level, in (0, 1).

    Raises:
        ValueError: The looks do not rise or exceed the plan.
    """
    if list(looks) != sorted(set(looks)) or not looks or looks[0] < 1 or looks[-1] > planned:
        raise ValueError(f"looks at {looks} of {planned} seeds")
    nominal: list[float] = []
    density: np.ndarray | None = None
    points: np.ndarray = np.zeros(0)
    weights: np.ndarray = np.zeros(0)
    before_time, before_spent = 0.0, 0.0
    for seeds in looks:
        time = seeds / planned
        wanted = spent(time, level) - before_spent
        step = math.sqrt(time - before_time)
        if density is None:
            bound = -float(special.ndtri(wanted / 2)) * step
        else:
            bound = _bound(points, weights * density, step, wanted)
        nominal.append(2 * float(special.ndtr(-bound / math.sqrt(time))))
        new_points, new_weights = _simpson(bound)
        if density is None:
            density = _normal(new_points / step) / step
        else:
            kernel = _normal((new_points[:, None] - points[None, :]) / step) / step
            density = kernel @ (weights * density)
        points, weights = new_points, new_weights
        before_time, before_spent = time, before_spent + wanted
    return tuple(nominal)


def holm_levels(hypotheses: int, rejected: int, level: float) -> float:
    """The level of each hypothesis not yet rejected, out of so many in all."""
    return level / max(1, hypotheses - rejected)


def looks_up_to(seeds: int, first: int) -> tuple[int, ...]:
    """A look after every seed from the first on."""
    return tuple(range(min(first, seeds), seeds + 1))


def looks_taken(looks: Sequence[int], seeds: int) -> tuple[int, ...]:
    """The looks that were taken when so many seeds had been trained."""
    return tuple(look for look in looks if look <= seeds)


def _bound(points: np.ndarray, mass: np.ndarray, step: float, wanted: float) -> float:
    """The bound that the walk, having stayed inside so far, crosses next with probability `wanted`."""
    low, high = 0.0, float(points[-1]) + 12 * step
    for _ in range(80):
        middle = (low + high) / 2
        crossing = special.ndtr((points - middle) / step) + special.ndtr((-middle - points) / step)
        if float((mass * crossing).sum()) > wanted:
            low = middle
        else:
            high = middle
    return high


def _simpson(bound: float) -> tuple[np.ndarray, np.ndarray]:
    points = np.linspace(-bound, bound, _GRID)
    weights = np.full(_GRID, 2.0)
    weights[1::2] = 4.0
    weights[0] = weights[-1] = 1.0
    return points, weights * (points[1] - points[0]) / 3


def _normal(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi))
