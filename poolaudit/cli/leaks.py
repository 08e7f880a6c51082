"""`poolaudit leaks --train DATA --test DATA`: is the test split really unseen?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poolaudit.cli import running


def register(app: typer.Typer) -> None:
    app.command("leaks", help="Compare test data with training data: copies, groups, times, shortcuts.")(_leaks)


def _leaks(
    train: Annotated[str, typer.Option("--train", help="Training data, in any form `audit --test` takes.")],
    test: Annotated[str, typer.Option("--test", help="Test data, likewise.")],
    validation: Annotated[
        str | None, typer.Option("--val", "--validation", help="Validation data, compared with both.")
    ] = None,
    resize: Annotated[str | None, typer.Option("--resize", help="Resize image files to HEIGHTxWIDTH.")] = None,
    sample: Annotated[
        int | None,
        typer.Option("--sample", min=1, help="Look at so many items of each split only; the report says what is left."),
    ] = None,
    clean_split: Annotated[
        Path | None,
        typer.Option(
            "--clean-split", help="Write which test items are clean, and all items divided anew, to this .csv or .npz."
        ),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder to keep findings in, by the content of the data.")
    ] = None,
    policy: running.PolicyFile = None,
    fail_level: running.FailLevel = None,
    baseline: running.Baseline = None,
    seed: running.Seed = 0,
    title: running.Title = None,
    out: running.Out = running.DEFAULT_OUT,
    as_json: running.Json = False,
    quiet: running.Quiet = False,
) -> int:
    from poolaudit.audit.leaks import find_leaks
    from poolaudit.errors import InvalidInputError
    from poolaudit.store.atomic import make_output_folder

    chosen = running.chosen_policy(policy, fail_level)
    if clean_split is not None and clean_split.suffix.lower() not in (".csv", ".npz"):
        raise InvalidInputError(f"--clean-split is {clean_split.name!r}", "a file that ends in .csv or .npz")
    make_output_folder(out)
    listener = running.progress_listener(quiet=quiet)
    try:
        result = find_leaks(
            train,
            test,
            validation,
            resize=running.parse_size(resize),
            sample=sample,
            clean_split=clean_split,
            cache=cache,
            policy=chosen,
            seed=seed,
            title=title,
            command=running.command_line(),
            listener=listener,
        )
    finally:
        running.close(listener)
    return running.finish(result, out, as_json=as_json, quiet=quiet, baseline=baseline)
