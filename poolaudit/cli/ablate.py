"""`poolaudit ablate MODEL_OR_RECIPE --train DATA --test DATA`: does the pooling cost recall?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poolaudit.cli import running
from poolaudit.cli.printing import say
from poolaudit.cli.quiet import import_tensorflow
from poolaudit.evidence.wording import more_seeds

if TYPE_CHECKING:
    from poolaudit.evidence.ablation import AblationEvidence, ArmEvidence

_SYMBOLS = {"better": "+", "worse": "-", "equivalent": "=", "undecided": "?"}


def register(app: typer.Typer) -> None:
    app.command("ablate", help="Change the pooling, retrain, and measure what becomes of recall.")(_ablate)


def _ablate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_OR_RECIPE",
            help="A .keras, .h5 or .hdf5 file, or package.module:name of a Recipe or of a function that returns a "
            "compiled model.",
        ),
    ],
    test: Annotated[str, typer.Option("--test", help="Test data, in any form that `poolaudit audit` takes.")],
    train: Annotated[str | None, typer.Option("--train", help="Training data; needed unless --depth is swap.")] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            "--validation", help="Data to choose thresholds on. [default: a fifth of the training items, held back]"
        ),
    ] = None,
    positive: running.Positive = None,
    variants: Annotated[
        list[str] | None,
        typer.Option("--variant", help="For example weaker@pool2, average@all, head:global_max; may be given again."),
    ] = None,
    depth: Annotated[
        str, typer.Option("--depth", help="swap (no training), recalibrated, or retrained.")
    ] = "retrained",
    seeds: running.Seeds = None,
    epochs: running.Epochs = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Items a step. [default: the recipe's, or 32]")
    ] = None,
    minutes: running.Minutes = None,
    full_grid: Annotated[
        bool, typer.Option("--full-grid", help="Train every variant with every seed instead of racing.")
    ] = False,
    executor: Annotated[str, typer.Option("--executor", help="local, or ray (an existing cluster).")] = "local",
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Trials at a time. [default: one a core]")
    ] = None,
    store: Annotated[Path, typer.Option("--store", help="Folder that keeps the trials between runs.")] = Path(
        "poolaudit-trials"
    ),
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Use trials that the store holds already.")
    ] = True,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Class names in the order of the model's outputs, with commas.")
    ] = None,
    resize: Annotated[str | None, typer.Option("--resize", help="Resize image files to HEIGHTxWIDTH.")] = None,
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
    from poolaudit.audit.ablation import AblationPlan, run_ablation
    from poolaudit.store.atomic import make_output_folder

    plan = AblationPlan(
        model=model,
        test=test,
        train=train,
        validation=validation,
        positive=positive,
        class_names=running.parse_names(classes),
        resize=running.parse_size(resize),
        trust_model_code=trust_model_code,
        options={
            "depth": depth,
            "variants": tuple(variants) if variants else None,
            **({} if seeds is None else {"seeds": seeds}),
            "epochs": epochs,
            "batch_size": batch_size,
            "race": not full_grid,
            "executor": executor,
            "workers": workers,
            "store": store,
            "resume": resume,
            "budget_seconds": None if minutes is None else 60 * minutes,
        },
        policy=running.chosen_policy(policy, fail_level),
        seed=seed,
        title=title,
        command=running.command_line(),
    )
    make_output_folder(out)
    listener = running.progress_listener(quiet=quiet)
    try:
        import_tensorflow()
        result = run_ablation(plan, listener)
    except KeyboardInterrupt:
        say(f"Finished trials and epochs are kept in {store}; the same command goes on from there.", err=True)
        raise
    finally:
        running.close(listener)
    if result.evidence.ablation is not None and not quiet and not as_json:
        say(_table(result.evidence.ablation))
    return running.finish(result, out, as_json=as_json, quiet=quiet)


def _table(ablation: AblationEvidence) -> str:
    """Each arm in one line: decision, change of the deciding metric, seeds, parameters."""
    names = {"recall_at_matched_precision": "recall at precision", "average_precision": "average precision"}
    heading = names.get(ablation.primary, ablation.primary)
    if ablation.matched_precision is not None and ablation.primary == "recall_at_matched_precision":
        heading += f" {ablation.matched_precision:.2f}"
    lines = [f"\n   {'variant':<34} {'change of ' + heading:<40} {'seeds':>6} {'parameters':>12}"]
    for arm in ablation.arms:
        symbol, change, seeds = _cells(ablation, arm)
        count = "" if arm.parameters is None else f"{arm.parameters:,}"
        lines.append(f" {symbol} {arm.name:<34} {change:<40} {seeds:>6} {count:>12}")
    if ablation.depth == "retrained":
        lines.append(
            f"\n {ablation.trainings} trainings of {ablation.full_grid} in a full grid. + better, - worse, "
            "= equivalent "
            f"within {ablation.smallest_effect:g}, ? undecided, all corrected for {ablation.hypotheses} comparisons."
        )
    else:
        lines.append("\n Nothing was retrained: this is sensitivity, not what training with other pooling would give.")
    return "\n".join(lines)


def _cells(ablation: AblationEvidence, arm: ArmEvidence) -> tuple[str, str, str]:
    if arm.unavailable:
        return " ", arm.unavailable[:60], ""
    comparison = arm.comparison
    effects: Any = arm.effects or arm.recalibrated or arm.swap
    metric = ablation.primary if any(e.metric == ablation.primary for e in effects) else "recall"
    effect = next((e for e in effects if e.metric == metric), None)
    if effect is None or effect.estimate.value is None:
        reason = comparison.reason if comparison is not None else "not measured"
        symbol = " " if comparison is not None and comparison.stopped == "moot" else "?"
        return symbol, reason[:60], "" if comparison is None else str(comparison.seeds)
    text = f"{effect.estimate.value:+.3f}"
    if comparison is not None and comparison.low is not None and comparison.high is not None:
        text += f" ({comparison.low:+.3f} to {comparison.high:+.3f})"
    elif effect.estimate.low is not None and effect.estimate.high is not None:
        text += f" ({effect.estimate.low:+.3f} to {effect.estimate.high:+.3f})"
    if comparison is not None and comparison.seeds_to_decide is not None:
        text += f", {more_seeds(comparison.seeds_to_decide - comparison.seeds)}"
    symbol = _SYMBOLS[comparison.decision] if comparison is not None else " "
    return symbol, text, "" if comparison is None else f"{comparison.pairs}/{comparison.seeds}"
