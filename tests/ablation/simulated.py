"""Ablations replayed from a bank of real trials: seeds and items are drawn again, decisions are made as in a run.

The bank holds the scores of real small networks (see specimens/ablation_scenarios.py) on test and validation items, as
logits in half precision: `NUMBER/ARM` (seeds, test + validation items), `NUMBER/labels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from poolaudit.ablation.effects import states
from poolaudit.ablation.ledger import Ledger
from poolaudit.ablation.measures import (
    MATCHED,
    Question,
    TrialMeasures,
    choose_precision,
    draw_validation,
    measure_trial,
)
from poolaudit.ablation.race import Rules
from poolaudit.evidence.ablation import AblationEvidence, ArmEvidence
from poolaudit.findings import Finding
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.policy import Policy
from poolaudit.results import Evidence
from poolaudit.statistics.influence import Measured

BANK = Path(__file__).parents[1] / "specimens" / "ablation_trials.npz"
TEST_ITEMS = {2: 800, 3: 800, 4: 797, 7: 800, 8: 800, 10: 800}
_DRAWS = 60


@dataclass(frozen=True)
class BankedScenario:
    """Scores in [0, 1] by arm, (seeds, test + validation items), and labels of the items."""

    labels: Any
    arms: Mapping[str, Any]
    test_items: int


@cache
def scenario(number: int) -> BankedScenario:
    with np.load(BANK) as bank:
        names = [name for name in bank.files if name.startswith(f"{number}/") and not name.endswith("/labels")]
        arms = {name.split("/")[1]: expit(bank[name].astype(np.float64)) for name in names}
        return BankedScenario(bank[f"{number}/labels"].astype(np.int64), arms, TEST_ITEMS.get(number, 1_000))


@dataclass
class Draw:
    """One repetition: items drawn with replacement, seeds without."""

    given: BankedScenario
    test: Any
    held: Any
    question: Question

    def measures(self, scores: Any) -> TrialMeasures:
        return measure_trial(_two(scores[self.test]), _two(scores[self.held]), self.question)


def draw(given: BankedScenario, rng: Any, baseline: Any, *, resample: bool = True) -> Draw:
    """Items for one repetition, and the precision that the baseline's scores (seeds, items) set."""
    n, total = given.test_items, len(given.labels)
    test = rng.integers(0, n, n) if resample else np.arange(n)
    held = n + rng.integers(0, total - n, total - n) if resample else np.arange(n, total)
    draws = draw_validation(len(held), rng, _DRAWS)
    blank = Question(given.labels[test], given.labels[held], 2, (1,), None, draws)
    precision = choose_precision([_two(row[held]) for row in baseline], blank, Policy().good_precision)
    question = Question(blank.labels, blank.validation_labels, 2, (1,), precision, draws)
    return Draw(given, test, held, question)


def race(drawn: Draw, arms: Mapping[str, Any], rules: Rules, shift: float = 0.0) -> tuple[Ledger, int]:
    """The ledger after the race, and the trainings it took.

    Args:
        arms: Names to scores (seeds, items).
        shift: Added to every variant's recall at matched precision: a true effect of known size.
    """
    names = tuple(name for name in arms if name != "baseline")
    ledger = Ledger(names, rules)
    count = 0
    while needs := ledger.needs():
        for name, seed in needs:
            measured = drawn.measures(arms[name][seed])
            if shift and name != "baseline":
                recall = measured.metrics[MATCHED]
                measured.metrics[MATCHED] = Measured(recall.value + shift, recall.influences, recall.support)
            ledger.add(name, seed, measured)
            count += 1
    return ledger, count


def evidence(ledger: Ledger, parameters: Mapping[str, int] | None = None) -> Evidence:
    """What a run would have left."""
    standings = ledger.standings()
    listed = tuple(_arm(name, ledger, standings[name]) for name in ledger.names)
    counts = states(ledger.arm("baseline"))
    base = ArmEvidence("baseline", direction="baseline", parameters=100, trained=sum(counts.values()))
    return Evidence(
        ablation=AblationEvidence(
            depth="retrained",
            positive="1",
            targets=("1",),
            primary=ledger.primary,
            matched_precision=0.85,
            smallest_effect=ledger.rules.margin,
            family_wise_error=ledger.rules.error,
            test_items=1_000,
            support=350,
            planned_seeds=ledger.rules.planned,
            hypotheses=len(ledger.names),
            trainings=0,
            full_grid=0,
            stopped="decided",
            detectable_before=None,
            shipped=(),
            baseline=base,
            arms=listed,
            trials=(),
            training=None,
        )
    )


def over_pooling(ledger: Ledger) -> Finding:
    return all_detectors().get("PA350")(evidence(ledger), Policy())


def chosen_seeds(arms: Mapping[str, Any], rng: Any, planned: int) -> dict[str, Any]:
    """The same seeds of every arm, in a new order."""
    count = min(len(rows) for rows in arms.values())
    seeds = rng.permutation(count)[:planned]
    return {name: rows[seeds] for name, rows in arms.items()}


def shifted(rows: Any, logits: float) -> Any:
    """The same ranking, less (or more) confident."""
    clipped = np.clip(rows, 1e-9, 1 - 1e-9)
    return expit(np.log(clipped / (1 - clipped)) + logits)


def _arm(name: str, ledger: Ledger, standing: Any) -> ArmEvidence:
    control = name.endswith(" (control)")
    variant = name.removesuffix(" (control)")
    has_control = f"{variant} (control)" in ledger.names
    direction = "same" if variant.startswith(("kind", "null")) else "weaker"
    return ArmEvidence(
        name,
        direction=direction,
        is_control=control,
        control_of=variant if control else "",
        head_resized=has_control,
        parameters=400 if has_control and not control else 100,
        comparison=ledger.comparison(name, standing),
        effects=ledger.effects(name, 0.95),
        trained=ledger.trained(name),
    )


def _two(scores: Any) -> Any:
    return np.stack([1 - scores, scores], axis=1)


def nulls(rows: Any, rng: Any, variants: int, planned: int) -> dict[str, Any]:
    """Baseline and variants that are all the same arm, each with seeds of its own."""
    order = rng.permutation(len(rows))
    names: Sequence[str] = ("baseline", *(f"weaker-{i}" for i in range(variants)))
    return {name: rows[order[i * planned : (i + 1) * planned]] for i, name in enumerate(names)}
