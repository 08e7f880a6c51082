"""Seeds and items crossed: components are found again in data made from them, and intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from poolaudit.statistics.crossed import Crossed, crossed_difference
from poolaudit.statistics.power import (
    chance_to_decide,
    detectable_effect,
    items_to_decide,
    power,
    seeds_to_decide,
    standard_error,
)

ITEMS = 200


def made(rng: np.random.Generator, seeds: int, seed_sd: float, item_sd: float, noise_sd: float) -> Crossed:
    """A mean over items of seed effect + item effect + noise, with the influences such a mean has."""
    values = (
        rng.normal(0, seed_sd, (seeds, 1))
        + rng.normal(0, item_sd, (1, ITEMS))
        + rng.normal(0, noise_sd, (seeds, ITEMS))
    )
    means = values.mean(axis=1)
    return crossed_difference(means, (values - means[:, None]) / ITEMS, ITEMS, scale=0.0, prior_deviation=0.0)


def test_components_are_found_again() -> None:
    rng = np.random.default_rng(0)
    found = [made(rng, 6, 0.02, 0.3, 0.5) for _ in range(400)]
    assert np.mean([c.seed_variance for c in found]) == pytest.approx(0.02**2 / 6 + 0.5**2 / 6 / ITEMS, rel=0.1)
    assert np.mean([c.item_variance for c in found]) == pytest.approx(0.3**2 / ITEMS, rel=0.1)


@pytest.mark.parametrize(
    ("seeds", "components"),
    [(3, (0.02, 0.3, 0.3)), (5, (0.05, 0.1, 0.3)), (8, (0.0, 0.3, 0.3)), (5, (0.03, 0.4, 0.0)), (3, (0.05, 0.02, 0.1))],
)
def test_the_interval_covers_seeds_and_items(seeds: int, components: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(1)
    found = [made(rng, seeds, *components) for _ in range(2_000)]
    coverage = np.mean([abs(c.value) <= c.half_width(0.05) for c in found])
    assert 0.93 <= coverage <= 0.985, coverage


def test_ignoring_either_source_would_not_cover() -> None:
    rng = np.random.default_rng(2)
    found = [made(rng, 5, 0.03, 0.4, 0.3) for _ in range(1_000)]
    items_only = np.mean([abs(c.value) <= 1.96 * math.sqrt(c.item_variance) for c in found])
    seeds_only = np.mean([abs(c.value) <= 2.776 * math.sqrt(c.seed_variance) for c in found])
    assert items_only < 0.93
    assert seeds_only < 0.93


def test_perfect_agreement_is_no_certainty() -> None:
    same = crossed_difference(np.zeros(5), np.zeros((5, 20)), 20)
    assert same.half_width(0.05) > 0.03, "20 items without a disagreement do not show equivalence within 0.03"
    many = crossed_difference(np.zeros(5), np.zeros((5, 400)), 400)
    assert many.half_width(0.05) < 0.03


def test_one_seed_gives_no_interval() -> None:
    one = crossed_difference(np.array([0.2]), np.zeros((1, 50)), 50)
    assert one.estimate(0.95).low is None
    assert "one seed" in str(one.estimate(0.95).reason)
    assert math.isinf(one.half_width(0.05))


def test_the_p_value_is_where_the_interval_ends() -> None:
    found = made(np.random.default_rng(3), 5, 0.02, 0.2, 0.2)
    level = found.p_value(0.05)
    assert abs(found.value - 0.05) == pytest.approx(found.half_width(level), rel=1e-6)


@pytest.mark.parametrize("effect", [0.05, 0.1, 0.15])
def test_power_is_as_predicted(effect: float) -> None:
    rng = np.random.default_rng(4)
    found = [made(rng, 8, 0.05, 0.3, 0.3) for _ in range(2_000)]
    true = Crossed(0.0, 0.05**2 / 8 + 0.3**2 / 8 / ITEMS, 0.3**2 / ITEMS, 0.0, 8, ITEMS)
    happened = np.mean([c.value + effect > c.half_width(0.01) for c in found])
    assert power(true, effect, 0.01) == pytest.approx(happened, abs=0.06)


def test_the_detectable_effect_has_the_wanted_power() -> None:
    found = Crossed(0.0, 1e-4, 1e-4, 0.0, 6, 100)
    assert power(found, detectable_effect(found, 0.01, 0.8), 0.01) == pytest.approx(0.8)
    assert standard_error(found) == pytest.approx(math.sqrt(2e-4))


def test_what_would_decide_is_told() -> None:
    by_seeds = Crossed(0.05, 4e-4, 1e-6, 0.0, 4, 100)
    seeds = seeds_to_decide(by_seeds, 0.01, 0.02, 0.03)
    assert seeds is not None
    assert by_seeds.half_width(0.01, seeds) < 0.05 < by_seeds.half_width(0.01, seeds - 1)
    by_items = Crossed(0.02, 1e-7, 4e-4, 0.0, 8, 100)
    assert seeds_to_decide(by_items, 0.01, 0.02, 0.03) is None
    items = items_to_decide(by_items, 0.01, 0.02, 0.03)
    assert items is not None
    assert items > 100


def test_a_hopeless_comparison_has_no_chance() -> None:
    hopeless = Crossed(0.03, 1e-4, 4e-3, 0.0, 5, 30)
    clear = Crossed(0.5, 1e-4, 4e-4, 0.0, 5, 30)
    assert chance_to_decide(hopeless, 0.01, 0.02, 0.03, 8) < 0.05
    assert chance_to_decide(clear, 0.01, 0.02, 0.03, 8) > 0.99
