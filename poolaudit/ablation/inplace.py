"""Changes what a pooling layer inside user code does, on the live object: past attribute tracking, and undoable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from poolaudit.ablation.copies import replaced_copy
from poolaudit.ablation.refusals import RefusedAction

Keys = Mapping[tuple[int, int], Any]


@contextmanager
def patched(container: Any, edits: Keys, calls: Mapping[int, int]) -> Iterator[list[Any]]:
    """While it lasts, layers inside a container do what their replacements do; yields the replacements.

    Args:
        container: The model, or the layer, that holds them. Its weights are not touched.
        edits: Built replacement layers by (id of the inner layer, how-manieth call inside one call of the container).
        calls: How often one call of the container calls each inner layer, by id.
    """
    layers = {id(layer): layer for layer in container._flatten_layers(include_self=False)}
    touched: list[Any] = []
    counts: Counter[int] = Counter()
    before: dict[int, Any] = {}
    try:
        for identity in dict.fromkeys(key[0] for key in edits):
            layer = layers[identity]
            mine = {number: new for (owner, number), new in edits.items() if owner == identity}
            before[identity] = vars(layer).get("call")
            vars(layer)["call"] = _switch(layer.call, identity, mine, counts, calls.get(identity, 1))
            touched.append(layer)
        before[id(container)] = vars(container).get("call")
        vars(container)["call"] = _resetting(container.call, counts)
        touched.append(container)
        yield list(edits.values())
    finally:
        for layer in touched:
            if before[id(layer)] is None:
                vars(layer).pop("call", None)
            else:
                vars(layer)["call"] = before[id(layer)]


def patch_inside(original: Any, copy: Any, edits: Keys, calls: Mapping[int, int]) -> list[Any]:
    """Patches a copy of a container for good, so that it trains and predicts as the variant; returns the new layers.

    Args:
        original: The container that the edits name layers of.
        copy: A built copy of it.
        edits: Built replacement layers, as for `patched`.
        calls: As for `patched`.

    Raises:
        RefusedAction: The copy holds other layers than the original.
    """
    ours = list(copy._flatten_layers(include_self=False))
    theirs = list(original._flatten_layers(include_self=False))
    if [type(layer) for layer in ours] != [type(layer) for layer in theirs]:
        raise RefusedAction(f"a copy of {original.name!r} holds other layers than the original")
    counterpart = {id(old): new for old, new in zip(theirs, ours, strict=True)}
    counts: Counter[int] = Counter()
    for identity in dict.fromkeys(key[0] for key in edits):
        layer = counterpart[identity]
        mine = {number: new for (owner, number), new in edits.items() if owner == identity}
        vars(layer)["call"] = _switch(layer.call, id(layer), mine, counts, calls.get(identity, 1))
        _track(layer, list(mine.values()))
    vars(copy)["call"] = _resetting(copy.call, counts)
    return list(edits.values())


def built_replacement(candidate: Any, site: Any, owner: Any) -> Any:
    """A replacement that keeps the output shape of a site, with its weights made.

    Raises:
        RefusedAction: It would change the shape, and code that was written for one shape cannot follow.
    """
    layer = replaced_copy(candidate, str(owner.name), getattr(owner, "dtype_policy", None))
    if site.input_shape is None or site.output_shape is None:
        raise RefusedAction(f"the shapes at {site.name!r} are not known")
    try:
        shape = tuple(layer.compute_output_shape(site.input_shape))
    except Exception as error:
        raise RefusedAction(f"{type(layer).__name__} does not take inputs of shape {site.input_shape}") from error
    if shape != tuple(site.output_shape):
        raise RefusedAction(
            f"{site.name!r} is called by code, which only takes layers of the same output shape: {site.output_shape} "
            f"would become {shape}"
        )
    if not layer.built:
        layer.build(site.input_shape)
        layer.built = True
    return layer


def _switch(
    original: Callable[..., Any], identity: int, replacements: dict[int, Any], counts: Counter[int], calls: int
) -> Callable[..., Any]:
    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        number = counts[identity] if calls > 1 else 0
        counts[identity] += 1
        layer = replacements.get(number)
        if layer is None:
            return original(inputs, *args, **kwargs)
        if kwargs.get("mask") is not None and not layer.supports_masking:
            raise ValueError(f"the input carries a mask, which {type(layer).__name__} would ignore")
        return layer(inputs)

    return call


def _resetting(original: Callable[..., Any], counts: Counter[int]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        counts.clear()
        return original(*args, **kwargs)

    return call


def _track(layer: Any, replacements: list[Any]) -> None:
    """Makes the weights of the replacements the layer's own; a built layer refuses new state, so it is opened."""
    if not any(new.variables for new in replacements):
        return
    locked = layer._tracker.locked
    layer._tracker.unlock()
    try:
        layer.poolaudit_replacements = replacements
    finally:
        if locked:
            layer._tracker.lock()
