"""Downsampling against the input's size, the smallest feature and the sampling theorem."""

from __future__ import annotations

import math
from collections.abc import Sequence

from poolaudit.evidence.geometry import GeometryEvidence, LayerField
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.pooling_lints import convolutions, is_transposed
from poolaudit.policy import Policy
from poolaudit.results import Evidence

_FACTS_SHOWN = 12


@detector("PA304", Severity.INFO)
def convolutions_still_see_more(evidence: Evidence, policy: Policy) -> Judgement:
    """Every convolution widens what the network sees.

    Why: Behind the layer at which the receptive field exceeds the input, further windows see nothing new: such layers
        are often unproductive and can be left out without loss, or mean that the inputs are too small for the network.
    How: The receptive field of what goes into each convolution, by the way through the graph that sees least, against
        the input's size (Richter and others, "(Input) size matters for CNN classifiers", 2021).
    Do: Downsample later, leave layers out, or feed larger inputs; retrain and compare.
    False alarm: Layers that pay by their depth alone; with residual ways, many networks of this kind work well.
    """
    geometry = evidence.geometry
    if geometry is None or not geometry.layers:
        return _unknown(geometry)
    counted = [layer for layer in convolutions(geometry) if layer.before]
    if not counted:
        return Judgement(Outcome.SKIPPED, "No convolution with a window was found.")
    idle = [layer for layer in counted if _sees_all(layer, _sizes_before(geometry, layer))]
    facts = (Fact("Input", " × ".join(str(size) for size in geometry.input_sizes)), *_fields(idle))
    open_ = [layer for layer in counted if layer not in idle and _may_see_all(layer, _sizes_before(geometry, layer))]
    if not idle and open_:
        return Judgement(
            Outcome.UNDECIDED,
            f"What goes into {len(open_)} of {len(counted)} convolutions sees windows of no constant size, so their "
            f"fields are not known, first of {open_[0].name!r}.",
            facts,
            "A model without recurrent layers or resizing in front of them, or a look at this part by hand.",
            subjects=tuple(Subject(layer.name, False) for layer in open_),
        )
    if not idle:
        return Judgement(Outcome.PASSED, "Every convolution sees more than the one before it.", facts)
    return Judgement(
        Outcome.FAILED,
        f"{len(idle)} of {len(counted)} convolutions run on maps whose cells see the whole input already, from "
        f"{idle[0].name!r} on; they may be unproductive.",
        facts,
        "Larger inputs, or fewer layers behind this point.",
        subjects=tuple(Subject(layer.name) for layer in idle),
    )


@detector("PA306", Severity.MINOR)
def smallest_feature_survives_downsampling(evidence: Evidence, policy: Policy) -> Judgement:
    """The smallest feature that matters survives the downsampling.

    Why: A feature smaller than the step between two cells of a map shares its cell with its surroundings.
        Pooling then weighs it against them, and where it lies decides whether it is found.
    How: The largest effective stride on the way to the output, on the way through the graph where that is least,
        against the size of the smallest feature: `--feature-size`, or the fifth percentile of the feature sizes in the
        test data. Upsampling brings nothing back; a skip connection from an earlier map does.
    Do: Take out or weaken a downsampling step, take the head's input from an earlier map, or feed larger inputs.
    False alarm: Features that are easy to tell at any size; recall by feature size (PA310) measures it.
    """
    geometry = evidence.geometry
    if geometry is None or not geometry.layers:
        return _unknown(geometry)
    if geometry.feature_size is None:
        return Judgement(
            Outcome.SKIPPED, "The size of the smallest feature that matters is not known; name it with --feature-size."
        )
    if not geometry.bottleneck:
        return Judgement(Outcome.SKIPPED, "The model has no map with a step along the input's axes.")
    step, size = round(max(geometry.bottleneck), 2), geometry.feature_size
    subjects = (Subject("coarsest map", step > size, extent=(step / size, step / size)),)
    facts = (
        Fact("Smallest feature", f"{size:g} cells, {geometry.feature_size_source}"),
        Fact("Coarsest map on every way", f"one cell for every {step:g} input cells{_first_at(geometry, step)}"),
    )
    if step > size:
        return Judgement(
            Outcome.FAILED,
            f"Every way to the output passes a map with one cell for every {step:g} input cells"
            f"{_first_at(geometry, step)}, and the smallest feature that matters spans {size:g}.",
            facts,
            f"A total downsampling of at most {max(1, math.floor(size))} on some way to the output.",
            subjects=subjects,
        )
    if geometry.bottleneck_doubt is not None:
        return Judgement(
            Outcome.UNDECIDED,
            f"The coarsest map that was found has one cell for every {step:g} input cells, but parts of the graph "
            f"could not be followed and may be coarser: {geometry.bottleneck_doubt}.",
            facts,
            "A model whose operations can be followed, or a look at this part by hand.",
            subjects=subjects,
        )
    return Judgement(
        Outcome.PASSED,
        f"The smallest feature that matters ({size:g} cells) spans at least one step of the coarsest map ({step:g} "
        f"{'cell' if step == 1 else 'cells'}).",
        facts,
    )


def _first_at(geometry: GeometryEvidence, step: float) -> str:
    """The first layer with this step, in words."""
    for layer in geometry.layers:
        if any(field.stride is not None and field.stride >= step > 1 for field in layer.fields):
            return f", from {layer.name!r} on"
    return ""


@detector("PA308", Severity.INFO)
def downsampling_is_low_passed(evidence: Evidence, policy: Policy) -> Judgement:
    """Maps are low-passed before they are thinned out.

    Why: A strided maximum or convolution without a low-pass folds fine detail into coarse: predictions can change
        when the input moves by a cell (Zhang 2019). Nearly every network does it, so this is a note; how much it
        matters is measured by shifting (PA309).
    How: Counts the windowed maxima and convolutions with a stride above 1 on the way.
    Do: Where PA309 finds fragility, blur before the stride, pool at stride 1 and blur, or train with shifted data.
    False alarm: A kernel that has learnt, or was given, a low-pass of its own.
    """
    geometry = evidence.geometry
    if geometry is None or not geometry.layers:
        return _unknown(geometry)
    aliasing = [layer for layer in geometry.layers if _thins_without_low_pass(layer, geometry)]
    if not any(_thinned_before(later, aliasing) for later in aliasing):
        unknown = [layer for layer in aliasing if any(field.stride is None for field in layer.fields)]
        if unknown and len(aliasing) > 1:
            return Judgement(
                Outcome.UNDECIDED,
                f"Whether {unknown[-1].name!r} thins out a map that was thinned out before is not known: windows of no "
                "constant step lie in front of it.",
                subjects=tuple(Subject(layer.name, False) for layer in unknown),
            )
        return Judgement(Outcome.PASSED, "No convolution or maximum thins out a map that another one thinned out.")
    return Judgement(
        Outcome.FAILED,
        f"Maps are thinned out {len(aliasing)} times without a low-pass, as in nearly every network.",
        tuple(
            Fact(layer.name, f"{layer.layer}, window {layer.window}, strides {layer.strides}")
            for layer in aliasing[:_FACTS_SHOWN]
        ),
        "Blurred downsampling, where shift consistency is measured to be low.",
        subjects=tuple(Subject(layer.name) for layer in aliasing),
    )


def _thins_without_low_pass(layer: LayerField, geometry: GeometryEvidence) -> bool:
    if layer.kind not in ("convolution", "pooling") or is_transposed(layer):
        return False
    if layer.strides is None or max(layer.strides) < 2 or _ends_the_map(layer):
        return False
    wide = layer.window is not None and all(w >= s for w, s in zip(layer.window, layer.strides, strict=False))
    averages = layer.layer in ("AvgPool", "AvgPool3D") or any(
        site.kind == "average" and (site.name == layer.name or site.name.startswith(f"{layer.name}/"))
        for site in geometry.sites
    )
    return not (averages and wide)


def _ends_the_map(layer: LayerField) -> bool:
    """One cell is left: the window took the whole map, as a global operation does."""
    shape = layer.output_shape[2:] if layer.channels_first else layer.output_shape[1:-1]
    return all(size == 1 for size in shape)


def _thinned_before(later: LayerField, layers: Sequence[LayerField]) -> bool:
    """Whether one of the layers thinned out, along the same axis, the map that this one thins out."""
    for axis, (step, own) in enumerate(_steps_along(later)):
        for other in layers:
            steps = _steps_along(other)
            if other is later or other.source != later.source or axis >= len(steps) or own < 2 or steps[axis][1] < 2:
                continue
            before = steps[axis][0]
            if step is not None and before is not None and abs(before) * own <= abs(step) * (1 + 1e-9):
                return True
    return False


def _steps_along(layer: LayerField) -> list[tuple[float | None, int]]:
    """By axis of the input, the step of the layer's map and the layer's own stride."""
    strides, steps = layer.strides or (), [field.stride for field in layer.fields]
    if len(strides) == len(steps):
        return list(zip(steps, strides, strict=True))
    known = [abs(step) for step in steps if step is not None]
    return [(max(known) if len(known) == len(steps) else None, max(strides, default=1))]


def _may_see_all(layer: LayerField, sizes: tuple[int, ...]) -> bool:
    """Whether it is not known to see less than all along any axis."""
    return all(field is None or field >= size for field, size in zip(layer.before, sizes, strict=True))


def _sizes_before(geometry: GeometryEvidence, layer: LayerField) -> tuple[int, ...]:
    """Of the model's input that the layer's fields are about."""
    return geometry.coverage[layer.source].sizes if layer.source < len(geometry.coverage) else geometry.input_sizes


def _sees_all(layer: LayerField, sizes: tuple[int, ...]) -> bool:
    return all(field is not None and field >= size for field, size in zip(layer.before, sizes, strict=True))


def _fields(layers: list[LayerField]) -> tuple[Fact, ...]:
    return tuple(
        Fact(layer.name, f"its input's cells see {' × '.join(str(field) for field in layer.before)}")
        for layer in layers[:_FACTS_SHOWN]
    )


def _unknown(geometry: GeometryEvidence | None) -> Judgement:
    if geometry is None:
        return Judgement(Outcome.SKIPPED, "The model's graph was not looked at in this run.")
    reason = geometry.fields_reason or "this run only listed the pooling sites"
    return Judgement(Outcome.SKIPPED, f"The receptive fields are not known: {reason}.")
