"""The one object an audit produces; report, command line and pytest read nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from poolaudit.evidence.ablation import AblationEvidence
from poolaudit.evidence.conformance import PropertyResult
from poolaudit.evidence.evaluation import EvaluationEvidence, NotAssessed
from poolaudit.evidence.geometry import GeometryEvidence
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Verdict
from poolaudit.policy import Policy

SCHEMA_VERSION = 1


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
    leakage: None = None


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
        platform: Operating system, processor and core count.
    """

    command: str
    started: str
    duration_seconds: float
    seed: int
    versions: tuple[tuple[str, str], ...]
    platform: str
    model: ModelProvenance | None
    data: tuple[DataProvenance, ...]


@dataclass(frozen=True, slots=True)
class AuditResult:
    """A finished audit: plain, frozen, versioned data that survives a JSON round trip unchanged.

    Attributes:
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
    scope: str = "audit"
