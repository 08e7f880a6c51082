"""Every command and every piece of Python in README, CONTRIBUTING and docs is run, in the order of its page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from documents.blocks import PAGES, Block, blocks_in, lines_not_printed
from documents.stage import copy_of_checkout, run, set_stage

# Pages of blocks that are made from, and checked against, what they come from.
_MADE = ("api.md", "tensorflow-divergences.md")
_CODE = ("sh", "python")
_DATA = ("text", "toml", "yaml", "ini", "json")
_RUN_ELSEWHERE = ("not run: ", "test command", "file: ")
_MARKS = (*_RUN_ELSEWHERE, "output", "in the repository")


def perform(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a block of a shell or of Python; tests in it are run by pytest."""
    if block.language == "sh":
        return run(f"set -e\n{block.text}", folder)
    name = f"block_{block.line}.py"
    if "def test_" in block.text:
        (folder / f"test_{name}").write_text(block.text)
        return run(["pytest", "-q", "-p", "no:cacheprovider", f"test_{name}"], folder)
    given = "from given import *\n" if (folder / "given.py").exists() else ""
    (folder / name).write_text(given + block.text)
    done = run([sys.executable, name], folder)
    assert done.returncode == 0, done.stderr
    return done


def follow(page: Path, folder: Path) -> int:
    """Runs the blocks of a page; returns how many."""
    printed, ran = "", 0
    for block in blocks_in(page):
        if block.mark.startswith("file: "):
            (folder / block.mark.removeprefix("file: ")).write_text(block.text)
        elif block.mark == "output":
            assert lines_not_printed(block.text, printed) == [], f"{page.name}, line {block.line}"
        elif block.language in _CODE and not block.mark.startswith(_RUN_ELSEWHERE):
            done = perform(block, copy_of_checkout(folder) if block.mark == "in the repository" else folder)
            printed, ran = done.stdout + done.stderr, ran + 1
    return ran


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks_in(page):
        where = f"{page.name}, line {block.line}"
        assert block.language in (*_CODE, *_DATA), where
        assert block.mark == "" or block.mark.startswith(_MARKS), where
        assert block.mark != "output" or block.language == "text", where


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in _MADE], ids=lambda page: page.name)
def test_what_a_page_says_can_be_done(page: Path, tmp_path: Path) -> None:
    wanted = [b for b in blocks_in(page) if b.language in _CODE and not b.mark.startswith(_RUN_ELSEWHERE)]
    if not wanted:
        pytest.skip("no command and no Python stands here")
    if page.name != "tutorial.md":  # it starts from nothing
        set_stage(tmp_path)
    assert follow(page, tmp_path) == len(wanted)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```sh\npoolaudit metrics nowhere.csv\n```\n", "ended with 2"),
        ("```sh\npoolaudit metrics --positve x\n```\n", "ended with 2"),
        ("```python\nraise SystemExit(3)\n```\n", "ended with 3"),
        ("```sh\necho 4 seeds\n```\n\n<!-- output -->\n```text\n4 items\n```\n", "4 items"),
    ],
)
def test_a_page_that_does_not_hold_is_noticed(text: str, complaint: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=complaint):
        follow(page, tmp_path)


def test_a_page_that_holds_passes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- file: p.csv -->\n```text\nlabel,predicted\na,a\nb,b\n```\n\n```sh\ncat p.csv && echo 3.14 is pi\n```\n\n"
        "<!-- output -->\n```text\nlabel,predicted\n...\n3.2 is pi\n```\n\n<!-- not run: no -->\n```sh\nexit 3\n```\n"
    )
    assert follow(page, tmp_path) == 1
