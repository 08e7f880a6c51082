"""`poolaudit audit MODEL --test DATA`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poolaudit.cli import running
from poolaudit.cli.printing import say
from poolaudit.errors import InvalidInputError

if TYPE_CHECKING:
    from poolaudit.audit import AuditPlan

DEFAULT_STAGE_STORE = Path("poolaudit-stages")


def register(app: typer.Typer) -> None:
    app.command("audit", help="Audit a model on test data and write the report.")(_audit)


def _audit(
    model: Annotated[
        str, typer.Argument(help="A .keras, .h5 or .hdf5 file, a SavedModel folder, or package.module:function.")
    ],
    test: Annotated[
        str,
        typer.Option(
            "--test",
            help="Test data: .npz (x, y), a folder of class folders of images, a CSV or Parquet manifest (path,label), "
            "sklearn:digits/test, keras:fashion_mnist, or package.module:function.",
        ),
    ],
    validation: Annotated[
        str | None, typer.Option("--validation", help="Data to choose a threshold on; never the test data.")
    ] = None,
    train: Annotated[str | None, typer.Option("--train", help="The data the model was trained on.")] = None,
    positive: running.Positive = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Class names in the order of the model's outputs, with commas.")
    ] = None,
    resize: Annotated[str | None, typer.Option("--resize", help="Resize image files to HEIGHTxWIDTH.")] = None,
    trust_model_code: Annotated[
        bool, typer.Option("--trust-model-code", help="Let code inside the model file (Lambda layers) run.")
    ] = False,
    stages: Annotated[
        list[str] | None,
        typer.Option(
            "--stage",
            help="Run this stage only; may be given again: geometry, evaluation, conformance, ablation, leakage. "
            "[default: all]",
        ),
    ] = None,
    skip_stages: Annotated[
        list[str] | None,
        typer.Option("--skip-stage", help="Leave this stage out; may be given again. The report says so."),
    ] = None,
    budget: Annotated[str, typer.Option("--budget", help="How much to try: quick, standard or thorough.")] = "standard",
    minutes: running.Minutes = None,
    seeds: running.Seeds = None,
    epochs: running.Epochs = None,
    feature_size: Annotated[
        float | None,
        typer.Option(
            "--feature-size",
            help="Size of the smallest feature that matters, in input cells. [default: estimated from the test data]",
        ),
    ] = None,
    changed_only: Annotated[
        bool,
        typer.Option(
            "--changed-only",
            help="Do not run a stage again whose model, data, settings and software are as in an earlier audit.",
        ),
    ] = False,
    stage_store: Annotated[
        Path | None,
        typer.Option("--stage-store", help="Folder for --changed-only. [default: poolaudit-stages]"),
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
    from poolaudit.audit import STAGES, AuditInterruptedError, AuditPlan
    from poolaudit.cli.main import EXIT_INTERRUPTED
    from poolaudit.store.atomic import make_output_folder

    if stage_store is not None and not changed_only:
        raise InvalidInputError("--stage-store is given without --changed-only", "both, or neither")
    plan = AuditPlan(
        model=model,
        test=test,
        validation=validation,
        train=train,
        positive=positive,
        class_names=running.parse_names(classes),
        resize=running.parse_size(resize),
        trust_model_code=trust_model_code,
        stages=tuple(stages) if stages else STAGES,
        skip_stages=tuple(skip_stages or ()),
        budget=budget,
        minutes=minutes,
        seeds=seeds,
        epochs=epochs,
        feature_size=feature_size,
        stage_store=(stage_store or DEFAULT_STAGE_STORE) if changed_only else None,
        policy=running.chosen_policy(policy, fail_level),
        seed=seed,
        title=title,
        command=running.command_line(),
    )
    _refuse_options_without_training(plan)
    make_output_folder(out)
    try:
        result = running.run(plan, quiet=quiet)
    except AuditInterruptedError as stopped:
        result = stopped.result
    else:
        try:
            return running.finish(result, out, as_json=as_json, quiet=quiet, baseline=baseline)
        except KeyboardInterrupt:  # while the report is drawn: what was measured for an hour is written all the same
            pass
    running.finish(result, out, as_json=as_json, quiet=quiet, baseline=baseline)
    say(
        "The report holds the stages that were done. Trials of the ablation are kept in "
        f"{plan.trial_store}; the same command goes on from there.",
        err=True,
    )
    return EXIT_INTERRUPTED


def _refuse_options_without_training(plan: AuditPlan) -> None:
    given = [name for name in ("minutes", "seeds", "epochs") if getattr(plan, name) is not None]
    trains = plan.train is not None and plan.budget != "quick" and "ablation" in plan.stages_to_run
    if given and not trains:
        raise InvalidInputError(
            f"--{given[0]} is given, and this audit trains nothing",
            "--train, the ablation stage, and a budget of standard or thorough",
        )
