"""Checks the pooling sites of a model, each at its own settings, dtype policy and range of values."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance.case import Case
from poolaudit.conformance.engine import Engine
from poolaudit.conformance.judging import judge
from poolaudit.conformance.known import explaining_entry
from poolaudit.conformance.planning import plan
from poolaudit.conformance.profiles import Profile, profile_named
from poolaudit.conformance.property import LayerProperty, all_properties
from poolaudit.conformance.site_configuration import site_configuration, small_shape, unknown_configuration
from poolaudit.conformance.site_properties import HALVES, SITE_PROPERTIES, SiteUnderTest
from poolaudit.conformance.site_subject import Factory, site_subject
from poolaudit.conformance.subjects import Subject
from poolaudit.conformance.worker import Description, Job
from poolaudit.errors import PoolauditError
from poolaudit.evidence.conformance import PropertyResult
from poolaudit.outcomes import Outcome
from poolaudit.subject.activations import SiteActivations

Progress = Callable[[int, int, str], None]

WHOLE = "site_conformance"
"""Property name of results that say why a site was not checked at all."""
_POLICIES = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")
_LARGEST_RANGE = 1e30
# Statements about other settings than the site's, about its export, which `check_exports` tries as a whole, or about
# training beyond first gradients.
_OTHER_SETTINGS = frozenset(
    {
        "adaptive_windows", "composition", "configuration_round_trip", "data_format", "empty", "full_precision",
        "huge_window", "integer_inputs", "mask_honesty", "refusal", "save_and_load", "saved_model", "second_derivative",
        "scalar_sizes", "shape_inference", "stride_sampling", "tflite", "widening",
    }
)  # fmt: skip
# Inputs at the ends of the dtype: `site_half_precision_safe` asks about the range that the data produce.
_OTHER_RANGES = frozenset({"half_maximum", "halves", "specials"})
# NaN and infinities are tried where the data bring them.
_NONFINITE = frozenset({"infinities", "nan_propagation", "nonfinite_locality"})
# These compare the layer with itself, so they hold in every dtype; the others in the dtypes they state.
_ANY_DTYPE = frozenset(
    {"batch_independence", "determinism", "locality", "modes_agree", "purity", "retracing_free", "training_flag"}
)
# How many different sites are tried, and for how many seconds after the workers stand.
_BUDGETS = {"quick": (6, 15.0), "standard": (10, 45.0), "thorough": (40, 900.0)}


@dataclass(slots=True)
class _Group:
    """Sites that are the same layer with the same settings, dtype policy and small shape."""

    subject: Subject
    factory: Factory | None
    configuration: PoolConfiguration
    dtype: str
    shape: tuple[int, ...]
    members: list[SiteActivations] = field(default_factory=list)

    def properties(self) -> tuple[LayerProperty, ...]:
        """The properties that speak of this layer as it stands in the model."""
        nonfinite = any(seen.input_nan or seen.input_infinite for seen in self.members)
        compute = self.dtype.removeprefix("mixed_")
        return tuple(
            prop
            for prop in all_properties()
            if prop.cases == "valid"
            and prop.needs_argument is None
            and not prop.builtins  # hunts for defects of the framework, wherever they may be
            and prop.name not in _OTHER_SETTINGS
            and not set(prop.data) <= _OTHER_RANGES
            and (nonfinite or prop.name not in _NONFINITE)
            and (compute in prop.dtypes or prop.name in _ANY_DTYPE)
            and self.configuration.padding in prop.paddings
        )

    def cases(self, prop: LayerProperty, seed: int) -> tuple[Case, ...]:
        """One input over the range that the members have seen, and one of a kind that hurts the property."""
        plain = Case(self.configuration, (prop.batches[0], *self.shape[1:]), prop.data[0], seed, self.dtype)
        reach = self.reach()
        if reach is None or not {"normal", "constant"} & set(prop.data):
            return plain, replace(plain, data=prop.data[-1], seed=seed + 1)
        if prop.data == ("constant",):
            return tuple(replace(plain, value_range=(value, value)) for value in reach)
        second = plain if prop.data[0] != "normal" else replace(plain, data=prop.data[-1])
        return replace(plain, value_range=reach), replace(second, seed=seed + 1)

    def reach(self) -> tuple[float, float] | None:
        """Lowest and highest value at the members; None where nothing was recorded or the kind has no such domain."""
        low = [seen.lowest for seen in self.members if seen.lowest is not None]
        high = [seen.highest for seen in self.members if seen.highest is not None]
        if not low or not high:
            return None
        lowest, highest = max(min(low), -_LARGEST_RANGE), min(max(high), _LARGEST_RANGE)
        if "nonnegative_domain" in self.configuration.traits:
            lowest = max(lowest, 0.0)
        return (lowest, highest) if highest > lowest or "nonnegative_domain" not in self.configuration.traits else None


def check_model_sites(
    activations: Sequence[SiteActivations],
    *,
    profile: str = "quick",
    seed: int = 0,
    on_progress: Progress | None = None,
) -> tuple[PropertyResult, ...]:
    """Every pooling site of a model against the properties that hold for its kind, and against its own data.

    The catalogue's properties are tried at the site's settings and dtype policy, on values drawn from the range that
    the data produced and on inputs that hurt, on the smallest map that keeps what the strides leave over
    (`small_shape`). The properties of `SITE_PROPERTIES` look at what was recorded, at full size. Sites that are alike
    in class, settings, policy, small shape and order of magnitude are tried once, and the results are reported for
    each. Properties that say nothing about a site's settings are left out; a site that was not tried has a SKIPPED
    result `site_conformance` with the reason.

    Layers that another process can import run in a process of their own. Copies of other layers run in this one,
    without protection against signals, since TensorFlow has run here already.

    Args:
        activations: From `poolaudit.subject.activations.record_site_activations`.
        profile: "quick", "standard" or "thorough"; sets also how many different sites are tried.
        seed: Of the drawn values.
        on_progress: Is called with (done, total, what).
    """
    budget = profile_named(profile)
    results: list[PropertyResult] = []
    groups: dict[str, _Group] = {}
    for seen in activations:
        configuration = site_configuration(seen)
        site = SiteUnderTest(seen, configuration)
        for entry in SITE_PROPERTIES:
            found = entry.statement(site)
            if found is not None:
                results.append(found)
        reason = _grouped(seen, configuration, groups)
        if reason is not None:
            results.append(_whole(seen, Outcome.SKIPPED, reason))
    results += _tried(list(groups.values()), budget, seed, on_progress)
    order = {seen.name: position for position, seen in enumerate(activations)}
    return tuple(sorted(results, key=lambda result: order[result.layer]))


def _grouped(seen: SiteActivations, configuration: PoolConfiguration | None, groups: dict[str, _Group]) -> str | None:
    """Puts the site into its group; the reason where it cannot be tried."""
    shape = seen.input_shape
    if shape is None:
        stated = seen.site.input_shape
        if stated is None or None in stated[1:]:
            return f"the shape of its input is not known: {seen.reason}"
        shape = tuple(size or 2 for size in stated)
    settled = configuration if configuration is not None else unknown_configuration(seen)
    if seen.dtype_policy not in _POLICIES:
        return f"its dtype policy {seen.dtype_policy!r} is not one of {', '.join(_POLICIES)}"
    if len(shape) != settled.rank + 2:
        return f"its input of shape {shape} does not have {settled.rank} pooled axes"
    if settled.layout == "windowed" and (settled.problems(shape) or settled.has_empty_window(shape)):
        return f"no valid input of shape {shape}: {'; '.join(settled.problems(shape)) or 'a window reads padding only'}"
    found = site_subject(seen, settled)
    if isinstance(found, str):
        return found
    subject, factory = found
    weighted = bool(getattr(seen.live, "weights", ()))
    small = small_shape(settled, shape, max(shape) if weighted else 3)
    own = {key: value for key, value in (seen.config or {}).items() if key not in ("name", "trainable")}
    alike = [subject.name, subject.reference, repr(settled), seen.dtype_policy, small, own, _reach_key(seen)]
    key = json.dumps([*alike, id(seen.live) if weighted else 0], default=str, sort_keys=True)
    group = groups.setdefault(key, _Group(subject, factory, settled, seen.dtype_policy, small))
    group.members.append(seen)
    return None


def _reach_key(seen: SiteActivations) -> list[Any]:
    """What sites must share of their values, so that none is blamed for the range of another."""
    nonfinite = bool(seen.input_nan or seen.input_infinite)
    if seen.lowest is None or seen.highest is None:
        return [nonfinite]
    largest = max(abs(seen.lowest), abs(seen.highest))
    if seen.compute_dtype in HALVES and largest > 1000:
        return [nonfinite, seen.lowest, seen.highest]
    return [nonfinite, seen.lowest < 0, seen.highest > 0, math.ceil(math.log10(largest)) if largest else 0]


def _tried(groups: list[_Group], profile: Profile, seed: int, on_progress: Progress | None) -> list[PropertyResult]:
    most, seconds = _BUDGETS[profile.name]
    # The user's own layers first: they are the likelier ones to be wrong.
    groups = sorted(groups, key=lambda group: group.subject.builtin)
    kept, rest = groups[:most], groups[most:]
    results = [
        _whole(
            seen, Outcome.SKIPPED, f"{most} different sites are tried under {profile.name!r}, and this is a further one"
        )
        for group in rest
        for seen in group.members
    ]
    remote = [group for group in kept if group.factory is None]
    local = [group for group in kept if group.factory is not None]
    done = 0

    def tell(group: _Group) -> None:
        nonlocal done
        if on_progress is not None:
            on_progress(done, len(kept), f"{group.members[0].name} ({group.subject.name})")
        done += 1

    if remote:
        with Engine(None, profile, 2) as engine:
            try:
                described = engine.describe(list(dict.fromkeys(group.subject for group in remote)))
                ends = 0.0
                for subject, description in described:
                    ends = ends or time.monotonic() + seconds
                    for group in [group for group in remote if group.subject == subject]:
                        tell(group)
                        results += _group_results(engine, group, description, profile, seed, ends)
            except PoolauditError as error:  # the worker process could not start
                results += [_whole(s, Outcome.CRASHED, str(error)) for group in remote for s in group.members]
    ends = time.monotonic() + seconds
    for group in local:
        tell(group)
        with _quiet_tensorflow(), Engine(group.factory, profile, 1) as engine:
            for _, description in engine.describe([group.subject]):
                results += _group_results(engine, group, description, profile, seed, ends)
    return results


def _group_results(
    engine: Engine, group: _Group, description: Description, profile: Profile, seed: int, ends: float
) -> list[PropertyResult]:
    """The results of one group, once for each of its sites."""
    found: list[PropertyResult] = []
    if time.monotonic() > ends:
        reason = f"the time for sites under {profile.name!r} was spent"
        return [_whole(seen, Outcome.SKIPPED, reason) for seen in group.members]
    if description.problem is not None:
        return [_whole(seen, Outcome.CRASHED, description.problem) for seen in group.members]
    jobs: list[Job] = []
    for prop in group.properties():
        cases = group.cases(prop, seed)
        for task in plan(group.subject, description, profile, {prop.name}, cases):
            if task.skipped is None:
                jobs.append(Job(task.subject, task.property, task.mode, task.dtype, profile, seed, cases, task.flaw))
    while jobs:
        outcomes = engine.run(jobs, None)
        hidden: list[Job] = []
        for job in jobs:
            case = outcomes[job].case
            result, _ = judge(engine, outcomes, job, description, profile)
            if result.outcome is Outcome.FAILED and result.known_divergence is None and group.subject.builtin:
                # A mixed policy computes in its half dtype, and the list names that one.
                plain = replace(result, dtype=result.dtype.removeprefix("mixed_"))
                entry = explaining_entry(plain, case)
                result = replace(result, known_divergence=None if entry is None else entry.identifier)
            if result.outcome is not Outcome.SKIPPED:
                found.append(result)
            rest = tuple(other for other in job.cases or () if other != case)
            if result.known_divergence is not None and rest and len(rest) < len(job.cases or ()):
                hidden.append(replace(job, cases=rest))  # nothing may hide behind a defect of the framework
        jobs = hidden
    return [replace(result, layer=seen.name) for seen in group.members for result in found]


@contextlib.contextmanager
def _quiet_tensorflow() -> Iterator[None]:
    """Holds back advice on retracing: small functions are traced here on purpose."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _whole(seen: SiteActivations, outcome: Outcome, reason: str) -> PropertyResult:
    return PropertyResult(seen.name, WHOLE, outcome, "eager", seen.dtype_policy, reason=reason)


__all__ = ["SITE_PROPERTIES", "WHOLE", "check_model_sites"]
