"""`poolaudit report RESULT`: judge a stored result again, by this or another policy, and render it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poolaudit.cli import running


def register(app: typer.Typer) -> None:
    app.command("report", help="Judge a stored result again, under another policy, and render it; nothing is run.")(
        _report
    )


def _report(
    result: Annotated[Path, typer.Argument(help="A result.json, or the folder it is in.")],
    policy: Annotated[
        Path | None, typer.Option("--policy", help="TOML file with thresholds. [default: the policy in the result]")
    ] = None,
    fail_level: running.FailLevel = None,
    baseline: running.Baseline = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for report.html and result.json. [default: beside the result]")
    ] = None,
    as_json: running.Json = False,
    quiet: running.Quiet = False,
) -> int:
    from dataclasses import replace

    from poolaudit.audit import judge_again
    from poolaudit.store.atomic import make_output_folder

    stored = running.stored_result(result)
    chosen = stored.policy if policy is None else running.chosen_policy(policy, None)
    if fail_level is not None:
        chosen = replace(chosen, fail_level=running.chosen_policy(policy, fail_level).fail_level)
    folder = out or (result if result.is_dir() else result.parent)
    make_output_folder(folder)
    return running.finish(judge_again(stored, chosen), folder, as_json=as_json, quiet=quiet, baseline=baseline)
