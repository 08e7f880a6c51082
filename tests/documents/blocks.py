"""The fenced blocks of a Markdown document, and what its hidden comments say about them.

A comment straight above a block tells what it is: `<!-- file: NAME -->` a file that later commands read,
`<!-- in the repository -->` what is run in a copy of the checkout,
`<!-- output -->` what the block before it printed, `<!-- not run: REASON -->` one that is run elsewhere or cannot
be run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CHANGING = re.compile(r"[\d.,+-]+|\s+")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        language: What stands behind the fence.
        mark: What the comment above it says; empty where there is none.
        line: Of its fence in the document, from 1.
    """

    language: str
    mark: str
    text: str
    line: int


def blocks_in(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [Block(m[2], m[1] or "", m[3], text.count("\n", 0, m.start(2)) + 1) for m in _BLOCK.finditer(text)]


def lines_not_printed(shown: str, printed: str) -> list[str]:
    """Lines of a document's output that the command did not print; numbers may differ, and "..." leaves lines out."""
    there = {_steady(line) for line in printed.splitlines()}
    return [line for line in shown.splitlines() if line.strip() not in ("", "...") and _steady(line) not in there]


def _steady(line: str) -> str:
    return _CHANGING.sub(" ", line).strip()
