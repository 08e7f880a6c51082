"""The ablation end to end: from a model file or a recipe to evidence, findings and report; interrupted and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ablation_recipes
import numpy as np
import pytest

from poolaudit.ablation.measures import LEARNED
from poolaudit.audit.ablation import AblationPlan, run_ablation
from poolaudit.errors import InvalidInputError
from poolaudit.events import StageProgress
from poolaudit.outcomes import Outcome
from poolaudit.report.html import render_html
from poolaudit.results import AuditResult
from poolaudit.store.results import decode_result, encode_result

TRAIN, TEST, VALIDATION = (ablation_recipes.data(n, s) for n, s in ((400, 10), (300, 11), (200, 12)))


def plan(model: Any, store: Path, **changes: Any) -> AblationPlan:
    options = {"store": store, "workers": 1, "seeds": 4, "variants": ("removed@stem",), "epochs": 12}
    given = {"train": TRAIN, "validation": VALIDATION, "positive": "1", **changes}
    given["options"] = {**options, **given.get("options", {})}
    return AblationPlan(model, TEST, **given)


def outcome(result: AuditResult, code: str) -> Outcome:
    return next(finding.outcome for finding in result.findings if finding.code == code)


@pytest.fixture(scope="module")
def over_pooled(tmp_path_factory: pytest.TempPathFactory) -> tuple[AuditResult, Path, list[str]]:
    """Spikes two cells wide, behind pooling of eight: retrained with it and without."""
    store = tmp_path_factory.mktemp("store")
    said: list[str] = []
    result = run_ablation(
        plan("ablation_recipes:over_pooled", store),
        lambda event: said.append(event.what) if isinstance(event, StageProgress) else None,
    )
    return result, store, said


def test_over_pooling_is_found(over_pooled: tuple[AuditResult, Path, list[str]]) -> None:
    result, _, said = over_pooled
    ablation = result.evidence.ablation
    assert ablation is not None
    (arm,) = ablation.arms
    assert arm.comparison is not None
    assert arm.comparison.decision == "better"
    assert ablation.stopped == "decided"
    assert outcome(result, "PA350") is Outcome.FAILED
    assert ablation.trainings == len(ablation.trials) == 8
    assert {trial.state for trial in ablation.trials if trial.arm == "removed@stem"} == {"learned"}
    assert ablation.baseline.downsampling == 8.0
    assert arm.downsampling == 1.0
    assert arm.flops is not None
    assert ablation.baseline.flops is not None
    assert arm.flops > ablation.baseline.flops
    assert any("removed@stem, seed 3, epoch 12 of 12" in text for text in said)
    assert ablation.training is not None
    assert "Adam" in ablation.training.statement


def test_the_result_survives_json_and_is_shown(over_pooled: tuple[AuditResult, Path, list[str]]) -> None:
    result = over_pooled[0]
    again = decode_result(encode_result(result))
    assert again == result
    page = render_html(result)
    assert "Does the pooling cost recall?" in page
    assert "could not be drawn" not in page
    assert "What other pooling does to recall" in page


def test_a_second_run_trains_nothing_and_says_the_same(over_pooled: tuple[AuditResult, Path, list[str]]) -> None:
    result, store, _ = over_pooled
    times = {path.name: path.stat().st_mtime_ns for path in (store / "trials").iterdir()}
    again = run_ablation(plan("ablation_recipes:over_pooled", store))
    assert {path.name: path.stat().st_mtime_ns for path in (store / "trials").iterdir()} == times
    ours, theirs = again.evidence.ablation, result.evidence.ablation
    assert ours is not None
    assert theirs is not None
    assert ours.trials == theirs.trials
    assert ours.arms[0].comparison == theirs.arms[0].comparison


def test_a_lost_trial_is_trained_again_to_the_same_result(over_pooled: tuple[AuditResult, Path, list[str]]) -> None:
    result, store, _ = over_pooled
    victim = sorted((store / "trials").iterdir())[0]
    content = victim.read_bytes()
    victim.write_bytes(content[:-10])
    again = run_ablation(plan("ablation_recipes:over_pooled", store))
    assert again.evidence.ablation is not None
    assert result.evidence.ablation is not None
    strip = [(t.arm, t.seed, t.metrics) for t in again.evidence.ablation.trials]
    assert strip == [(t.arm, t.seed, t.metrics) for t in result.evidence.ablation.trials]


@pytest.mark.slow
def test_a_model_file_is_swapped_recalibrated_and_retrained(tmp_path: Path) -> None:
    model = ablation_recipes.build(4)
    model.fit(*TRAIN, epochs=5, verbose=0)
    model.save(tmp_path / "m.keras")
    variants = ("weaker@stem", "average@stem", "head:flatten")
    result = run_ablation(plan(tmp_path / "m.keras", tmp_path / "s", options={"variants": variants}))
    ablation = result.evidence.ablation
    assert ablation is not None
    by_name = {arm.name: arm for arm in ablation.arms}
    assert set(by_name) == {*variants, "head:flatten (control)"}
    assert by_name["average@stem"].swap
    assert by_name["average@stem"].recalibrated
    assert by_name["weaker@stem"].effects
    assert by_name["head:flatten"].head_resized
    control = by_name["head:flatten (control)"]
    assert control.comparison is not None or "parameters" in control.unavailable
    assert dict(ablation.shipped)["average_precision"] is not None
    learned = sum(trial.arm == "baseline" and trial.state == LEARNED for trial in ablation.trials)
    assert (outcome(result, "PA505") is Outcome.SKIPPED) is (learned < 3)
    assert outcome(result, "PA501") is (Outcome.FAILED if learned < 4 else Outcome.PASSED)
    render_html(result)


def test_a_swap_trains_nothing(tmp_path: Path) -> None:
    model = ablation_recipes.build(4)
    result = run_ablation(plan(model, tmp_path / "none", train=None, validation=None, options={"depth": "swap"}))
    ablation = result.evidence.ablation
    assert ablation is not None
    assert ablation.depth == "swap"
    assert not (tmp_path / "none").exists()
    assert ablation.arms[0].swap
    assert outcome(result, "PA350") is Outcome.SKIPPED
    render_html(result)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": None}, "training data"),
        ({"options": {"variants": ("weaker@steam",)}}, "Did you mean 'stem'"),
        ({"options": {"variants": ("weaker@stem", "weaker@stem")}}, "named twice"),
        ({"options": {"depth": "deep"}}, "There is no depth"),
        ({"options": {"executor": "rai"}}, "Did you mean 'ray'"),
        ({"options": {"seeds": 2}}, "seeds is 2"),
        ({"options": {"depth": "swap"}}, "not trained"),
        ({"positive": "7"}, "There is no class"),
    ],
)
def test_what_cannot_be_ablated_is_refused_before_training(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        run_ablation(plan("ablation_recipes:over_pooled", tmp_path, **changes))
    assert not list(tmp_path.rglob("*.trial"))


def test_held_back_items_are_of_every_class_and_none_is_in_both() -> None:
    from poolaudit.ablation.preparation import hold_back
    from poolaudit.subject.data import load_splits

    split = load_splits({"train": TRAIN})["train"]
    rest, held = hold_back(split, 0)
    assert len(rest) + len(held) == len(split)
    assert abs(held.labels.mean() - split.labels.mean()) < 0.02
    together = np.concatenate([rest.inputs, held.inputs])
    assert len(np.unique(together.reshape(len(together), -1), axis=0)) == len(split)
    assert rest.sha256 != held.sha256 != split.sha256


def test_a_quick_audit_swaps_and_writes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from poolaudit.audit import AuditPlan, run_audit

    monkeypatch.chdir(tmp_path)
    stages = ("geometry", "ablation")
    result = run_audit(AuditPlan(model=ablation_recipes.build(4), test=TEST, stages=stages, budget="quick"))
    assert {s.name: s.outcome for s in result.stages}["ablation"] is Outcome.PASSED
    assert result.evidence.ablation is not None
    assert result.evidence.ablation.depth == "swap"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_audit_trains_as_many_seeds_and_epochs_as_it_is_told(tmp_path: Path) -> None:
    from poolaudit.audit import AuditPlan, run_audit

    result = run_audit(
        AuditPlan(
            model=ablation_recipes.build(8, 0.0),
            test=TEST,
            train=TRAIN,
            stages=("ablation",),
            trial_store=tmp_path,
            seeds=3,
            epochs=1,
        )
    )
    ablation = result.evidence.ablation
    assert ablation is not None
    assert (ablation.depth, ablation.planned_seeds, ablation.stopped) == ("retrained", 3, "planned")
    assert ablation.training is not None
    assert "1 epochs" in ablation.training.statement
    assert {trial.seed for trial in ablation.trials} == {0, 1, 2}


def test_an_audit_ends_the_race_when_its_minutes_are_spent(tmp_path: Path) -> None:
    from poolaudit.audit import AuditPlan, run_audit

    result = run_audit(
        AuditPlan(
            model=ablation_recipes.build(8, 0.0),
            test=TEST,
            train=TRAIN,
            stages=("ablation",),
            trial_store=tmp_path,
            minutes=0.001,
            epochs=1,
        )
    )
    ablation = result.evidence.ablation
    assert ablation is not None
    assert ablation.stopped == "budget"
    assert outcome(result, "PA350") is not Outcome.PASSED


def test_an_audit_of_a_model_without_pooling_says_so() -> None:
    import keras

    from poolaudit.audit import AuditPlan, run_audit

    model = keras.Sequential([keras.Input((32, 1)), keras.layers.Conv1D(2, 32), keras.layers.Reshape((2,))])
    result = run_audit(AuditPlan(model=model, test=TEST, stages=("geometry", "ablation"), budget="quick"))
    stage = next(s for s in result.stages if s.name == "ablation")
    assert stage.outcome is Outcome.SKIPPED
    assert stage.reason == "no pooling was found in this model"


def test_a_spent_budget_ends_the_race_and_says_so(tmp_path: Path) -> None:
    result = run_ablation(plan("ablation_recipes:over_pooled", tmp_path, options={"budget_seconds": 0.5}))
    ablation = result.evidence.ablation
    assert ablation is not None
    assert ablation.stopped == "budget"
    assert ablation.trainings < 8
    assert outcome(result, "PA350") is Outcome.UNDECIDED
    render_html(result)
