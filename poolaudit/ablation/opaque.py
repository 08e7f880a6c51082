"""Variants of models whose pooling is called by code: the layer's behaviour is exchanged on a copy of the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poolaudit.ablation.copies import carry_weights, copied_layer, weight_name
from poolaudit.ablation.inplace import built_replacement, patch_inside
from poolaudit.ablation.locate import LocatedSite
from poolaudit.ablation.plan import PlannedModel, walk
from poolaudit.ablation.refusals import RefusedAction


@dataclass(frozen=True)
class CodeVariant:
    """A copy with changed behaviour; `kept` and `added_weights` are paths of weights."""

    model: Any
    kept: tuple[str, ...]
    added_weights: tuple[str, ...]


def build_with_code_inside(
    model: Any,
    chosen: Sequence[tuple[LocatedSite, Any]],
    located: Sequence[LocatedSite],
    plan: PlannedModel,
    rebuild: Callable[[], Any] | None,
) -> CodeVariant:
    """A copy of a model, of which layers called by code do something else.

    Raises:
        RefusedAction: The model cannot be copied, or a replacement changes the shape.
    """
    edits, calls = edits_inside(model, chosen, located, plan)
    copy = rebuild() if rebuild is not None else copied_layer(model)
    _build(model, copy)
    kept, lost = carry_weights(model, copy)
    if lost:
        raise RefusedAction("a copy of the model has other weights than the model itself")
    added = patch_inside(model, copy, edits, calls)
    return CodeVariant(copy, tuple(kept), tuple(weight_name(v) for layer in added for v in layer.weights))


def edits_inside(
    model: Any, chosen: Sequence[tuple[LocatedSite, Any]], located: Sequence[LocatedSite], plan: PlannedModel
) -> tuple[dict[tuple[int, int], Any], Mapping[int, int]]:
    """Built replacements by (id of the layer, how-manieth call), and how often one run calls each layer.

    Raises:
        RefusedAction: A site is an operation, not a layer, or its replacement changes the shape.
    """
    import keras

    inside = {id(layer) for layer in model._flatten_layers(include_self=False)}
    edits = {}
    for entry, candidate in chosen:
        if not isinstance(entry.owner, keras.Layer) or id(entry.owner) not in inside:
            raise RefusedAction(f"{entry.site.name!r} is an operation inside code and cannot be exchanged")
        edits[entry.key] = built_replacement(candidate, entry.site, entry.owner)
    return edits, Counter(id(entry.owner) for entry in located if entry.owner is not None)


def has_open_calls(entry: LocatedSite, plan: PlannedModel) -> bool:
    """Whether a site is a call of the functional graph, not one that code makes."""
    return any((id(call.operation), call.occurrence) == entry.key for _, call in walk(plan))


def _build(model: Any, copy: Any) -> None:
    """Makes the copy's weights: by its build configuration, or else by calling it as the model was first called."""
    import keras

    if copy.built and len(copy.variables) == len(model.variables):
        return
    config = model.get_build_config() or {}
    shapes = config.get("shapes_dict") or {"inputs": config.get("input_shape")}
    try:
        if config:
            copy.build_from_config(config)
        if not copy.built or len(copy.variables) != len(model.variables):
            sizes = keras.tree.map_shape_structure(lambda shape: (1, *(size or 1 for size in shape[1:])), shapes)
            zeros = keras.tree.map_shape_structure(lambda shape: keras.ops.zeros(shape), sizes)
            copy(*zeros.values())
    except Exception as error:  # the model's own code
        raise RefusedAction(f"a copy of the model cannot be built ({type(error).__name__}: {error})") from error
