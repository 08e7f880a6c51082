"""Swap: what trained weights predict when pooling is exchanged under them, without any training.

A measure of sensitivity, not of what a model trained with that pooling would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from poolaudit.ablation.execution import NotStepwise, StepwiseModel
from poolaudit.ablation.locate import Shape, locate
from poolaudit.ablation.opaque import edits_inside, has_open_calls
from poolaudit.ablation.plan import planned
from poolaudit.ablation.recalibration import Progress, Recalibration, recalibrate
from poolaudit.ablation.refusals import RefusedAction, VariantImpossible, VariantUnchanged
from poolaudit.ablation.stepwise_swap import Swap, differ, swap_step_by_step, tells_nothing
from poolaudit.ablation.surgery import BuiltVariant, build_variant
from poolaudit.ablation.variants import ACTIONS, Variant, replacements_for
from poolaudit.ablation.whole_runs import predicted, predicted_in_place
from poolaudit.subject._keras_load import quiet_keras

__all__ = ["Recalibration", "SwapPredictions", "recalibrate", "swap_predictions"]

Outputs = npt.NDArray[Any] | tuple[npt.NDArray[Any], ...]


class SwapPredictions(dict[str, Outputs]):
    """Raw outputs by name of the variant: shape (n, k), or a tuple of arrays where the model has several outputs.

    Attributes:
        baseline: Raw outputs of the model itself.
        refused: Reason by name of every variant that gives no evidence in this way; it has no entry.
        unchanged: Those of `refused` that changed nothing.
        reused: Names of the variants for which the activations in front of the site were not computed again.
    """

    def __init__(self, baseline: Outputs) -> None:
        super().__init__()
        self.baseline = baseline
        self.refused: dict[str, str] = {}
        self.unchanged: set[str] = set()
        self.reused: set[str] = set()


def swap_predictions(
    model: Any,
    variants: Sequence[Variant],
    inputs: Any,
    *,
    batch_size: int = 32,
    input_shape: Shape | None = None,
    on_progress: Progress | None = None,
) -> SwapPredictions:
    """Predictions of every variant with the model's own weights.

    A functional or Sequential model is run once; in front of each changed site its activations are kept, for one batch
    at a time, and every variant goes on from there. Models written as code are run whole for each variant, with the
    layer's behaviour exchanged in place and put back.

    Args:
        model: A built `keras.Model`; it is left as it was.
        variants: With distinct names.
        inputs: Array (n, ...), or several in a tuple, list or dictionary as the model takes them.
        batch_size: Inputs at a time; memory grows with it and not with n.
        input_shape: With batch, for a model that states none.

    Raises:
        InvalidInputError: No such site or action.
    """
    with quiet_keras():
        sorted_out = _Sorted(model, variants, input_shape)
        if sorted_out.steps is not None and sorted_out.stepwise:
            baseline, outputs, equal_at_site = swap_step_by_step(
                sorted_out.steps, sorted_out.stepwise, inputs, batch_size, on_progress
            )
        else:
            baseline, outputs, equal_at_site = predicted(model, inputs, batch_size), {}, {}
        result = SwapPredictions(baseline)
        result.refused, result.unchanged = sorted_out.refused, sorted_out.unchanged
        result.reused = set(outputs)
        result.update(outputs)
        items = len(_tuple(baseline)[0])
        for variant, means in sorted_out.whole:
            if isinstance(means, BuiltVariant):
                result[variant.name] = predicted(means.model, inputs, batch_size)
            else:
                edits, calls = means
                result[variant.name] = predicted_in_place(model, edits, calls, inputs, batch_size)
            if on_progress is not None:
                on_progress(items, items, variant.name)
    dead = all(tells_nothing(part) for part in _tuple(baseline))
    for name in list(result):
        same_at_site = equal_at_site.get(name)
        if same_at_site is None and not _same(result[name], baseline):
            continue
        del result[name]
        result.reused.discard(name)
        # A model that gives all items one answer hides what its pooling does; only its sites can tell.
        result.refused[name] = same_at_site or (_DEAD if dead else _SAME)
        if same_at_site is not None or not dead:
            result.unchanged.add(name)
    return result


class _Sorted:
    """Variants by the way in which they can be run.

    Attributes:
        stepwise: Those that go on from their site.
        whole: Those that need whole runs: a built variant, or what to exchange in place.
    """

    def __init__(self, model: Any, variants: Sequence[Variant], input_shape: Shape | None) -> None:
        self.refused: dict[str, str] = {}
        self.unchanged: set[str] = set()
        self.stepwise: list[Swap] = []
        self.whole: list[tuple[Variant, Any]] = []
        self._model, self._input_shape = model, input_shape
        self._located, self._plan = locate(model, input_shape), planned(model)
        try:
            self.steps: StepwiseModel | None = StepwiseModel(model)
        except NotStepwise:
            self.steps = None
        for variant in variants:
            try:
                self._add(variant)
            except RefusedAction as refusal:
                self.refused[variant.name] = str(refusal)
            except (VariantImpossible, VariantUnchanged) as error:
                self.refused[variant.name] = error.reason
                if isinstance(error, VariantUnchanged):
                    self.unchanged.add(variant.name)

    def _add(self, variant: Variant) -> None:
        if ACTIONS.get(variant.action).untrained:
            raise RefusedAction(f"{variant.action} starts as another pooling: only training tells it apart")
        found = replacements_for(variant, self._located)
        swap = None if self.steps is None else Swap.of(self.steps, variant, found)
        if swap is None and not all(has_open_calls(entry, self._plan) for entry, _ in found):
            chosen = [(entry, candidates[0]) for entry, candidates in found]
            self.whole.append((variant, edits_inside(self._model, chosen, self._located, self._plan)))
            return
        if swap is None:
            built = build_variant(self._model, variant, input_shape=self._input_shape)
            _require_trained(built)
            if self.steps is not None and not built.notes:
                swap = Swap.of_built(self.steps, built)
            if swap is None:
                self.whole.append((variant, built))
                return
        self.stepwise.append(swap)


_DEAD = "the model gives every item the same answer with any pooling"
_SAME = "no output on these inputs differs from before by more than rounding"


def _same(ours: Outputs, theirs: Outputs) -> bool:
    return not any(differ(a, b) for a, b in zip(_tuple(ours), _tuple(theirs), strict=True))


def _tuple(outputs: Outputs) -> tuple[npt.NDArray[Any], ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _require_trained(built: BuiltVariant) -> None:
    if built.must_be_trained:
        fresh = [name for name in built.reinitialised_weights if name not in built.new_weights]
        raise RefusedAction(
            f"{len(fresh)} weights start anew ({', '.join(fresh[:3])}): without training its predictions mean nothing"
        )
