"""Writes docs/tensorflow-divergences.md from the list of known divergences.

Run it with `python -m poolaudit.conformance.divergences_page`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from poolaudit.conformance.known import KnownDivergence, known_divergences

_INTRODUCTION = """# Where TensorFlow and Keras break the properties of pooling

<!-- Generated from poolaudit/conformance/known_divergences.toml by python -m poolaudit.conformance.divergences_page -->

`poolaudit check keras` attacks the pooling layers of Keras and the pooling operations of `tf.nn` with properties.
These are the divergences it knows: {total} entries with {distinct} causes, seen with TensorFlow 2.21 and
Keras 3.15 on a CPU. "oneDNN" and "plain" are the two kernel sets of the same wheel (`TF_ENABLE_ONEDNN_OPTS`).
Some entries are wrong values or dead processes, others missing kernels or unchecked arguments; the column says which
answer is right. Every script states what is right and fails while the divergence lives.

| what happens | expected | layers | mode | dtype | kernels | up to |
| --- | --- | --- | --- | --- | --- | --- |
"""


def page(entries: tuple[KnownDivergence, ...]) -> str:
    """The page as Markdown."""
    distinct = sum(not entry.cause for entry in entries)
    rows = "".join(_row(entry) for entry in entries)
    return _INTRODUCTION.format(total=len(entries), distinct=distinct) + rows + "".join(map(_section, entries))


def _row(entry: KnownDivergence) -> str:
    cells = (
        f"[{entry.title}](#{entry.identifier})",
        entry.expected,
        _listed(entry.layer),
        _listed(entry.mode),
        _listed(entry.dtype),
        entry.kernels,
        f"{entry.package} {entry.until}",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _listed(patterns: str) -> str:
    return "all" if patterns == "*" else ", ".join(f"`{one}`" for one in patterns.split("|"))


def _section(entry: KnownDivergence) -> str:
    more = f"\nSame cause as [{entry.cause}](#{entry.cause}).\n" if entry.cause else ""
    link = f"\nReported: <{entry.link}>\n" if entry.link else ""
    setting = {"onednn": "1", "plain": "0"}.get(entry.kernels)
    environment = f"With `TF_ENABLE_ONEDNN_OPTS={setting}`. " if setting else ""
    return (
        f"\n### {entry.identifier}\n\n{entry.title}. Expected: {entry.expected}. {entry.reason}\n{more}{link}\n"
        f"Found by `{entry.property}`. {environment}The script ends with: {entry.shows}.\n\n"
        f"<details><summary>Reproduction</summary>\n\n```python\n{entry.reproduction.strip()}\n```\n\n</details>\n"
    )


def main() -> None:
    """Writes the page to the path given, else into docs/ of the working folder."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/tensorflow-divergences.md")
    target.write_text(page(known_divergences()), encoding="utf-8")


if __name__ == "__main__":
    main()
