"""AuditPlan to AuditResult: the only place that runs stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from poolaudit.audit.interrupts import noticed_interrupts
from poolaudit.audit.judging import judge
from poolaudit.audit.plan import AuditPlan
from poolaudit.audit.provenance import data_provenance, model_provenance, provenance_of
from poolaudit.audit.reuse import StageReuse
from poolaudit.audit.stages import ALL_STAGES, Stage, StageContext, StageSkipped
from poolaudit.audit.subject import load_subject
from poolaudit.errors import PoolauditError
from poolaudit.events import Listener, StageFinished, StageProgress, StageStarted, silent
from poolaudit.outcomes import Outcome
from poolaudit.results import AuditResult, Evidence, StageResult


class AuditInterruptedError(KeyboardInterrupt):
    """The user interrupted an audit after some stages; `result` holds what these found, judged."""

    def __init__(self, result: AuditResult) -> None:
        super().__init__()
        self.result = result


def run_audit(plan: AuditPlan, listener: Listener = silent) -> AuditResult:
    """Runs the stages, judges the evidence and returns the result; writes nothing.

    A stage that crashes is a CRASHED stage, and the audit goes on.

    Args:
        plan: What to audit.
        listener: Told of progress.

    Raises:
        InvalidInputError: Something the user gave cannot be audited as it is.
        AuditInterruptedError: The user interrupted it; the exception brings the result of the stages that were done.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    subject = load_subject(plan)
    stages = [stage for stage in ALL_STAGES if subject.model is not None or not stage.needs_model]
    wanted = [stage.name for stage in stages if stage.name in plan.stages_to_run]
    kept = None if plan.stage_store is None else StageReuse(Path(plan.stage_store), plan, subject)
    evidence, results = Evidence(), []
    interrupted = False
    for stage in stages:
        if interrupted:
            results.append(StageResult(stage.name, Outcome.SKIPPED, 0.0, "the audit was interrupted before"))
            continue
        if stage.name not in wanted:
            why = "skipped on request" if stage.name in plan.skip_stages else "not asked for"
            results.append(StageResult(stage.name, Outcome.SKIPPED, 0.0, why))
            continue
        listener(StageStarted(stage.name, wanted.index(stage.name) + 1, len(wanted)))
        context = StageContext(plan, subject, evidence, _teller(stage.name, listener))
        began = time.perf_counter()
        try:
            with noticed_interrupts() as was_interrupted:
                found, result = _run_stage(stage, context, kept, was_interrupted)
        except KeyboardInterrupt:
            if not results:
                raise
            seconds = round(time.perf_counter() - began, 3)
            results.append(StageResult(stage.name, Outcome.CRASHED, seconds, "interrupted by the user"))
            interrupted = True
            continue
        evidence = replace(evidence, **{stage.name: found})
        results.append(result)
        listener(StageFinished(stage.name, result.outcome, result.duration_seconds, result.reason))
    judged = judge(
        evidence,
        tuple(results),
        title=plan.title or subject.name,
        policy=plan.policy,
        provenance=provenance_of(
            command=plan.command,
            seed=plan.seed,
            started=started,
            duration_seconds=time.perf_counter() - clock,
            with_tensorflow=subject.model is not None,
            model=None if subject.model is None else model_provenance(subject.model),
            data=data_provenance(subject),
        ),
    )
    if interrupted:
        raise AuditInterruptedError(judged)
    return judged


def _teller(stage: str, listener: Listener) -> Callable[[int, int, str], None]:
    return lambda done, total, what: listener(StageProgress(stage, done, total, what))


def _run_stage(
    stage: Stage, context: StageContext, kept: StageReuse | None, was_interrupted: Callable[[], bool]
) -> tuple[Any, StageResult]:
    known = None if kept is None else kept.find(stage.name, context.evidence)
    if known is not None:
        return known
    found, result = _measure(stage, context)
    if was_interrupted():
        raise KeyboardInterrupt
    return found, result if kept is None else kept.store(stage.name, context.evidence, found, result)


def _measure(stage: Stage, context: StageContext) -> tuple[Any, StageResult]:
    clock = time.perf_counter()
    evidence, outcome, reason = None, Outcome.PASSED, None
    try:
        evidence = stage.run(context)
    except PoolauditError:
        raise
    except StageSkipped as skipped:
        outcome, reason = Outcome.SKIPPED, str(skipped)
    except Exception as error:
        outcome, reason = Outcome.CRASHED, f"{type(error).__name__}: {error}"
    return evidence, StageResult(stage.name, outcome, round(time.perf_counter() - clock, 3), reason)
