"""Which arms an ablation has: the variants asked for or chosen, each built once to see that it is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from poolaudit.ablation.agreement import Disagreement
from poolaudit.ablation.locate import LocatedSite, locate
from poolaudit.ablation.proof import require_other_values
from poolaudit.ablation.refusals import VariantImpossible, VariantUnchanged
from poolaudit.ablation.surgery import build_variant
from poolaudit.ablation.trial import CONTROL_SUFFIX
from poolaudit.ablation.variants import ALL, NotApplicable, Variant, applicable_variants, parse_variant
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.ablation import ArmEvidence
from poolaudit.evidence.geometry import PoolingSite

# Chosen where no variant is named: weaker pooling first, because lost recall is the harm.
CHOSEN_ACTIONS = ("weaker", "removed", "max", "average", "stronger", "global_max", "global_average")
MOST_CHOSEN = 12
Shape = tuple["int | None", ...]


@dataclass(frozen=True, slots=True)
class Arms:
    """The arms of an ablation.

    Attributes:
        baseline: The model as it is.
        listed: Variants and controls, also those that cannot be built, in the order asked for.
        variants: Those that can, as the surgery takes them.
    """

    baseline: ArmEvidence
    listed: tuple[ArmEvidence, ...]
    variants: tuple[Variant, ...]


def choose_arms(
    model: Any, wanted: Sequence[str] | None, shape: Shape, *, with_controls: bool, inputs: Any = None
) -> Arms:
    """Builds every variant once; those that cannot be built stay in the list with the reason.

    Args:
        model: The baseline, a `keras.Model`.
        wanted: Texts such as "weaker@stem"; None chooses.
        shape: Of the inputs, with batch None.
        with_controls: Also build the parameter-matched control of every variant whose head has another width.
        inputs: A few items on which each variant has to do something else at its sites; None where a swap shows that.

    Raises:
        InvalidInputError: A text names no variant or no site of this model, or twice the same.
    """
    located = locate(model, shape)
    listed: list[ArmEvidence] = []
    found: list[Variant] = []
    for candidate in _candidates(model, wanted, shape, located):
        if isinstance(candidate, NotApplicable):
            listed.append(ArmEvidence(candidate.name, unavailable=candidate.reason, unchanged=candidate.pools_nothing))
            continue
        arm, control = _arm(model, candidate, shape, located, with_controls, inputs)
        listed.append(arm)
        if control is not None:
            listed.append(control)
        if not arm.unavailable:
            found.append(candidate)
    baseline = ArmEvidence(
        "baseline",
        direction="baseline",
        downsampling=_total_downsampling([entry.site for entry in located]),
        parameters=int(model.count_params()),
    )
    baseline = _with_costs(baseline, model, shape)
    return Arms(baseline, tuple(listed), tuple(found))


def _candidates(
    model: Any, wanted: Sequence[str] | None, shape: Shape, located: Sequence[LocatedSite]
) -> list[Variant | NotApplicable]:
    if wanted is not None:
        parsed = [parse_variant(text) for text in wanted]
        names = [variant.name for variant in parsed]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInputError(f"The variant {twice[0]!r} is named twice", "each variant once")
        found: list[Variant | NotApplicable] = [*parsed]
        return found
    known = applicable_variants(model, input_shape=shape)
    offered = [v for v in known if isinstance(v, Variant)]
    # One line a site says that its pooling does nothing; global pooling of one cell still drops its axes.
    idle = [v for v in known if isinstance(v, NotApplicable) and v.pools_nothing and v.name.startswith("weaker@")]
    chosen = [v for action in CHOSEN_ACTIONS for v in offered if v.action == action]
    # All sites at once tell most where there are many; one site at a time where there are few.
    several = [v for v in chosen if v.sites == (ALL,)]
    single = [v for v in chosen if v.sites != (ALL,)]
    ordered = [*single, *several] if len(single) <= MOST_CHOSEN - 2 else [*several, *single]
    return [*ordered[:MOST_CHOSEN], *idle]


def _arm(
    model: Any, variant: Variant, shape: Shape, located: Sequence[LocatedSite], with_controls: bool, inputs: Any
) -> tuple[ArmEvidence, ArmEvidence | None]:
    arm = ArmEvidence(variant.name, action=variant.action, sites=variant.sites)
    try:
        built = build_variant(model, variant, input_shape=shape)
        if inputs is not None:
            require_other_values(model, built, inputs)
    except VariantUnchanged as error:
        return replace(arm, unavailable=error.reason, unchanged=True), None
    except (VariantImpossible, Disagreement) as error:
        return replace(arm, unavailable=getattr(error, "reason", str(error))), None
    before = _total_downsampling([entry.site for entry in located])
    arm = replace(
        arm,
        sites=built.sites,
        direction=_direction(variant.action, before),
        kind=_kind(variant.action),
        downsampling=_downsampling_after(variant, before, built, shape),
        head_resized=built.head_resized,
        parameters=built.parameters,
        notes=built.notes,
    )
    arm = _with_costs(arm, built.model, shape)
    if not (with_controls and built.head_resized):
        return arm, None
    control = replace(arm, name=f"{variant.name}{CONTROL_SUFFIX}", is_control=True, control_of=variant.name)
    try:
        matched = build_variant(model, variant, control=True, input_shape=shape)
    except (VariantImpossible, VariantUnchanged) as error:
        return arm, replace(control, unavailable=error.reason, parameters=None)
    return arm, replace(control, parameters=matched.parameters, notes=matched.notes)


def _with_costs(arm: ArmEvidence, model: Any, shape: Shape) -> ArmEvidence:
    """FLOPs and latency of one item; left open where a size is not known or the model cannot be traced."""
    from poolaudit.ablation.costs import measure_costs

    item = tuple(size for size in shape[1:] if size is not None)
    if len(item) != len(shape) - 1:
        return arm
    try:
        costs = measure_costs(model, item)
    except Exception:  # the model's own code runs; what it costs is an aside
        return arm
    latency = costs.latency_seconds.value
    return replace(arm, flops=costs.flops, latency_milliseconds=None if latency is None else 1000 * latency)


def _downsampling_after(variant: Variant, before: float | None, built: Any, shape: Shape) -> float | None:
    """From the variant's own sites; a replacement that is no pooling layer strides as the layer it replaced."""
    if _direction(variant.action, before) == "same":
        return before
    try:
        return _total_downsampling([entry.site for entry in locate(built.model, shape)])
    except InvalidInputError:
        return None


def _total_downsampling(sites: Sequence[PoolingSite]) -> float | None:
    """Product of the windowed sites' largest strides; None where one is not known. Branches are counted in a row."""
    factors: list[float] = []
    for site in sites:
        if site.kind.startswith("global") or site.kind == "flatten":
            continue
        if site.strides is None:
            return None
        factors.append(float(max(site.strides)))
    return math.prod(factors) if factors else 1.0


def _direction(action: str, before: float | None) -> str:
    if action in ("weaker", "removed", "stride1", "flatten"):
        return "weaker"
    if action == "stronger":
        return "stronger"
    if action.startswith("downsampling_"):
        total = float(action.removeprefix("downsampling_"))
        return "unknown" if before is None else "weaker" if total < before else "stronger"
    return "same"


def _kind(action: str) -> str:
    return {"max": "max", "global_max": "max", "average": "average", "global_average": "average"}.get(action, "")
