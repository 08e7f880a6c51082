"""The ablation decided again without leaked test items; all trainings but the last test's are made-up predictions."""

from __future__ import annotations

import dataclasses
import html
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ablation_recipes
import numpy as np
import pytest
import simulated

from poolaudit.ablation.again import _leader, _learned_in_both, _require_enough_of_each, measure_again
from poolaudit.ablation.executors.executor import TrialDone
from poolaudit.ablation.ledger import Ledger
from poolaudit.ablation.race import Rules
from poolaudit.ablation.run import ablate
from poolaudit.ablation.settings import AblationSettings
from poolaudit.ablation.subject import AblationSubject
from poolaudit.ablation.trial import TrialSpec
from poolaudit.audit import AuditPlan, run_audit
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.ablation import Comparison, TrialRow
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.leakage import AgainstLeader, LeakedEffect, LeakImpact, RankingWithoutLeak
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.ablation_without_leak import (
    CHANGED,
    OPEN,
    SAME,
    WITHIN,
    _state,
    overtaken_by,
    variants_without_leak,
)
from poolaudit.policy import Policy
from poolaudit.report.html import render_html
from poolaudit.results import AuditResult, Evidence
from poolaudit.store.consistency import contradiction_in
from poolaudit.store.results import decode_result, encode_result
from poolaudit.store.trials import StoredTrial, TrialStore
from poolaudit.subject.data import load_splits

VARIANT = "weaker@stem"
LEAKED, CLEAN, TRAIN = 400, 150, 400
STAGES = ("geometry", "evaluation", "ablation", "leakage")
# How far the scores of the two classes lie apart on clean and on leaked items, in deviations.
Skill = tuple[float, float]
PLAIN: Skill = (1.2, 1.2)


def signals(items: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((items, ablation_recipes.LENGTH, 1)).astype(np.float32), np.arange(items) % 5 < 2


X, Y = signals(TRAIN, 1)
VALIDATION = (lambda x, y: (x, y.astype(np.int64)))(*signals(900, 3))


def held(clean: int, leaked: int) -> tuple[Any, Any]:
    x, y = signals(clean, 2)
    return np.concatenate([x, X[:leaked]]), np.concatenate([y, Y[:leaked]]).astype(np.int64)


class MadeUp:
    """An executor that trains nothing: each arm answers with the skill it is given.

    Attributes:
        seen: Arm and seed of every trial it made.
    """

    def __init__(self, skills: Mapping[str, Skill], clean: int, dead: Callable[[str, int], bool]) -> None:
        self.skills, self.clean, self.dead = skills, clean, dead
        self.seen: list[tuple[str, int]] = []

    def __call__(self, name: str, store: TrialStore, workers: int | None) -> MadeUp:
        self.store = store
        return self

    def __enter__(self) -> MadeUp:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def run(self, specs: list[TrialSpec], on_event: Callable[[TrialDone], None]) -> None:
        for spec in specs:
            known = self.store.read(spec.key)
            if known is None:
                known = StoredTrial(
                    spec.key, {"outcome": "finished", "reason": "", "seconds": 1.0}, self._answers(spec)
                )
                self.store.write(known)
                self.seen.append((spec.arm, spec.seed))
            on_event(TrialDone(spec, known))

    def _answers(self, spec: TrialSpec) -> dict[str, Any]:
        rng = np.random.default_rng([spec.seed, zlib.crc32(spec.arm.encode())])
        clean, leaked = self.skills.get(spec.arm, PLAIN)
        answers = {}
        for split in ("test", "validation"):
            labels = np.load(self.store.folder / "data" / f"y-{spec.data[split]}.npy")
            skill = np.full(len(labels), clean)
            if split == "test":
                skill[self.clean :] = leaked
            score = rng.standard_normal(len(labels)) + skill * labels
            if self.dead(spec.arm, spec.seed):
                score = np.zeros(len(labels))
            answers[split] = (1 / (1 + np.exp(1.0 - score)))[:, None].astype(np.float32)
        return answers


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("model") / "m.keras"
    ablation_recipes.build(4).save(path)
    return path


@pytest.fixture
def trainings() -> list[list[tuple[str, int]]]:
    """Arm and seed of what each audit of the test trained."""
    return []


@pytest.fixture
def audited(  # type: ignore[no-untyped-def]
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings
) -> Callable[..., AuditResult]:
    def audit(
        skills: Mapping[str, Skill],
        *,
        clean: int = CLEAN,
        leaked: int = LEAKED,
        dead: Callable[[str, int], bool] = lambda arm, seed: False,
        **changes: Any,
    ) -> AuditResult:
        made_up = MadeUp(skills, clean, dead)
        trainings.append(made_up.seen)
        monkeypatch.setattr("poolaudit.ablation.trial_runs.make_executor", made_up)
        given = {
            "model": model,
            "test": held(clean, leaked),
            "train": (X, Y.astype(np.int64)),
            "stages": STAGES,
            "validation": VALIDATION,
            "seeds": 8,
            "trial_store": tmp_path / "trials",
            **changes,
        }
        result = run_audit(AuditPlan(**given))
        assert [stage.reason for stage in result.stages if stage.outcome is Outcome.CRASHED] == []
        assert contradiction_in(result) == ""
        assert decode_result(encode_result(result)) == result
        return result

    return audit


def found(result: AuditResult, code: str = "PA408") -> Finding:
    return next(finding for finding in result.findings if finding.code == code)


def row(result: AuditResult, name: str = VARIANT) -> Any:
    return next(row for row in variants_without_leak(result.evidence) if row.name == name)


def test_a_variant_that_is_better_on_the_leak_alone_is_told(audited) -> None:  # type: ignore[no-untyped-def]
    """It knows the copies by heart and finds less than the baseline of all others."""
    result = audited({VARIANT: (0.7, 6.0)}, stages=STAGES[1:], budget="thorough")
    told = row(result)
    assert (told.decision, told.clean_decision, told.state) == ("better", "worse", CHANGED)
    finding = found(result)
    assert (finding.outcome, finding.severity) == (Outcome.FAILED, Severity.MAJOR), finding.summary
    assert VARIANT in finding.summary
    assert {subject.name for subject in finding.subjects} == {f"decision on {VARIANT}"}
    assert any("saw the originals" in fact.value for fact in finding.evidence)
    assert "The trained variants without the leak" in render_html(result)
    clean = result.evidence.leakage.impact.ablation
    assert (clean.test_items, len(clean.trials)) == (CLEAN, len(result.evidence.ablation.trials))
    others = [other for other in variants_without_leak(result.evidence) if other.name != VARIANT]
    assert {other.state for other in others} <= {SAME, WITHIN}


def test_a_variant_that_is_better_on_both_is_the_same(audited) -> None:  # type: ignore[no-untyped-def]
    result = audited({VARIANT: (3.0, 3.0)})
    assert (row(result).decision, row(result).clean_decision, row(result).state) == ("better", "better", SAME)
    assert result.evidence.leakage.impact.ranking.leader == VARIANT
    assert overtaken_by(result.evidence) is None
    finding = found(result)
    assert finding.outcome is Outcome.PASSED, finding.summary
    assert "no decision of the ablation" in finding.summary


def test_a_gain_that_stands_on_the_leak_alone_is_told_although_the_rest_is_open(audited) -> None:  # type: ignore[no-untyped-def]
    """Better on all items; on the clean ones nothing is shown, and the leaked ones differ from them."""
    result = audited({VARIANT: (1.2, 6.0)}, clean=200, leaked=300)
    told = row(result)
    assert told.decision == "better"
    assert told.clean_decision != "better"
    assert told.leaked.shift.low > 0
    assert told.state == CHANGED


def test_a_decision_lost_with_the_items_left_out_has_not_changed(audited) -> None:  # type: ignore[no-untyped-def]
    """The variant gains alike on leaked and clean items; thirty clean ones cannot show it."""
    result = audited({VARIANT: (2.6, 2.6)}, clean=30, leaked=400)
    told = row(result)
    assert (told.decision, told.clean_decision, told.state) == ("better", "undecided", WITHIN)
    assert found(result).outcome is not Outcome.FAILED, found(result).summary


def test_a_best_variant_that_the_leak_put_there_is_told(audited) -> None:  # type: ignore[no-untyped-def]
    """Both are better than the baseline on all items and on the clean ones; which of them is best is not the same."""
    skills = {VARIANT: (2.2, 6.0), "average@stem": (3.6, 2.2)}
    result = audited(skills, clean=250, budget="thorough", stages=STAGES[1:])
    ranking = result.evidence.leakage.impact.ranking
    assert ranking.leader == VARIANT
    assert {found.name for found in ranking.against_leader} >= {"average@stem", "removed@stem"}
    assert overtaken_by(result.evidence).name == "average@stem"
    assert {row(result, name).state for name in skills} == {SAME}
    finding = found(result)
    assert (finding.outcome, finding.severity) == (Outcome.FAILED, Severity.MAJOR), finding.summary
    assert "ranking changes" in finding.summary
    assert "the same; overtaken by average@stem" in render_html(result)


def test_over_pooling_that_the_leak_hides_is_judged(audited) -> None:  # type: ignore[no-untyped-def]
    """The baseline knows the copies by heart, which makes up for what its pooling costs on all others."""
    arms = (VARIANT, "removed@stem", "stronger@stem", "average@stem", "global_average@head@1")
    skills = {"baseline": (1.0, 6.0), **dict.fromkeys(arms, (1.0, 6.0)), VARIANT: (2.6, 1.0)}
    result = audited(skills, clean=260, leaked=260)
    assert row(result).clean_decision == "better"
    assert row(result).decision != "better"
    facts = {fact.label: fact.value for fact in found(result).evidence}
    changed = [value for label, value in facts.items() if label.startswith("PA350")]
    assert changed, facts
    assert changed[0].endswith("clean FAILED")
    assert found(result).outcome is Outcome.FAILED


def test_what_is_too_little_is_not_measured_and_says_so(audited) -> None:  # type: ignore[no-untyped-def]
    result = audited({VARIANT: (0.7, 6.0)}, clean=12, leaked=300)
    impact = result.evidence.leakage.impact
    assert impact.ablation is None
    assert "only 6 items of '1' are left." in impact.ranking.not_ranked
    assert variants_without_leak(result.evidence) == ()
    assert impact.ranking.not_ranked in html.unescape(render_html(result))


def test_without_a_leak_there_is_nothing_to_measure_again(audited) -> None:  # type: ignore[no-untyped-def]
    result = audited({}, leaked=0, seeds=4)
    assert result.evidence.leakage.impact.ablation is None
    assert found(result).outcome is Outcome.PASSED


def test_trainings_that_never_learned_are_left_out_here_as_well(audited) -> None:  # type: ignore[no-untyped-def]
    result = audited({VARIANT: (0.7, 6.0)}, dead=lambda arm, seed: arm == VARIANT and seed == 1)
    clean = next(arm for arm in result.evidence.leakage.impact.ablation.variants if arm.name == VARIANT)
    assert clean.dead == 1
    assert (row(result).decision, row(result).clean_decision) == ("better", "worse")


def test_it_is_the_same_when_stages_and_trainings_are_kept(audited, trainings, tmp_path) -> None:  # type: ignore[no-untyped-def]
    skills = {VARIANT: (0.7, 6.0)}
    first = audited(skills, stage_store=tmp_path / "stages")
    again = audited({}, stage_store=tmp_path / "stages")
    assert again.evidence == first.evidence
    # The ablation is known and the leakage is not: the trainings of the store are read, and none is made.
    for kept in (tmp_path / "stages").iterdir():
        if b'"test_items_leaked"' in kept.read_bytes() or "leakage" in kept.name:
            kept.unlink()
    third = audited({}, stage_store=tmp_path / "stages")
    assert [bool(made) for made in trainings] == [True, False, False]
    assert third.evidence.leakage.impact.ablation == first.evidence.leakage.impact.ablation


def test_trainings_that_are_gone_are_told(audited, tmp_path) -> None:  # type: ignore[no-untyped-def]
    options = {"stage_store": tmp_path / "stages", "seeds": 4}
    audited({}, stages=STAGES[:-1], **options)
    trials = sorted((tmp_path / "trials" / "trials").iterdir())
    trials[0].unlink()
    result = audited({}, **options)
    impact = result.evidence.leakage.impact
    assert impact.ablation is None
    assert f"1 of {len(trials)} trainings are not in the trial store" in impact.ranking.not_ranked
    assert impact.ranking.clean, "the exchanged pooling needs no training"


def test_a_crash_here_costs_no_more_than_this_part(audited, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def crash(*given: Any, **more: Any) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("poolaudit.ablation.again.measure_again", crash)
    impact = audited({}, seeds=4).evidence.leakage.impact
    assert impact.metrics
    assert impact.ablation is None
    assert "it crashed (ZeroDivisionError: by zero)" in impact.ranking.not_ranked


def test_a_result_that_was_edited_is_refused(audited) -> None:  # type: ignore[no-untyped-def]
    result = audited({}, seeds=4)
    leak = result.evidence.leakage

    def edited(**changes: Any) -> AuditResult:
        impact = dataclasses.replace(leak.impact, **changes)
        evidence = dataclasses.replace(result.evidence, leakage=dataclasses.replace(leak, impact=impact))
        return dataclasses.replace(result, evidence=evidence)

    clean = leak.impact.ablation
    assert "no copies" in contradiction_in(edited(ablation=result.evidence.ablation))
    assert "other trainings" in contradiction_in(edited(ablation=dataclasses.replace(clean, trials=clean.trials[1:])))
    assert "not on the clean" in contradiction_in(edited(ablation=None))
    assert contradiction_in(edited()) == ""


def test_real_trainings_decide_as_if_the_test_split_had_been_clean(tmp_path: Path) -> None:
    """The same seeds train the same networks whatever they are tested on."""
    train, (x, y) = ablation_recipes.data(300, 10), ablation_recipes.data(160, 11)
    tests = {"all": (np.concatenate([train[0][:60], x]), np.concatenate([train[1][:60], y])), "clean": (x, y)}
    subject = AblationSubject(ablation_recipes.build(), is_trained=False)
    settings = AblationSettings(variants=("removed@stem",), seeds=3, epochs=3, workers=1, store=tmp_path)
    given = {"positive": "1", "settings": settings, "policy": Policy(), "validation": None}
    results = {}
    for name, test in tests.items():
        splits = load_splits({"train": train, "test": test})
        results[name] = ablate(subject, test=splits["test"], train=splits["train"], **given)
    splits = load_splits({"train": train, "test": tests["all"]})
    items = np.arange(220) >= 60
    more = {**given, "test": splits["test"], "train": splits["train"], "tell": lambda done, total, what: None}
    again = measure_again(subject, results["all"], items, **more).evidence
    assert [arm.comparison for arm in again.arms] == [arm.comparison for arm in results["clean"].arms]
    assert [arm.effects for arm in again.arms] == [arm.effects for arm in results["clean"].arms]
    assert [row.metrics for row in again.trials] == [row.metrics for row in results["clean"].trials]
    assert [row.metrics for row in again.trials] != [row.metrics for row in results["all"].trials]
    with pytest.raises(InvalidInputError, match="no item of '1' is left"):
        measure_again(subject, results["all"], items & (splits["test"].labels == 0), **more)


@pytest.mark.parametrize("number", [2, 3, 7])
def test_items_taken_at_random_for_leaked_change_nothing(number: int) -> None:
    """Real trainings of the bank, a tenth of the test items left out: decisions are lost at most."""
    rng = np.random.default_rng(number)
    given = simulated.scenario(number)
    arms = simulated.chosen_seeds(given.arms, rng, 12)
    drawn = simulated.draw(given, rng, arms["baseline"][:4])
    everything, _ = simulated.race(drawn, arms, Rules(planned=12))
    clean = rng.random(len(drawn.test)) >= 0.1

    def part(items: Any) -> Ledger:
        question = dataclasses.replace(drawn.question, labels=drawn.question.labels[items])
        of_these = dataclasses.replace(drawn, test=drawn.test[items], question=question)
        ledger = Ledger(everything.names, everything.rules, everything.primary)
        for arm, trials in everything.arms.items():
            for seed in trials:
                ledger.add(arm, seed, of_these.measures(arms[arm][seed]))
        return ledger

    before, after = simulated.evidence(everything).ablation, simulated.evidence(part(clean)).ablation
    rows = [TrialRow(a, seed, t.state, "", 1.0, ()) for a, ts in everything.arms.items() for seed, t in ts.items()]
    before = dataclasses.replace(before, trials=tuple(rows))
    names = [arm.name for arm in before.variants if arm.comparison is not None]
    ledgers, leaked, against = [part(~clean), part(clean)], [], []
    for name in names:
        shift = ledgers[0].difference(name, "baseline", _learned_in_both(before, name, "baseline"), less=ledgers[1])
        if shift is not None:
            estimate = shift.estimate(0.95, -2, 2)
            leaked.append(LeakedEffect(name, estimate, estimate, shift.p_value()))
    leader = _leader(before)
    for name in names:
        found = ledgers[1].difference(name, leader, _learned_in_both(before, name, leader)) if leader else None
        if found is not None and name != leader:
            against.append(AgainstLeader(name, found.estimate(0.95), found.p_value()))
    ranking = RankingWithoutLeak("", (), (), None, "", tuple(leaked), leader, tuple(against))
    impact = LeakImpact((), Estimate.not_estimable("not measured"), ranking=ranking, ablation=after)
    evidence = Evidence(ablation=before, leakage=SimpleNamespace(impact=impact))  # type: ignore[arg-type]
    told = variants_without_leak(evidence)
    assert len(told) == len(names)
    assert CHANGED not in {variant.state for variant in told}
    assert overtaken_by(evidence) is None


def _measured(value: float | None) -> Estimate:
    return Estimate.not_estimable("nothing learned") if value is None else Estimate(value, value, value, 9, "made up")


@pytest.mark.parametrize(
    ("ours", "theirs", "all_items", "clean", "shift", "p", "expected"),
    [
        # A gain beyond the smallest effect that matters (0.03) that only the leaked items show to be so large.
        (("better", 0.05), ("better", 0.01), 0.08, 0.034, 0.2, 1e-9, CHANGED),
        (("better", 0.05), ("better", 0.01), 0.08, 0.034, 0.2, 0.4, WITHIN),
        (("better", 0.05), ("better", 0.01), 0.08, 0.034, -0.2, 1e-9, WITHIN),
        (("better", 0.05), ("better", 0.04), 0.08, 0.07, 0.2, 1e-9, SAME),
        (("better", 0.01), ("better", 0.04), 0.04, 0.07, 0.2, 1e-9, SAME),
        # As good as the baseline on all items, and on the clean ones it has learned nothing.
        (("equivalent", None), ("undecided", None), -0.001, None, 0.8, 1e-6, CHANGED),
        (("equivalent", None), ("undecided", None), -0.001, 0.01, 0.8, 1e-6, WITHIN),
        # Leaked items of one class alone have no effect of their own.
        (("better", 0.05), ("undecided", None), 0.236, -0.029, None, None, OPEN),
        (("better", 0.05), ("undecided", None), 0.08, 0.07, None, None, WITHIN),
    ],
)
def test_what_has_become_of_a_decision(ours, theirs, all_items, clean, shift, p, expected) -> None:  # type: ignore[no-untyped-def]
    before = SimpleNamespace(smallest_effect=0.03)
    comparisons = [Comparison(decision, beyond_low=beyond) for decision, beyond in (ours, theirs)]
    leaked = LeakedEffect("v", _measured(None), _measured(shift), p)
    assert _state(*comparisons, _measured(all_items), _measured(clean), leaked, before, 0.01) == expected  # type: ignore[arg-type]


def test_trained_variants_are_not_measured_on_a_single_item_of_a_class() -> None:
    labels = np.array([0] * 40 + [1] * 40 + [2])
    run = SimpleNamespace(
        test=SimpleNamespace(labels=labels, class_names=("a", "b", "c")), targets=(0, 1, 2), positive=None
    )
    with pytest.raises(InvalidInputError, match="only 1 item of 'c' is left"):
        _require_enough_of_each(run, np.ones(81, bool))  # type: ignore[arg-type]
    run.targets = (1,)
    _require_enough_of_each(run, np.ones(81, bool))  # type: ignore[arg-type]
