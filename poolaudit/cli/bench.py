"""`poolaudit bench MODEL`: how fast the pooling is at the model's real shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poolaudit.cli import running
from poolaudit.cli.quiet import import_tensorflow
from poolaudit.errors import InvalidInputError
from poolaudit.results import AuditResult


def register(app: typer.Typer) -> None:
    app.command("bench", help="Measure how fast each pooling site is, against the machine's memory bandwidth.")(_bench)


def _bench(
    model: Annotated[
        str, typer.Argument(help="A .keras, .h5 or .hdf5 file, or package.module:function that returns a model.")
    ],
    input_shape: Annotated[
        str | None,
        typer.Option(
            "--input-shape",
            help="Sizes of one item with channels, such as 224x224x3, where the model leaves them open.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Items at once.")] = 32,
    dtypes: Annotated[
        list[str] | None,
        typer.Option("--dtype", help="float16, bfloat16, float32 or float64; may be given again. [default: float32]"),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=6, help="Samples of each measurement, taken in turns.")] = 20,
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--variant",
            help="Time this variant's layer at each site too, such as blur (docs/variants.md); may be given again; "
            "none for the model alone. [default: all that apply]",
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="result.json of an earlier run on this machine: gives ratios.")
    ] = None,
    trust_model_code: Annotated[
        bool, typer.Option("--trust-model-code", help="Let code inside the model file (Lambda layers) run.")
    ] = False,
    seed: running.Seed = 0,
    title: running.Title = None,
    out: running.Out = running.DEFAULT_OUT,
    as_json: running.Json = False,
    quiet: running.Quiet = False,
) -> int:
    from poolaudit.audit.bench import benchmark_model
    from poolaudit.store.atomic import make_output_folder
    from poolaudit.store.results import load_result

    before = None if against is None else load_result(against)
    shape = None if input_shape is None else _shape(input_shape)
    make_output_folder(out)
    import_tensorflow()
    listener = running.progress_listener(quiet=quiet)
    try:
        result = benchmark_model(
            model,
            input_shape=shape,
            batch=batch,
            dtypes=tuple(dtypes or ("float32",)),
            rounds=rounds,
            variants=() if variants == ["none"] else variants,
            against=before,
            trust_model_code=trust_model_code,
            seed=seed,
            title=title,
            command=running.command_line(),
            listener=listener,
        )
    finally:
        running.close(listener)
    return running.finish(result, out, as_json=as_json, quiet=quiet, told=_told)


def _shape(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(part.isdecimal() and 0 < int(part) <= 1_000_000 for part in parts) or len(parts) > 5:
        raise InvalidInputError(f"--input-shape is {text!r}", "the sizes of one item with x between them: 224x224x3")
    return tuple(int(part) for part in parts)


def _told(result: AuditResult) -> str:
    from poolaudit.evidence.wording import duration, percent, times

    evidence = result.evidence.benchmarks
    assert evidence is not None
    copied = evidence.bytes_per_second.value or 0.0
    lines = [
        "",
        f"{evidence.device}, {evidence.threads} threads; a copy of memory moves {copied / 1e9:.1f} GB/s, "
        f"an empty call takes {duration(evidence.call_seconds)}",
        "",
        f"{'site':<32} {'variant':<16} {'dtype':<9} {'direction':<9} {'a call':>10} {'items/s':>12} {'bandwidth':>10}",
    ]
    for entry in evidence.layers:
        for t in entry.timings:
            share = "-" if t.bandwidth_share.value is None else percent(t.bandwidth_share.value)
            lines.append(
                f"{entry.site[-32:]:<32} {entry.variant:<16} {entry.dtype:<9} {t.direction:<9} "
                f"{duration(t.seconds.value):>10} {t.items_per_second:>12,.0f} {share:>10}"
            )
    if evidence.compared_with is not None:
        lines += ["", f"Against {evidence.compared_with} (below 1 is faster)"]
        lines += [f"  {entry.case}: {times(entry.ratio)}" for entry in evidence.ratios]
        lines += ["  Intervals hold what varied within each run; a few percent between two runs may be the machine's."]
    lines += [f"not measured: {text}" for text in evidence.not_measured]
    return "\n".join(lines)
