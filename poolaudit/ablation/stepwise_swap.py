"""The fast swap: one run of the model, cut in front of every changed site; each variant goes on from its cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.ablation.copies import replaced_copy
from poolaudit.ablation.execution import StepwiseModel
from poolaudit.ablation.locate import LocatedSite
from poolaudit.ablation.recalibration import Progress
from poolaudit.ablation.surgery import BuiltVariant
from poolaudit.ablation.variants import Variant
from poolaudit.ablation.whole_runs import as_outputs, batches

_ROUNDINGS = 4
"""Units of rounding of the largest value at the site that two ways of computing the same may differ by."""


@dataclass(frozen=True)
class Swap:
    """A variant that the model's own layers can run: replacements by (id of the layer, how-manieth call)."""

    variant: Variant
    replacements: dict[tuple[int, int], Any]

    @classmethod
    def of(
        cls, steps: StepwiseModel, variant: Variant, found: Sequence[tuple[LocatedSite, tuple[Any, ...]]]
    ) -> Swap | None:
        """The swap where every replacement keeps the shape at its site; None where the rest has to be looked at."""
        layers = {}
        for entry, candidates in found:
            if steps.place(entry.key) is None or len(candidates) != 1:
                return None
            layer = fresh_replacement(entry, candidates[0])
            if not _keeps_shape(layer, entry):
                return None
            layers[entry.key] = layer
        return cls(variant, layers)

    @classmethod
    def of_built(cls, steps: StepwiseModel, built: BuiltVariant) -> Swap | None:
        """The swap of a variant that surgery has found to fit, with all weights kept and nothing else changed."""
        if any(steps.place(entry.key) is None for entry, _ in built.sources):
            return None
        return cls(built.variant, {entry.key: fresh_replacement(entry, layer) for entry, layer in built.sources})


def swap_step_by_step(
    steps: StepwiseModel,
    swaps: Sequence[Swap],
    inputs: Any,
    batch_size: int,
    on_progress: Progress | None,
) -> tuple[Any, dict[str, Any], dict[str, str]]:
    """Raw outputs of the model, those of every swap by name, and why some changed nothing at their site."""
    run = _Run(steps, swaps)
    gathered: dict[str, list[tuple[Any, int]]] = {}
    total = 0
    for batch, fresh, total in batches(inputs, batch_size):
        for name, outputs in run.batch(batch):
            gathered.setdefault(name, []).append((outputs, fresh))
            if on_progress is not None:
                on_progress(sum(count for _, count in gathered[name]), total, name)
    joined = {name: as_outputs(parts) for name, parts in gathered.items()}
    baseline = joined.pop("")
    same = {
        swap.variant.name: "what comes out of its sites is the same as before on these inputs"
        for swap in swaps
        if swap.variant.name not in run.differing
    }
    return baseline, joined, same


class _Run:
    """The compiled segments between the cuts.

    Attributes:
        differing: Names of the swaps that changed the values at a site in some batch.
    """

    def __init__(self, steps: StepwiseModel, swaps: Sequence[Swap]) -> None:
        self.steps, self.swaps = steps, swaps
        places = {steps.place(key) for swap in swaps for key in swap.replacements}
        self.cuts = sorted(place for place in places if place is not None)
        self.differing: set[str] = set()
        self._compiled: dict[tuple[int, int], Any] = {}

    def batch(self, batch: Any) -> Iterator[tuple[str, list[Any]]]:
        """Name and outputs of every swap on one batch; the model itself has the name ""."""
        values = self._segment(self.steps.first_values(batch), 0, self.cuts[0])
        for number, cut in enumerate(self.cuts):
            step = self.steps.steps[cut]
            after = self._segment(values, cut, cut + 1)
            for swap in self.swaps:
                if step.key in swap.replacements and self._first_cut(swap) == cut:
                    yield swap.variant.name, self._onward(swap, values, number, after)
            following = self.cuts[number + 1] if number + 1 < len(self.cuts) else len(self.steps.steps)
            values = self._segment(after, cut + 1, following)
        yield "", [np.asarray(values[value]) for value in self.steps.outputs]

    def _onward(self, swap: Swap, values: dict[int, Any], number: int, baseline: dict[int, Any]) -> list[Any]:
        """From a cut to the end, with the swap's layers at its sites; `baseline` is what the model itself has there."""
        for later in range(number, len(self.cuts)):
            cut = self.cuts[later]
            step = self.steps.steps[cut]
            layer = swap.replacements.get(step.key)
            if layer is None:
                values = self._segment(values, cut, cut + 1)
            else:
                made = layer(*(values[value] for value in step.reads))
                if swap.variant.name not in self.differing:
                    plain = baseline if later == number else self._segment(values, cut, cut + 1)
                    if differ(made, plain[step.writes[0]]):
                        self.differing.add(swap.variant.name)
                kept = set(self.steps.live(cut + 1))
                values = {value: held for value, held in values.items() if value in kept}
                values[step.writes[0]] = made
            following = self.cuts[later + 1] if later + 1 < len(self.cuts) else len(self.steps.steps)
            values = self._segment(values, cut + 1, following)
        return [np.asarray(values[value]) for value in self.steps.outputs]

    def _first_cut(self, swap: Swap) -> int:
        return min(place for key in swap.replacements if (place := self.steps.place(key)) is not None)

    def _segment(self, values: dict[int, Any], start: int, stop: int) -> dict[int, Any]:
        import tensorflow as tf

        if start == stop:
            return values
        names, wanted = self.steps.live(start), self.steps.live(stop)
        key = (start, stop)
        if key not in self._compiled:

            def run(held: list[Any]) -> list[Any]:
                made = self.steps.run(dict(zip(names, held, strict=True)), start, stop)
                return [made[value] for value in wanted]

            self._compiled[key] = tf.function(run, autograph=False, reduce_retracing=False)
        made = self._compiled[key]([values[value] for value in names])
        return dict(zip(wanted, made, strict=True))


def _keeps_shape(layer: Any, entry: LocatedSite) -> bool:
    """Whether a replacement gives the output shape of its site; open sizes are tried with two numbers."""
    import keras

    source = entry.site.input_shape
    if source is None:
        return False
    try:
        for size in (24, 25) if None in source[1:] else (0,):
            shape = (source[0], *(cells or size for cells in source[1:]))
            tensor = keras.KerasTensor(shape, dtype=entry.owner._inbound_nodes[0].input_tensors[0].dtype)
            plain = entry.site.output_shape if not size else entry.owner.compute_output_spec(tensor).shape
            if tuple(layer.compute_output_shape(shape)) != plain:
                return False
    except Exception:  # a user's layer; surgery will say what is wrong
        return False
    return True


def fresh_replacement(entry: LocatedSite, candidate: Any) -> Any:
    """A replacement of its own for one site, under the dtype policy of what it replaces."""
    policy = getattr(entry.owner, "dtype_policy", None)
    if policy is None:  # an operation computes in the dtype of its input
        policy = entry.owner._inbound_nodes[0].input_tensors[0].dtype
    return replaced_copy(candidate, str(entry.owner.name), policy)


def tells_nothing(outputs: Any) -> bool:
    """Whether a model gives several items the same answer, so that equal answers of a variant prove nothing."""
    return len(outputs) > 1 and not differ(outputs, np.broadcast_to(outputs[:1], outputs.shape))


def differ(ours: Any, theirs: Any) -> bool:
    """Whether two tensors differ by more than the rounding of two ways to compute the same."""
    if tuple(ours.shape) != tuple(theirs.shape):
        return True
    dtype = theirs.dtype if isinstance(theirs, np.ndarray) else np.dtype(theirs.dtype.as_numpy_dtype)
    # NumPy does not know the limits of bfloat16.
    epsilon = {"float16": 1e-3, "bfloat16": 8e-3, "float64": 2.3e-16}.get(dtype.name, 1.2e-7)
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    largest = float(np.max(np.abs(b), initial=0.0))
    return not bool(np.all(np.abs(a - b) <= _ROUNDINGS * epsilon * largest))
