"""What the machine-readable reports share: how an outcome counts for a build."""

from __future__ import annotations

from enum import Enum

from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome
from poolaudit.results import AuditResult


class BuildEffect(str, Enum):
    """What a finding does to a build: it passes, it breaks it, or it is shown without breaking it."""

    PASSES = "passes"
    BREAKS = "breaks"
    SHOWN = "shown"


def build_effect(finding: Finding, result: AuditResult) -> BuildEffect:
    """The effect that agrees with the exit code; only PASSED is ever a pass."""
    if finding.outcome is Outcome.PASSED:
        return BuildEffect.PASSES
    return BuildEffect.BREAKS if result.breaks_the_build(finding) else BuildEffect.SHOWN


def standing(finding: Finding, result: AuditResult) -> str:
    """ "FAILED, critical", and by whom it was accepted where it was."""
    words = f"{finding.outcome}, {finding.severity}"
    accepted = result.acceptance_of(finding)
    return words if accepted is None else f"{words}; accepted until {accepted.expires}: {accepted.reason}"


def void_acceptances(result: AuditResult) -> tuple[str, ...]:
    """The acceptances of open findings that do not count, with their reason and day and why not."""
    open_codes = {finding.code for finding in result.findings if finding.is_open}
    return tuple(
        f"{a.code} does not count as accepted until {a.expires} ({a.reason}): "
        f"{a.void_because or f'it expired on {a.expires}'}."
        for a in result.accepted
        if not a.stands and a.code in open_codes
    )
