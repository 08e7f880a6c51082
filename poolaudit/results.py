"""The one object an audit produces; report, command line and pytest read nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Literal

from poolaudit import requirements
from poolaudit.evidence.ablation import AblationEvidence
from poolaudit.evidence.benchmarks import BenchmarkEvidence
from poolaudit.evidence.conformance import PropertyResult
from poolaudit.evidence.evaluation import EvaluationEvidence, NotAssessed
from poolaudit.evidence.geometry import GeometryEvidence
from poolaudit.evidence.leakage import LeakageEvidence
from poolaudit.findings import Finding, Subject
from poolaudit.outcomes import Outcome, Severity, Verdict
from poolaudit.policy import Policy

SCHEMA_VERSION = 1
_CHANGES_SHOWN = 4
Scope = Literal["audit", "geometry", "conformance", "ablation", "leakage", "benchmarks"]


@dataclass(frozen=True, slots=True)
class StageResult:
    """How one stage of the audit ended; a reason wherever it did not simply run."""

    name: str
    outcome: Outcome
    duration_seconds: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What each stage measured; None where a stage did not run."""

    geometry: GeometryEvidence | None = None
    evaluation: EvaluationEvidence | None = None
    conformance: tuple[PropertyResult, ...] | None = None
    ablation: AblationEvidence | None = None
    leakage: LeakageEvidence | None = None
    benchmarks: BenchmarkEvidence | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Why the verdict is what it is.

    Attributes:
        reasons: The sentences that decided, heaviest first.
        decided_by: Codes of the findings behind the reasons.
        would_change: What would turn the verdict around.
    """

    reasons: tuple[str, ...]
    decided_by: tuple[str, ...]
    would_change: tuple[str, ...]

    @property
    def main_changes(self) -> tuple[str, ...]:
        """What a first screen shows of `would_change`: the first three, and the last, which bounds what they reach."""
        changes = self.would_change
        return changes if len(changes) <= _CHANGES_SHOWN else (*changes[: _CHANGES_SHOWN - 1], changes[-1])


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An open finding that a baseline accepts, up to a day.

    Attributes:
        code: The finding's code.
        outcome: The outcome accepted; a FAILED one covers UNDECIDED as well, nothing else covers another.
        severity: The heaviest severity accepted.
        subjects: All that the finding accused when it was accepted: what is beyond them, or worse, is new.
        reason: Why it is accepted.
        expires: The last day on which it is, ISO 8601.
        void_because: Why it covers nothing: the finding has become worse, say; empty where it covers its finding.
    """

    code: str
    outcome: Outcome
    severity: Severity
    subjects: tuple[Subject, ...]
    reason: str
    expires: str
    void_because: str = ""

    @property
    def has_expired(self) -> bool:
        """True where its last day is past, whenever the result was judged (UTC)."""
        return self.expires < datetime.now(UTC).date().isoformat()

    @property
    def stands(self) -> bool:
        return not self.void_because and not self.has_expired


@dataclass(frozen=True, slots=True)
class DataProvenance:
    """Where a split came from; `sha256` covers inputs and labels as loaded."""

    split: str
    source: str
    items: int
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelProvenance:
    """Which model was audited; `sha256` covers the file's bytes, None where the model came from code."""

    name: str
    source: str
    format: str
    sha256: str | None
    parameters: int | None
    input_shape: tuple[int | None, ...] | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything needed to run the audit again; holds no absolute path.

    Attributes:
        command: The command line or Python call.
        started: UTC, ISO 8601.
        versions: Pairs of package and version.
        platform: Operating system, processor, core count and memory.
        commit: Git commit of the folder the audit ran in, with "+changes" where files differ; None outside of one.
    """

    command: str
    started: str
    duration_seconds: float
    seed: int
    versions: tuple[tuple[str, str], ...]
    platform: str
    model: ModelProvenance | None
    data: tuple[DataProvenance, ...]
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class AuditResult:
    """A finished audit: plain, frozen, versioned data that survives a JSON round trip unchanged.

    Attributes:
        accepted: Findings accepted by the baseline the audit was given; they do not change the verdict.
        notes: What a reader must know first: a verdict in the file that its evidence does not bear out, say.
        scope: "audit", or the one stage that a command of its own ran ("conformance", "geometry", ...).
    """

    schema_version: int
    title: str
    verdict: Verdict
    decision: Decision
    findings: tuple[Finding, ...]
    not_assessed: tuple[NotAssessed, ...]
    stages: tuple[StageResult, ...]
    evidence: Evidence
    policy: Policy
    provenance: Provenance
    scope: Scope = "audit"
    accepted: tuple[Acceptance, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def stages_not_run(self) -> tuple[str, ...]:
        """Names of the stages that did not run, whatever the reason."""
        return tuple(stage.name for stage in self.stages if stage.outcome is Outcome.SKIPPED)

    @property
    def nothing_was_checked(self) -> bool:
        """True where there were checks to make and every one was skipped."""
        return bool(self.findings) and all(finding.outcome is Outcome.SKIPPED for finding in self.findings)

    def acceptance_of(self, finding: Finding) -> Acceptance | None:
        """The acceptance that covers the finding; None where it is not accepted or not open."""
        return next((a for a in self.accepted if finding.is_open and a.stands and a.code == finding.code), None)

    def breaks_the_build(self, finding: Finding) -> bool:
        """True where the finding is open, at or above the policy's fail level, and not accepted."""
        counts = finding.is_open and finding.severity.at_least(self.policy.fail_level)
        return counts and self.acceptance_of(finding) is None

    def require(self, *, positive: str | None = None, **bars: float) -> None:
        """Fails unless each metric reaches its bar with its whole interval.

        Args:
            positive: The class meant; None is the audit's class of interest, or each class where none was named.
            bars: `accuracy_at_least`, `balanced_accuracy_at_least`, `recall_at_least`, `precision_at_least`,
                `f1_at_least`, `average_precision_at_least`, each in [0, 1].

        Raises:
            AssertionError: A metric is below its bar, not shown to reach it, or cannot be estimated.
            InvalidInputError: An unknown keyword or class, or a bar outside [0, 1].
        """
        __tracebackhide__ = True
        requirements.require(self, positive, bars)

    def require_no(self, *codes: str) -> None:
        """Fails where one of these checks is open and not accepted, or was not made."""
        __tracebackhide__ = True
        requirements.require_no(self, codes)

    def require_verdict(self, verdict: str | Verdict) -> None:
        """Fails, with what decided, unless the verdict is this one."""
        __tracebackhide__ = True
        requirements.require_verdict(self, verdict)

    def require_release(self) -> None:
        """Fails where a finding at or above the fail level stands that no baseline accepts."""
        __tracebackhide__ = True
        requirements.require_release(self)

    def _repr_html_(self) -> str:
        """The summary a notebook shows in place of the object."""
        reasons = "".join(f"<li>{escape(reason)}</li>" for reason in self.decision.reasons[:3])
        rows = "".join(
            f"<tr><td>{finding.outcome}</td><td>{finding.code}</td><td>{escape(finding.title)}</td>"
            f"<td>{escape(finding.summary)}</td></tr>"
            for finding in self.findings
        )
        return (
            f"<h3>{self.verdict.value.replace('_', ' ')}: {escape(self.title)}</h3><ol>{reasons}</ol>"
            f"<p>Not assessed: {len(self.not_assessed)}</p><details><summary>{len(self.findings)} checks</summary>"
            f"<table>{rows}</table></details>"
        )
