"""`poolaudit check LAYER`: attacks pooling layers with properties."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poolaudit.cli import running
from poolaudit.cli.printing import say
from poolaudit.cli.quiet import import_tensorflow
from poolaudit.results import Evidence

if TYPE_CHECKING:
    from poolaudit.conformance import ConformanceResult
    from poolaudit.evidence.conformance import PropertyResult

_COUNTEREXAMPLES_SHOWN = 5
_MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")


def register(app: typer.Typer) -> None:
    app.command("check", help="Attack pooling layers with properties that every correct layer satisfies.")(_check)


def _check(
    layers: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LAYER...",
            help="keras (all pooling of Keras and tf.nn), keras.layers.MaxPooling2D, package.module:Class, or a "
            "model file.",
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like", help="What the layer is like: max, average, global_average, ..., unknown. [default: inferred]"
        ),
    ] = None,
    dims: Annotated[
        int | None, typer.Option("--dims", min=1, max=3, help="Spatial axes of the layer. [default: inferred]")
    ] = None,
    profile: Annotated[
        str, typer.Option("--profile", help="How much to try: quick, standard or thorough.")
    ] = "standard",
    properties: Annotated[
        list[str] | None, typer.Option("--property", help="Try this property only; may be given again.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results as a JSON list to this file; - is standard output.")
    ] = None,
    replay_file: Annotated[
        Path | None,
        typer.Option("--replay", help="Run the counterexamples of a file that --json wrote; it runs the code in it."),
    ] = None,
    trust_model_code: Annotated[
        bool, typer.Option("--trust-model-code", help="Let code inside the model file (Lambda layers) run.")
    ] = False,
    policy: running.PolicyFile = None,
    fail_level: running.FailLevel = None,
    baseline: running.Baseline = None,
    seed: running.Seed = 0,
    title: running.Title = None,
    out: running.Out = running.DEFAULT_OUT,
    quiet: running.Quiet = False,
) -> int:
    from poolaudit.audit import judge_part
    from poolaudit.store.atomic import make_output_folder

    if replay_file is not None:
        return _replay(replay_file)
    if not layers:
        raise typer.BadParameter("name a layer, for example keras.layers.MaxPooling2D", param_hint="LAYER...")
    chosen = running.chosen_policy(policy, fail_level)
    make_output_folder(out)
    to_standard_output = json_file is not None and str(json_file) == "-"
    listener = running.progress_listener(quiet=quiet)
    try:
        if _is_model(layers):
            import_tensorflow()  # layers are loaded by the workers alone
        result = _run(layers, like, dims, profile, properties, seed, trust_model_code, running.step_listener(listener))
    finally:
        running.close(listener)
    if json_file is not None:
        _write_json(result, None if to_standard_output else json_file)
    judged = judge_part(
        "conformance",
        Evidence(conformance=result.results),
        title=title or ", ".join(layers),
        policy=chosen,
        seed=seed,
        command=running.command_line(),
        notes=(*result.notes, *_stale(result)),
        duration_seconds=result.duration_seconds,
    )
    judged = running.with_baseline(judged, baseline)
    replaced = running.replaced_report(judged, out)
    report = running.write_result(judged, out)
    if not quiet and not to_standard_output:
        say(_told(result))
        say(f"\n{judged.verdict.value.replace('_', ' ')}. Report: {report}")
    if replaced is not None and not quiet:
        say(replaced, err=to_standard_output)
    return running.exit_code(judged)


def _is_model(layers: list[str]) -> bool:
    return len(layers) == 1 and Path(layers[0]).suffix.lower() in _MODEL_SUFFIXES


def _run(
    layers: list[str],
    like: str | None,
    dims: int | None,
    profile: str,
    properties: list[str] | None,
    seed: int,
    trust_model_code: bool,
    progress: Any,
) -> ConformanceResult:
    from poolaudit.conformance import check_layer, check_layers, keras_pooling_layers, tensorflow_pooling_operations

    options: dict[str, Any] = {"profile": profile, "properties": properties, "seed": seed, "on_progress": progress}
    if layers == ["keras"]:
        return check_layers((*keras_pooling_layers(), *tensorflow_pooling_operations()), **options)
    if _is_model(layers):
        return _check_model(Path(layers[0]), trust_model_code, profile, properties, seed, progress)
    from poolaudit.conformance.subjects import subject_of

    if len(layers) == 1:
        return check_layer(layers[0], like, dims, **options)
    return check_layers([subject_of(layer, like, dims) for layer in layers], **options)


def _check_model(
    path: Path, trust_model_code: bool, profile: str, properties: list[str] | None, seed: int, progress: Any
) -> ConformanceResult:
    """The layers inside a model file, at their own settings, on drawn inputs: a file brings no data."""
    import time

    import numpy as np

    from poolaudit.conformance import ConformanceResult, all_properties
    from poolaudit.conformance.model import check_model, model_property_names
    from poolaudit.errors import InvalidInputError, did_you_mean
    from poolaudit.subject.models import load_model

    clock = time.monotonic()
    known = {*all_properties().names(), *model_property_names()}
    for name in set(properties or ()) - known:
        raise InvalidInputError(f"There is no property {name!r}", "a name from a report", did_you_mean(name, known))
    model = load_model(path, trust_model_code=trust_model_code)
    sizes = model.input_shape[1:] if model.input_shape is not None else (None,)
    if None in sizes:
        raise InvalidInputError(
            f"{path.name} leaves sizes of its input open ({model.input_shape})",
            "a model with fixed input sizes",
            "Use poolaudit audit with --test: data tell the sizes",
        )
    inputs = np.random.default_rng(seed).normal(size=(16, *(size or 1 for size in sizes))).astype("float32")
    results = check_model(
        model,
        inputs,
        source=path,
        trust_model_code=trust_model_code,
        profile=profile,
        seed=seed,
        on_progress=progress,
    )
    if properties is not None:
        results = tuple(result for result in results if result.property in properties)
    notes = (*model.notes, "The activations come from drawn inputs, not from data; poolaudit audit takes data.")
    return ConformanceResult(results, notes, (), time.monotonic() - clock)


def _replay(file: Path) -> int:
    from poolaudit.conformance import replay
    from poolaudit.conformance.replaying import scripts_of

    scripts = scripts_of(file)
    if not scripts:
        say(f"{file.name} holds no counterexample: there is nothing to run again.")
    for number, script in enumerate(scripts, 1):
        say(f"counterexample {number} of {len(scripts)} ...", err=True)
        say(f"{script.partition(chr(10))[0]}\n{replay({'snippet': script})}\n")
    return 0


def _write_json(result: ConformanceResult, file: Path | None) -> None:
    text = json.dumps([_plain(entry) for entry in result.results], indent=1, allow_nan=False) + "\n"
    if file is None:
        say(text, newline=False)
        return
    from poolaudit.store.atomic import write_atomically

    write_atomically(file, text.encode())


def _plain(entry: PropertyResult) -> dict[str, Any]:
    plain = asdict(entry)
    plain["outcome"] = entry.outcome.value
    return plain


def _told(result: ConformanceResult) -> str:
    from poolaudit.outcomes import Outcome

    lines = [""]
    for layer in dict.fromkeys(entry.layer for entry in result.results):
        own = [entry for entry in result.results if entry.layer == layer]
        counts = {outcome: sum(e.outcome is outcome for e in own) for outcome in Outcome}
        known = [e.known_divergence for e in own if e.known_divergence is not None]
        counts[Outcome.FAILED] -= len(known)
        told = [f"{number} {outcome.value.lower()}" for outcome, number in counts.items() if number]
        if known:
            entries = len(set(known))
            divergences = "a known divergence" if entries == 1 else f"{entries} known divergences"
            told.append(f"{len(known)} showing {divergences} of the framework")
        lines.append(f"{layer}: {', '.join(told)}")
    for entry in result.failures[:_COUNTEREXAMPLES_SHOWN]:
        lines += ["", f"FAILED {entry.property} of {entry.layer} ({entry.mode}, {entry.dtype})"]
        if entry.counterexample is not None:
            case = entry.counterexample
            lines += [
                f"  case      {case.configuration}",
                f"  observed  {case.observed}",
                f"  expected  {case.expected}",
            ]
            lines += ["", *(f"    {line}" for line in case.snippet.splitlines())]
    more = len(result.failures) - _COUNTEREXAMPLES_SHOWN
    if more > 0:
        lines += ["", f"and {more} further failures, in the report"]
    open_ones = [e for e in result.results if e.outcome in (Outcome.CRASHED, Outcome.UNDECIDED)]
    lines += [f"{e.outcome} {e.property} of {e.layer} ({e.mode}, {e.dtype}): {e.reason}" for e in open_ones]
    lines += [f"note: {note}" for note in result.notes]
    lines += [f"stale: {sentence}" for sentence in _stale(result)]
    lines.append(f"{result.examples:,} cases in {result.duration_seconds:.0f} s")
    return "\n".join(lines)


def _stale(result: ConformanceResult) -> tuple[str, ...]:
    """What is on the list of the framework's defects, and seems to be mended."""
    return tuple(
        f"{entry} is on the list of known divergences, and its reproduction runs through" for entry in result.stale
    )
