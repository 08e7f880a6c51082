"""Results on disk: the same after a round trip, whole or absent, and never trusted when read."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolaudit.audit import AuditPlan, run_audit
from poolaudit.errors import InvalidInputError
from poolaudit.results import SCHEMA_VERSION, AuditResult
from poolaudit.store.atomic import make_output_folder, write_atomically, write_together
from poolaudit.store.results import decode_result, encode_result, load_result, save_result
from specimens.outcomes import diagonal, from_confusion, scored_counts


def audited(folder: Path, given: Any, positive: str | None = None) -> AuditResult:
    """A real audit of a real prediction file."""
    file = folder / "made.npz"
    arrays = {"label": np.array(given.class_names)[given.labels]}
    if given.probabilities is None:
        arrays["predicted"] = np.array(given.class_names)[given.predicted]
    else:
        arrays |= {f"p_{name}": given.probabilities[:, i] for i, name in enumerate(given.class_names)}
    np.savez(file, **arrays)
    return run_audit(AuditPlan(predictions=file, positive=positive))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AuditResult]:
    folder = tmp_path_factory.mktemp("results")
    return {
        "binary": audited(folder, scored_counts(85, 15, 10, 90), "fraud"),
        "labels alone": audited(folder, from_confusion(diagonal(12, 20, 0.8))),
        "undecided": audited(folder, scored_counts(2, 1, 1, 6)),
    }


@pytest.fixture(scope="module")
def with_model(trained_digits) -> AuditResult:  # type: ignore[no-untyped-def]
    return run_audit(AuditPlan(model=trained_digits.model_file, test=str(trained_digits.test_file), budget="quick"))


def test_round_trip_is_identity(results: dict[str, AuditResult], with_model: AuditResult) -> None:
    for result in (*results.values(), with_model):
        content = encode_result(result)
        assert decode_result(content) == result
        assert encode_result(decode_result(content)) == content
        json.loads(content, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_top_level_is_the_documented_one(results: dict[str, AuditResult]) -> None:
    plain = json.loads(encode_result(results["binary"]))
    assert plain["schema_version"] == SCHEMA_VERSION
    assert {"verdict", "findings", "evidence", "provenance"} <= set(plain)
    assert set(plain["evidence"]) == {"geometry", "evaluation", "conformance", "ablation", "leakage", "benchmarks"}
    assert {"code", "title", "outcome", "severity", "summary"} <= set(plain["findings"][0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_lacks_are_refused(results: dict[str, AuditResult], value: float) -> None:
    result = results["binary"]
    broken = dataclasses.replace(result, provenance=dataclasses.replace(result.provenance, duration_seconds=value))
    with pytest.raises(ValueError, match="JSON"):
        encode_result(broken)


def test_text_that_is_no_text_costs_a_character_and_not_the_result(results: dict[str, AuditResult]) -> None:
    stored = decode_result(encode_result(dataclasses.replace(results["binary"], title="a\udcff\0b")))
    assert stored.title == "a?\0b"


@pytest.mark.parametrize("version", [0, 2, 99, "1", None, 1.5, True])
def test_other_schema_versions_are_refused(results: dict[str, AuditResult], version: object) -> None:
    plain = json.loads(encode_result(results["binary"]))
    plain["schema_version"] = version
    with pytest.raises(InvalidInputError, match="schema version"):
        decode_result(json.dumps(plain).encode())
    del plain["schema_version"]
    with pytest.raises(InvalidInputError, match="schema version none"):
        decode_result(json.dumps(plain).encode())


def test_truncated_files_are_refused(results: dict[str, AuditResult]) -> None:
    content = encode_result(results["binary"]).rstrip()
    for size in [*range(60), *np.linspace(60, len(content) - 1, 60).astype(int)]:
        with pytest.raises(InvalidInputError):
            decode_result(content[:size])


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidInputError):
        decode_result(content)


def test_deep_nesting_is_refused() -> None:
    for content in (b"[" * 200_000, b'{"schema_version": 1, "title": ' + b"[" * 200_000):
        with pytest.raises(InvalidInputError):
            decode_result(content)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**25), 10**25), st.floats(allow_nan=False), st.text(max_size=5)
)


@settings(max_examples=25)
@given(st.data())
def test_changed_leaves_are_refused_or_harmless(results: dict[str, AuditResult], data: st.DataObject) -> None:
    """A stored result is data from outside: it is refused, or it can be judged and shown."""
    from poolaudit.audit import judge_again
    from poolaudit.report.page import build_page

    plain = json.loads(encode_result(results["undecided"]))
    del plain["sha256"]
    node: Any = plain
    while True:
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(node[key], (dict, list)) and node[key] and data.draw(st.integers(0, 9)):
            node = node[key]
            continue
        node[key] = data.draw(st.one_of(SCALARS, st.just([]), st.just({})))
        break
    try:
        result = decode_result(json.dumps(plain).encode())
    except InvalidInputError:
        return
    build_page(judge_again(result, result.policy))


def test_save_and_load_by_file_and_by_folder(results: dict[str, AuditResult], tmp_path: Path) -> None:
    path = save_result(results["binary"], tmp_path / "result.json")
    assert load_result(path) == load_result(tmp_path) == results["binary"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


def test_missing_result_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="nowhere"):
        load_result(tmp_path / "nowhere.json")
    with pytest.raises(InvalidInputError, match=r"result\.json"):
        load_result(tmp_path)


def test_a_failed_write_leaves_the_old_files(tmp_path: Path) -> None:
    old, folder = tmp_path / "result.json", tmp_path / "report.html"
    old.write_bytes(b"old")
    folder.mkdir()
    with pytest.raises(InvalidInputError, match=r"report\.html"):
        write_together({old: b"new", folder: b"new"})
    assert old.read_bytes() == b"old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["report.html", "result.json"]
    with pytest.raises(InvalidInputError, match="--out"):
        write_atomically(folder, b"new")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A real limit on file sizes, in a process of its own."""
    (tmp_path / "result.json").write_bytes(b"old")
    code = f"""
import resource, signal
from pathlib import Path
from poolaudit.errors import InvalidInputError
from poolaudit.store.atomic import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path({str(tmp_path)!r}) / "result.json", b"x" * 5000)
except InvalidInputError as error:
    print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "refused:" in done.stdout, done.stderr
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("result.json", b"old")]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below", Path(os.devnull)):
        with pytest.raises(InvalidInputError, match="--out"):
            make_output_folder(folder)
    assert make_output_folder(tmp_path / "new" / "deep").is_dir()
    assert not list((tmp_path / "new" / "deep").iterdir())


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "result.json", b"{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "result.json").stat().st_mode) == 0o666 & ~umask
