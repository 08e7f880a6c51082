"""The `@detector` decorator, the registry behind it, and the run over all detectors."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import poolaudit.pitfalls
from poolaudit.findings import CheckDoc, Fact, Finding, Subject, document_check
from poolaudit.outcomes import Outcome, Severity
from poolaudit.policy import Policy
from poolaudit.registry import Registry
from poolaudit.results import Evidence


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a detector concludes; the registry adds code, title and documentation to make it a finding.

    Attributes:
        severity: None stands for the detector's own severity.
        subjects: All that an open judgement accuses, uncut.
        do: What is left to do in this very case; None stands for what the documentation says.
    """

    outcome: Outcome
    summary: str
    evidence: tuple[Fact, ...] = ()
    would_change: str | None = None
    severity: Severity | None = None
    subjects: tuple[Subject, ...] = ()
    do: str | None = None


Judge = Callable[[Evidence, Policy], Judgement]


@dataclass(frozen=True, slots=True)
class Detector:
    """A documented function from evidence and policy to a judgement."""

    doc: CheckDoc
    severity: Severity
    judge: Judge

    def __call__(self, evidence: Evidence, policy: Policy) -> Finding:
        """A crash inside the detector becomes a CRASHED finding: the other detectors still run."""
        try:
            judgement = self.judge(evidence, policy)
        except Exception as error:
            judgement = Judgement(
                Outcome.CRASHED, f"This check crashed ({type(error).__name__}: {error}), so nothing is known."
            )
        return Finding(
            code=self.doc.code,
            title=self.doc.title,
            outcome=judgement.outcome,
            severity=judgement.severity or self.severity,
            summary=judgement.summary,
            evidence=judgement.evidence,
            would_change=judgement.would_change,
            why=self.doc.why,
            how=self.doc.how,
            do=judgement.do or self.doc.do,
            false_alarm=self.doc.false_alarm,
            subjects=tuple(sorted(judgement.subjects, key=lambda subject: subject.name)),
        )


_REGISTRY: Registry[Detector] = Registry("check")


def detector(code: str, severity: Severity) -> Callable[[Judge], Judge]:
    """Registers a function as the detector behind a finding code; its docstring is its documentation."""

    def register(judge: Judge) -> Judge:
        _REGISTRY.register(code, Detector(document_check(code, judge), severity, judge))
        return judge

    return register


def all_detectors() -> Registry[Detector]:
    """Every detector in this folder; each file holds one pitfall."""
    for module in pkgutil.iter_modules(poolaudit.pitfalls.__path__):
        importlib.import_module(f"poolaudit.pitfalls.{module.name}")
    return _REGISTRY


def detect(evidence: Evidence, policy: Policy, codes: tuple[str, ...] = ("PA",)) -> tuple[Finding, ...]:
    """The findings of all detectors whose code begins with one of `codes`: open first, then by severity and code."""
    found = [check(evidence, policy) for check in all_detectors() if check.doc.code.startswith(codes)]
    order = {
        Outcome.FAILED: 0,
        Outcome.CRASHED: 1,
        Outcome.UNDECIDED: 2,
        Outcome.SKIPPED: 3,
        Outcome.PASSED: 4,
    }
    return tuple(sorted(found, key=lambda f: (order[f.outcome], f.severity.rank, f.code)))
