"""Where the pooling is, and what of it was not seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolingSite:
    """One pooling operation at its place in the model's graph.

    Attributes:
        name: Path in the model, nested parts joined by "/"; a further call of a shared layer has "@2" and so on.
        layer: Class of the layer, or the operation ("tf.nn.max_pool2d", "keras.ops.mean").
        kind: "max", "average", "global_max", "global_average", "adaptive_max", "adaptive_average" or "custom".
        rank: Number of pooled axes: 1, 2 or 3.
        window: Window a pooled axis; None for global kinds and where it is not known.
        strides: Strides a pooled axis; None likewise.
        padding: "valid", "same" or None.
        data_format: "channels_last" or "channels_first"; None where it is not known.
        input_shape: With batch, None for unknown sizes; None where it is not known at all.
        output_shape: Likewise.
        found_by: "layer" (a pooling layer), "operation" (an operation in the functional graph), "trace" (an
            operation in the traced graph), or "heuristic" (a custom layer that looks like pooling).
    """

    name: str
    layer: str
    kind: str
    rank: int
    window: tuple[int, ...] | None
    strides: tuple[int, ...] | None
    padding: str | None
    data_format: str | None
    input_shape: tuple[int | None, ...] | None
    output_shape: tuple[int | None, ...] | None
    found_by: str


@dataclass(frozen=True, slots=True)
class GeometryEvidence:
    """The pooling sites in order of execution.

    Attributes:
        sites: Every pooling site that was found.
        not_seen: One sentence for every part of the model whose inside could not be looked at.
    """

    sites: tuple[PoolingSite, ...]
    not_seen: tuple[str, ...] = ()
