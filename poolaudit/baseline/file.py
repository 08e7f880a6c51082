"""The file of accepted findings: TOML that a team can read, review and keep beside its code."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.findings import Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.policy import read_toml
from poolaudit.results import Acceptance
from poolaudit.store.consistency import MOST_ITEMS

_KEYS = tuple(field.name for field in fields(Acceptance) if field.name != "void_because")
_OPEN = (Outcome.FAILED, Outcome.UNDECIDED, Outcome.CRASHED)
_LARGEST_FILE_BYTES = 20_000_000
_SUBJECT = {"name": str, "is_shown": bool, "metric": str, "hits": int, "items": int, "extent": list}


def load_baseline(file: Path) -> tuple[Acceptance, ...]:
    """The acceptances in a baseline file.

    Raises:
        InvalidInputError: The file is missing, is not TOML, or an entry lacks a key or holds a wrong one.
    """
    values = read_toml(file, "Baseline file", _LARGEST_FILE_BYTES)
    entries = values.pop("accepted", [])
    if values or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidInputError(
            f"{file.name!r} is not a baseline: {', '.join(map(repr, values)) or 'accepted'} is not allowed there",
            "[[accepted]] tables",
            "poolaudit accept writes one",
        )
    accepted = tuple(_acceptance(entry, f"entry {number} of {file.name!r}") for number, entry in enumerate(entries, 1))
    codes = [entry.code for entry in accepted]
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise InvalidInputError(f"{file.name!r} accepts {listed(twice)} more than once", "one entry a code")
    return accepted


def encode_baseline(accepted: Iterable[Acceptance]) -> bytes:
    """The acceptances as TOML."""
    lines = ["# Accepted findings. Each covers its finding up to its day, and only while it gets no worse.", ""]
    for entry in accepted:
        lines += [
            "[[accepted]]",
            f"code = {_quoted(entry.code)}",
            f"outcome = {_quoted(entry.outcome.value)}",
            f"severity = {_quoted(entry.severity.value)}",
            f"reason = {_quoted(entry.reason)}",
            f"expires = {entry.expires}",
            "subjects = [",
            *(f"  {{ {', '.join(_pairs(subject))} }}," for subject in entry.subjects),
            "]",
            "",
        ]
    return "\n".join(lines).encode(errors="replace")


def _pairs(subject: Subject) -> list[str]:
    pairs = []
    for field in fields(Subject):
        value = getattr(subject, field.name)
        if value != field.default:
            pairs.append(f"{field.name} = {_toml(value)}")
    return pairs


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple):
        return f"[{', '.join(repr(float(end)) for end in value)}]"
    return str(value).lower()


def _acceptance(entry: Mapping[str, Any], where: str) -> Acceptance:
    for key in entry:
        if key not in _KEYS:
            raise InvalidInputError(f"Unknown key {key!r} in {where}", listed(_KEYS), did_you_mean(key, _KEYS))
    missing = [key for key in _KEYS if key not in entry]
    if missing:
        raise InvalidInputError(
            f"{where} lacks {', '.join(missing)}", listed(_KEYS), "poolaudit accept writes them all"
        )
    outcome, severity, expires = entry["outcome"], entry["severity"], entry["expires"]
    if outcome not in [o.value for o in _OPEN]:
        raise InvalidInputError(f"outcome is {outcome!r} in {where}", listed([o.value for o in _OPEN]))
    if severity not in [s.value for s in Severity]:
        raise InvalidInputError(f"severity is {severity!r} in {where}", listed([s.value for s in Severity]))
    if not isinstance(expires, datetime.date) or isinstance(expires, datetime.datetime):
        raise InvalidInputError(f"expires is {expires!r} in {where}", "a date such as 2030-01-31, without quotes")
    if not isinstance(entry["code"], str) or not isinstance(entry["reason"], str) or not entry["reason"].strip():
        raise InvalidInputError(f"code or reason is empty or no text in {where}", "a code such as PA204 and a sentence")
    known = [check.doc.code for check in all_detectors()]
    if entry["code"] not in known:
        raise InvalidInputError(
            f"There is no check {entry['code']!r} ({where})",
            "the code of a check, as poolaudit explain lists them",
            did_you_mean(entry["code"], known),
        )
    return Acceptance(
        code=entry["code"],
        outcome=Outcome(outcome),
        severity=Severity(severity),
        subjects=_subjects(entry["subjects"], where),
        reason=entry["reason"],
        expires=expires.isoformat(),
    )


def _subjects(entries: Any, where: str) -> tuple[Subject, ...]:
    if not isinstance(entries, list):
        raise InvalidInputError(f"subjects is {entries!r} in {where}", "a list, as poolaudit accept writes it")
    return tuple(_subject(entry, where) for entry in entries)


def _subject(entry: Any, where: str) -> Subject:
    is_whole = isinstance(entry, dict) and "name" in entry
    if not is_whole or any(type(value) is not _SUBJECT.get(key) for key, value in entry.items()):
        raise InvalidInputError(f"A subject is {entry!r} in {where}", "a table as poolaudit accept writes it")
    ends = entry.get("extent", [0.0, 0.0])
    hits, items = entry.get("hits", 0), entry.get("items", 0)
    numbers = len(ends) == 2 and all(type(end) in (int, float) for end in ends) and ends[0] <= ends[1]
    if not numbers or not 0 <= hits <= items <= MOST_ITEMS:
        raise InvalidInputError(
            f"A subject is {entry!r} in {where}", "hits from 0 to items, and an extent of two rising numbers"
        )
    extent = (float(ends[0]), float(ends[1])) if "extent" in entry else None
    return Subject(**{**entry, "extent": extent})


def _quoted(text: str) -> str:
    # JSON's string escapes are TOML's; DEL is the one character JSON leaves and TOML forbids.
    return json.dumps(text.encode(errors="replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")
