"""All that is measured of a model's geometry, as evidence; parts that cannot be measured say why."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.errors import InvalidInputError
from poolaudit.evidence.geometry import (
    GeometryEvidence,
    InputCoverage,
    LayerField,
    PoolingSite,
    RecallBySize,
    ShiftEvidence,
)
from poolaudit.geometry.analysis import Analysis, ModelInput, analyse, input_shapes, read_input, usual_channel
from poolaudit.geometry.blind_proof import prove_blind
from poolaudit.geometry.coverage import coverage_of
from poolaudit.geometry.effective_field import effective_field
from poolaudit.geometry.feature_size import estimated_sizes, recall_by_size, smallest_feature
from poolaudit.geometry.padding import averaged_padding
from poolaudit.geometry.probing import chosen_items, drawn_items
from poolaudit.geometry.reach_proof import prove_reach
from poolaudit.geometry.receptive_field import layer_fields, owner_of
from poolaudit.geometry.shift import Decide, ShiftSubject, measure_shift
from poolaudit.subject._loaded import LoadedModel
from poolaudit.subject._trace import Trace
from poolaudit.subject.sites import sites_with_owners

Array = npt.NDArray[Any]
Tell = Callable[[int, int, str], None]
_VARIANCE_ITEMS = 2_000
_ITEMS = 8
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_NO_DATA = "there are no test data, only the model"


@dataclass(frozen=True)
class Items:
    """The test items that a model is looked at with.

    Attributes:
        inputs: (n, ...).
        labels: (n,), indices into `class_names`.
        positive: Index of the class of interest; None judges each class.
        predicted: Predicted class indices, (n,).
        decide: Predicted class indices of a model for inputs, by the rule the model ships with.
        sizes: Of each item's feature in cells, NaN where not known; None where the data give none.
        size_source: "column", "mask" or "box".
    """

    inputs: Array
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    positive: int | None
    predicted: npt.NDArray[np.int64]
    decide: Decide
    sizes: npt.NDArray[np.float64] | None = None
    size_source: str = "column"


def measure_geometry(
    loaded: LoadedModel,
    *,
    shapes: Sequence[Sequence[int]] | None = None,
    items: Items | None = None,
    feature_size: float | None = None,
    budget: str = "standard",
    confidence: float = 0.95,
    seed: int = 0,
    effective: bool = False,
    tell: Tell = lambda done, total, what: None,
) -> GeometryEvidence:
    """Pooling sites, receptive fields, coverage, and with test items shift consistency and recall by feature size.

    Args:
        loaded: The model.
        shapes: Of each input, without the batch; by default what the model states.
        items: Test items; without them only the model itself is looked at.
        feature_size: Size of the smallest feature that matters, in cells.
        budget: How much the measurements by running the model may cost.
        confidence: Coverage of the intervals.
        seed: Of everything random.
        effective: Measure the effective receptive field too, where there are items.
        tell: Told of progress.

    Raises:
        InvalidInputError: Input sizes are open, or do not fit the model.
    """
    if shapes is None and items is not None:
        shapes = [items.inputs.shape[1:]]
    stated = shapes is not None and items is None
    shapes = input_shapes(loaded, shapes)
    rng = np.random.default_rng(seed)
    analysis, reason = _analysed(loaded, shapes)
    if stated and reason is not None:
        sizes = ", ".join("x".join(str(size) for size in shape) for shape in shapes)
        raise InvalidInputError(
            f"{loaded.name} does not run at the input shape {sizes}: {reason}",
            "a shape that every layer of the model can take",
            "Give sizes that are large enough for its windows, channels included",
        )
    evidence, owners = _sites(loaded, shapes, None if analysis is None else analysis.traced)
    evidence = replace(evidence, input_sizes=(), fields_reason=reason, feature_size=feature_size)
    last: LayerField | None = None
    if analysis is not None:
        layers, last, dependence = layer_fields(analysis)
        coverage, masks = coverage_of(analysis, None if last is None else last.name, dependence)
        coverage = _proved(analysis, coverage, masks, items, rng)
        evidence = replace(
            evidence,
            layers=layers,
            last_map=None if last is None else last.name,
            input_sizes=analysis.inputs[0].sizes,
            coverage=coverage,
            bottleneck=_bottleneck(analysis),
            bottleneck_doubt=analysis.doubt,
            averaged_padding=averaged_padding(analysis),
        )
    if feature_size is not None:
        evidence = replace(evidence, feature_size_source="stated by the user")
    if items is None:
        return replace(evidence, shift_reason=_NO_DATA, by_size_reason=_NO_DATA)
    shape = tuple(shapes[0])
    model_input = analysis.inputs[0] if analysis else read_input("input", shape, usual_channel(len(shape)))
    evidence = _with_sizes(evidence, model_input, items, confidence)
    shift = _shift(loaded, model_input, items, evidence.sites, owners, budget, confidence, seed, tell)
    evidence = replace(
        evidence,
        shift=None if isinstance(shift, str) else shift,
        shift_reason=shift if isinstance(shift, str) else None,
    )
    if effective and analysis is not None and last is not None and loaded.keras_model is not None:
        owner = owner_of(analysis, last.name)
        if owner is not None and np.issubdtype(np.dtype(loaded.input_dtype), np.floating):
            measured = effective_field(loaded, model_input, last, owner, items.inputs, rng, confidence)
            evidence = replace(evidence, effective=measured)
    return evidence


def _analysed(loaded: LoadedModel, shapes: Sequence[Sequence[int]]) -> tuple[Analysis | None, str | None]:
    try:
        return analyse(loaded, shapes), None
    except Exception as error:  # the model's own code runs here, and may raise anything
        # Of TensorFlow's text the first sentence; the graph's node and the arguments that follow help nobody here.
        text = _ANSI.sub("", str(error)).partition(" for '{{node")[0].partition("Arguments received by")[0]
        text = " ".join(text.split())[:200]
        return None, f"the model could not be traced at this input shape ({type(error).__name__}: {text})"


def _sites(
    loaded: LoadedModel, shapes: Sequence[Sequence[int]], traced: Trace | None
) -> tuple[GeometryEvidence, tuple[Any, ...]]:
    found, owners = sites_with_owners(loaded, (None, *shapes[0]), traced)
    return replace(found, sites=tuple(_open_batch(site) for site in found.sites)), owners


def _open_batch(site: PoolingSite) -> PoolingSite:
    """The site as it is for any batch: it was traced with one item."""
    source, result = site.input_shape, site.output_shape
    return replace(
        site,
        input_shape=source and (None, *source[1:]),
        output_shape=result and (None, *result[1:]),
    )


def _proved(
    analysis: Analysis,
    coverage: tuple[InputCoverage, ...],
    masks: Sequence[npt.NDArray[np.bool_]],
    items: Items | None,
    rng: np.random.Generator,
) -> tuple[InputCoverage, ...]:
    """The model itself is asked about the cells that are called blind, and about those that are not."""
    try:
        real = [] if items is None else chosen_items(analysis, items.inputs, _ITEMS, rng)
        drawn = drawn_items(analysis, _ITEMS // 2, rng)
    except Exception:  # the model may not run on such values; then the map stands without its proof
        return coverage
    found = []
    for number, (entry, mask) in enumerate(zip(coverage, masks, strict=True)):
        try:
            proof = prove_blind(analysis, number, mask, real or drawn, rng, drawn=not real)
            answers = prove_reach(analysis, number, mask, [*real[: _ITEMS // 2], *drawn], rng)
        except Exception:  # the model may not run on such values; then the map stands without its proof
            found.append(entry)
            continue
        variance = _blind_variance(analysis.inputs[number], mask, items)
        found.append(replace(entry, proof=proof, answers=answers, blind_variance=variance))
    return tuple(found)


def _bottleneck(analysis: Analysis) -> tuple[float, ...]:
    """Of several outputs the finest counts: what one of them has lost, another may still have."""
    found = []
    for number, model_input in enumerate(analysis.inputs):
        for axis in model_input.spatial:
            steps = [
                output.local[number, axis].coarsest
                for output in analysis.outputs
                if output is not None and (number, axis) in output.local
            ]
            found += [min(steps)] if steps else []
    return tuple(found)


def _blind_variance(model_input: ModelInput, reaches: npt.NDArray[np.bool_], items: Items | None) -> float | None:
    if items is None or reaches.all() or not model_input.sizes:
        return None
    spread = items.inputs[:_VARIANCE_ITEMS].astype(np.float64).var(axis=0)
    if model_input.channel is not None:
        spread = spread.sum(axis=model_input.channel)
    total = float(spread.sum())
    return float(spread[~reaches].sum()) / total if total > 0 else None


def _with_sizes(
    evidence: GeometryEvidence, model_input: ModelInput, items: Items, confidence: float
) -> GeometryEvidence:
    sizes: npt.NDArray[np.float64] | str | None = items.sizes
    source = items.size_source
    if sizes is None:
        sizes, source = estimated_sizes(items.inputs, model_input), "estimated foreground"
    if isinstance(sizes, str):
        return replace(evidence, by_size_reason=sizes)
    right = items.predicted == items.labels
    found: RecallBySize | str = recall_by_size(
        sizes, right, items.labels, items.positive, items.class_names, source=source, confidence=confidence
    )
    if isinstance(found, str):
        evidence = replace(evidence, by_size_reason=found)
    else:
        evidence = replace(evidence, by_size=found)
    of_interest = sizes if items.positive is None else sizes[items.labels == items.positive]
    smallest = smallest_feature(of_interest)
    if evidence.feature_size is None and smallest is not None:
        evidence = replace(
            evidence, feature_size=smallest, feature_size_source=f"the fifth percentile of the test items ({source})"
        )
    return evidence


def _shift(
    loaded: LoadedModel,
    model_input: ModelInput,
    items: Items,
    sites: tuple[PoolingSite, ...],
    owners: tuple[Any, ...],
    budget: str,
    confidence: float,
    seed: int,
    tell: Tell,
) -> ShiftEvidence | str:
    shape = loaded.input_shape
    any_size = shape is None or not loaded.fixed_sizes or all(shape[1 + axis] is None for axis in model_input.spatial)
    subject = ShiftSubject(
        loaded=loaded,
        model_input=model_input,
        inputs=items.inputs,
        labels=items.labels,
        class_names=items.class_names,
        positive=items.positive,
        decide=items.decide,
        any_size=any_size,
    )
    pairs = list(zip(sites, owners, strict=True))
    try:
        return measure_shift(subject, pairs, budget=budget, confidence=confidence, seed=seed, tell=tell)
    except InvalidInputError as error:
        # It answers on the items as they are; that it refuses shifted ones is no fault of the data.
        return f"the model refuses shifted items ({error})"
