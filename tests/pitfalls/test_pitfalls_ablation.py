"""Detectors on ablation: each fails on a guilty experiment, passes an innocent one, says where it cannot tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from poolaudit.evidence.ablation import BACKWARDS, Comparison
from poolaudit.evidence.estimates import Estimate
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.policy import Policy
from poolaudit.results import Evidence
from specimens.ablations import ablation, arm, baseline, comparison, trial

CODES = ("PA350", "PA351", "PA352", "PA353", "PA354", "PA501", "PA502", "PA503", "PA504", "PA505")
GAIN = {"recall_at_matched_precision": 0.2, "average_precision": 0.1, "recall": 0.2, "precision": 0.0, "accuracy": 0.02}
NOTHING = dict.fromkeys(GAIN, 0.0)
LOSS = {name: -value for name, value in GAIN.items()}


def found(code: str, given: Evidence) -> Finding:
    return all_detectors().get(code)(given, Policy())


def shipped(average_precision: float) -> Evidence:
    rows = tuple(trial("baseline", seed, 0.8 + 0.01 * (seed % 3)) for seed in range(5))
    return ablation(arm("weaker@p", NOTHING), trials=rows, shipped=(("average_precision", average_precision),))


def seeds_that_quarrel() -> Evidence:
    values = {"baseline": (0.9, 0.6, 0.8, 0.7, 0.9), "weaker@p": (0.6, 0.9, 0.7, 0.8, 0.6)}
    rows = tuple(trial(name, seed, value) for name, row in values.items() for seed, value in enumerate(row))
    return ablation(arm("weaker@p", NOTHING), trials=rows)


def seeds_that_agree() -> Evidence:
    values = {"baseline": (0.6,) * 5, "weaker@p": (0.9, 0.85, 0.9, 0.88, 0.9)}
    rows = tuple(trial(name, seed, value) for name, row in values.items() for seed, value in enumerate(row))
    return ablation(arm("weaker@p", GAIN), trials=rows)


def unstable() -> Evidence:
    return ablation(arm("weaker@p", NOTHING), base=baseline(trained=8, learned=5, collapsed=2, dead=1))


def idle() -> Evidence:
    same = arm("max@p", None, unchanged=True, unavailable="every output is the same")
    return ablation(same, arm("weaker@p", NOTHING))


GUILTY: dict[str, Callable[[], Evidence]] = {
    "PA350": lambda: ablation(arm("weaker@p", GAIN)),
    "PA351": lambda: ablation(arm("stronger@p", GAIN, direction="stronger")),
    "PA352": lambda: ablation(arm("average@p", GAIN, direction="same", kind="average")),
    "PA353": lambda: ablation(arm("weaker@p", {**LOSS, "accuracy": 0.05})),
    "PA354": idle,
    "PA501": unstable,
    "PA502": idle,
    "PA503": lambda: ablation(arm("weaker@p", {**NOTHING, "recall_at_matched_precision": 0.02}, width=0.08)),
    "PA504": seeds_that_quarrel,
    "PA505": lambda: shipped(0.99),
}
INNOCENT: dict[str, Callable[[], Evidence]] = {
    "PA350": lambda: ablation(arm("weaker@p", NOTHING)),
    "PA351": lambda: ablation(arm("stronger@p", LOSS, direction="stronger")),
    "PA352": lambda: ablation(arm("average@p", NOTHING, direction="same", kind="average")),
    "PA353": lambda: ablation(arm("weaker@p", GAIN)),
    "PA354": lambda: ablation(arm("weaker@p", NOTHING)),
    "PA501": lambda: ablation(arm("weaker@p", NOTHING)),
    "PA502": lambda: ablation(arm("weaker@p", NOTHING)),
    "PA503": lambda: ablation(arm("weaker@p", GAIN)),
    "PA504": seeds_that_agree,
    "PA505": lambda: shipped(0.81),
}


def test_every_detector_on_ablation_has_its_specimens() -> None:
    known = {d.doc.code for d in all_detectors() if d.doc.code.startswith(("PA35", "PA36", "PA5"))}
    assert known == set(CODES) == set(GUILTY) == set(INNOCENT)


@pytest.mark.parametrize("code", CODES)
def test_guilty_fails(code: str) -> None:
    finding = found(code, GUILTY[code]())
    assert finding.outcome is Outcome.FAILED, finding.summary
    assert finding.evidence
    assert finding.would_change


@pytest.mark.parametrize("code", CODES)
def test_innocent_passes(code: str) -> None:
    finding = found(code, INNOCENT[code]())
    assert finding.outcome is Outcome.PASSED, finding.summary


@pytest.mark.parametrize("code", CODES)
def test_without_an_ablation_nothing_is_claimed(code: str) -> None:
    assert found(code, Evidence()).outcome is Outcome.SKIPPED


def test_a_swap_alone_is_sensitivity_and_no_verdict() -> None:
    given = ablation(arm("weaker@p", GAIN))
    assert given.ablation is not None
    swapped = dataclasses.replace(
        given.ablation,
        depth="swap",
        arms=tuple(dataclasses.replace(a, swap=a.effects, effects=(), comparison=None) for a in given.ablation.arms),
    )
    finding = found("PA350", Evidence(ablation=swapped))
    assert finding.outcome is Outcome.SKIPPED
    assert "sensitive" in finding.summary


def test_a_gain_that_is_a_threshold_is_no_over_pooling() -> None:
    moved = {**GAIN, "average_precision": -0.10}
    finding = found("PA350", ablation(arm("weaker@p", moved)))
    assert finding.outcome is Outcome.PASSED
    assert "threshold" in finding.summary
    unclear = {**GAIN, "average_precision": 0.005}
    assert found("PA350", ablation(arm("weaker@p", unclear))).outcome is Outcome.UNDECIDED


def test_recall_at_the_shipped_threshold_convicts_nobody() -> None:
    shipped_only = {**NOTHING, "recall": 0.29, "average_precision": -0.10}
    assert found("PA350", ablation(arm("weaker@p", shipped_only))).outcome is Outcome.PASSED


def test_a_better_ranking_is_not_waved_through() -> None:
    elsewhere = {**NOTHING, "average_precision": 0.15}
    finding = found("PA350", ablation(arm("weaker@p", elsewhere)))
    assert finding.outcome is Outcome.UNDECIDED
    assert "average precision rises" in finding.summary


@pytest.mark.parametrize(
    ("control", "outcome"), [(GAIN, Outcome.FAILED), (NOTHING, Outcome.PASSED), (None, Outcome.UNDECIDED)]
)
def test_capacity_is_ruled_out_by_the_control(control: dict[str, float] | None, outcome: Outcome) -> None:
    variant = arm("removed@p", GAIN, head_resized=True, parameters=5_000)
    matched = arm(
        "removed@p (control)",
        control,
        is_control=True,
        control_of="removed@p",
        unavailable="" if control else "no control comes within 5 %",
    )
    assert found("PA350", ablation(variant, matched)).outcome is outcome


def with_control(variant: dict[str, float], control: dict[str, float] | None, **fields: object) -> Evidence:
    grown = arm("removed@p", variant, head_resized=True, parameters=5_000)
    return ablation(grown, arm("removed@p (control)", control, is_control=True, control_of="removed@p", **fields))


MOOT = Comparison("undecided", stopped="moot", reason="its variant shows no gain that capacity might explain")


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (with_control(NOTHING, None, comparison=MOOT), Outcome.PASSED),
        (with_control(LOSS, {**NOTHING, "recall_at_matched_precision": 0.02}, width=0.08), Outcome.PASSED),
        (with_control(GAIN, {**NOTHING, "recall_at_matched_precision": -0.04}, width=0.06), Outcome.PASSED),
        (with_control(GAIN, {**NOTHING, "recall_at_matched_precision": 0.02}, width=0.08), Outcome.FAILED),
        (with_control(GAIN, None, comparison=comparison(None, 0.0, "2 of 4 seeds")), Outcome.FAILED),
    ],
    ids=["never needed", "nothing to explain", "shows no gain", "leaves it open", "was cut off"],
)
def test_a_control_lacks_power_only_where_it_leaves_a_gain_unexplained(given: Evidence, outcome: Outcome) -> None:
    finding = found("PA503", given)
    assert finding.outcome is outcome, finding.summary
    if outcome is Outcome.FAILED:
        assert [fact.label for fact in finding.evidence] == ["removed@p (control)"]
        assert found("PA350", given).outcome is Outcome.UNDECIDED


def test_no_difference_above_one_is_named() -> None:
    summary = found("PA503", ablation(arm("weaker@p", {**NOTHING, "accuracy": 0.0}, width=0.9))).summary
    assert "even the largest possible difference" in summary


def test_a_gain_below_what_matters_is_told_from_an_open_one() -> None:
    small = {**NOTHING, "recall_at_matched_precision": 0.02, "average_precision": 0.02}
    assert found("PA350", ablation(arm("weaker@p", small, width=0.008))).outcome is Outcome.PASSED
    finding = found("PA350", ablation(arm("weaker@p", small, width=0.05)))
    assert finding.outcome is Outcome.UNDECIDED
    assert finding.would_change


def test_the_dose_and_its_response_are_told() -> None:
    half = arm("weaker@p", {**GAIN, "recall_at_matched_precision": 0.12}, downsampling=2.0)
    none = arm("removed@p", GAIN, downsampling=1.0)
    finding = found("PA350", ablation(half, none))
    told = next(fact.value for fact in finding.evidence if fact.label.startswith("Dose"))
    assert "the less downsampling, the more is found" in told
    assert finding.summary.startswith("The pooling costs recall: 'removed@p'")


@pytest.mark.parametrize(
    ("gain", "shape"),
    [(0.01, "all within the smallest effect that matters (0.03)"), (-0.10, "not in step with the downsampling")],
)
def test_no_step_is_read_into_doses_without_response(gain: float, shape: str) -> None:
    half = arm("weaker@p", {**NOTHING, "recall_at_matched_precision": gain / 2}, downsampling=2.0)
    none = arm("weaker@q", {**NOTHING, "recall_at_matched_precision": gain}, downsampling=1.0)
    finding = found("PA350", ablation(half, none))
    told = next(fact.value for fact in finding.evidence if fact.label.startswith("Dose"))
    assert told.endswith(shape)


def test_many_collapsed_seeds_weigh_more_than_one() -> None:
    assert found("PA501", unstable()).severity is Severity.MAJOR
    one = ablation(arm("weaker@p", NOTHING), base=baseline(trained=8, learned=7, collapsed=1))
    assert found("PA501", one).severity is Severity.MINOR


@pytest.mark.parametrize(("turned", "outcome"), [(5, Outcome.FAILED), (2, Outcome.PASSED)])
def test_trainings_that_rank_backwards_are_no_fine_trainings(turned: int, outcome: Outcome) -> None:
    rows = tuple(
        dataclasses.replace(trial("baseline", seed, 0.1), reason=BACKWARDS if seed < turned else "")
        for seed in range(5)
    )
    finding = found("PA501", ablation(arm("weaker@p", NOTHING), trials=rows))
    assert finding.outcome is outcome
    if outcome is Outcome.FAILED:
        assert "5 of 5 trainings of the baseline rank 'fraud' backwards" in finding.summary


def test_too_few_test_items_show_no_collapse() -> None:
    given = ablation(arm("weaker@p", NOTHING), base=baseline(trained=8, learned=6, collapsed=2))
    assert given.ablation is not None
    few = Evidence(ablation=dataclasses.replace(given.ablation, support=6))
    finding = found("PA501", few)
    assert finding.outcome is Outcome.UNDECIDED
    assert "6 test items of 'fraud' are too few" in finding.summary
    dead = ablation(arm("weaker@p", NOTHING), base=baseline(trained=8, learned=6, dead=2))
    assert dead.ablation is not None
    few_and_dead = Evidence(ablation=dataclasses.replace(dead.ablation, support=6))
    assert found("PA501", few_and_dead).outcome is Outcome.FAILED


def test_a_training_that_could_not_be_carried_out_is_told_with_its_reason() -> None:
    row = dataclasses.replace(trial("weaker@p", 0, 0.5, state="failed"), reason="OSError: no such file.")
    given = ablation(arm("weaker@p", NOTHING, trained=5, learned=4, failed=1), trials=(row,))
    assert "1 could not be trained at all: OSError: no such file." in found("PA501", given).summary


def test_a_baseline_that_never_learns_leaves_open_whether_its_training_is_at_fault() -> None:
    variant = arm("weaker@p", GAIN)
    assert variant.comparison is not None
    never = dataclasses.replace(variant.comparison, never_learns="baseline")
    summary = found("PA350", ablation(dataclasses.replace(variant, comparison=never))).summary
    assert "hardly ever learns" in summary
    assert "collapsed seeds do not explain" not in summary
    assert "collapsed seeds do not explain" in found("PA350", ablation(variant)).summary


def test_a_paradox_of_which_one_half_is_shown_is_undecided() -> None:
    seeming = {**LOSS, "recall": -0.2, "accuracy": 0.01}
    assert found("PA353", ablation(arm("weaker@p", seeming, width=0.1))).outcome is Outcome.UNDECIDED
    for open_on_both_sides in ({**LOSS, "recall": -0.05, "accuracy": 0.01}, {**LOSS, "recall": -0.01, "accuracy": 0.2}):
        assert found("PA353", ablation(arm("weaker@p", open_on_both_sides, width=0.1))).outcome is Outcome.PASSED


def test_trainings_that_spread_widely_vouch_for_no_shipped_model() -> None:
    def spread(average_precision: float, values: tuple[float, ...], lost: tuple[float, ...] = ()) -> Evidence:
        rows = [trial("baseline", seed, value) for seed, value in enumerate(values)]
        rows += [trial("baseline", 10 + seed, value, state="collapsed") for seed, value in enumerate(lost)]
        return ablation(
            arm("weaker@p", NOTHING), trials=tuple(rows), shipped=(("average_precision", average_precision),)
        )

    assert found("PA505", spread(0.99, (0.5, 0.9, 0.6))).outcome is Outcome.UNDECIDED
    assert found("PA505", spread(0.68, (0.5, 0.9, 0.6))).outcome is Outcome.PASSED
    # Trainings that never learned do not widen the interval.
    assert found("PA505", spread(0.99, (0.6, 0.61, 0.62), lost=(0.1, 0.12))).outcome is Outcome.FAILED


OF_VARIANTS: dict[str, dict[str, str]] = {
    "PA350": {"name": "weaker@p"},
    "PA351": {"name": "stronger@p", "direction": "stronger"},
    "PA352": {"name": "average@p", "direction": "same", "kind": "average"},
}


@pytest.mark.parametrize("code", OF_VARIANTS)
@pytest.mark.parametrize(("change", "told"), [(GAIN, Outcome.FAILED), (NOTHING, Outcome.PASSED)])
def test_trials_below_the_shipped_model_neither_convict_nor_acquit(
    code: str, change: dict[str, float], told: Outcome
) -> None:
    def beside(average_precision: float | None) -> Evidence:
        rows = tuple(trial("baseline", seed, 0.8 + 0.01 * (seed % 3)) for seed in range(5))
        metrics = (("average_precision", average_precision),) if average_precision is not None else ()
        return ablation(arm(changes=change, **OF_VARIANTS[code]), trials=rows, shipped=metrics)

    short = beside(0.99)
    assert found("PA505", short).outcome is Outcome.FAILED
    finding = found(code, short)
    assert finding.outcome is Outcome.UNDECIDED
    assert "does not reach the shipped model (99.0 %)" in finding.summary
    assert finding.would_change is not None
    assert "--epochs" in finding.would_change
    assert [(subject.name, subject.is_shown) for subject in finding.subjects] == [(OF_VARIANTS[code]["name"], False)]
    for average_precision in (None, 0.81):
        assert found(code, beside(average_precision)).outcome is told
    # What the architecture learns beyond the shipped model is learned; PA505 asks what the shipped model lacks.
    below = beside(0.05)
    assert found("PA505", below).outcome is Outcome.FAILED
    assert found(code, below).outcome is told


@pytest.mark.parametrize("code", OF_VARIANTS)
@pytest.mark.parametrize(("as_shipped", "outcome"), [(0.90, Outcome.FAILED), (0.995, Outcome.UNDECIDED)])
def test_a_variant_that_outdoes_the_shipped_model_even_so_has_shown_its_gain(
    code: str, as_shipped: float, outcome: Outcome
) -> None:
    rows = tuple(trial("baseline", seed, 0.8 + 0.01 * (seed % 3)) for seed in range(5))
    gaining = arm(changes={**GAIN, "average_precision": 0.15}, **OF_VARIANTS[code])
    given = ablation(gaining, trials=rows, shipped=(("average_precision", as_shipped),))
    assert found("PA505", given).outcome is Outcome.FAILED
    assert found(code, given).outcome is outcome


def test_few_trainings_of_the_baseline_leave_the_charge_as_it_is() -> None:
    rows = tuple(trial("baseline", seed, 0.5) for seed in range(2))
    given = ablation(arm("weaker@p", GAIN), trials=rows, shipped=(("average_precision", 0.99),))
    assert found("PA505", given).outcome is Outcome.SKIPPED
    assert found("PA350", given).outcome is Outcome.FAILED


def test_average_precision_is_never_plus_or_minus_percent() -> None:
    rows = tuple(trial("baseline", seed, value) for seed, value in enumerate((0.1, 0.9, 0.46)))
    given = ablation(arm("weaker@p", NOTHING), trials=rows, shipped=(("average_precision", 0.95),))
    finding = found("PA505", given)
    assert finding.outcome is Outcome.UNDECIDED
    assert "± 1." in finding.summary
    assert "%" not in finding.summary
    assert not any("%" in fact.value for fact in finding.evidence)


@pytest.mark.parametrize(("more", "words"), [(1, "1 more seed "), (3, "3 more seeds ")])
def test_one_seed_is_no_seeds(more: int, words: str) -> None:
    undecided = arm("weaker@p", {**NOTHING, "recall_at_matched_precision": 0.02}, width=0.08)
    assert undecided.comparison is not None
    asked = dataclasses.replace(undecided.comparison, seeds_to_decide=undecided.comparison.seeds + more)
    given = ablation(dataclasses.replace(undecided, comparison=asked))
    assert words in str(found("PA350", given).would_change)
    assert words in found("PA503", given).evidence[0].value


def test_where_no_arm_is_ahead_none_is_called_best() -> None:
    rows = tuple(trial(name, seed, 0.8) for name in ("baseline", "weaker@p") for seed in range(5))
    finding = found("PA504", ablation(arm("weaker@p", NOTHING), trials=rows))
    assert finding.outcome is Outcome.PASSED
    assert "best" not in finding.summary


def test_the_saying_about_max_and_average_is_held_against_the_evidence() -> None:
    finding = found("PA352", GUILTY["PA352"]())
    assert "Max pooling harms recall here" in finding.summary


def kinds(recall: float | None, precision: float | None, *, gain: float = 0.02, width: float = 0.08) -> Evidence:
    """An average for a maximum, better by `gain`, with these changes at the shipped threshold; None: not estimable."""
    exchanged = arm(
        "average@p",
        {**NOTHING, "recall_at_matched_precision": gain, "recall": recall or 0.0, "precision": precision or 0.0},
        width=width,
        direction="same",
        kind="average",
    )
    unknown = {name for name, value in (("recall", recall), ("precision", precision)) if value is None}
    effects = tuple(
        dataclasses.replace(e, estimate=Estimate.not_estimable("0 divided by 0", method="crossed"))
        if e.metric in unknown
        else e
        for e in exchanged.effects
    )
    return ablation(dataclasses.replace(exchanged, effects=effects))


def test_an_open_comparison_of_kinds_says_nothing_beside_it() -> None:
    finding = found("PA352", kinds(-0.4, 0.0))
    assert finding.outcome is Outcome.UNDECIDED
    assert "harms" not in finding.summary
    assert "helps" not in finding.summary


def test_nothing_is_said_of_what_is_not_estimable() -> None:
    told = found("PA352", kinds(-0.4, None, gain=0.0, width=0.02))
    assert told.outcome is Outcome.PASSED
    assert "Max pooling helps recall here (at the shipped threshold, by intervals that are not" in told.summary
    assert "helps precision" not in told.summary
    assert found("PA352", kinds(None, None, gain=0.0, width=0.02)).summary.endswith("no recall that matters.")
    both = found("PA352", kinds(-0.4, 0.0, gain=0.0, width=0.02)).summary
    assert "that average pooling helps precision does not show here" in both


@pytest.mark.parametrize(
    ("stopped", "lost", "wanted"),
    [("budget", 0, "`--minutes`"), ("decided", 3, "learning rate"), ("decided", 0, "More seeds and more test items")],
)
def test_what_would_begin_a_comparison_is_what_it_lacks(stopped: str, lost: int, wanted: str) -> None:
    reason = "2 of the 3 seeds that a first decision takes were trained"
    begun = dataclasses.replace(
        comparison(None, 0.0, reason), seeds=0, stopped="" if stopped == "budget" else "planned"
    )
    variant = arm("weaker@p", None, comparison=begun, trained=4, learned=4 - lost, collapsed=lost)
    given = ablation(variant)
    assert given.ablation is not None
    finding = found("PA350", Evidence(ablation=dataclasses.replace(given.ablation, stopped=stopped)))
    assert finding.outcome is Outcome.UNDECIDED
    assert wanted in str(finding.would_change)


def test_a_comparison_without_pairs_is_undecided() -> None:
    given = arm("weaker@p", None, comparison=comparison(None, 0.0, reason="fewer than 3 pairs of seeds learned"))
    finding = found("PA350", ablation(given))
    assert finding.outcome is Outcome.UNDECIDED
    assert "fewer than 3 pairs" in finding.summary


def test_a_shipped_model_far_below_its_own_architecture_is_no_reference() -> None:
    finding = found("PA505", shipped(0.05))
    assert finding.outcome is Outcome.FAILED
    assert "worse than its own architecture" in finding.summary
