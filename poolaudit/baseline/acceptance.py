"""Findings a team has accepted for a time: which they are, and what that does to a result."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from poolaudit.baseline.file import load_baseline
from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.pitfalls.worsening import Charge, charge_of, corrected, tests_of, what_is_worse
from poolaudit.results import Acceptance, AuditResult

_LONGEST_REASON = 1000


def apply_baseline(result: AuditResult, file: Path, today: datetime.date | None = None) -> AuditResult:
    """The result with the findings that `file` accepts marked; neither findings nor verdict change.

    Args:
        file: TOML with one `[[accepted]]` table a finding, as `poolaudit accept` writes it.
        today: Decides what has expired; None is today (UTC).

    Raises:
        InvalidInputError: The file is missing or not a baseline.
    """
    day = (today or datetime.datetime.now(datetime.UTC).date()).isoformat()
    entries = load_baseline(file)
    now = {finding.code: charge_of(finding) for finding in result.findings if finding.is_open}
    then = {entry.code: Charge(entry.outcome, entry.severity, entry.subjects) for entry in entries}
    p_values = corrected(test for code, old in then.items() if code in now for test in tests_of(old, now[code]))
    accepted = []
    for entry in entries:
        if entry.expires < day:
            accepted.append(replace(entry, void_because=f"it expired on {entry.expires}"))
        elif entry.code not in now:
            accepted.append(entry)
        else:
            worse = what_is_worse(then[entry.code], now[entry.code], p_values, result.policy.family_wise_error)
            accepted.append(replace(entry, void_because="; ".join(worse)))
    return replace(result, accepted=tuple(accepted))


def accept(
    result: AuditResult,
    *,
    codes: Sequence[str],
    reason: str,
    expires: datetime.date,
    before: Iterable[Acceptance] = (),
) -> tuple[Acceptance, ...]:
    """The acceptances of `before` with the result's open findings added; a code accepted anew replaces the old entry.

    Args:
        codes: Which findings to accept; none stands for every open one.

    Raises:
        InvalidInputError: A code is not among the open findings, or the reason is empty or no line of text.
    """
    _check_reason(reason)
    open_ones = {finding.code: finding for finding in result.findings if finding.is_open}
    for code in codes:
        if code not in open_ones:
            raise InvalidInputError(
                f"There is no open finding {code!r}", listed(sorted(open_ones), 20), did_you_mean(code, open_ones)
            )
    added = {
        code: Acceptance(
            code=code,
            outcome=finding.outcome,
            severity=finding.severity,
            subjects=finding.subjects,
            reason=reason.strip(),
            expires=expires.isoformat(),
        )
        for code, finding in open_ones.items()
        if code in codes or not codes
    }
    kept = [entry for entry in before if entry.code not in added]
    return tuple(sorted([*kept, *added.values()], key=lambda entry: entry.code))


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInputError("The reason is empty", "a sentence that a later reader understands")
    if not reason.isprintable():
        raise InvalidInputError("The reason holds line breaks or controls", "one line of text")
    if len(reason) > _LONGEST_REASON:
        raise InvalidInputError(f"The reason has {len(reason):,} characters", f"at most {_LONGEST_REASON:,}")
