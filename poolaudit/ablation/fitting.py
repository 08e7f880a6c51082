"""Rebuilds until the branches agree; where input sizes are open, first at a fixed size, where disagreement shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from poolaudit.ablation.agreement import Disagreement, matching_overrides
from poolaudit.ablation.control import Control
from poolaudit.ablation.locate import LocatedSite, Shape
from poolaudit.ablation.plan import PlannedCall, PlannedModel, graph_of, planned, walk
from poolaudit.ablation.rebuild import Edits, Rebuild
from poolaudit.ablation.refusals import RefusedAction

_ROUNDS = 24
_PROBES = (64, 224, 32, 16)

Overrides = dict[int, dict[str, Any]]


def fitted(
    plan: PlannedModel,
    chosen: Sequence[tuple[LocatedSite, Any]],
    control: Control | None,
    input_shape: Shape | None,
) -> tuple[Rebuild, Any]:
    """The pass that fits, and the model it made.

    Args:
        chosen: Sites and their replacements.
        input_shape: With batch; sizes at which a model with open sizes is tried.

    Raises:
        RefusedAction: The branches cannot be made to agree, or a layer does not take its new input.
    """
    edits = {entry.key: layer for entry, layer in chosen}
    if any(size is None for tensor in plan.graph.inputs for size in tensor.shape[1:]):
        overrides, notes = _at_fixed_size(plan, edits, input_shape)
        surgery = Rebuild(Edits(edits, overrides, control), plan)
        surgery.notes += notes
        try:
            return surgery, surgery.model(plan)
        except Disagreement as found:
            raise RefusedAction(found.described()) from found
    surgery, model, _ = _until_branches_agree(plan, edits, control)
    _require_same_outputs(plan.graph.outputs, model.outputs)
    return surgery, model


def require_runs(changed: Any, input_shape: Shape | None) -> None:
    """Runs a changed model once, on two items of noise: what a layer says of its shapes may not be what it does.

    Raises:
        RefusedAction: It fails, or gives another number of items, as a reshape does that folds cells into the batch.
    """
    import keras
    import numpy as np

    graph, generator = graph_of(changed), np.random.default_rng(0)

    def noise(tensor: Any) -> Any:
        shape = _fixed(tensor, input_shape, _PROBES[0])
        return generator.uniform(0, 1, (tensor.shape[0] or 2, *shape)).astype(
            keras.backend.standardize_dtype(tensor.dtype)
        )

    batch = keras.tree.map_structure(noise, graph._inputs_struct)
    try:
        outputs = keras.tree.flatten(changed(batch, training=False))
    except Exception as error:  # the layers' own code
        lines = [line.strip() for line in str(error).splitlines() if line.strip() and "encountered when" not in line]
        raise RefusedAction(f"it does not run ({type(error).__name__}: {''.join(lines[:1])[:160]})") from error
    items = len(keras.tree.flatten(batch)[0])
    if any(len(output) != items for output in outputs):
        raise RefusedAction(f"it gives {len(outputs[0])} outputs for {items} items: sizes are written into a reshape")


def _until_branches_agree(
    plan: PlannedModel, edits: Mapping[tuple[int, int], Any], control: Control | None
) -> tuple[Rebuild, Any, Overrides]:
    overrides: Overrides = {}
    notes: list[str] = []
    edited = frozenset(key[0] for key in edits)
    for _ in range(_ROUNDS):
        surgery = Rebuild(Edits(edits, overrides, control), plan)
        try:
            model = surgery.model(plan)
        except Disagreement as found:
            more, note = matching_overrides(found, edited)
            if not more or any(overrides.get(identity) == settings for identity, settings in more.items()):
                raise RefusedAction(found.described()) from found
            overrides.update(more)
            notes.append(note)
            continue
        surgery.notes[:0] = notes
        return surgery, model, overrides
    raise RefusedAction("too many branches would have to change")


def _at_fixed_size(
    plan: PlannedModel, edits: Mapping[tuple[int, int], Any], input_shape: Shape | None
) -> tuple[Overrides, list[str]]:
    """What has to change besides, as seen on a copy of the model with fixed sizes."""
    twin = _twin(plan, input_shape)
    if twin is None:
        return {}, ["The sizes of the model's inputs are open; that the variant fits was not checked."]
    pairs = list(zip((call for _, call in walk(plan)), (call for _, call in walk(twin)), strict=True))
    there = {_key(ours): _key(theirs) for ours, theirs in pairs}
    back = {id(theirs.operation): id(ours.operation) for ours, theirs in pairs}
    surgery, model, overrides = _until_branches_agree(
        twin, {there[key]: layer for key, layer in edits.items()}, control=None
    )
    _require_same_outputs(twin.graph.outputs, model.outputs)
    return {back[identity]: settings for identity, settings in overrides.items()}, surgery.notes


def _twin(plan: PlannedModel, input_shape: Shape | None) -> PlannedModel | None:
    """The plan of a copy with fixed input sizes; None where no size works."""
    import keras

    for probe in _PROBES:
        sources = []
        for tensor in plan.graph.inputs:
            given = (
                input_shape if input_shape and len(input_shape) == len(tensor.shape) else (None,) * len(tensor.shape)
            )
            sizes = [a or b or probe for a, b in zip(tensor.shape[1:], given[1:], strict=True)]
            sources.append(keras.KerasTensor((tensor.shape[0], *sizes), dtype=tensor.dtype))
        try:
            twin = planned(Rebuild(Edits({}, {}), plan).model(plan, sources))
        except (RefusedAction, Disagreement):
            continue
        ours, theirs = list(walk(plan)), list(walk(twin))
        if [path for path, _ in ours] == [path for path, _ in theirs]:
            return twin
    return None


def _fixed(tensor: Any, input_shape: Shape | None, probe: int) -> list[int]:
    """Sizes of a tensor without batch; those that are open come from `input_shape`, or else are `probe`."""
    fits = input_shape is not None and len(input_shape) == len(tensor.shape)
    given = input_shape[1:] if fits and input_shape else (None,) * (len(tensor.shape) - 1)
    return [a or b or probe for a, b in zip(tensor.shape[1:], given, strict=True)]


def _key(call: PlannedCall) -> tuple[int, int]:
    return id(call.operation), call.occurrence


def _require_same_outputs(before: Sequence[Any], after: Sequence[Any]) -> None:
    for old, new in zip(before, after, strict=True):
        shapes = tuple(old.shape), tuple(new.shape)
        agree = len(shapes[0]) == len(shapes[1]) and all(
            a is None or b is None or a == b for a, b in zip(*shapes, strict=True)
        )
        if not agree:
            raise RefusedAction(f"the model's output would have the shape {shapes[1]} instead of {shapes[0]}")
