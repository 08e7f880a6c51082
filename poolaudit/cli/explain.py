"""`poolaudit explain CODE`: what a check means, how it works, how to cure it."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("explain", help="Explain a check: why it matters, how it works, what to do, when it is a false alarm.")(
        _explain
    )


def _explain(
    code: Annotated[str | None, typer.Argument(help="A finding code such as PA201. [default: list all]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> int:
    from poolaudit.pitfalls.detector import all_detectors

    detectors = all_detectors()
    if code is None:
        docs = [detector.doc for detector in sorted(detectors, key=lambda d: d.doc.code)]
        typer.echo(
            json.dumps([asdict(doc) for doc in docs], indent=1)
            if as_json
            else "\n".join(f"{doc.code}  {doc.title}" for doc in docs)
        )
        return 0
    found = detectors.get(code.strip().upper())
    if as_json:
        typer.echo(json.dumps(asdict(found.doc), indent=1))
        return 0
    sections = (
        ("Why it matters", found.doc.why),
        ("How it is checked", found.doc.how),
        ("What to do", found.doc.do),
        ("When it is a false alarm", found.doc.false_alarm),
    )
    typer.echo(f"{found.doc.code}  {found.doc.title}  (severity: {found.severity})")
    for heading, text in sections:
        typer.echo(f"\n{heading}\n{textwrap.fill(text, 96, initial_indent='  ', subsequent_indent='  ')}")
    return 0
