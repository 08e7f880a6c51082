"""Looking after every seed: the levels keep the error they promise, in simulation and by construction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from poolaudit.statistics.sequential import holm_levels, nominal_levels, spent


@pytest.mark.parametrize(("first", "planned", "level"), [(3, 10, 0.05), (3, 8, 0.05 / 6), (1, 20, 0.1)])
def test_the_chance_to_cross_is_the_level(first: int, planned: int, level: float) -> None:
    looks = tuple(range(first, planned + 1))
    bounds = -ndtri(np.array(nominal_levels(looks, planned, level)) / 2)
    rng = np.random.default_rng(0)
    crossed = 0
    for _ in range(10):
        walk = np.cumsum(rng.normal(size=(100_000, planned)), axis=1) / np.sqrt(np.arange(1, planned + 1))
        crossed += int((np.abs(walk[:, first - 1 :]) > bounds).any(axis=1).sum())
    share = crossed / 1_000_000
    assert abs(share - level) < 4 * np.sqrt(level / 1_000_000) + 1e-4


def test_a_single_look_spends_all() -> None:
    assert nominal_levels((7,), 7, 0.05) == pytest.approx((0.05,))


def test_levels_at_every_look_would_be_too_many_without_correction() -> None:
    levels = nominal_levels(tuple(range(3, 11)), 10, 0.05)
    assert all(level < 0.05 for level in levels)
    assert sum(levels) > 0.05, "the looks hang together, so their levels may sum to more than what is spent"


def test_error_is_spent_in_step_with_the_seeds() -> None:
    assert [spent(t, 0.05) for t in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([0.0, 0.025, 0.05, 0.05])


@pytest.mark.parametrize("looks", [(), (3, 3), (4, 3), (0, 1), (3, 11)])
def test_looks_that_make_no_sense_are_refused(looks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="looks at"):
        nominal_levels(looks, 10, 0.05)


def test_a_rejected_hypothesis_passes_its_share_on() -> None:
    assert holm_levels(4, 0, 0.05) == 0.0125
    assert holm_levels(4, 3, 0.05) == 0.05
