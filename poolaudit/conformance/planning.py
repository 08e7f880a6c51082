"""Which properties are tried on a subject, in which modes and dtypes; what is left out, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from poolaudit.conformance.case import Case
from poolaudit.conformance.kernel_sets import GPU_MODE, KERNEL_MODE, gpu_is_present
from poolaudit.conformance.profiles import Profile
from poolaudit.conformance.property import LayerProperty, all_properties
from poolaudit.conformance.subjects import Subject
from poolaudit.conformance.worker import Description
from poolaudit.evidence.conformance import PropertyResult
from poolaudit.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Task:
    """One batch to run; `skipped` holds the result where it cannot be."""

    subject: Subject
    property: str
    mode: str
    dtype: str
    flaw: str | None = None
    skipped: PropertyResult | None = None


def plan(
    subject: Subject,
    description: Description,
    profile: Profile,
    wanted: set[str] | None,
    cases: tuple[Case, ...] | None = None,
    modes: Sequence[str] | None = None,
) -> list[Task]:
    """The tasks for one subject."""
    tasks = []
    for prop in all_properties():
        if wanted is not None and prop.name not in wanted:
            continue
        if not prop.holds_for(description.like) or (prop.layouts and description.layout not in prop.layouts):
            continue
        if not prop.concerns(subject):
            continue
        if cases is not None and (prop.cases != "valid" or prop.corners is not None):
            continue
        reason = _not_applicable(prop, description, cases)
        first_dtypes = prop.dtypes[: profile.dtypes]
        if cases is not None:
            first_dtypes = tuple(dict.fromkeys(case.dtype for case in cases))
        for mode in _modes(prop, profile, subject, modes):
            # Modes beyond the first are compared in the first dtype.
            for dtype in first_dtypes if mode == prop.modes[0] or cases is not None else first_dtypes[:1]:
                skipped = None
                if reason is not None:
                    skipped = PropertyResult(subject.name, prop.name, Outcome.SKIPPED, mode, dtype, reason=reason)
                flaws = description.flaws if prop.cases == "invalid" and skipped is None else (None,)
                tasks += [Task(subject, prop.name, mode, dtype, flaw, skipped) for flaw in flaws]
    return tasks


def _modes(prop: LayerProperty, profile: Profile, subject: Subject, wanted: Sequence[str] | None) -> tuple[str, ...]:
    chosen = tuple(mode for mode in prop.modes if mode in (wanted or profile.modes))
    if wanted is None and KERNEL_MODE in prop.modes and profile.second_process and subject.builtin:
        chosen += (KERNEL_MODE, GPU_MODE) if gpu_is_present() else (KERNEL_MODE,)
    return chosen


def _not_applicable(prop: LayerProperty, description: Description, cases: tuple[Case, ...] | None) -> str | None:
    if prop.needs_keras_layer and not description.is_layer:
        return "it is an operation and not a layer"
    if prop.needs_argument == "mask":
        return None if description.takes_mask else "the layer takes no mask"
    if prop.needs_argument is not None and prop.needs_argument not in description.taken:
        return f"the layer takes no argument `{prop.needs_argument}`"
    return None
