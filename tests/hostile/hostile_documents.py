"""Policies, baselines and stored results that no program of ours wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Maker = Callable[[Path, Path], str]


def text(name: str, content: str | bytes) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        (folder / name).write_bytes(content.encode(errors="surrogatepass") if isinstance(content, str) else content)
        return name

    return make


def linked_in_a_ring(name: str) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        (folder / name).symlink_to(f"second-{name}")
        (folder / f"second-{name}").symlink_to(name)
        return name

    return make


def pipe(name: str) -> Maker:
    """A pipe nobody writes into: whoever reads it waits for ever."""

    def make(folder: Path, sound: Path) -> str:
        os.mkfifo(folder / name)
        return name

    return make


def endless(name: str) -> Maker:
    """A link to a device that never ends and says it holds nothing."""

    def make(folder: Path, sound: Path) -> str:
        (folder / name).symlink_to("/dev/zero")
        return name

    return make


def sparse(name: str, size: int) -> Maker:
    """Zero bytes that take no room on the disk."""

    def make(folder: Path, sound: Path) -> str:
        with (folder / name).open("wb") as file:
            file.truncate(size)
        return name

    return make


def folder_named(name: str) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        (folder / name).mkdir()
        return name

    return make


def toml(name: str) -> dict[str, Maker]:
    """What is wrong with any TOML file."""
    return {
        "no TOML": text(name, "good_recall ="),
        "random bytes": text(name, bytes(range(256)) * 4),
        "another encoding": text(name, "titel = 'ü'".encode("utf-16")),
        "zero bytes": text(name, "\x00" * 100),
        "a hundred megabytes": sparse(name, 100 << 20),
        "deep nesting": text(name, "a = " + "[" * 5000 + "]" * 5000),
        "deep keys": text(name, ".".join(["a"] * 20_000) + " = 1"),
        "a number of 9,000 digits": text(name, "good_recall = " + "9" * 9000),
        "a key twice": text(name, "good_recall = 0.9\ngood_recall = 0.8\n"),
        "a table that is also a value": text(name, "a = 1\n[a]\nb = 2\n"),
        "a ring of links": linked_in_a_ring(name),
        "a pipe": pipe(name),
        "a device without end": endless(name),
        "a folder": folder_named(name),
        "missing": lambda folder, sound: name,
    }


POLICIES: dict[str, Maker] = {
    **toml("p.toml"),
    "not a number": text("p.toml", "good_recall = nan"),
    "infinite": text("p.toml", "good_recall = inf"),
    "negative": text("p.toml", "good_recall = -0.1"),
    "text for a number": text("p.toml", "good_recall = '0.9'"),
    "truth for a number": text("p.toml", "good_recall = true"),
    "a list for a number": text("p.toml", "good_recall = [0.9]"),
    "a date for a number": text("p.toml", "good_recall = 2020-01-01"),
    "a table for a number": text("p.toml", "[good_recall]\na = 1"),
    "an unknown key": text("p.toml", "__class__ = 1"),
    "an unknown severity": text("p.toml", "fail_level = 'fatal'"),
    "a pyproject without a table": lambda folder, sound: text("pyproject.toml", "[tool.poolaudit]\nx=1")(folder, sound),
}

_ENTRY = 'code = "PA204"\noutcome = "FAILED"\nseverity = "major"\nlabels = []\nreason = "r"\nexpires = 2030-01-01\n'

BASELINES: dict[str, Maker] = {
    **toml("b.toml"),
    "accepted is a number": text("b.toml", "accepted = 7"),
    "accepted is a list of numbers": text("b.toml", "accepted = [1, 2]"),
    "another table": text("b.toml", "[other]\na = 1"),
    "an entry without a day": text("b.toml", "[[accepted]]\n" + _ENTRY.replace("expires = 2030-01-01\n", "")),
    "a day as text": text("b.toml", "[[accepted]]\n" + _ENTRY.replace("2030-01-01", '"never"')),
    "a moment for a day": text("b.toml", "[[accepted]]\n" + _ENTRY.replace("2030-01-01", "2030-01-01T00:00:00Z")),
    "a day that is none": text("b.toml", "[[accepted]]\n" + _ENTRY.replace("2030-01-01", "2030-02-31")),
    "an empty reason": text("b.toml", "[[accepted]]\n" + _ENTRY.replace('"r"', '" "')),
    "an unknown outcome": text("b.toml", "[[accepted]]\n" + _ENTRY.replace("FAILED", "PASSED")),
    "labels that are numbers": text("b.toml", "[[accepted]]\n" + _ENTRY.replace("labels = []", "labels = [1]")),
    "an unknown key": text("b.toml", "[[accepted]]\n" + _ENTRY + "run = 'x'\n"),
}


def changed(change: Callable[[dict[str, Any]], object]) -> Maker:
    """A real result, changed."""

    def make(folder: Path, sound: Path) -> str:
        result = json.loads((sound / "result.json").read_text())
        del result["sha256"]  # whoever changes it on purpose removes what would tell
        change(result)
        (folder / "r.json").write_text(json.dumps(result))
        return "r.json"

    return make


def cut(share: float) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        whole = (sound / "result.json").read_bytes()
        (folder / "r.json").write_bytes(whole[: int(share * len(whole))])
        return "r.json"

    return make


RESULTS: dict[str, Maker] = {
    "missing": lambda folder, sound: "r.json",
    "an empty file": text("r.json", ""),
    "random bytes": text("r.json", bytes(range(256)) * 8),
    "null": text("r.json", "null"),
    "a list": text("r.json", "[]"),
    "an empty object": text("r.json", "{}"),
    "deep nesting": text("r.json", '{"schema_version": 1, "evidence": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "a number of 9,000 digits": text("r.json", '{"schema_version": ' + "9" * 9000 + "}"),
    "a version in an exponent": text("r.json", '{"schema_version": 1e0}'),
    "numbers that JSON lacks": text("r.json", '{"schema_version": 1, "a": NaN}'),
    "half a file": cut(0.5),
    "all but a byte": cut(0.9999),
    "a ring of links": linked_in_a_ring("r.json"),
    "a pipe": pipe("r.json"),
    "a device without end": endless("r.json"),
    "a folder without a result": folder_named("r.json"),
    "findings that are a number": changed(lambda r: r.update(findings=7)),
    "a finding without a code": changed(lambda r: r["findings"][0].pop("code")),
    "an unknown outcome": changed(lambda r: r["findings"][0].update(outcome="GREEN")),
    "a verdict of our own": changed(lambda r: r.update(verdict="FINE")),
    "no evidence": changed(lambda r: r.pop("evidence")),
    "evidence that is text": changed(lambda r: r.update(evidence="all fine")),
    "one class": changed(lambda r: r["evidence"]["evaluation"].update(class_names=["a"])),
    "a negative count": changed(lambda r: r["evidence"]["evaluation"]["confusion"][0].__setitem__(0, -5)),
    "counts that do not add up": changed(lambda r: r["evidence"]["evaluation"]["confusion"][0].__setitem__(0, 10**9)),
    "no counts": changed(lambda r: r["evidence"]["evaluation"].update(confusion=[])),
    "a class of interest that is none": changed(lambda r: r["evidence"]["evaluation"].update(positive="<script>")),
    "metrics of other classes": changed(lambda r: r["evidence"]["evaluation"].update(per_class=[])),
}
