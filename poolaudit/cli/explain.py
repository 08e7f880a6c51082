"""`poolaudit explain CODE`: what a check means, how it works, how to cure it."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from poolaudit.cli.printing import say

if TYPE_CHECKING:
    from poolaudit.findings import CheckDoc


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
        docs = sorted((*(detector.doc for detector in detectors), *property_docs()), key=lambda doc: doc.code)
        say(
            json.dumps([asdict(doc) for doc in docs], indent=1)
            if as_json
            else "\n".join(f"{doc.code}  {doc.title}" for doc in docs)
        )
        return 0
    wanted = code.strip().upper()
    properties = {} if wanted in detectors else {doc.code: doc for doc in property_docs()}
    # An unknown code is looked up among the detectors, whose message names the closest one.
    doc = properties[wanted] if wanted in properties else detectors.get(wanted).doc
    severity = (
        f"severity: {detectors.get(wanted).severity}" if wanted in detectors else "a property of layers, see PA100"
    )
    if as_json:
        say(json.dumps(asdict(doc), indent=1))
        return 0
    sections = (
        ("Why it matters", doc.why),
        ("How it is checked", doc.how),
        ("What to do", doc.do),
        ("When it is a false alarm", doc.false_alarm),
    )
    say(f"{doc.code}  {doc.title}  ({severity})")
    for heading, text in sections:
        say(f"\n{heading}\n{textwrap.fill(text, 96, initial_indent='  ', subsequent_indent='  ')}")
    return 0


def property_docs() -> list[CheckDoc]:
    """Documentation of every property of layers, those that only a model audit has included."""
    from poolaudit.conformance import all_properties
    from poolaudit.conformance.model import model_check_docs

    return [*(entry.doc for entry in all_properties()), *model_check_docs()]
