"""All broken specimen layers, by theme: each holds one slip that a developer of a pooling layer really makes."""

from __future__ import annotations

from specimens.broken import (
    adaptive,
    axes,
    configuration,
    geometry,
    gradients,
    masks,
    modes,
    nonfinite,
    padding,
    precision,
    refusal,
    state,
)
from specimens.layer_specimen import LayerSpecimen
from specimens.outsiders import broken_calls, broken_values, broken_windows

BROKEN_LAYERS: tuple[LayerSpecimen, ...] = (
    *padding.SPECIMENS,
    *geometry.SPECIMENS,
    *axes.SPECIMENS,
    *precision.SPECIMENS,
    *gradients.SPECIMENS,
    *nonfinite.SPECIMENS,
    *masks.SPECIMENS,
    *configuration.SPECIMENS,
    *state.SPECIMENS,
    *modes.SPECIMENS,
    *adaptive.SPECIMENS,
    *refusal.SPECIMENS,
    *broken_windows.SPECIMENS,
    *broken_calls.SPECIMENS,
    *broken_values.SPECIMENS,
)
