"""The proof that a variant ablates: another graph, other values at its sites, other outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.ablation.execution import NotStepwise, StepwiseModel
from poolaudit.ablation.locate import LocatedSite
from poolaudit.ablation.plan import planned, walk
from poolaudit.ablation.refusals import VariantUnchanged
from poolaudit.ablation.stepwise_swap import differ, fresh_replacement, tells_nothing
from poolaudit.ablation.surgery import BuiltVariant
from poolaudit.ablation.variants import ACTIONS
from poolaudit.ablation.whole_runs import batches, predicted
from poolaudit.subject._keras_load import quiet_keras

_SAME_AT_SITES = "what comes out of its sites is the same as before on {} inputs"


@dataclass(frozen=True, slots=True)
class AblationProof:
    """What differs between a variant and its baseline.

    Attributes:
        items: Inputs it was tried on.
        changed_sites: Names of the sites whose output differs; all of the variant's where the values in front of them
            cannot be had, as in code.
        unchanged_sites: Names of the variant's other sites.
        output_difference: Largest absolute difference of an output; None where weights start anew, so that outputs
            tell nothing.
    """

    items: int
    changed_sites: tuple[str, ...]
    unchanged_sites: tuple[str, ...]
    output_difference: float | None


def differs_from_baseline(model: Any, built: BuiltVariant, inputs: Any, batch_size: int = 32) -> AblationProof:
    """The proof that a built variant is another model than its baseline.

    Args:
        model: The baseline.
        inputs: A few items, as the model takes them.

    Raises:
        VariantUnchanged: The graphs are the same, no site's output differs on these inputs, or no output does.
    """
    name = built.variant.name
    if built.not_savable is None and graph_signature(model) == graph_signature(built.model):
        raise VariantUnchanged(name, "its graph is that of the baseline")
    with quiet_keras():
        changed, unchanged, items = _compare_sites(model, built, inputs, batch_size)
        starts_as_another = ACTIONS.get(built.variant.action).untrained
        if not changed and not starts_as_another:
            raise VariantUnchanged(name, _SAME_AT_SITES.format(items))
        if built.must_be_trained:
            return AblationProof(items, changed, unchanged, None)
        ours, theirs = (predicted(each, inputs, batch_size, compiled=False) for each in (built.model, model))
        pairs = [(ours, theirs)] if not isinstance(ours, tuple) else list(zip(ours, theirs, strict=True))
        equal = all(np.array_equal(a, b) for a, b in pairs)
        if equal or not (any(differ(a, b) for a, b in pairs) or _features_differ(model, built, inputs, batch_size)):
            raise VariantUnchanged(
                name,
                f"no output on {items} inputs differs from before by more than rounding (an untrained or saturated "
                "model may hide what differs inside)",
            )
    largest = max(float(np.max(np.abs(np.asarray(a, np.float64) - b), initial=0.0)) for a, b in pairs)
    return AblationProof(items, changed, unchanged, largest)


def require_other_values(model: Any, built: BuiltVariant, inputs: Any, batch_size: int = 32) -> None:
    """The part of the proof that holds before any training: something else comes out of the variant's sites.

    Where they are called by code, the values in front of them cannot be had, and the outputs are compared instead,
    unless the baseline gives all items the same answer, which tells nothing.

    Args:
        model: The baseline; its weights may be fresh.
        inputs: A few items, as the model takes them.

    Raises:
        VariantUnchanged: It is the same to within rounding.
    """
    if ACTIONS.get(built.variant.action).untrained:
        return
    with quiet_keras():
        if _steps(model, built.sources) is not None:
            changed, _, items = _compare_sites(model, built, inputs, batch_size)
            if not changed:
                raise VariantUnchanged(built.variant.name, _SAME_AT_SITES.format(items))
            return
        ours, theirs = (predicted(each, inputs, batch_size, compiled=False) for each in (built.model, model))
    pairs = [(ours, theirs)] if not isinstance(ours, tuple) else list(zip(ours, theirs, strict=True))
    if not any(differ(a, b) for a, b in pairs) and not all(tells_nothing(b) for _, b in pairs):
        raise VariantUnchanged(built.variant.name, f"no output on {len(pairs[0][1])} inputs differs from before")


def _features_differ(model: Any, built: BuiltVariant, inputs: Any, batch_size: int) -> bool:
    """Whether what the last layer reads differs: the scores of an untrained head may hide it in their rounding."""
    try:
        ours, theirs = StepwiseModel(built.model), StepwiseModel(model)
    except NotStepwise:
        return False
    for batch, _, _ in batches(inputs, batch_size):
        found = []
        for steps in (ours, theirs):
            last = len(steps.steps) - 1
            values = steps.run(steps.first_values(batch), 0, last)
            found.append([values[number] for number in steps.steps[last].reads])
        if len(found[0]) != len(found[1]) or any(differ(a, b) for a, b in zip(*found, strict=True)):
            return True
    return False


def graph_signature(model: Any) -> tuple[Any, ...]:
    """The same for functional models that differ in the names of their layers alone; nothing of other models."""
    numbers: dict[int, int] = {}
    found = []
    for _, call in walk(planned(model)):
        reads = tuple(numbers.get(id(tensor), -1) for tensor in call.node.input_tensors)
        for tensor in call.node.outputs:
            numbers[id(tensor)] = len(numbers)
        found.append((type(call.operation).__name__, _settings(call.operation), reads, _constants(call.node)))
    return tuple(found) or (id(model),)


def _settings(operation: Any) -> str:
    import keras

    if not isinstance(operation, keras.Layer) or isinstance(operation, keras.Model):
        return ""
    try:
        config = operation.get_config()
    except Exception:  # a user's layer
        return ""
    return repr({key: value for key, value in config.items() if key not in ("name", "layer")})


def _constants(node: Any) -> str:
    import keras

    flat = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
    return repr([value for value in flat if not isinstance(value, keras.KerasTensor)])


def _compare_sites(
    model: Any, built: BuiltVariant, inputs: Any, batch_size: int
) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Names of the sites with other outputs, of those with the same, and the number of items."""
    names = tuple(entry.site.name for entry, _ in built.sources)
    changed: set[str] = set()
    total = 0
    steps = _steps(model, built.sources)
    for batch, _, total in batches(inputs, batch_size):
        if steps is None:
            return names, (), total
        values, position = steps.first_values(batch), 0
        for place, entry, candidate in sorted(_places(steps, built.sources), key=lambda found: found[0]):
            values = steps.run(values, position, place)
            read = values[steps.steps[place].reads[0]]
            position = place + 1
            after = steps.run(values, place, position)
            if entry.site.name not in changed:
                made = fresh_replacement(entry, candidate)(read)
                if differ(made, after[steps.steps[place].writes[0]]):
                    changed.add(entry.site.name)
            values = after
        if len(changed) == len(names):
            break
    return tuple(n for n in names if n in changed), tuple(n for n in names if n not in changed), total


def _steps(model: Any, sources: Sequence[tuple[LocatedSite, Any]]) -> StepwiseModel | None:
    try:
        steps = StepwiseModel(model)
    except NotStepwise:
        return None
    return None if any(steps.place(entry.key) is None for entry, _ in sources) else steps


def _places(steps: StepwiseModel, sources: Sequence[tuple[LocatedSite, Any]]) -> list[tuple[int, LocatedSite, Any]]:
    return [(place, entry, layer) for entry, layer in sources if (place := steps.place(entry.key)) is not None]
