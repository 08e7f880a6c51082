"""The documents say what the program does: public names, commands, options, and Python that parses."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from documents.blocks import PAGES, ROOT, blocks_in


def blocks(document: Path, *languages: str) -> list[str]:
    return [block.text for block in blocks_in(document) if block.language in languages]


def commands_in(text: str) -> list[list[str]]:
    """The words of every line that starts poolaudit, with continued lines joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip().startswith("poolaudit ")]


def wrong_words(words: list[str]) -> list[str]:
    """The command or the options that the program does not know."""
    import typer

    from poolaudit.cli.main import app, register_commands

    register_commands()
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    if words[1].startswith("-"):
        return []
    if words[1] not in known:
        return [words[1]]
    options = {option for parameter in known[words[1]].params for option in parameter.opts + parameter.secondary_opts}
    return [word for word in words[2:] if word.startswith("--") and word.split("=")[0] not in {*options, "--help"}]


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.name)
def test_every_command_in_a_document_exists_with_its_options(document: Path) -> None:
    for text in blocks(document, "sh", ""):
        for words in commands_in(text):
            assert not wrong_words(words), " ".join(words)


def test_a_wrong_option_is_noticed() -> None:
    assert wrong_words(["poolaudit", "metrics", "p.csv", "--positve", "a"]) == ["--positve"]
    assert wrong_words(["poolaudit", "audti"]) == ["audti"]


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.name)
def test_every_python_block_parses_and_names_what_exists(document: Path) -> None:
    import poolaudit

    for text in blocks(document, "python"):
        compile(text, document.name, "exec")
        if "import poolaudit\n" in text:
            for name in re.findall(r"\bpoolaudit\.([A-Za-z_]\w*)", text):
                assert name in poolaudit.__all__ or (ROOT / "poolaudit" / name).exists(), name


def test_the_readme_quotes_the_benchmarks_as_they_are() -> None:
    quoted = (ROOT / "README.md").read_text().partition("## Measured")[2].partition("\n## ")[0]
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    numbers = re.findall(r"\d[\d,.]*\d|\d", quoted)
    assert len(numbers) > 8
    assert [number for number in numbers if number not in page] == []


def test_the_page_of_public_names_is_that_of_the_package() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "api_page.py"))["page"]
    assert (ROOT / "docs" / "api.md").read_text() == page(), "run: python scripts/api_page.py > docs/api.md"
