"""Checks layers: plans the jobs, hands them to the workers, gathers the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from poolaudit.configuration import KINDS
from poolaudit.conformance.case import Case
from poolaudit.conformance.engine import Engine
from poolaudit.conformance.judging import judge, unusable
from poolaudit.conformance.kernel_sets import gpu_is_present
from poolaudit.conformance.known import KnownDivergence, unshown_entries
from poolaudit.conformance.planning import Task, plan
from poolaudit.conformance.profiles import Profile, profile_named
from poolaudit.conformance.property import all_properties
from poolaudit.conformance.subjects import Subject, builtin_like, subject_of
from poolaudit.conformance.worker import Description, Job
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.conformance import PropertyResult
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
        stale: Identifiers of known divergences that were tried, did not show, and whose reproduction runs through.
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
    if profile.second_process and any(subject.builtin for subject in subjects) and not gpu_is_present():
        notes.append("no GPU is present here, so its kernels were not tried")
    with Engine(factory, profile, workers) as engine:
        notes += engine.notes
        if on_progress is not None:
            on_progress(0, 1, "loading TensorFlow")
        tasks: list[Task] = []
        described: dict[Subject, Description] = {}
        for subject, description in engine.describe(subjects):
            described[subject] = description
            if description.unusable and len(subjects) == 1:  # of several, the others are still checked
                raise InvalidInputError(f"{subject.name} cannot be checked: {description.problem}", "", "")
            notes += [f"{subject.name}: {note}" for note in description.notes]
            if description.problem is not None:
                results.append(unusable(subject, description))
                continue
            tasks += plan(subject, description, budgets[subject], by_subject[subject], cases, modes)
        results += [task.skipped for task in tasks if task.skipped is not None]
        jobs = [
            Job(task.subject, task.property, task.mode, task.dtype, budgets[task.subject], seed, cases, task.flaw)
            for task in tasks
            if task.skipped is None
        ]
        results += _results(engine, jobs, described, profile, on_progress)
        stale = tuple(entry.identifier for entry in unshown_entries(results) if not engine.reproduces(entry))
    order = {subject.name: position for position, subject in enumerate(subjects)}
    results.sort(key=lambda result: order.get(result.layer, 0))
    return ConformanceResult(tuple(results), tuple(dict.fromkeys(notes)), stale, time.monotonic() - started)


def _results(
    engine: Engine,
    jobs: list[Job],
    described: Mapping[Subject, Description],
    profile: Profile,
    on_progress: Progress | None,
) -> list[PropertyResult]:
    """Runs the jobs; then again without the cases of a known defect, so that nothing hides behind it."""
    results: list[PropertyResult] = []
    done, total = 0, len(jobs)

    def attempt(batch: list[Job]) -> list[tuple[Job, KnownDivergence | None]]:
        nonlocal done
        before = done
        report = None if on_progress is None else lambda n, _, what: on_progress(before + n, total, what)
        outcomes = engine.run(batch, report)
        done += len(batch)
        judged = [judge(engine, outcomes, job, described[job.subject], profile) for job in batch]
        results.extend(result for result, _ in judged)
        return [(job, entry) for job, (_, entry) in zip(batch, judged, strict=True)]

    # What kills a layer for plain settings, by a defect of the framework, would kill it again in every other job.
    first = [job for job in jobs if job.property == "valid_accepted" and job.mode == "eager" and job.cases is None]
    fatal: dict[Subject, list[KnownDivergence]] = {}
    for job, entry in attempt(first) if first else ():
        if entry is not None and entry.trigger and "killed by" in entry.observed:
            fatal.setdefault(job.subject, []).append(entry)
    waiting = [job for job in jobs if job not in first]
    waiting = [replace(job, avoid=_avoided(job, described, fatal)) for job in waiting]
    while waiting:
        again = [
            replace(job, avoid=(*job.avoid, entry.trigger))
            for job, entry in attempt(waiting)
            if entry is not None and entry.trigger and not entry.operations
            if job.cases is None and job.flaw is None and entry.trigger not in job.avoid
        ]
        waiting, total = again, total + len(again)
    return results


def _avoided(
    job: Job, described: Mapping[Subject, Description], fatal: Mapping[Subject, Sequence[KnownDivergence]]
) -> tuple[str, ...]:
    subject, description = job.subject, described[job.subject]
    twin = subject if subject.builtin else builtin_like(description.like, description.dims) or subject
    tried = PropertyResult(twin.name, job.property, Outcome.FAILED, job.mode, job.dtype)
    entries = [e for e in fatal.get(subject, ()) if e.speaks_of(tried) and e.concerns_installed(job.mode)]
    return tuple(dict.fromkeys(entry.trigger for entry in entries))


def _budget(profile: Profile, subject: Subject, subjects: int) -> Profile:
    """Half the examples where many are tried; a quarter for operations, whose kernels are those of Keras's layers."""
    if subjects < _SWEEP:
        return profile
    operation = subject.builtin and subject.name.startswith("tf.nn.")
    part = 4 if operation else 2
    return replace(
        profile,
        examples={cost: max(1, -(-n // part)) for cost, n in profile.examples.items()},
        classics={cost: -(-n // (2 if operation else 1)) for cost, n in profile.classics.items()},
        shrinks=min(profile.shrinks, 20 * (4 - part // 2)),
        dtypes=min(2, profile.dtypes) if operation else profile.dtypes,
    )
