"""Accepted findings: what they cover, when they expire, and the file they live in."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest
from report_examples import HOSTILE, result_of

from poolaudit.baseline import accept, apply_baseline, encode_baseline, load_baseline
from poolaudit.errors import InvalidInputError
from poolaudit.findings import Fact, Finding
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.verdict import fails_release
from poolaudit.results import Acceptance, AuditResult
from specimens.outcomes import scored_counts

DAY = datetime.date(2030, 1, 31)
BAD = result_of(scored_counts(12, 88, 12, 4_888), "fraud")
FINDING = Finding("PA299", "Made", Outcome.FAILED, Severity.MAJOR, "x", (Fact("Recall of 'a'", "1 %"),))
ACCEPTED = Acceptance("PA299", Outcome.FAILED, Severity.MAJOR, ("Recall of 'a'",), "known", DAY.isoformat())


def stored(result: AuditResult, folder: Path, **options: object) -> Path:
    file = folder / "baseline.toml"
    chosen = {"codes": (), "reason": "known since the pilot", "expires": DAY} | options
    file.write_bytes(encode_baseline(accept(result, **chosen)))  # type: ignore[arg-type]
    return file


def test_what_was_accepted_breaks_the_build_no_more(tmp_path: Path) -> None:
    result = apply_baseline(BAD, stored(BAD, tmp_path), today=DAY)
    assert fails_release(BAD)
    assert not fails_release(result)
    assert (result.verdict, result.findings) == (BAD.verdict, BAD.findings)


def test_the_day_after_it_breaks_again(tmp_path: Path) -> None:
    result = apply_baseline(BAD, stored(BAD, tmp_path), today=DAY + datetime.timedelta(days=1))
    assert fails_release(result)
    assert all(entry.has_expired for entry in result.accepted)


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
        ({"code": "PA298"}, False),
        ({"evidence": (Fact("Recall of 'a'", "0 %"), Fact("Recall of 'b'", "2 %"))}, False),
        ({"evidence": (Fact("Recall of 'a'", "0 %"),)}, True),
    ],
)
def test_only_what_is_no_worse_is_covered(change: dict[str, object], covered: bool) -> None:
    assert ACCEPTED.covers(dataclasses.replace(FINDING, **change)) is covered  # type: ignore[arg-type]


def test_an_undecided_one_does_not_cover_a_failure() -> None:
    accepted = dataclasses.replace(ACCEPTED, outcome=Outcome.UNDECIDED)
    assert not accepted.covers(FINDING)


def test_the_file_survives_hostile_text(tmp_path: Path) -> None:
    entries = tuple(
        Acceptance(f"PA2{i:02}", Outcome.FAILED, Severity.MAJOR, (name, "x"), name.strip() or "x", "2030-01-31")
        for i, name in enumerate(HOSTILE)
        if "\udcff" not in name
    )
    file = tmp_path / "baseline.toml"
    file.write_bytes(encode_baseline(entries))
    assert load_baseline(file) == entries


def test_accepting_again_replaces_the_entry(tmp_path: Path) -> None:
    before = load_baseline(stored(BAD, tmp_path))
    later = accept(BAD, codes=("PA204",), reason="still known", expires=datetime.date(2031, 1, 1), before=before)
    assert len(later) == len(before)
    assert {entry.code: entry.reason for entry in later}["PA204"] == "still known"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accepted = 3", "is not a baseline"),
        ("other = 1", "'other' is not allowed"),
        ("[[accepted]]\ncode = 'PA204'", "lacks"),
        ("[[accepted]]\ncod = 'PA204'", "Unknown key 'cod'"),
        ("x = [", "not valid TOML"),
        (
            "[[accepted]]\ncode='PA204'\noutcome='PASSED'\nseverity='major'\nlabels=[]\nreason='x'\nexpires=2030-01-01",
            "outcome is 'PASSED'",
        ),
        (
            "[[accepted]]\ncode='PA204'\noutcome='FAILED'\nseverity='big'\nlabels=[]\nreason='x'\nexpires=2030-01-01",
            "severity is 'big'",
        ),
        (
            "[[accepted]]\ncode='PA204'\noutcome='FAILED'\nseverity='major'\nlabels=[1]\nreason='x'\nexpires=2030-01-01",
            "labels is",
        ),
        (
            "[[accepted]]\ncode='PA204'\noutcome='FAILED'\nseverity='major'\nlabels=[]\nreason=' '\nexpires=2030-01-01",
            "reason is empty",
        ),
        (
            "[[accepted]]\ncode='PA204'\noutcome='FAILED'\nseverity='major'\nlabels=[]\nreason='x'\nexpires='2030'",
            "expires is '2030'",
        ),
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
