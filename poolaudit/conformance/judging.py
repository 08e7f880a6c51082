"""Tells a failure of the framework from one of the layer."""

from __future__ import annotations

from dataclasses import replace

from poolaudit.conformance.case import Case
from poolaudit.conformance.engine import Engine, Outcomes
from poolaudit.conformance.known import KnownDivergence, explaining_entry, explaining_operation
from poolaudit.conformance.profiles import Profile
from poolaudit.conformance.property import all_properties
from poolaudit.conformance.subjects import Subject, builtin_like, dilated_operation
from poolaudit.conformance.violations import LOWEST_FOR_INFINITY
from poolaudit.conformance.worker import Description, Job
from poolaudit.evidence.conformance import Counterexample, PropertyResult
from poolaudit.outcomes import Outcome


def judge(
    engine: Engine, outcomes: Outcomes, job: Job, description: Description, profile: Profile
) -> tuple[PropertyResult, KnownDivergence | None]:
    """The result of a job, with the defect of the framework that explains a failure; None where none does.

    A custom layer is excused only where Keras's own layer of the kind gives the same wrong answer on the very same case
    (where Keras has none of the kind, where those fail that it is made of), or where its graph holds an operation of
    which the list says that it has the defect.
    """
    verdict = outcomes[job]
    result = verdict.result
    if result.outcome is not Outcome.FAILED:
        return result, None
    if job.subject.builtin:
        return _explained(result, explaining_entry(result, verdict.case), "")
    entry = explaining_operation(result, verdict.case, description.operations)
    if entry is not None:
        return _explained(result, entry, "")
    if verdict.case is None or not _may_be_the_frameworks(job, result, description):
        return result, None
    for twin in _twins(job, description, verdict.case):
        case = _without_explicit_padding(verdict.case)
        case = replace(case, configuration=replace(case.configuration, kind=twin.like or "unknown"))
        if not all_properties().get(job.property).holds_for(case.configuration.kind):
            continue
        # A minimum by way of a maximum has the other's sign: properties take the sign from the seed.
        tried = (case, replace(case, seed=case.seed + 1)) if description.like.endswith("min") else (case,)
        same = Job(twin, job.property, job.mode, job.dtype, profile, job.seed, tried)
        other = engine.run([same], None)[same].result
        padded = isinstance(verdict.case.configuration.padding, tuple)
        of_its_kind = twin.like == description.like and job.property != "integer_inputs" and not padded
        excused = _alike(other, result) or (_delegates(job, description) and not of_its_kind)
        if other.outcome is Outcome.FAILED and excused:
            unlisted = f"{twin.name}:{job.property}:{job.mode}:{job.dtype}"
            return _explained(result, explaining_entry(other, case), unlisted)
    return result, None


def _without_explicit_padding(case: Case) -> Case:
    """Keras's layers take no numbers of cells: the same windows over an input that is larger by them."""
    padding = case.configuration.padding
    if not isinstance(padding, tuple):
        return case
    sizes = list(case.input_shape)
    for position, cells in zip(case.configuration.spatial_axes(), padding, strict=True):
        sizes[position] += sum(cells)
    return replace(case, configuration=replace(case.configuration, padding="valid"), input_shape=tuple(sizes))


def _delegates(job: Job, description: Description) -> bool:
    """Whether the layer calls TensorFlow's pooling, or leaves an announcement to Keras."""
    return description.delegates or (job.property == "integer_inputs" and not description.announces_dtype)


def _may_be_the_frameworks(job: Job, result: PropertyResult, description: Description) -> bool:
    observed = _observed(result)
    return _delegates(job, description) or "Error at" in observed or LOWEST_FOR_INFINITY in observed


def _alike(other: PropertyResult, result: PropertyResult) -> bool:
    left, right = _observed(other), _observed(result)
    return left == right or (LOWEST_FOR_INFINITY in left and LOWEST_FOR_INFINITY in right)


def _observed(result: PropertyResult) -> str:
    return result.counterexample.observed if result.counterexample is not None else ""


def _twins(job: Job, description: Description, case: Case) -> tuple[Subject, ...]:
    """Keras's layer of the kind; where it has none, its maximum and its average with windows laid out alike."""
    if job.property == "integer_inputs" and not description.announces_dtype:
        # The announcement is the base class's; of Keras's own layers the maximum shows what it says.
        shown = builtin_like("global_max", description.dims)
        return () if shown is None else (shown,)
    if case.configuration.dilation is not None:
        return dilated_operation(description.like, description.dims)
    twin = builtin_like(description.like, description.dims)
    if twin is not None:
        return (twin,)
    prefix = {"windowed": "", "adaptive": "adaptive_"}.get(description.layout, "global_")
    found = (builtin_like(f"{prefix}{reduction}", description.dims) for reduction in ("max", "average"))
    return tuple(subject for subject in found if subject is not None)


def _explained(
    result: PropertyResult, entry: KnownDivergence | None, unlisted: str
) -> tuple[PropertyResult, KnownDivergence | None]:
    if entry is None:
        return replace(result, known_divergence=unlisted or None), None
    return replace(result, known_divergence=entry.identifier), entry


def unusable(subject: Subject, description: Description) -> PropertyResult:
    """The result for a layer that could not even be built and called once."""
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
