"""`poolaudit diff OLD NEW`: two results against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poolaudit.cli import running
from poolaudit.cli.printing import say


def register(app: typer.Typer) -> None:
    app.command("diff", help="Compare two results: new, fixed and unchanged findings, moved metrics.")(_diff)


def _diff(
    old: Annotated[Path, typer.Argument(help="The earlier result.json, or the folder it is in.")],
    new: Annotated[Path, typer.Argument(help="The later one.")],
    baseline: running.Baseline = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for diff.html and diff.md. [default: only the screen]")
    ] = None,
    quiet: running.Quiet = False,
) -> int:
    from poolaudit.report.compare import compare
    from poolaudit.report.html import render_comparison_html
    from poolaudit.report.markdown import render_comparison_markdown
    from poolaudit.store.atomic import make_output_folder, write_together

    comparison = compare(running.stored_result(old), running.with_baseline(running.stored_result(new), baseline))
    markdown = render_comparison_markdown(comparison)
    if out is not None:
        make_output_folder(out)
        write_together(
            {
                out / "diff.html": render_comparison_html(comparison).encode(errors="replace"),
                out / "diff.md": markdown.encode(errors="replace"),
            }
        )
    if not quiet:
        say(markdown)
        if out is not None:
            say(f"Comparison: {out / 'diff.html'}")
    return int(comparison.breaks_the_build)
