"""Findings a team has accepted for a time: a TOML file, and what it does to a result."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.outcomes import Outcome, Severity
from poolaudit.policy import read_toml
from poolaudit.results import Acceptance, AuditResult

_KEYS = tuple(field.name for field in fields(Acceptance) if field.name != "has_expired")
_OPEN = (Outcome.FAILED, Outcome.UNDECIDED, Outcome.CRASHED)


def apply_baseline(result: AuditResult, file: Path, today: datetime.date | None = None) -> AuditResult:
    """The result with the findings that `file` accepts marked; neither findings nor verdict change.

    Args:
        file: TOML with one `[[accepted]]` table a finding, as `poolaudit accept` writes it.
        today: Decides what has expired; None is today (UTC).

    Raises:
        InvalidInputError: The file is missing or not a baseline.
    """
    today = today or datetime.datetime.now(datetime.timezone.utc).date()
    accepted = (replace(a, has_expired=a.expires < today.isoformat()) for a in load_baseline(file))
    return replace(result, accepted=tuple(accepted))


def load_baseline(file: Path) -> tuple[Acceptance, ...]:
    """The acceptances in a baseline file.

    Raises:
        InvalidInputError: The file is missing, is not TOML, or an entry lacks a key or holds a wrong one.
    """
    values = read_toml(file, "Baseline file")
    entries = values.pop("accepted", [])
    if values or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidInputError(
            f"{file.name!r} is not a baseline: {', '.join(map(repr, values)) or 'accepted'} is not allowed there",
            "[[accepted]] tables",
            "poolaudit accept writes one",
        )
    return tuple(_acceptance(entry, f"entry {number} of {file.name!r}") for number, entry in enumerate(entries, 1))


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
        InvalidInputError: A code is not among the open findings, or the reason is empty.
    """
    if not reason.strip():
        raise InvalidInputError("The reason is empty", "a sentence that a later reader understands")
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
            labels=tuple(fact.label for fact in finding.evidence),
            reason=reason.strip(),
            expires=expires.isoformat(),
        )
        for code, finding in open_ones.items()
        if code in codes or not codes
    }
    kept = [entry for entry in before if entry.code not in added]
    return tuple(sorted([*kept, *added.values()], key=lambda entry: entry.code))


def encode_baseline(accepted: Iterable[Acceptance]) -> bytes:
    """The acceptances as TOML."""
    lines = ["# Accepted findings. Each covers its finding up to its day, and only while it gets no worse.", ""]
    for entry in accepted:
        lines += [
            "[[accepted]]",
            f"code = {_quoted(entry.code)}",
            f"outcome = {_quoted(entry.outcome.value)}",
            f"severity = {_quoted(entry.severity.value)}",
            f"labels = [{', '.join(_quoted(label) for label in entry.labels)}]",
            f"reason = {_quoted(entry.reason)}",
            f"expires = {entry.expires}",
            "",
        ]
    return "\n".join(lines).encode(errors="replace")


def _acceptance(entry: Mapping[str, Any], where: str) -> Acceptance:
    for key in entry:
        if key not in _KEYS:
            raise InvalidInputError(f"Unknown key {key!r} in {where}", listed(_KEYS), did_you_mean(key, _KEYS))
    missing = [key for key in _KEYS if key not in entry]
    if missing:
        raise InvalidInputError(
            f"{where} lacks {', '.join(missing)}", listed(_KEYS), "poolaudit accept writes them all"
        )
    outcome, severity, labels, expires = entry["outcome"], entry["severity"], entry["labels"], entry["expires"]
    if outcome not in [o.value for o in _OPEN]:
        raise InvalidInputError(f"outcome is {outcome!r} in {where}", listed([o.value for o in _OPEN]))
    if severity not in [s.value for s in Severity]:
        raise InvalidInputError(f"severity is {severity!r} in {where}", listed([s.value for s in Severity]))
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InvalidInputError(f"labels is {labels!r} in {where}", "a list of texts")
    if not isinstance(expires, datetime.date) or isinstance(expires, datetime.datetime):
        raise InvalidInputError(f"expires is {expires!r} in {where}", "a date such as 2030-01-31, without quotes")
    if not isinstance(entry["code"], str) or not isinstance(entry["reason"], str) or not entry["reason"].strip():
        raise InvalidInputError(f"code or reason is empty or no text in {where}", "a code such as PA204 and a sentence")
    return Acceptance(
        code=entry["code"],
        outcome=Outcome(outcome),
        severity=Severity(severity),
        labels=tuple(labels),
        reason=entry["reason"],
        expires=expires.isoformat(),
    )


def _quoted(text: str) -> str:
    # JSON's string escapes are TOML's; DEL is the one character JSON leaves and TOML forbids.
    return json.dumps(text.encode(errors="replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")
