"""`poolaudit inspect MODEL`: what the network sees of its input, without any data."""

from __future__ import annotations

import math
import time
from typing import Annotated

import typer

from poolaudit.cli import running
from poolaudit.cli.quiet import import_tensorflow
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.geometry import GeometryEvidence, LayerField
from poolaudit.evidence.wording import percent
from poolaudit.outcomes import Outcome
from poolaudit.results import AuditResult, Evidence

_LAYERS_SHOWN = 40
_MOST_VALUES = 200_000_000


def register(app: typer.Typer) -> None:
    app.command("inspect", help="Show what a model sees of its input: receptive fields, blind spots, pooling.")(
        _inspect
    )


def _inspect(
    model: Annotated[
        str, typer.Argument(help="A .keras, .h5 or .hdf5 file, a SavedModel folder, or package.module:function.")
    ],
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            "--input-shape",
            help="Sizes of one item with channels, such as 224x224x3, where the model leaves them open; given once for "
            "each input. [default: as the model states]",
        ),
    ] = None,
    feature_size: Annotated[
        float | None, typer.Option("--feature-size", help="Size of the smallest feature that matters, in input cells.")
    ] = None,
    trust_model_code: Annotated[
        bool, typer.Option("--trust-model-code", help="Let code inside the model file (Lambda layers) run.")
    ] = False,
    policy: running.PolicyFile = None,
    fail_level: running.FailLevel = None,
    seed: running.Seed = 0,
    title: running.Title = None,
    out: running.Out = running.DEFAULT_OUT,
    as_json: running.Json = False,
    quiet: running.Quiet = False,
) -> int:
    from poolaudit.audit import judge_part
    from poolaudit.audit.provenance import model_provenance
    from poolaudit.report.charts.renderer import start_renderer
    from poolaudit.store.atomic import make_output_folder

    if feature_size is not None and not 0 < feature_size < 1e9:
        raise InvalidInputError(f"--feature-size is {feature_size:g}", "a number of input cells above 0")
    shapes = None if not input_shape else [_shape(text) for text in input_shape]
    chosen = running.chosen_policy(policy, fail_level)
    make_output_folder(out)
    import_tensorflow()
    from poolaudit.geometry.measure import measure_geometry
    from poolaudit.subject.models import load_model

    loaded = load_model(model, trust_model_code=trust_model_code)
    start_renderer()
    clock = time.perf_counter()
    geometry = measure_geometry(
        loaded, shapes=shapes, feature_size=feature_size, confidence=chosen.confidence, seed=seed
    )
    result = judge_part(
        "geometry",
        Evidence(geometry=geometry),
        title=title or loaded.name,
        policy=chosen,
        seed=seed,
        command=running.command_line(),
        duration_seconds=time.perf_counter() - clock,
        model=model_provenance(loaded),
    )
    return running.finish(result, out, as_json=as_json, quiet=quiet, told=lambda judged: _told(geometry, judged))


def _shape(text: str) -> tuple[int, ...]:
    """ "224x224x3" as (224, 224, 3)."""
    parts = text.lower().replace(",", "x").split("x")
    form = "the sizes of one item with x between them, for example 224x224x3"
    if not all(part.strip().lstrip("-").isdecimal() for part in parts) or len(parts) > 6:
        raise InvalidInputError(f"--input-shape is {text!r}", form)
    shape = tuple(int(part) for part in parts)
    if min(shape) < 1 or math.prod(shape) > _MOST_VALUES:
        wrong = "holds a size below 1" if min(shape) < 1 else f"has more than {_MOST_VALUES:,} values"
        raise InvalidInputError(f"--input-shape {text} {wrong}", form)
    return shape


def _told(geometry: GeometryEvidence, result: AuditResult) -> str:
    lines = [
        "",
        f"{result.title}: {_counted(len(geometry.sites), 'pooling site')}, {_counted(len(geometry.layers), 'layer')}",
    ]
    if geometry.fields_reason is not None:
        lines.append(f"Receptive fields are not known: {geometry.fields_reason}")
    shown = [layer for layer in geometry.layers if layer.kind != "other" or layer.name == geometry.last_map]
    if shown:
        lines += ["", f"{'layer':<44} {'output':<20} {'sees':>14} {'step':>10}  from"]
        kept = shown if len(shown) <= _LAYERS_SHOWN else [*shown[: _LAYERS_SHOWN // 2], *shown[-_LAYERS_SHOWN // 2 :]]
        for place, layer in enumerate(kept):
            if len(shown) > _LAYERS_SHOWN and place == _LAYERS_SHOWN // 2:
                lines.append(f"... {len(shown) - _LAYERS_SHOWN} more, in the report")
            lines.append(_row(layer))
    for entry in geometry.coverage:
        words = "; ".join(entry.blind_where) or "none"
        lines += ["", f"Blind cells of {entry.name}: {words} ({percent(entry.blind_share)})"]
        if entry.answers is not None and entry.answers.silent:
            lines.append(
                f"Cells that never changed the output though they could: {'; '.join(entry.answers.silent_where)}"
            )
        if entry.border is not None and entry.last_map is not None:
            lines.append(
                f"Border cells reach {percent(entry.border)} of the places in {entry.last_map!r} that the centre does"
            )
    symbols = {"PASSED": "ok  ", "FAILED": "FAIL", "UNDECIDED": "?   ", "SKIPPED": "-   ", "CRASHED": "!!  "}
    lines += ["", "Checks"]
    measured = sorted(result.findings, key=lambda f: f.outcome is Outcome.SKIPPED)
    lines += [f"  {symbols[f.outcome.value]}  {f.code}  {f.severity.value:<8}  {f.summary}" for f in measured]
    lines += [f"not seen: {text}" for text in geometry.not_seen]
    return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _row(layer: LayerField) -> str:
    def joined(values: list[str]) -> str:
        return values[0] if len(set(values)) == 1 else "x".join(values)

    def known(value: float | None) -> str:
        return "-" if value is None else f"{value:g}"

    name = layer.name if len(layer.name) <= 44 else f"...{layer.name[-41:]}"
    sees = joined(["whole" if f.size is None and f.whole else known(f.size) for f in layer.fields])
    gate = "+all" if any(f.whole and f.size is not None for f in layer.fields) else ""
    output = "x".join(str(size) for size in layer.output_shape[1:])
    step, start = joined([known(f.stride) for f in layer.fields]), joined([known(f.start) for f in layer.fields])
    return f"{name:<44} {output:<20} {sees + gate:>14} {step:>10}  {start}"
