"""`poolaudit apply MODEL --variant blur@pool2 --out NEW.keras`: writes a variant as a model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poolaudit.cli import running
from poolaudit.cli.printing import say
from poolaudit.cli.quiet import import_tensorflow

if TYPE_CHECKING:
    from poolaudit.ablation.apply import AppliedVariant
    from poolaudit.subject._loaded import LoadedModel

_SHOWN = 12


def register(app: typer.Typer) -> None:
    app.command("apply", help="Write a variant of a model as a model file that plain Keras loads.")(_apply)


def _apply(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A .keras or .h5 file, or package.module:function.")],
    variant: Annotated[
        str | None,
        typer.Option("--variant", help="For example blur@pool2, average@all, weaker@pool1+pool2, head:global_max."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; ends in .keras.")] = None,
    list_variants: Annotated[
        bool, typer.Option("--list", help="List the variants that make sense for the model, and write nothing.")
    ] = False,
    control: Annotated[
        bool, typer.Option("--control", help="Write the variant's parameter-matched control instead.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    trust_model_code: Annotated[
        bool, typer.Option("--trust-model-code", help="Let code inside the model file (Lambda layers) run.")
    ] = False,
    seed: running.Seed = 0,
    as_json: running.Json = False,
    quiet: running.Quiet = False,
) -> int:
    from poolaudit.errors import InvalidInputError
    from poolaudit.subject.models import load_model

    if not list_variants and (variant is None or out is None):
        raise typer.BadParameter("name a variant and a file, or use --list", param_hint="--variant, --out")
    if out is not None and out.exists() and not overwrite and not list_variants:
        raise InvalidInputError(f"{out.name} exists already", cure="Name another file, or pass --overwrite")
    import_tensorflow()
    loaded = load_model(model, trust_model_code=trust_model_code)
    if list_variants or variant is None or out is None:
        _list(loaded)
        return 0
    from poolaudit.ablation.apply import apply_variant

    applied = apply_variant(loaded, variant, out, control=control, seed=seed)
    if as_json:
        say(json.dumps(asdict(applied), indent=1))
    elif not quiet:
        say(_told(applied, out))
    return 0


def _list(loaded: LoadedModel) -> None:
    from poolaudit.ablation.apply import layers_of
    from poolaudit.ablation.variants import NotApplicable, applicable_variants

    found = applicable_variants(layers_of(loaded))
    for entry in found:
        if isinstance(entry, NotApplicable):
            say(f"-  {entry.name}: {entry.reason}")
        else:
            say(f"   {entry.name}")
    if not found:
        say("No pooling layer was found that could be changed.")


def _told(applied: AppliedVariant, out: Path) -> str:
    lines = [f"{applied.variant} written to {out}", "", "Changed"]
    lines += [f"  {line}" for line in applied.code_changes]
    lines += ["", f"Weights kept: {applied.kept_weights}"]
    lines += [f"Parameters: {applied.baseline_parameters:,} before, {applied.parameters:,} now"]
    if applied.must_be_trained:
        lines += ["", f"Must be trained ({len(applied.must_be_trained)} weights start anew):"]
        lines += [f"  {name}" for name in applied.must_be_trained[:_SHOWN]]
        more = len(applied.must_be_trained) - _SHOWN
        lines += [f"  and {more} more"] if more > 0 else []
    if applied.should_be_trained:
        lines += ["", f"New weights, to be trained as well: {', '.join(applied.should_be_trained[:_SHOWN])}"]
    if not applied.must_be_trained:
        lines += ["", "All other weights were trained under the old pooling: retrain or fine-tune before release."]
    if applied.needs_poolaudit:
        lines += ["", "Before loading it:  import poolaudit.ablation.layers"]
    return "\n".join([*lines, *applied.notes])
