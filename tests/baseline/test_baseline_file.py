"""Accepted findings: what they cover, when they expire, and the file they live in."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest
from report_examples import HOSTILE, result_of

from poolaudit.baseline import accept, apply_baseline, encode_baseline, load_baseline
from poolaudit.errors import InvalidInputError
from poolaudit.findings import Finding, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.pitfalls.verdict import fails_release
from poolaudit.results import Acceptance, AuditResult
from specimens.outcomes import scored_counts

DAY = datetime.date(2030, 1, 31)
BAD = result_of(scored_counts(12, 88, 12, 4_888), "fraud")
FINDING = Finding("PA204", "Made", Outcome.FAILED, Severity.MAJOR, "x", subjects=(Subject("a"),))


def stored(result: AuditResult, folder: Path, **options: object) -> Path:
    file = folder / "baseline.toml"
    chosen = {"codes": (), "reason": "known since the pilot", "expires": DAY} | options
    file.write_bytes(encode_baseline(accept(result, **chosen)))  # type: ignore[arg-type]
    return file


ENTRY = """[[accepted]]
code = 'PA204'
outcome = 'FAILED'
severity = 'major'
subjects = []
reason = 'x'
expires = 2030-01-01
"""


def covers(before: Finding, now: Finding, folder: Path) -> bool:
    """Whether what is accepted of one finding covers the other, through the file."""
    file = stored(dataclasses.replace(BAD, findings=(before,)), folder)
    result = apply_baseline(dataclasses.replace(BAD, findings=(now,)), file, today=DAY)
    return result.acceptance_of(now) is not None


def test_what_was_accepted_breaks_the_build_no_more(tmp_path: Path) -> None:
    result = apply_baseline(BAD, stored(BAD, tmp_path), today=DAY)
    assert fails_release(BAD)
    assert not fails_release(result)
    assert (result.verdict, result.findings) == (BAD.verdict, BAD.findings)


def test_the_day_after_it_breaks_again(tmp_path: Path) -> None:
    result = apply_baseline(BAD, stored(BAD, tmp_path), today=DAY + datetime.timedelta(days=1))
    assert fails_release(result)
    assert all(entry.void_because == f"it expired on {DAY}" for entry in result.accepted)


def test_only_the_named_code_is_accepted(tmp_path: Path) -> None:
    result = apply_baseline(BAD, stored(BAD, tmp_path, codes=("PA204",)), today=DAY)
    assert [entry.code for entry in result.accepted] == ["PA204"]
    assert fails_release(result)


@pytest.mark.parametrize(
    ("change", "covered"),
    [
        ({}, True),
        ({"outcome": Outcome.UNDECIDED}, True),
        ({"outcome": Outcome.CRASHED}, False),
        ({"severity": Severity.MINOR}, True),
        ({"severity": Severity.CRITICAL}, False),
        ({"code": "PA205"}, False),
        ({"subjects": (Subject("a"), Subject("b"))}, False),
        ({"subjects": (Subject("a"), Subject("b", is_shown=False))}, False),
        ({"subjects": (Subject("a", is_shown=False),)}, True),
        ({"subjects": ()}, True),
    ],
)
def test_only_what_is_no_worse_is_covered(tmp_path: Path, change: dict[str, object], covered: bool) -> None:
    assert covers(FINDING, dataclasses.replace(FINDING, **change), tmp_path) is covered  # type: ignore[arg-type]


def test_an_undecided_one_does_not_cover_a_failure(tmp_path: Path) -> None:
    assert not covers(dataclasses.replace(FINDING, outcome=Outcome.UNDECIDED), FINDING, tmp_path)


@pytest.mark.parametrize(
    ("before", "now", "covered"),
    [
        (Subject("a", True, "recall", 60, 100), Subject("a", True, "recall", 10, 100), False),
        (Subject("a", True, "recall", 60, 100), Subject("a", True, "recall", 57, 100), True),
        (Subject("a", True, "recall", 60, 100), Subject("a", True, "recall", 80, 100), True),
        (Subject("a", False, "recall", 8, 10), Subject("a", True, "recall", 8, 10), False),
        (Subject("a", extent=(0.1, 0.1)), Subject("a", extent=(0.2, 0.2)), False),
        (Subject("a", extent=(0.1, 0.3)), Subject("a", extent=(0.2, 0.4)), True),
        (Subject("a", extent=(0.2, 0.2)), Subject("a", extent=(0.1, 0.1)), True),
    ],
)
def test_an_acceptance_ends_where_its_subject_gets_worse(
    tmp_path: Path, before: Subject, now: Subject, covered: bool
) -> None:
    old, new = (dataclasses.replace(FINDING, subjects=(subject,)) for subject in (before, now))
    assert covers(old, new, tmp_path) is covered


def subjects_of(names: list[str]) -> tuple[Subject, ...]:
    return (Subject(names[0], False, names[-1], 1, 2, (2e-9, 0.1)), *map(Subject, names))


def test_the_file_survives_hostile_text(tmp_path: Path) -> None:
    usable = [name for name in HOSTILE if "\udcff" not in name]
    codes = sorted(check.doc.code for check in all_detectors())
    groups = [usable[start : start + 3] for start in range(0, len(usable), 3)]
    entries = tuple(
        Acceptance(code, Outcome.FAILED, Severity.MAJOR, subjects_of(names), names[0].strip() or "x", "2030-01-31")
        for code, names in zip(codes, groups, strict=False)
    )
    assert sum(len(entry.subjects) - 1 for entry in entries) == len(usable)
    file = tmp_path / "baseline.toml"
    file.write_bytes(encode_baseline(entries))
    assert load_baseline(file) == entries


def test_accepting_again_replaces_the_entry(tmp_path: Path) -> None:
    before = load_baseline(stored(BAD, tmp_path))
    later = accept(BAD, codes=("PA204",), reason="still known", expires=datetime.date(2031, 1, 1), before=before)
    assert len(later) == len(before)
    assert {entry.code: entry.reason for entry in later}["PA204"] == "still known"


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "a bell \a", "x" * 1001])
def test_a_reason_is_one_line_of_text(reason: str) -> None:
    with pytest.raises(InvalidInputError, match="reason"):
        accept(BAD, codes=(), reason=reason, expires=DAY)
    assert accept(BAD, codes=(), reason="x" * 1000, expires=DAY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accepted = 3", "is not a baseline"),
        ("other = 1", "'other' is not allowed"),
        ("[[accepted]]\ncode = 'PA204'", "lacks"),
        ("[[accepted]]\ncod = 'PA204'", "Unknown key 'cod'"),
        ("x = [", "not valid TOML"),
        (
            "[[accepted]]\ncode='PA204'\noutcome='PASSED'\nseverity='major'\nsubjects=[]\nreason='x'\nexpires=2030-01-01",
            "outcome is 'PASSED'",
        ),
        (
            "[[accepted]]\ncode='PA204'\noutcome='FAILED'\nseverity='big'\nsubjects=[]\nreason='x'\nexpires=2030-01-01",
            "severity is 'big'",
        ),
        (
            "[[accepted]]\ncode='PA204'\noutcome='FAILED'\nseverity='major'\nsubjects=[1]\nreason='x'\nexpires=2030-01-01",
            "A subject is 1",
        ),
        (ENTRY.replace("'x'", "' '"), "reason is empty"),
        (
            "[[accepted]]\ncode='PA204'\noutcome='FAILED'\nseverity='major'\nsubjects=[]\nreason='x'\nexpires='2030'",
            "expires is '2030'",
        ),
        (ENTRY.replace("PA204", "PA2O4"), "no check 'PA2O4'"),
        (ENTRY + ENTRY, "more than once"),
        (ENTRY.replace("[]", "[{name = 'a', hits = 3, items = 2}]"), "hits from 0 to items"),
        (ENTRY.replace("[]", "[{name = 'a', extent = [2, 1]}]"), "two rising numbers"),
        (ENTRY.replace("[]", "[{name = 'a', shown = true}]"), "A subject is"),
        (ENTRY.replace("[]", "[{name = 'a', is_shown = 1}]"), "A subject is"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "baseline.toml"
    file.write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        load_baseline(file)


def test_a_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"Baseline file .* does not exist"):
        load_baseline(tmp_path / "baseline.toml")


def test_an_unknown_code_and_an_empty_reason_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="no open finding 'PA999'"):
        accept(BAD, codes=("PA999",), reason="x", expires=DAY)
    with pytest.raises(InvalidInputError, match="reason is empty"):
        accept(BAD, codes=(), reason=" ", expires=DAY)
