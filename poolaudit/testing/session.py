"""What the tests of one session audited, in one report; workers hand their part to the process that started them."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from poolaudit.errors import InvalidInputError, PoolauditError
from poolaudit.report.files import FILE_NAMES, render_all
from poolaudit.report.html import render_session_html
from poolaudit.report.junit import render_session_junit
from poolaudit.report.page import SessionEntry, SessionGap
from poolaudit.results import AuditResult
from poolaudit.store.atomic import make_output_folder, write_together
from poolaudit.store.results import decode_result, encode_result

_LONGEST_REASON = 2000


@dataclass(frozen=True)
class Record:
    """One result that a test asked for.

    Attributes:
        test: The test's node identifier; of several tests that share a result, each has a record.
    """

    test: str
    result: AuditResult


@dataclass(frozen=True)
class Gap:
    """An audit that a test asked for and that ended without a result.

    Attributes:
        test: The test's node identifier.
        title: What was to be audited.
        reason: Why there is no result.
    """

    test: str
    title: str
    reason: str


@dataclass
class Ledger:
    """What the tests of one session asked for.

    Attributes:
        records: The results.
        gaps: What ended without a result.
        notes: Why the session as a whole may hold less than was asked for; one sentence each.
    """

    records: list[Record] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def miss(self, test: str, title: str, error: BaseException) -> None:
        """Notes a gap, once for each test and reason."""
        reason = _reason(error)
        if not any(gap.test == test and gap.reason == reason for gap in self.gaps):
            self.gaps.append(Gap(test, title, reason))

    def forgive(self, test: str) -> None:
        """A test that passed wanted its audit to be refused."""
        self.gaps = [gap for gap in self.gaps if gap.test != test]


def pack(ledger: Ledger) -> str:
    """A ledger as plain text, to be sent from one process to another."""
    records = [(record.test, encode_result(record.result).decode()) for record in ledger.records]
    return json.dumps({"records": records, "gaps": [asdict(gap) for gap in ledger.gaps]})


def unpack(packed: str) -> Ledger:
    """What `pack` made, as a ledger again."""
    told = json.loads(packed)
    records = [Record(test, decode_result(text.encode())) for test, text in told["records"]]
    return Ledger(records, [Gap(**gap) for gap in told["gaps"]])


def write_session(ledger: Ledger, folder: Path) -> Path:
    """Writes the report of a session: report.html, result.json and junit.xml, and a folder for every result.

    The same records give the same files, in whatever order and by how many processes they were made. What an earlier
    session wrote into the folder is removed: a pipeline that collects the summaries must not find a model's old one.

    Returns:
        The overview's path.
    """
    make_output_folder(folder, "--poolaudit-report")
    entries = _entries(ledger.records)
    gaps, notes = _gaps(ledger.gaps), tuple(dict.fromkeys(sorted(ledger.notes)))
    _remove_earlier(folder)
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
    told = {
        "schema_version": 1,
        "incomplete": list(notes),
        "not_assessed": [asdict(gap) for gap in gaps],
        "results": listed,
    }
    document = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
    write_together(
        {
            folder / "report.html": render_session_html(entries, gaps, notes).encode(errors="replace"),
            folder / "result.json": (document + "\n").encode(errors="replace"),
            folder / "junit.xml": render_session_junit([entry.result for entry in entries], gaps, notes),
        }
    )
    return folder / "report.html"


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    speaks = isinstance(error, PoolauditError | pytest.fail.Exception)
    told = text if speaks and text else f"{type(error).__name__}: {text}".rstrip(": ")
    return told if len(told) <= _LONGEST_REASON else f"{told[:_LONGEST_REASON]} ..."


def _gaps(gaps: list[Gap]) -> tuple[SessionGap, ...]:
    """One gap a reason, with all tests that it stopped."""
    merged: dict[str, list[Gap]] = {}
    for gap in sorted(gaps, key=lambda g: (g.reason, g.test, g.title)):
        merged.setdefault(gap.reason, []).append(gap)
    return tuple(
        SessionGap(
            title=", ".join(dict.fromkeys(gap.title for gap in same if gap.title != gap.test)) or same[0].title,
            reason=reason,
            tests=tuple(dict.fromkeys(gap.test for gap in same)),
        )
        for reason, same in merged.items()
    )


def _remove_earlier(folder: Path) -> None:
    """Removes the files of the results that an earlier report in this folder lists, and nothing else.

    Raises:
        InvalidInputError: One of them cannot be removed.
    """
    try:
        results = json.loads((folder / "result.json").read_bytes())["results"]
        names = [entry["folder"] for entry in results]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return
    for name in names:
        # Whatever the file says, nothing outside this folder is touched.
        if not isinstance(name, str) or re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name) is None:
            continue
        part = folder / name
        if part.is_symlink() or not part.is_dir():
            continue
        try:
            for file in FILE_NAMES:
                (part / file).unlink(missing_ok=True)
            if not any(part.iterdir()):
                part.rmdir()
        except OSError as error:
            raise InvalidInputError(
                f"The earlier report {str(part)!r} cannot be removed: {error.strerror}",
                cure="Name another folder with --poolaudit-report",
            ) from None


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
