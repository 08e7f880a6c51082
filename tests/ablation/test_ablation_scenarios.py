"""Scenarios of known truth, replayed from real trials: who is flagged, what the race saves, and errors under the null.

Counts of a full run stand in docs/methods.md.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from simulated import BankedScenario, chosen_seeds, draw, evidence, nulls, over_pooling, race, scenario, shifted

from poolaudit.ablation.measures import MATCHED
from poolaudit.ablation.race import BETTER, EQUIVALENT, WORSE, Rules
from poolaudit.outcomes import Outcome
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.policy import Policy
from poolaudit.statistics.intervals import wilson_limits

GUILTY, INNOCENT = (0, 1, 2, 3), (5, 6, 7, 8, 9, 10, 11, 12)
UNDER_CONFIDENT = 10
PLANNED = 12
RULES = Rules(planned=PLANNED)


def arms(number: int) -> dict[str, object]:
    given = scenario(number)
    if number == UNDER_CONFIDENT:
        # The baseline ranks as its twin does and hardly ever reaches 0.5.
        return {
            "baseline": shifted(given.arms["kind"], -4.0),
            **{k: v for k, v in given.arms.items() if k != "baseline"},
        }
    return dict(given.arms)


def one(number: int, rng: np.random.Generator) -> tuple[Outcome, float]:
    """The outcome of the check on over-pooling, and the share of the full grid that the race trained."""
    chosen = chosen_seeds(arms(number), rng, PLANNED)
    drawn = draw(scenario(number), rng, chosen["baseline"][:3])
    ledger, trained = race(drawn, chosen, RULES)
    return over_pooling(ledger).outcome, trained / (PLANNED * len(chosen))


@pytest.mark.parametrize("number", GUILTY)
def test_a_guilty_scenario_is_flagged(number: int) -> None:
    outcomes = [one(number, np.random.default_rng(seed))[0] for seed in range(4)]
    assert outcomes.count(Outcome.FAILED) >= 3


@pytest.mark.parametrize("number", INNOCENT)
def test_an_innocent_scenario_is_not_flagged(number: int) -> None:
    outcomes = [one(number, np.random.default_rng(seed))[0] for seed in range(4)]
    assert Outcome.FAILED not in outcomes


@pytest.mark.slow
def test_over_many_repetitions_the_guilty_are_flagged_and_the_innocent_are_not() -> None:
    repetitions = 100
    counts = {"guilty": 0, "innocent": 0}
    shares = {}
    for number in GUILTY + INNOCENT:
        found = [one(number, np.random.default_rng([number, seed])) for seed in range(repetitions)]
        counts["guilty" if number in GUILTY else "innocent"] += sum(o is Outcome.FAILED for o, _ in found)
        shares[number] = float(np.median([share for _, share in found]))
    guilty, innocent = repetitions * len(GUILTY), repetitions * len(INNOCENT)
    assert counts["guilty"] >= 0.95 * guilty, counts
    assert counts["innocent"] <= 0.05 * innocent, counts
    assert wilson_limits(counts["innocent"], innocent, 0.95)[1] <= 0.05
    assert np.median(list(shares.values())) <= 0.5, shares


def test_a_control_with_nothing_to_explain_is_no_comparison_without_power() -> None:
    rows = scenario(5).arms["baseline"]
    given = {"baseline": rows[:PLANNED], "removed": rows[:PLANNED][::-1], "removed (control)": rows[:PLANNED][::-1]}
    drawn = draw(scenario(5), np.random.default_rng(0), given["baseline"])
    ledger, _ = race(drawn, given, RULES)
    assert ledger.standings()["removed"].decision == EQUIVALENT
    assert ledger.standings()["removed (control)"].stopped == "moot"
    finding = all_detectors().get("PA503")(evidence(ledger), Policy())
    assert finding.outcome is Outcome.PASSED, finding.summary


def test_a_race_is_replayed_the_same_from_more_trials() -> None:
    rng = np.random.default_rng(0)
    chosen = chosen_seeds(arms(0), rng, PLANNED)
    drawn = draw(scenario(0), rng, chosen["baseline"][:3])
    ledger, trained = race(drawn, chosen, RULES)
    before = ledger.standings()
    assert trained < PLANNED * len(chosen)
    assert ledger.needs() == []
    for name, rows in chosen.items():
        for seed in range(PLANNED):
            if seed not in ledger.arm(name):
                ledger.add(name, seed, drawn.measures(rows[seed]))
    assert {name: s.decision for name, s in ledger.standings().items()} == {n: s.decision for n, s in before.items()}


def _null_rates(number: int, arm: str, repetitions: int, shift: float = 0.0) -> dict[str, int]:
    """How often any of four variants that are the baseline again (plus a shift of recall) is decided."""
    rows = scenario(number).arms[arm]
    if len(rows) < 5 * PLANNED:
        rows = rows[np.random.default_rng(7).integers(0, len(rows), 5 * PLANNED)]
    given: BankedScenario = scenario(number)
    counts = {"different": 0, "equivalent": 0, "beyond": 0}
    for seed in range(repetitions):
        rng = np.random.default_rng([number, seed, 3])
        chosen = nulls(rows, rng, 4, PLANNED)
        drawn = draw(given, rng, chosen["baseline"][:3])
        ledger, _ = race(drawn, chosen, RULES, shift)
        standings = ledger.standings().values()
        counts["different"] += any(s.decision in (BETTER, WORSE) for s in standings)
        counts["equivalent"] += any(s.decision == EQUIVALENT for s in standings)
        counts["beyond"] += any(s.matters for s in standings)
    return counts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "arm"), [(0, "baseline"), (0, "removed"), (5, "baseline"), (8, "baseline"), (8, "kind")]
)
def test_under_the_null_the_family_wise_error_is_kept(number: int, arm: str) -> None:
    repetitions = 400
    counts = _null_rates(number, arm, repetitions)
    for what in ("different", "beyond"):
        assert wilson_limits(counts[what], repetitions, 0.95)[0] <= 0.05, counts
        assert counts[what] <= 0.05 * repetitions + 2 * np.sqrt(0.05 * 0.95 * repetitions), counts


@pytest.mark.slow
@pytest.mark.parametrize(("number", "arm"), [(0, "weaker"), (5, "baseline"), (8, "baseline")])
def test_what_matters_is_not_called_equivalent(number: int, arm: str) -> None:
    repetitions = 300
    counts = _null_rates(number, arm, repetitions, shift=-0.03)
    assert counts["equivalent"] <= 0.05 * repetitions + 2 * np.sqrt(0.05 * 0.95 * repetitions), counts


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 8])
def test_the_intervals_shown_cover_what_they_say(seeds: int) -> None:
    """Average pooling against max pooling, 36 real seeds of each: the true difference is that of all of them."""
    from poolaudit.ablation.effects import difference
    from poolaudit.ablation.measures import AVERAGE_PRECISION

    given, repetitions = scenario(8), 600
    count = min(len(given.arms["baseline"]), len(given.arms["kind"]))
    values: dict[str, list[tuple[float, float, float]]] = {MATCHED: [], AVERAGE_PRECISION: []}
    for repetition in range(repetitions):
        rng = np.random.default_rng([repetition, seeds])
        chosen = rng.integers(0, count, seeds)
        drawn = draw(given, rng, given.arms["baseline"][chosen])
        drawn = dataclasses.replace(drawn, question=dataclasses.replace(drawn.question, precision=0.85))
        pair = [
            {k: drawn.measures(given.arms[arm][seed]) for k, seed in enumerate(chosen)} for arm in ("kind", "baseline")
        ]
        for metric, rows in values.items():
            found = difference(*pair, tuple(range(seeds)), metric)
            assert found is not None
            estimate = found.estimate(0.95)
            assert estimate.low is not None
            assert estimate.high is not None
            rows.append((found.value, estimate.low, estimate.high))
    for metric, rows in values.items():
        means, lows, highs = np.array(rows).T
        true = means.mean()
        coverage = float(np.mean((lows <= true) & (true <= highs)))
        assert 0.93 - 0.018 <= coverage <= 0.97 + 0.014, (metric, coverage)
