"""Checks layers: plans the jobs, hands them to the workers, gathers the results."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from poolaudit.configuration import KINDS
from poolaudit.conformance.case import Case
from poolaudit.conformance.engine import Engine, Outcomes
from poolaudit.conformance.known import explaining_entry, stale_entries
from poolaudit.conformance.planning import Task, plan
from poolaudit.conformance.profiles import Profile, profile_named
from poolaudit.conformance.property import all_properties
from poolaudit.conformance.subjects import Subject, builtin_like, subject_of
from poolaudit.conformance.worker import Description, Job
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.conformance import Counterexample, PropertyResult
from poolaudit.outcomes import Outcome

_SWEEP = 8
"""Subjects from which on each gets half the examples: what many layers share is then tried often enough."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class ConformanceResult:
    """What was found out about one or several layers.

    Attributes:
        results: One entry a layer, property, mode and dtype.
        notes: What was inferred or assumed about the layers.
        stale: Identifiers of known divergences that were tried and did not show.
        duration_seconds: Wall-clock time, TensorFlow's import included.
    """

    results: tuple[PropertyResult, ...]
    notes: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    duration_seconds: float = 0.0

    @property
    def failures(self) -> tuple[PropertyResult, ...]:
        """Failures that no defect of the framework explains."""
        return tuple(r for r in self.results if r.outcome is Outcome.FAILED and r.known_divergence is None)

    @property
    def known(self) -> tuple[PropertyResult, ...]:
        """Failures that are the framework's own."""
        return tuple(r for r in self.results if r.outcome is Outcome.FAILED and r.known_divergence is not None)

    @property
    def examples(self) -> int:
        """Cases tried, over all properties."""
        return sum(result.examples for result in self.results)


def check_layer(
    layer_or_factory: object,
    like: str | None = None,
    dims: int | None = None,
    *,
    profile: str = "standard",
    properties: Iterable[str] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
    workers: int = 2,
) -> ConformanceResult:
    """Attacks one pooling layer with every property that holds for its kind.

    Args:
        layer_or_factory: A layer class, a function that takes the field's arguments by keyword and returns a layer,
            or the name of one (`"package.module:Class"`, `"keras.layers.MaxPooling2D"`). Where another process can
            import it, it runs in worker processes; else in a fork of this one, or, where TensorFlow has run here
            already, in this very process, without protection against signals (a note says so).
        like: A kind of `poolaudit.configuration.KINDS`; None infers it.
        dims: Spatial axes, 1 to 3; None infers them.
        profile: "quick", "standard" or "thorough".
        properties: Names of the properties to try; None tries all.
        seed: The same seed gives the same counterexamples.
        on_progress: Is called with (done, total, what).
        workers: Processes at a time.

    Raises:
        InvalidInputError: An unknown kind, profile or property, or no layer at all.
    """
    if like is not None:
        KINDS.get(like)
    if dims is not None and dims not in (1, 2, 3):
        raise InvalidInputError(f"dims is {dims!r}", "1, 2 or 3")
    subject = subject_of(layer_or_factory, like, dims)
    factory = layer_or_factory if callable(layer_or_factory) and subject.reference is None else None
    return _check((subject,), factory, profile, properties, seed, on_progress, workers)


def check_layers(
    subjects: Sequence[Subject],
    *,
    profile: str = "standard",
    properties: Iterable[str] | Mapping[str, Iterable[str]] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
    workers: int = 2,
) -> ConformanceResult:
    """As `check_layer` for several importable subjects, for example `keras_pooling_layers()`, with one import.

    Where `properties` is a mapping, it gives each subject's name its own properties, and none to the others.
    """
    return _check(tuple(subjects), None, profile, properties, seed, on_progress, workers)


def check_cases(
    layer_or_factory: object,
    cases: Sequence[Case],
    like: str | None = None,
    dims: int | None = None,
    *,
    modes: Sequence[str] | None = None,
    profile: str = "quick",
    properties: Iterable[str] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> ConformanceResult:
    """Tries the properties on given cases only: a model's pooling site at its own configuration and range.

    A case's `value_range` replaces the drawn data, its `dtype` is the site's dtype policy. Properties that are about
    configurations other than the given one are left out.

    Raises:
        InvalidInputError: No case was given.
    """
    if not cases:
        raise InvalidInputError("No case was given", "at least one Case")
    subject = subject_of(layer_or_factory, like or cases[0].configuration.kind, dims or cases[0].configuration.rank)
    factory = layer_or_factory if callable(layer_or_factory) and subject.reference is None else None
    return _check((subject,), factory, profile, properties, seed, on_progress, 1, tuple(cases), modes)


def replay(source: str | Path | Counterexample | dict[str, Any], timeout_seconds: float = 120.0) -> str:
    """Runs the script of a counterexample in a process of its own and returns what it printed.

    Where a signal ends it, the text says which. The script comes from a result of your own: it is code, so replay no
    file that you would not run.

    Args:
        source: A counterexample, or a JSON file with a list of results (each failing one is replayed).
    """
    import subprocess

    from poolaudit.conformance.sandbox import signal_name

    scripts = _scripts(source)
    told = []
    for text in scripts:
        try:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", text], capture_output=True, text=True, timeout=timeout_seconds
            )
        except subprocess.TimeoutExpired:
            told.append(f"did not end within {timeout_seconds:g} seconds")
            continue
        name = signal_name(-done.returncode) if done.returncode < 0 else None
        error = done.stderr.strip().splitlines()[-1:] if done.returncode > 0 else []
        told.append("\n".join([done.stdout.strip(), *error, *([f"ended by {name}"] if name else [])]).strip())
    return "\n\n".join(told)


def _scripts(source: str | Path | Counterexample | dict[str, Any]) -> list[str]:
    if isinstance(source, Counterexample):
        return [source.snippet]
    if isinstance(source, dict):
        return [str(source["snippet"])]
    path = Path(source)
    if path.suffix == ".py":
        return [path.read_text(encoding="utf-8")]
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [entry["counterexample"]["snippet"] for entry in entries if entry.get("counterexample")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"{path} cannot be replayed ({error})", "a .py script, or the JSON file that `--json` wrote"
        ) from error


def _check(
    subjects: tuple[Subject, ...],
    factory: Any,
    profile_name: str,
    properties: Iterable[str] | Mapping[str, Iterable[str]] | None,
    seed: int,
    on_progress: Progress | None,
    workers: int,
    cases: tuple[Case, ...] | None = None,
    modes: Sequence[str] | None = None,
) -> ConformanceResult:
    started = time.monotonic()
    profile = profile_named(profile_name)
    budgets = {subject: _budget(profile, subject, len(subjects)) for subject in subjects}
    registry = all_properties()
    if properties is not None and not isinstance(properties, Mapping):
        properties = tuple(properties)
    by_subject = {
        subject: None if names is None else {registry.get(name).name for name in names}
        for subject in subjects
        for names in [properties.get(subject.name, ()) if isinstance(properties, Mapping) else properties]
    }
    results: list[PropertyResult] = []
    notes: list[str] = []
    needs_second = profile.second_process and any(subject.builtin for subject in subjects) and cases is None
    with Engine(factory, profile, workers, needs_second) as engine:
        notes += engine.notes
        if on_progress is not None:
            on_progress(0, 1, "loading TensorFlow")
        tasks: list[Task] = []
        described: dict[Subject, Description] = {}
        for subject, description in engine.describe(subjects):
            described[subject] = description
            notes += [f"{subject.name}: {note}" for note in description.notes]
            if description.problem is not None:
                results.append(_unusable(subject, description))
                continue
            tasks += plan(subject, description, budgets[subject], by_subject[subject], cases, modes)
        results += [task.skipped for task in tasks if task.skipped is not None]
        jobs = [
            Job(task.subject, task.property, task.mode, task.dtype, budgets[task.subject], seed, cases, task.flaw)
            for task in tasks
            if task.skipped is None
        ]
        outcomes = engine.run(jobs, on_progress)
        while jobs:
            judged = [_judged_with_trigger(engine, outcomes, job, described[job.subject], profile) for job in jobs]
            results += [result for result, _ in judged]
            # What else fails, behind a defect of the framework that only some cases have?
            jobs = [
                replace(job, avoid=(*job.avoid, trigger))
                for job, (_, trigger) in zip(jobs, judged, strict=True)
                if trigger and trigger not in job.avoid and job.cases is None
            ]
            outcomes = engine.run(jobs, on_progress) if jobs else {}
    order = {subject.name: position for position, subject in enumerate(subjects)}
    results.sort(key=lambda result: order.get(result.layer, 0))
    return ConformanceResult(
        tuple(results), tuple(dict.fromkeys(notes)), stale_entries(results), time.monotonic() - started
    )


def _judged(engine: Engine, outcomes: Outcomes, job: Job, description: Description, profile: Profile) -> PropertyResult:
    """The result, with a failure of the framework told from one of the layer."""
    return _judged_with_trigger(engine, outcomes, job, description, profile)[0]


def _judged_with_trigger(
    engine: Engine, outcomes: Outcomes, job: Job, description: Description, profile: Profile
) -> tuple[PropertyResult, str]:
    """As `_judged`, and the trigger of the defect: what to leave out when the job is tried again."""
    verdict = outcomes[job]
    result = verdict.result
    if result.outcome is not Outcome.FAILED:
        return result, ""
    if job.subject.builtin:
        return _explained(result, result, verdict.case, "")
    by_keras = job.property == "integer_inputs" and not description.announces_dtype
    raised = result.counterexample is not None and "Error at" in result.counterexample.observed
    if verdict.case is None or not (description.delegates or by_keras or raised):
        return result, ""
    # The layer calls TensorFlow's own pooling, or leaves an announcement to Keras: does Keras's own layer fail on
    # the very same case?
    for twin in _twins(description):
        case = replace(verdict.case, configuration=replace(verdict.case.configuration, kind=twin.like or "unknown"))
        if not all_properties().get(job.property).holds_for(case.configuration.kind):
            continue
        # A minimum by way of a maximum has the other's sign: properties take the sign from the seed.
        tried = (case, replace(case, seed=case.seed + 1)) if description.like.endswith("min") else (case,)
        same = Job(twin, job.property, job.mode, job.dtype, profile, job.seed, tried)
        other = engine.run([same], None)[same].result
        alike = description.delegates or by_keras or _observed(other) == _observed(result)
        if other.outcome is Outcome.FAILED and alike:
            return _explained(result, other, case, f"{twin.name}:{job.property}:{job.mode}:{job.dtype}")
    return result, ""


def _observed(result: PropertyResult) -> str:
    return result.counterexample.observed if result.counterexample is not None else ""


def _twins(description: Description) -> tuple[Subject, ...]:
    """Keras's layer of the kind; where it has none, its maximum and its average with windows laid out alike."""
    twin = builtin_like(description.like, description.dims)
    if twin is not None:
        return (twin,)
    prefix = {"windowed": "", "adaptive": "adaptive_"}.get(description.layout, "global_")
    found = (builtin_like(f"{prefix}{reduction}", description.dims) for reduction in ("max", "average"))
    return tuple(subject for subject in found if subject is not None)


def _explained(
    result: PropertyResult, framework: PropertyResult, case: Case | None, unlisted: str
) -> tuple[PropertyResult, str]:
    entry = explaining_entry(framework, case)
    if entry is None:
        return replace(result, known_divergence=unlisted or None), ""
    return replace(result, known_divergence=entry.identifier), entry.trigger


def _budget(profile: Profile, subject: Subject, subjects: int) -> Profile:
    """Half the examples where many are tried; a quarter for operations, whose kernels are those of Keras's layers."""
    if subjects < _SWEEP:
        return profile
    operation = subject.builtin and subject.name.startswith("tf.nn.")
    part = 4 if operation else 2
    fewer = {cost: max(1, -(-n // part)) for cost, n in profile.examples.items()}
    dtypes = min(2, profile.dtypes) if operation else profile.dtypes
    return replace(profile, examples=fewer, shrinks=min(profile.shrinks, 20 * (4 - part // 2)), dtypes=dtypes)


def _unusable(subject: Subject, description: Description) -> PropertyResult:
    if not description.fatal:
        return PropertyResult(
            subject.name, "valid_accepted", Outcome.CRASHED, "eager", "float32", reason=description.problem
        )
    problem = description.problem or ""
    module, _, attribute = (subject.reference or ":").partition(":")
    snippet = (
        f"# {problem}\nimport numpy as np\nimport tensorflow as tf\n"
        f"from {module or '...'} import {attribute}\n"
        f"layer = {attribute}()\nfor size in (4, 6):\n"
        f"    print('observed:', np.asarray(layer(tf.ones([2] + [size] * {subject.dims or 2} + [2]))))\n"
        "print('expected: a result or an exception')\n"
    )
    found = Counterexample("the layer's defaults on a small plain input", snippet, problem, "a result or an exception")
    return PropertyResult(
        subject.name, "valid_accepted", Outcome.FAILED, "eager", "float32", counterexample=found, examples=1
    )
