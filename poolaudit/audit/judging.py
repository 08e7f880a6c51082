"""From evidence to findings, verdict and what was not assessed; nothing is measured here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from poolaudit.audit.provenance import provenance_of
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.evaluation import NotAssessed
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Verdict
from poolaudit.pitfalls.detector import detect
from poolaudit.pitfalls.verdict import decide
from poolaudit.policy import Policy
from poolaudit.results import (
    SCHEMA_VERSION,
    AuditResult,
    DataProvenance,
    Decision,
    Evidence,
    ModelProvenance,
    Provenance,
    Scope,
    StageResult,
)

_LONGEST_TITLE = 200
# Where one part alone was asked about, saying of all the others that they were not measured would bury the answer.
_CODES: dict[Scope, tuple[str, ...]] = {
    "audit": ("PA",),
    "conformance": ("PA1",),
    "geometry": ("PA30", "PA31", "PA32", "PA33", "PA34"),
    "ablation": ("PA35", "PA36", "PA37", "PA38", "PA39", "PA5"),
    "leakage": ("PA4",),
    # Speed is measured and compared, not judged.
    "benchmarks": (),
}


def judge(
    evidence: Evidence,
    stages: tuple[StageResult, ...],
    *,
    title: str,
    policy: Policy,
    provenance: Provenance,
    scope: Scope = "audit",
) -> AuditResult:
    """Evidence as a finished result.

    Args:
        scope: "audit", or the one stage that a command of its own ran: then only that part's checks are listed.
    """
    return _judged(
        AuditResult(
            schema_version=SCHEMA_VERSION,
            title=short_title(title),
            verdict=Verdict.INCONCLUSIVE,
            decision=Decision((), (), ()),
            findings=(),
            not_assessed=(),
            stages=stages,
            evidence=evidence,
            policy=policy,
            provenance=provenance,
            scope=scope,
        )
    )


def short_title(title: str) -> str:
    """The title on one line, at most 200 characters."""
    line = " ".join(title.split())
    return line if len(line) <= _LONGEST_TITLE else f"{line[: _LONGEST_TITLE - 1]}…"


def judge_part(
    scope: Scope,
    evidence: Evidence,
    *,
    title: str,
    policy: Policy,
    seed: int,
    command: str,
    duration_seconds: float,
    notes: tuple[str, ...] = (),
    model: ModelProvenance | None = None,
    data: tuple[DataProvenance, ...] = (),
    with_tensorflow: bool = True,
) -> AuditResult:
    """One stage's evidence as a result of its own, for the commands that run a single stage."""
    return judge(
        evidence,
        (StageResult(scope, Outcome.PASSED, round(duration_seconds, 3), "; ".join(notes) or None),),
        title=title,
        policy=policy,
        scope=scope,
        provenance=provenance_of(
            command=command,
            seed=seed,
            started=datetime.now(UTC),
            duration_seconds=duration_seconds,
            with_tensorflow=with_tensorflow,
            model=model,
            data=data,
        ),
    )


def judge_again(result: AuditResult, policy: Policy) -> AuditResult:
    """The same evidence judged by another policy; nothing is measured again.

    Intervals keep the confidence they were measured with.

    Raises:
        InvalidInputError: The policy asks for another confidence than the evidence was measured with.
    """
    if policy.confidence != result.policy.confidence:
        raise InvalidInputError(
            f"The policy asks for {policy.confidence:g} confidence; the stored intervals have "
            f"{result.policy.confidence:g}",
            "the same confidence",
            "Run the audit again with this policy",
        )
    return _judged(replace(result, policy=policy))


def _judged(result: AuditResult) -> AuditResult:
    findings = detect(result.evidence, result.policy, codes=_CODES[result.scope])
    verdict, decision = decide(findings, result.stages)
    judged = replace(result, findings=findings, verdict=verdict, decision=decision)
    return replace(judged, not_assessed=_not_assessed(judged))


def _not_assessed(result: AuditResult) -> tuple[NotAssessed, ...]:
    """Everything a reader could take for granted and that was not looked at."""
    missing = [
        NotAssessed(f"Stage {stage.name}", stage.reason or "it did not run")
        for stage in result.stages
        if stage.outcome in (Outcome.SKIPPED, Outcome.CRASHED)
    ]
    if result.scope == "audit" and result.provenance.model is None:
        missing += [
            NotAssessed(what, "only predictions were given")
            for what in (
                "The model and its pooling",
                "What the pooling costs in recall",
                "Leakage between training and test data",
            )
        ]
    skipped = Counter(r.reason for r in result.evidence.conformance or () if r.outcome is Outcome.SKIPPED)
    missing += [
        NotAssessed(f"{count} {'check' if count == 1 else 'checks'} of layers", reason or "not said")
        for reason, count in skipped.most_common()
    ]
    if result.evidence.evaluation is not None:
        missing += result.evidence.evaluation.not_assessed
    if result.evidence.geometry is not None:
        missing += [
            NotAssessed("Pooling inside a part of the model", text) for text in result.evidence.geometry.not_seen
        ]
    if result.evidence.leakage is not None:
        missing += result.evidence.leakage.not_assessed
    return (*missing, *_skipped_checks(result))


def _skipped_checks(result: AuditResult) -> Iterator[NotAssessed]:
    """Checks that were skipped for one reason are one entry: a list nobody reads through hides what it lists."""
    by_reason: dict[str, list[Finding]] = {}
    for finding in sorted(result.findings, key=lambda f: f.code):
        if finding.outcome is Outcome.SKIPPED:
            by_reason.setdefault(finding.summary, []).append(finding)
    for reason, findings in by_reason.items():
        if len(findings) == 1:
            yield NotAssessed(f"{findings[0].code} {findings[0].title}", reason)
        else:
            yield NotAssessed(f"{len(findings)} checks ({', '.join(f.code for f in findings)})", reason)
