"""A whole audit of a trained model: what it holds, what it tells while it runs, and what a crash leaves."""

from __future__ import annotations

import dataclasses
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from poolaudit.audit import STAGES, AuditInterruptedError, AuditPlan, judge_again, run_audit
from poolaudit.cli.running import summary
from poolaudit.errors import InvalidInputError
from poolaudit.events import Event, StageFinished, StageProgress, StageStarted
from poolaudit.outcomes import Outcome, Verdict
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.policy import Policy
from poolaudit.results import AuditResult, Provenance
from poolaudit.store.results import decode_result, encode_result

# The search for counterexamples takes longer than all the rest; it runs where a test is about it.
WITHOUT_SEARCH = ("geometry", "evaluation")


@pytest.fixture(scope="module")
def plan(trained_digits) -> AuditPlan:  # type: ignore[no-untyped-def]
    return AuditPlan(
        model=trained_digits.model_file,
        test=str(trained_digits.test_file),
        validation=str(trained_digits.validation_file),
        budget="quick",
    )


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return []


@pytest.fixture(scope="module")
def result(plan: AuditPlan, events: list[Event]) -> AuditResult:
    return run_audit(plan, events.append)


def raising_model(message: str, limit: float) -> Any:
    """A model that loads, and whose prediction really fails on inputs from `limit` on."""
    import keras
    import tensorflow as tf

    class Refusing(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            with tf.control_dependencies([tf.debugging.assert_less(inputs, limit, message=message)]):
                return tf.identity(inputs)

    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            Refusing(),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ],
        name="refusing",
    )


def test_evidence_is_complete(result: AuditResult, trained_digits) -> None:  # type: ignore[no-untyped-def]
    evaluation, geometry = result.evidence.evaluation, result.evidence.geometry
    assert evaluation is not None
    assert geometry is not None
    assert [(site.layer, site.window) for site in geometry.sites] == [("MaxPooling2D", (2, 2))]
    predicted = trained_digits.model.predict(trained_digits.x, verbose=0).argmax(axis=1)
    assert evaluation.accuracy.value == pytest.approx((predicted == trained_digits.y).mean())
    assert evaluation.accuracy.value > 0.9
    assert evaluation.loss.value == pytest.approx(
        float(trained_digits.model.evaluate(trained_digits.x, trained_digits.y, verbose=0)), rel=1e-4
    )
    assert evaluation.calibration is not None
    assert evaluation.input_scaling is not None
    assert evaluation.class_names == tuple("0123456789")
    assert {f.code for f in result.findings} == set(all_detectors().names())
    assert not [f for f in result.findings if f.outcome is Outcome.CRASHED]
    assert [(s.name, s.outcome) for s in result.stages] == [
        (name, Outcome.SKIPPED if name == "leakage" else Outcome.PASSED) for name in STAGES
    ]
    assert next(s.reason for s in result.stages if s.name == "leakage")


def test_provenance_tells_how_to_run_it_again(result: AuditResult) -> None:
    provenance = result.provenance
    assert {"poolaudit", "numpy", "scipy", "tensorflow", "keras"} == dict(provenance.versions).keys()
    assert provenance.model is not None
    assert re.fullmatch("[0-9a-f]{64}", provenance.model.sha256 or "")
    assert [(d.split, d.items) for d in provenance.data] == [("test", 600), ("validation", 500)]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", provenance.started)


def test_no_path_of_this_machine_is_in_the_result(result: AuditResult, trained_digits) -> None:  # type: ignore[no-untyped-def]
    text = encode_result(result).decode()
    for place in (
        trained_digits.folder,
        trained_digits.folder.parent,
        Path.cwd(),
        Path.home(),
    ):
        if len(place.parts) > 1:
            assert str(place) not in text


def test_what_is_not_assessed_is_said(result: AuditResult) -> None:
    what = " ".join(item.what for item in result.not_assessed)
    for word in ("PA350", "leakage"):
        assert word in what
    assert all(item.reason for item in result.not_assessed)


def test_events_come_in_order(result: AuditResult, events: list[Event]) -> None:
    assert result.stages
    frame = [event for event in events if not isinstance(event, StageProgress)]
    assert [type(event) for event in frame] == [StageStarted, StageFinished] * len(STAGES)
    assert [(e.stage, e.position, e.total) for e in frame if isinstance(e, StageStarted)] == [
        (name, position, len(STAGES)) for position, name in enumerate(STAGES, start=1)
    ]
    running = ""
    for event in events:
        running = event.stage if isinstance(event, StageStarted) else running
        assert event.stage == running
        if isinstance(event, StageProgress):
            assert 0 <= event.done <= event.total


def test_the_same_plan_gives_the_same_result(plan: AuditPlan, result: AuditResult) -> None:
    def timeless(given: AuditResult) -> AuditResult:
        provenance: Provenance = dataclasses.replace(given.provenance, started="", duration_seconds=0.0)
        stages = tuple(dataclasses.replace(stage, duration_seconds=0.0) for stage in given.stages)
        ablation = given.evidence.ablation
        assert ablation is not None
        base, *arms = (dataclasses.replace(a, latency_milliseconds=None) for a in (ablation.baseline, *ablation.arms))
        timed = dataclasses.replace(ablation, baseline=base, arms=tuple(arms), seconds=0.0)
        evidence = dataclasses.replace(given.evidence, ablation=timed)
        return dataclasses.replace(given, provenance=provenance, stages=stages, evidence=evidence)

    assert timeless(run_audit(plan)) == timeless(result)


def test_judging_again_measures_nothing(result: AuditResult) -> None:
    strict = Policy(good_recall=0.999, bad_recall=0.995)
    again = judge_again(result, strict)
    assert again.evidence is result.evidence
    assert again.policy == strict
    assert again.verdict is not Verdict.READY
    assert judge_again(again, result.policy) == result
    with pytest.raises(InvalidInputError, match=r"0\.99 confidence"):
        judge_again(result, Policy(confidence=0.99))


@pytest.mark.parametrize(
    ("stage", "function"),
    [
        ("evaluation", "poolaudit.evaluation.evaluate.evaluate"),
        ("geometry", "poolaudit.geometry.measure.measure_geometry"),
        ("conformance", "poolaudit.conformance.model.check_model"),
    ],
)
def test_a_crashing_stage_is_told_and_never_ready(
    plan: AuditPlan, monkeypatch: pytest.MonkeyPatch, stage: str, function: str
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("a defect nobody foresaw")

    monkeypatch.setattr(function, crash)
    told: list[Event] = []
    asked = tuple(dict.fromkeys((*WITHOUT_SEARCH, stage)))
    crashed = run_audit(dataclasses.replace(plan, stages=asked), told.append)
    stages = {result.name: result for result in crashed.stages}
    assert stages.keys() == set(STAGES)
    for name, result in stages.items():
        ran = Outcome.PASSED if name in asked else Outcome.SKIPPED
        assert result.outcome is (Outcome.CRASHED if name == stage else ran)
    assert stages[stage].reason == "RuntimeError: a defect nobody foresaw"
    assert (crashed.evidence.geometry is None) is (stage == "geometry")
    assert (crashed.evidence.evaluation is None) is (stage == "evaluation")
    assert crashed.verdict is not Verdict.READY
    assert any(f"The stage {stage!r} did not finish" in reason for reason in crashed.decision.reasons)
    assert f"Stage {stage}" in [item.what for item in crashed.not_assessed]
    assert [event.outcome for event in told if isinstance(event, StageFinished) and event.stage == stage] == [
        Outcome.CRASHED
    ]


def test_a_stage_not_asked_for_is_skipped_with_a_reason(plan: AuditPlan) -> None:
    result = run_audit(dataclasses.replace(plan, stages=("geometry",)))
    stage = result.stages[1]
    assert (stage.name, stage.outcome, stage.reason) == ("evaluation", Outcome.SKIPPED, "not asked for")
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "Stage evaluation" in [item.what for item in result.not_assessed]


def test_a_skipped_stage_is_not_assessed_and_the_verdict_says_so(plan: AuditPlan) -> None:
    asked = dataclasses.replace(plan, stages=(*WITHOUT_SEARCH, "leakage"), skip_stages=("evaluation", "leakage"))
    result = run_audit(asked)
    assert {s.name: (s.outcome, s.reason) for s in result.stages if s.name not in ("conformance", "ablation")} == {
        "geometry": (Outcome.PASSED, None),
        "evaluation": (Outcome.SKIPPED, "skipped on request"),
        "leakage": (Outcome.SKIPPED, "skipped on request"),
    }
    assert result.evidence.evaluation is None
    assert ("Stage evaluation", "skipped on request") in [(item.what, item.reason) for item in result.not_assessed]
    assert result.verdict is not Verdict.READY
    assert "evaluation" in summary(result).splitlines()[1]
    whole = run_audit(dataclasses.replace(plan, stages=WITHOUT_SEARCH))
    assert "skipped on request" not in [stage.reason for stage in whole.stages]
    assert whole.evidence.evaluation is not None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("retrained", 12, None, True, 600.0)),
        ({"minutes": 0.5, "seeds": 3, "epochs": 2}, ("retrained", 3, 2, True, 30.0)),
        ({"budget": "thorough"}, ("retrained", 12, None, False, None)),
        ({"budget": "thorough", "minutes": 90.0}, ("retrained", 12, None, False, 5400.0)),
    ],
)
def test_the_ablation_goes_as_far_as_the_plan_says(fields: dict[str, Any], expected: tuple[Any, ...]) -> None:
    settings = AuditPlan(model="m.keras", test="t.npz", **fields).ablation_settings(retrains=True)
    found = (settings.depth, settings.seeds, settings.epochs, settings.race, settings.budget_seconds)
    assert found == expected


def test_wrongly_scaled_data_stop_the_release(trained_digits) -> None:  # type: ignore[no-untyped-def]
    result = run_audit(
        AuditPlan(
            model=trained_digits.model_file, test=str(trained_digits.folder / "test_255.npz"), stages=WITHOUT_SEARCH
        )
    )
    finding = next(f for f in result.findings if f.code == "PA210")
    assert finding.outcome is Outcome.FAILED
    assert "x / 255" in finding.summary
    assert result.verdict is Verdict.NOT_READY


def test_a_model_that_refuses_other_scalings_can_be_audited(trained_digits) -> None:  # type: ignore[no-untyped-def]
    model = raising_model("above the allowed range", limit=1.5)
    result = run_audit(AuditPlan(model=model, test=(trained_digits.x, trained_digits.y), stages=WITHOUT_SEARCH))
    evaluation = result.evidence.evaluation
    assert evaluation is not None
    assert evaluation.input_scaling is not None
    refused = next(trial for trial in evaluation.input_scaling.trials if trial.transform == "x * 255")
    assert refused.balanced_accuracy == 0.0
    assert next(f for f in result.findings if f.code == "PA210").outcome is Outcome.PASSED


def test_a_model_that_fails_on_the_data_is_refused(trained_digits) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInputError, match="these data break it"):
        run_audit(
            AuditPlan(model=raising_model("these data break it", limit=0.5), test=(trained_digits.x, trained_digits.y))
        )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "No model given"),
        ({"model": "m.keras"}, "No test data given"),
        ({"model": "m.keras", "test": "t.npz", "predictions": "p.csv"}, "Both predictions and a model"),
        ({"validation_predictions": "v.csv", "model": "m.keras", "test": "t.npz"}, "without predictions"),
        ({"predictions": "p.csv", "stages": ("evalution",)}, "Did you mean 'evaluation'"),
        (
            {"predictions": "p.csv", "skip_stages": ("leaks",)},
            "'geometry', 'evaluation', 'conformance', 'ablation', 'leakage'",
        ),
        ({"predictions": "p.csv", "skip_stages": STAGES}, "Every stage is skipped"),
        ({"model": "m.keras", "test": "t.npz", "seeds": 2}, "seeds is 2"),
        ({"model": "m.keras", "test": "t.npz", "epochs": 0}, "epochs is 0"),
        ({"model": "m.keras", "test": "t.npz", "minutes": float("nan")}, "time budget"),
        ({"predictions": "p.csv", "validation": "v.npz"}, "validation"),
    ],
)
def test_plans_that_cannot_be_run_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(said)):
        AuditPlan(**fields)


@pytest.mark.parametrize("is_swallowed", [False, True])
def test_an_interrupt_keeps_the_stages_that_were_done(
    plan: AuditPlan, is_swallowed: bool, request: pytest.FixtureRequest
) -> None:
    """Ctrl-C arrives while the layers are checked: the evaluation stands, and nothing is called ready.

    Compiled code turns an interrupt into another error at times.
    """
    # A run that a shell started in the background ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def listener(event: Event) -> None:
        if isinstance(event, StageProgress) and event.stage == "conformance":
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                if is_swallowed:
                    raise SystemError("bad argument to internal function") from None
                raise

    wanted = dataclasses.replace(plan, stages=("evaluation", "conformance", "leakage"))
    with pytest.raises(AuditInterruptedError) as caught:
        run_audit(wanted, listener)
    result = caught.value.result
    stages = {stage.name: stage for stage in result.stages}
    assert stages["evaluation"].outcome is Outcome.PASSED
    assert (stages["conformance"].outcome, stages["conformance"].reason) == (Outcome.CRASHED, "interrupted by the user")
    assert stages["leakage"].outcome is Outcome.SKIPPED
    assert result.evidence.evaluation is not None
    assert result.evidence.conformance is None
    assert result.verdict is not Verdict.READY
    assert decode_result(encode_result(result)) == result


def test_a_model_of_two_inputs_is_refused_before_any_stage(plan: AuditPlan) -> None:
    import keras

    image, meta = keras.Input((8, 8, 1)), keras.Input((4,))
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(image), meta])
    two = keras.Model([image, meta], keras.layers.Dense(10, activation="softmax")(joined))
    with pytest.raises(InvalidInputError, match="has 2 inputs"):
        run_audit(dataclasses.replace(plan, model=two))
