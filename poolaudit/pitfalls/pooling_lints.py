"""Pooling that does nothing, takes in padding, or leaves nothing for the layers behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from poolaudit.evidence.geometry import GeometryEvidence, LayerField, PoolingSite
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.policy import Policy
from poolaudit.results import Evidence

_NOT_LOOKED_AT = "The model's graph was not looked at in this run."
_FACTS_SHOWN = 12


@detector("PA302", Severity.MINOR)
def every_pool_does_something(evidence: Evidence, policy: Policy) -> Judgement:
    """Every pooling layer changes its input.

    Why: A pool of window 1 and stride 1, or over a map of one cell, passes on what it gets. It is left over from
        another input size or a search, and whoever reads the model believes in a downsampling that does not happen.
    How: Window, strides and input sizes of each pooling site.
    Do: Take the layer out, or give it the window that was meant.
    False alarm: A network built for any input size, run here on a small one; architectures found by search (NASNet)
        keep such layers on purpose.
    """
    geometry = evidence.geometry
    if geometry is None:
        return Judgement(Outcome.SKIPPED, _NOT_LOOKED_AT)
    if not geometry.sites:
        return Judgement(Outcome.SKIPPED, "No pooling site was found, so there is none to judge.")
    idle = [site for site in geometry.sites if _does_nothing(site)]
    if not idle:
        return Judgement(Outcome.PASSED, "No pooling site passes its input on as it is.")
    return Judgement(
        Outcome.FAILED,
        f"{len(idle)} of {len(geometry.sites)} pooling sites pass on what they get: {_named([s.name for s in idle])}.",
        tuple(
            Fact(site.name, f"{site.layer}, window {site.window or 'whole map'}, input {site.input_shape}")
            for site in idle[:_FACTS_SHOWN]
        ),
        "A model without these layers, or with windows above 1.",
        subjects=tuple(Subject(site.name) for site in idle),
    )


@detector("PA303", Severity.MINOR)
def no_convolution_on_one_cell(evidence: Evidence, policy: Policy) -> Judgement:
    """No convolution with a window runs on a map of one cell.

    Why: Where pooling has left one cell before the last convolution, the outer taps of every later window read
        padding only: weights are trained, stored and computed that can never see anything.
    How: Input sizes of every convolution whose window spans more than one cell; cells that only hold padding are left
        out.
    Do: Pool less before these layers, or make them 1x1.
    False alarm: A network built for any input size, run here on a small one.
    """
    geometry = evidence.geometry
    if geometry is None or not geometry.layers:
        return Judgement(Outcome.SKIPPED, _reason(geometry))
    # A transposed convolution spreads one cell over all its taps; each of them is trained.
    lost = [
        layer
        for layer in convolutions(geometry)
        if not is_transposed(layer) and layer.live and all(size <= 1 for size in layer.live)
    ]
    if not lost:
        return Judgement(Outcome.PASSED, "Every convolution with a window has a map of more than one cell before it.")
    return Judgement(
        Outcome.FAILED,
        f"{len(lost)} {_convolutions(len(lost))} on a map that pooling has brought down to one cell: "
        f"{_named([layer.name for layer in lost])}.",
        _window_facts(lost),
        "Less downsampling before these layers.",
        subjects=tuple(Subject(layer.name) for layer in lost),
    )


@detector("PA305", Severity.MINOR)
def no_window_exceeds_its_map(evidence: Evidence, policy: Policy) -> Judgement:
    """No window is larger than the map it moves over.

    Why: A window wider than its map reads nearly the same cells at every place, plus padding: a global operation that
        pretends to be local. From twice the map's size on, outer taps of a kernel never meet a value.
    How: The span of each pooling window and kernel, dilation counted, against its input's size. Pooling windows weigh
        minor, kernels info.
    Do: Use a smaller window or dilation there, global pooling where that is meant, or larger inputs.
    False alarm: A network built for any input size, run here on a small one.
    """
    geometry = evidence.geometry
    if geometry is None or not geometry.layers:
        return Judgement(Outcome.SKIPPED, _reason(geometry))
    wide = [layer for layer in geometry.layers if _exceeds(layer)]
    if not wide:
        return Judgement(Outcome.PASSED, "Every window fits into its map.")
    pools = [layer for layer in wide if layer.kind == "pooling"]
    return Judgement(
        Outcome.FAILED,
        f"{len(wide)} {'window is larger than its map' if len(wide) == 1 else 'windows are larger than their maps'}: "
        f"{_named([layer.name for layer in wide])}.",
        _window_facts(wide),
        "Windows that fit, or larger inputs.",
        None if pools else Severity.INFO,
        tuple(Subject(layer.name) for layer in wide),
    )


@detector("PA307", Severity.MINOR)
def averages_leave_padding_out(evidence: Evidence, policy: Policy) -> Judgement:
    """Average pools take in no zeros that were padded before them.

    Why: A zero from a padding layer counts like a value, so cells at the border come out too small: the network
        learns a frame that the data do not have.
    How: Average pools whose input comes straight from a padding operation. Padding inside the pool itself
        (padding="same") is left out of the average by TensorFlow and is not meant.
    Do: Let the pool pad (padding="same"), or pad by reflection.
    False alarm: The padded border is cut off again later. A global average is not meant: zeros around the map scale
        all of it alike.
    """
    geometry = evidence.geometry
    if geometry is None or geometry.fields_reason is not None:
        return Judgement(Outcome.SKIPPED, _reason(geometry))
    if not geometry.averaged_padding:
        return Judgement(Outcome.PASSED, "No average pool reads a padding layer straight before it.")
    count = len(geometry.averaged_padding)
    return Judgement(
        Outcome.FAILED,
        f"{count} average {'pool takes' if count == 1 else 'pools take'} "
        f"padded zeros for values: {_named(geometry.averaged_padding)}.",
        tuple(Fact(name, "reads the output of a padding layer") for name in geometry.averaged_padding[:_FACTS_SHOWN]),
        "Average pools that pad for themselves.",
        subjects=tuple(map(Subject, geometry.averaged_padding)),
    )


def convolutions(geometry: GeometryEvidence) -> list[LayerField]:
    """Convolutions whose window spans more than one cell."""
    return [
        layer
        for layer in geometry.layers
        if layer.kind == "convolution" and layer.window is not None and max(layer.window) > 1
    ]


def is_transposed(layer: LayerField) -> bool:
    """A convolution that enlarges its map; in a SavedModel it bears its operation's name."""
    return "Transpose" in layer.layer or "Backprop" in layer.layer


def _does_nothing(site: PoolingSite) -> bool:
    window, strides = site.window, site.strides
    if window is not None and strides is not None:
        if max(window) == 1 and max(strides) == 1:
            return True
        spatial = _spatial(site)
        if spatial is None or len(spatial) != len(window):
            return False
        # Axis by axis: a single cell is the maximum and the average of itself, whatever the window.
        return all(n == 1 or (k == 1 and s == 1) for n, k, s in zip(spatial, window, strides, strict=True))
    spatial = _spatial(site)
    if site.kind.startswith("adaptive") and spatial is not None and None not in spatial:
        return spatial == _spatial(replace(site, input_shape=site.output_shape))
    return site.kind != "custom" and spatial is not None and all(size == 1 for size in spatial)


def _spatial(site: PoolingSite) -> tuple[int | None, ...] | None:
    shape = site.input_shape
    if shape is None or len(shape) != site.rank + 2:
        return None
    return shape[2:] if site.data_format == "channels_first" else shape[1:-1]


def _map_of(layer: LayerField) -> tuple[int, ...]:
    """The spatial sizes of what goes in; channels are wherever the window's axes are not."""
    if layer.input_shape is None or layer.window is None or len(layer.input_shape) != len(layer.window) + 2:
        return ()
    return layer.input_shape[1:-1] if not layer.channels_first else layer.input_shape[2:]


def _exceeds(layer: LayerField) -> bool:
    sizes = _map_of(layer)
    if not sizes or layer.window is None or all(size == 1 for size in sizes) or is_transposed(layer):
        return False
    return any(span > size for span, size in zip(layer.window, sizes, strict=True))


def _window_facts(layers: Sequence[LayerField]) -> tuple[Fact, ...]:
    facts = tuple(
        Fact(layer.name, f"{layer.layer}, window {layer.window}, map {_map_of(layer)}")
        for layer in layers[:_FACTS_SHOWN]
    )
    more = len(layers) - _FACTS_SHOWN
    return (*facts, Fact("and further", str(more))) if more > 0 else facts


def _convolutions(count: int) -> str:
    return "convolution with a window runs" if count == 1 else "convolutions with a window run"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def _reason(geometry: GeometryEvidence | None) -> str:
    if geometry is None:
        return _NOT_LOOKED_AT
    reason = geometry.fields_reason or "this run only listed the pooling sites"
    return f"The sizes of the maps are not known: {reason}."
