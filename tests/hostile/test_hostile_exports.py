"""What poolaudit writes for others to open carries nothing of the input's that would run there."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from poolaudit.cli.main import main

FORMULAS = (
    '=HYPERLINK("http://127.0.0.1/?"&A1,"x")',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1)",
    "\t=1+1",
)
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'`${1}{{7*7}}"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert isinstance(end.value.code, int)
    return end.value.code


def test_no_cell_of_a_clean_split_is_a_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    paths = np.array([*FORMULAS, *(f"{i}.png" for i in range(55))])
    labels = np.array([FORMULAS[i % 2] for i in range(60)])
    for name in ("train", "test"):
        np.savez(tmp_path / f"{name}.npz", x=rng.random((60, 8, 8, 1)), y=labels, path=paths)
    code = run("leaks", "--train", "train.npz", "--test", "test.npz", "--clean-split", "clean.csv", "--quiet")
    assert code in (0, 1)
    with (tmp_path / "clean.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 120
    for row in rows:
        assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert {row["path"].removeprefix("./") for row in rows} == set(paths.tolist()), "paths still lead to their files"
    assert {row["label"].removeprefix("'") for row in rows} == set(labels.tolist())


def test_classes_that_are_formulas_and_markup_stay_text_in_every_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = (FORMULAS[0], MARKUP)
    with (tmp_path / "p.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["label", "predicted"])
        writer.writerows([(names[i % 2], names[i % 3 % 2]) for i in range(120)])
    assert run("metrics", "p.csv", "--title", MARKUP, "--out", "out", "--quiet") in (0, 1)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script>alert" not in page
    assert not re.search(r"<img[^>]*onerror", page)
    assert "49" not in re.findall(r"\$\{1\}(\d+)", page), "no template is filled in twice"
    markdown = (tmp_path / "out" / "summary.md").read_text()
    assert "<script>" not in markdown
    for name in ("result.sarif", "result.json"):
        json.loads((tmp_path / "out" / name).read_text())
    assert not (tmp_path / "out" / "junit.xml").read_text().count("<script>")
