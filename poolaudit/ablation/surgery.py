"""Builds a variant of a model: a model of its own, with the weights it can keep, and the proof that it differs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from poolaudit.ablation.control import Control
from poolaudit.ablation.copies import carry_weights, weight_name
from poolaudit.ablation.fitting import fitted, require_runs
from poolaudit.ablation.locate import LocatedSite, Shape, locate
from poolaudit.ablation.opaque import build_with_code_inside
from poolaudit.ablation.plan import PlannedModel, planned, walk
from poolaudit.ablation.rebuild import Rebuild
from poolaudit.ablation.refusals import IdlePooling, RefusedAction, VariantImpossible, VariantUnchanged
from poolaudit.ablation.variants import ACTIONS, Variant, replacements_for
from poolaudit.subject._keras_load import quiet_keras

__all__ = ["BuiltVariant", "VariantImpossible", "VariantUnchanged", "build_variant"]

CONTROL_TOLERANCE = 0.05
"""Share of the baseline's parameters by which a control may miss it; what it misses by stands in its notes."""


@dataclass(frozen=True)
class BuiltVariant:
    """A variant as a model. Holds TensorFlow objects: never evidence.

    Attributes:
        variant: What was asked for.
        model: A model of its own: training it leaves the original as it was.
        sites: Names of the pooling sites that were changed.
        kept_weights: Paths of the weights that have the original's values.
        reinitialised_weights: Paths of the weights that start anew, because their shapes changed or their layer is
            new; they must be trained before the model's predictions mean anything.
        new_weights: Those of them that belong to replacement layers and start at a meaningful value.
        head_resized: Whether a layer behind the pooling takes inputs of another width than before.
        parameters: Values in all weights.
        baseline_parameters: The same of the original.
        notes: Sentences on what else was changed.
        control: Whether this is the parameter-matched control.
        not_savable: Why it cannot be written as a model file; None where it can.
        sources: For the proof: `LocatedSite` and replacement layer of every changed site.
    """

    variant: Variant
    model: Any = field(repr=False)
    sites: tuple[str, ...]
    kept_weights: tuple[str, ...] = field(repr=False)
    reinitialised_weights: tuple[str, ...]
    new_weights: tuple[str, ...]
    head_resized: bool
    parameters: int
    baseline_parameters: int
    notes: tuple[str, ...] = ()
    control: bool = False
    not_savable: str | None = None
    sources: tuple[tuple[LocatedSite, Any], ...] = field(default=(), repr=False)

    @property
    def must_be_trained(self) -> bool:
        """Whether its predictions say nothing before training: weights start anew, or its layer starts as another."""
        return (
            bool(set(self.reinitialised_weights) - set(self.new_weights)) or ACTIONS.get(self.variant.action).untrained
        )


def build_variant(
    model: Any,
    variant: Variant,
    *,
    control: bool = False,
    seed: int = 0,
    input_shape: Shape | None = None,
    rebuild: Callable[[], Any] | None = None,
) -> BuiltVariant:
    """The variant of a model as a new model; the original and its weights stay as they are.

    Sequential and functional models, nested ones included, are built again around the changed site, with the original's
    weights wherever all shapes of a layer agree. Where branches no longer meet in one size, the stride of the other
    branch is changed to match, or the variant is refused. In models written as code the layer's behaviour is exchanged
    in place, on a copy, which works for replacements that keep the shape.

    Args:
        model: A built `keras.Model`.
        control: Build the parameter-matched control instead: the same change of pooling, on a head with as many
            parameters as the baseline's. Baseline against control is the pooling's effect; control against variant is
            that of the capacity.
        seed: Of every weight that starts anew.
        input_shape: With batch, for a model that states none or leaves sizes open.
        rebuild: For a model that cannot copy itself: a function that builds it again.

    Raises:
        VariantImpossible: The change does not fit the model; the reason says where.
        VariantUnchanged: The graph would be the same, or the pooling does nothing that could be exchanged.
        InvalidInputError: No such site or action.
    """
    try:
        with quiet_keras(), _seeded(seed):
            located = locate(model, input_shape)
            found = replacements_for(variant, located)
            if control:
                return _control(model, variant, found, located, input_shape)
            return _first_that_fits(model, variant, found, located, None, input_shape, rebuild)
    except IdlePooling as refusal:
        raise VariantUnchanged(variant.name, str(refusal)) from refusal
    except RefusedAction as refusal:
        raise VariantImpossible(variant.name, str(refusal)) from refusal


def _first_that_fits(
    model: Any,
    variant: Variant,
    found: Sequence[tuple[LocatedSite, tuple[Any, ...]]],
    located: Sequence[LocatedSite],
    control: Control | None,
    input_shape: Shape | None,
    rebuild: Callable[[], Any] | None = None,
) -> BuiltVariant:
    refusal: RefusedAction | None = None
    for attempt in range(max(len(candidates) for _, candidates in found)):
        chosen = [(entry, candidates[min(attempt, len(candidates) - 1)]) for entry, candidates in found]
        try:
            return _built(model, variant, chosen, located, control, input_shape, rebuild)
        except RefusedAction as error:
            refusal = refusal or error
    raise refusal or RefusedAction("no replacement was given")


def _built(
    model: Any,
    variant: Variant,
    chosen: list[tuple[LocatedSite, Any]],
    located: Sequence[LocatedSite],
    control: Control | None,
    input_shape: Shape | None,
    rebuild: Callable[[], Any] | None,
) -> BuiltVariant:
    plan = planned(model)
    open_calls = {(id(call.operation), call.occurrence) for _, call in walk(plan)}
    for entry, layer in chosen:
        if _does_the_same(entry, layer):
            raise VariantUnchanged(variant.name, f"the replacement of {entry.site.name!r} is the layer that was there")
    if any(entry.key not in open_calls for entry, _ in chosen):
        if control is not None:
            raise RefusedAction("a control needs a functional or Sequential model")
        return _with_code_inside(model, variant, chosen, located, plan, rebuild)
    surgery, changed = fitted(plan, chosen, control, input_shape)
    built = _described(model, variant, chosen, surgery, changed, control)
    if surgery.reshaped:
        require_runs(changed, input_shape)
    return built


def _described(
    model: Any,
    variant: Variant,
    chosen: list[tuple[LocatedSite, Any]],
    surgery: Rebuild,
    changed: Any,
    control: Control | None,
) -> BuiltVariant:
    kept: list[str] = []
    anew: list[str] = []
    for path, original, copy in surgery.copies:
        ours, lost = carry_weights(original, copy)
        kept += _below(path, ours)
        anew += _below(path, lost)
    new = [name for path, layer in surgery.added for name in _below(path, [weight_name(v) for v in layer.weights])]
    notes = [*surgery.notes, *_compiled_like(model, changed)]
    return BuiltVariant(
        variant=variant,
        model=changed,
        sites=tuple(entry.site.name for entry, _ in chosen),
        kept_weights=tuple(kept),
        reinitialised_weights=tuple(anew + new),
        new_weights=() if control is not None else tuple(new),
        head_resized=bool(surgery.resized),
        parameters=int(changed.count_params()),
        baseline_parameters=int(model.count_params()),
        notes=tuple(dict.fromkeys(notes)),
        control=control is not None,
        sources=tuple(chosen),
    )


def _below(path: str, names: list[str]) -> list[str]:
    return [f"{path}/{name}" for name in names] if path else names


def _with_code_inside(
    model: Any,
    variant: Variant,
    chosen: list[tuple[LocatedSite, Any]],
    located: Sequence[LocatedSite],
    plan: PlannedModel,
    rebuild: Callable[[], Any] | None,
) -> BuiltVariant:
    built = build_with_code_inside(model, chosen, located, plan, rebuild)
    kept, anew = carry_weights(model, built.model) if not built.added_weights else (built.kept, [])
    if anew:
        raise RefusedAction("a copy of the model has other weights than the model; pass a function that builds it")
    notes = _compiled_like(model, built.model)
    return BuiltVariant(
        variant=variant,
        model=built.model,
        sites=tuple(entry.site.name for entry, _ in chosen),
        kept_weights=tuple(kept),
        reinitialised_weights=built.added_weights,
        new_weights=built.added_weights,
        head_resized=False,
        parameters=int(built.model.count_params()),
        baseline_parameters=int(model.count_params()),
        notes=tuple(notes),
        not_savable="the pooling is called by code of the model's own class, which a file cannot change; "
        "change that line of code instead",
        sources=tuple(chosen),
    )


def _control(
    model: Any,
    variant: Variant,
    found: Sequence[tuple[LocatedSite, tuple[Any, ...]]],
    located: Sequence[LocatedSite],
    shape: Shape | None,
) -> BuiltVariant:
    plain = _first_that_fits(model, variant, found, located, None, shape)
    if not plain.head_resized:
        raise RefusedAction(
            "its head takes inputs of the same width as the baseline's, so there is no capacity to match"
        )
    target = plain.baseline_parameters
    if not any(entry.site.kind == "flatten" or entry.site.kind.startswith("global") for entry, _ in found):
        built = _first_that_fits(model, variant, found, located, Control("resize"), shape)
    else:
        form = "hidden" if any(entry.site.kind == "flatten" for entry, _ in found) else "narrow"
        one, two = (
            _first_that_fits(model, variant, found, located, Control(form, width), shape).parameters for width in (1, 2)
        )
        width = max(1, round(1 + (target - one) / max(1, two - one)))
        built = _first_that_fits(model, variant, found, located, Control(form, width), shape)
    miss = built.parameters - target
    if abs(miss) > CONTROL_TOLERANCE * target:
        raise RefusedAction(
            f"no control comes within {CONTROL_TOLERANCE:.0%} of the baseline's {target:,} parameters; the nearest has "
            f"{built.parameters:,}"
        )
    told = "exactly the baseline's" if miss == 0 else f"{miss:+,} ({miss / target:+.2%}) against the baseline's"
    return replace(built, notes=(*built.notes, f"The control has {told} {target:,} parameters."))


def _does_the_same(entry: LocatedSite, layer: Any) -> bool:
    """Whether a replacement is of the very class and settings of the layer it replaces."""
    if type(layer) is not type(entry.owner):
        return False
    ours, theirs = layer.get_config(), entry.owner.get_config()
    skipped = ("name", "dtype", "trainable")
    return {k: v for k, v in ours.items() if k not in skipped} == {k: v for k, v in theirs.items() if k not in skipped}


def _compiled_like(model: Any, changed: Any) -> list[str]:
    """Compiles the variant as the model is."""
    if not getattr(model, "compiled", False):
        return []
    try:
        config = model.get_compile_config()
        if not config:
            raise ValueError("the model was compiled with objects that do not describe themselves")
        changed.compile_from_config(config)
    except Exception as error:  # a user's loss or metric may fail in any way
        return [f"The compile configuration could not be carried over ({type(error).__name__}: {error})."]
    if not changed.compiled:
        return ["The compile configuration could not be carried over."]
    return []


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Keras draws the seeds of its initializers from `random`; the caller's state is put back."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
