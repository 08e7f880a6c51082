"""Stages kept by content: reused on the same subject, and never on another one."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poolaudit.audit import AuditPlan, run_audit
from poolaudit.outcomes import Outcome
from poolaudit.policy import Policy
from poolaudit.results import AuditResult
from poolaudit.store.results import encode_result

STAGES = ("geometry", "evaluation", "leakage")
REUSED = "not run again: measured"


def reused(result: AuditResult) -> set[str]:
    return {stage.name for stage in result.stages if (stage.reason or "").startswith(REUSED)}


@pytest.fixture(scope="module")
def digits(trained_digits: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reuse")
    for name in ("model.keras", "test.npz", "validation.npz"):
        shutil.copy(trained_digits.folder / name, folder / name)
    with np.load(folder / "test.npz") as held:
        np.savez(folder / "test.npz", x=held["x"][:120], y=held["y"][:120])
    with np.load(folder / "validation.npz") as held:
        np.savez(folder / "train.npz", x=held["x"][:150], y=held["y"][:150])
        np.savez(folder / "validation.npz", x=held["x"][150:250], y=held["y"][150:250])
    return folder


@pytest.fixture(scope="module")
def plan(digits: Path) -> AuditPlan:
    return AuditPlan(
        model=digits / "model.keras",
        test=digits / "test.npz",
        validation=digits / "validation.npz",
        train=digits / "train.npz",
        positive="3",
        stages=STAGES,
        stage_store=digits / "stages",
    )


@pytest.fixture(scope="module")
def first(plan: AuditPlan) -> AuditResult:
    return run_audit(plan)


def same_evidence(one: AuditResult, other: AuditResult) -> bool:
    def bare(result: AuditResult) -> bytes:
        provenance = dataclasses.replace(result.provenance, started="", duration_seconds=0.0)
        return encode_result(dataclasses.replace(result, stages=(), provenance=provenance))

    return bare(one) == bare(other)


def test_the_same_audit_reuses_every_stage_and_says_the_same(plan: AuditPlan, first: AuditResult) -> None:
    again = run_audit(plan)
    assert reused(first) == set()
    assert reused(again) == set(STAGES)
    assert same_evidence(first, again)


def changed_weights(folder: Path) -> None:
    import keras

    model = keras.saving.load_model(folder / "model.keras")
    weights = model.get_weights()
    weights[-1][0] += 1e-3
    model.set_weights(weights)
    model.save(folder / "model.keras")


def changed_array(name: str, key: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with np.load(folder / name) as held:
            arrays = {k: held[k].copy() for k in held.files}
        if key == "y":
            arrays[key][:2] = arrays[key][:2][::-1] if arrays[key][0] != arrays[key][1] else (arrays[key][:2] + 1) % 10
        else:
            arrays[key].flat[7] += 0.25
        np.savez(folder / name, **arrays)

    return change


@pytest.mark.parametrize(
    ("change", "still_reused"),
    [
        (changed_weights, set()),
        (changed_array("test.npz", "x"), set()),
        (changed_array("test.npz", "y"), set()),
        (changed_array("validation.npz", "x"), {"geometry"}),
        (changed_array("train.npz", "x"), {"geometry", "evaluation"}),
        (changed_array("train.npz", "y"), {"geometry", "evaluation"}),
    ],
    ids=["weights", "test inputs", "test labels", "validation", "training inputs", "training labels"],
)
def test_what_changed_is_measured_again(
    change: Callable[[Path], None],
    still_reused: set[str],
    plan: AuditPlan,
    first: AuditResult,
    digits: Path,
    tmp_path: Path,
) -> None:
    for file in digits.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    change(tmp_path)
    names = {"model": "model.keras", "test": "test.npz", "validation": "validation.npz", "train": "train.npz"}
    result = run_audit(dataclasses.replace(plan, **{field: tmp_path / name for field, name in names.items()}))
    assert reused(result) == still_reused


@pytest.mark.parametrize(
    "settings",
    [
        {"policy": Policy(good_recall=0.86)},
        {"policy": Policy(confidence=0.9)},
        {"seed": 1},
        {"positive": "4"},
        {"positive": None},
        {"budget": "quick"},
        {"feature_size": 3.0},
    ],
    ids=lambda settings: next(iter(settings.items())).__repr__()[:40],
)
def test_other_settings_are_measured_again(settings: dict[str, Any], plan: AuditPlan, first: AuditResult) -> None:
    assert reused(run_audit(dataclasses.replace(plan, stages=("geometry",), **settings))) == set()


@pytest.mark.slow
def test_an_ablation_of_other_length_is_measured_again(plan: AuditPlan, tmp_path: Path) -> None:
    short = dataclasses.replace(
        plan,
        stages=("geometry", "ablation"),
        stage_store=tmp_path / "stages",
        trial_store=tmp_path / "trials",
        minutes=0.001,
        seeds=3,
        epochs=1,
    )
    assert reused(run_audit(short)) == set()
    assert reused(run_audit(short)) == {"geometry", "ablation"}
    for other in ({"minutes": 0.0011}, {"seeds": 4}, {"epochs": 2}):
        assert reused(run_audit(dataclasses.replace(short, **other))) == {"geometry"}


def test_the_impact_of_a_leak_is_measured_on_the_stages_that_ran(plan: AuditPlan, tmp_path: Path) -> None:
    without = dataclasses.replace(plan, stage_store=tmp_path, skip_stages=("evaluation",))
    assert reused(run_audit(without)) == set()
    assert reused(run_audit(without)) == {"geometry", "leakage"}
    whole = dataclasses.replace(without, skip_stages=())
    assert reused(run_audit(whole)) == {"geometry"}
    assert reused(run_audit(whole)) == set(STAGES)


def test_a_result_that_was_kept_by_other_software_is_measured_again(
    plan: AuditPlan, first: AuditResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poolaudit.audit.content._environment", lambda: "another version of poolaudit")
    monkeypatch.setattr("poolaudit.audit.run.StageReuse.store", lambda self, stage, before, found, result: result)
    assert reused(run_audit(dataclasses.replace(plan, stages=("geometry",)))) == set()


def test_a_damaged_entry_is_measured_again(plan: AuditPlan, first: AuditResult, tmp_path: Path) -> None:
    shutil.copytree(Path(str(plan.stage_store)), tmp_path / "stages")
    for file in (tmp_path / "stages").glob("*.json"):
        file.write_bytes(file.read_bytes()[:-20])
    again = run_audit(dataclasses.replace(plan, stage_store=tmp_path / "stages"))
    assert reused(again) == set()
    assert same_evidence(first, again)


def test_a_stage_that_crashed_is_run_again(plan: AuditPlan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan = dataclasses.replace(plan, stage_store=tmp_path, stages=("geometry",))
    with monkeypatch.context() as patch:
        patch.setattr("poolaudit.geometry.measure.measure_geometry", None)
        assert run_audit(plan).stages[0].outcome is Outcome.CRASHED
    result = run_audit(plan)
    assert result.stages[0].outcome is Outcome.PASSED
    assert reused(result) == set()


def test_a_model_with_code_of_its_own_is_measured_again_and_says_so(digits: Path, tmp_path: Path) -> None:
    import keras

    class Doubled(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return 2 * x

    base = keras.saving.load_model(digits / "model.keras")
    outer = keras.Sequential([keras.Input((8, 8, 1)), Doubled(), base], name="own_code")
    plan = AuditPlan(model=outer, test=digits / "test.npz", stages=("geometry",), stage_store=tmp_path, policy=Policy())
    for _ in range(2):
        stage = run_audit(plan).stages[0]
        assert stage.reason is not None
        assert stage.reason.startswith("not kept for later audits: the layer 'doubled")
    assert list(tmp_path.iterdir()) == []


def test_predictions_are_told_by_content(tmp_path: Path) -> None:
    rows = [f"{'fraud' if i % 4 == 0 else 'ok'},{0.9 if i % 4 == 0 else 0.2}" for i in range(200)]
    file = tmp_path / "predictions.csv"
    file.write_text("label,p_fraud\n" + "\n".join(rows) + "\n")
    plan = AuditPlan(predictions=file, positive="fraud", stage_store=tmp_path / "stages")
    assert reused(run_audit(plan)) == set()
    assert reused(run_audit(plan)) == {"evaluation"}
    file.write_text("label,p_fraud\n" + "\n".join([*rows[:-1], "ok,0.21"]) + "\n")
    assert reused(run_audit(plan)) == set()
