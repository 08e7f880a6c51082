"""What the tests of one session audited, in one report; workers hand their part to the process that started them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from poolaudit.report.files import render_all
from poolaudit.report.html import render_session_html
from poolaudit.report.junit import render_session_junit
from poolaudit.report.page import SessionEntry
from poolaudit.results import AuditResult
from poolaudit.store.atomic import make_output_folder, write_together
from poolaudit.store.results import decode_result, encode_result


@dataclass(frozen=True)
class Record:
    """One result that a test asked for.

    Attributes:
        test: The test's node identifier; of several tests that share a result, each has a record.
    """

    test: str
    result: AuditResult


def pack(records: list[Record]) -> list[tuple[str, str]]:
    """Records as plain text, to be sent from one process to another."""
    return [(record.test, encode_result(record.result).decode()) for record in records]


def unpack(packed: list[tuple[str, str]]) -> list[Record]:
    """What `pack` made, as records again."""
    return [Record(test, decode_result(text.encode())) for test, text in packed]


def write_session(records: list[Record], folder: Path) -> Path:
    """Writes the report of a session: report.html, result.json and junit.xml, and a folder for every result.

    The same records give the same files, in whatever order and by how many processes they were made.

    Returns:
        The overview's path.
    """
    make_output_folder(folder)
    entries = _entries(records)
    for entry in entries:
        make_output_folder(folder / entry.folder)
        write_together({folder / entry.folder / name: content for name, content in render_all(entry.result).items()})
    listed = [
        {
            "folder": entry.folder,
            "tests": entry.tests,
            "title": entry.result.title,
            "verdict": entry.result.verdict.value,
            "result": msgspec.to_builtins(entry.result),
        }
        for entry in entries
    ]
    document = json.dumps({"schema_version": 1, "results": listed}, indent=1, ensure_ascii=False, allow_nan=False)
    write_together(
        {
            folder / "report.html": render_session_html(entries).encode(errors="replace"),
            folder / "result.json": (document + "\n").encode(errors="replace"),
            folder / "junit.xml": render_session_junit([entry.result for entry in entries]),
        }
    )
    return folder / "report.html"


def _entries(records: list[Record]) -> tuple[SessionEntry, ...]:
    """One entry a distinct result, with all tests that asked for it; results of one layer's items become one."""
    merged: dict[str, tuple[AuditResult, set[str]]] = {}
    for record in sorted(records, key=lambda r: (r.test, r.result.title)):
        key = _key(record.result)
        result, tests = merged.get(key, (record.result, set()))
        if record.result.scope == "conformance" and key in merged:
            result = _together(result, record.result)
        merged[key] = (result, tests | {record.test})
    taken: set[str] = set()
    entries = []
    for result, tests in sorted(merged.values(), key=lambda pair: (pair[0].title, sorted(pair[1]))):
        name = _folder_name(result.title, taken)
        taken.add(name)
        entries.append(SessionEntry(name, tuple(sorted(tests)), result))
    return tuple(entries)


def _key(result: AuditResult) -> str:
    """Of what was measured, without when and how long: two workers measure the same and are one entry."""
    if result.scope == "conformance":
        return f"layer {result.title}"
    timeless = replace(
        result,
        stages=tuple(replace(stage, duration_seconds=0.0) for stage in result.stages),
        provenance=replace(result.provenance, started="", duration_seconds=0.0),
    )
    return encode_result(timeless).decode()


def _together(first: AuditResult, second: AuditResult) -> AuditResult:
    from poolaudit.audit import judge_again

    known = first.evidence.conformance or ()
    new = tuple(entry for entry in second.evidence.conformance or () if entry not in known)
    evidence = replace(
        first.evidence, conformance=tuple(sorted((*known, *new), key=lambda r: (r.property, r.mode, r.dtype)))
    )
    return judge_again(replace(first, evidence=evidence), first.policy)


def _folder_name(title: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-.")[:60] or "result"
    name, number = base, 2
    while name.lower() in {other.lower() for other in taken}:
        name, number = f"{base}-{number}", number + 1
    return name
