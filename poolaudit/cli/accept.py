"""`poolaudit accept RESULT`: writes findings into a baseline, with a reason and an expiry date."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer

from poolaudit.cli import running
from poolaudit.cli.printing import say
from poolaudit.errors import InvalidInputError

DEFAULT_BASELINE = Path("poolaudit-baseline.toml")


def register(app: typer.Typer) -> None:
    app.command("accept", help="Accept open findings for a time: --baseline then fails only on what is new.")(_accept)


def _accept(
    result: Annotated[Path, typer.Argument(help="A result.json, or the folder it is in.")],
    reason: Annotated[str, typer.Option("--reason", help="Why these findings may stand for now.")],
    expires: Annotated[str, typer.Option("--expires", help="The last day on which they may: YYYY-MM-DD.")],
    codes: Annotated[
        list[str] | None,
        typer.Option("--code", help="Accept this finding only; may be given again. [default: every open one]"),
    ] = None,
    file: Annotated[Path, typer.Option("--baseline", help="The baseline to write or add to.")] = DEFAULT_BASELINE,
) -> int:
    from poolaudit.baseline import accept, encode_baseline, load_baseline
    from poolaudit.store.atomic import write_atomically

    accepted = accept(
        running.stored_result(result),
        codes=codes or (),
        reason=reason,
        expires=_date(expires),
        before=load_baseline(file) if file.exists() else (),
    )
    write_atomically(file, encode_baseline(accepted), cure="Name a file that can be written with --baseline")
    say(f"{file}: {len(accepted)} accepted: {', '.join(entry.code for entry in accepted) or 'none'}")
    return 0


def _date(text: str) -> datetime.date:
    try:
        # Later Pythons take other forms of ISO 8601 as well, such as 20300131.
        day = datetime.datetime.strptime(text, "%Y-%m-%d").date()
        if day.isoformat() != text:
            raise ValueError
    except ValueError:
        raise InvalidInputError(f"--expires is {text!r}", "a date written YYYY-MM-DD, such as 2030-01-31") from None
    if day < datetime.datetime.now(datetime.UTC).date():
        raise InvalidInputError(f"--expires is {text}, which is past", "today or a later day")
    return day
