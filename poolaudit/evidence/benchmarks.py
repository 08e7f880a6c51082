"""How fast the pooling is, measured beside the memory bandwidth of the same machine in the same run."""

from __future__ import annotations

from dataclasses import dataclass

from poolaudit.evidence.estimates import Estimate


@dataclass(frozen=True, slots=True)
class Timing:
    """Speed of one layer in one direction.

    Attributes:
        direction: "forward", or "gradient" for a forward pass and the gradient of its sum with respect to the input.
        seconds: Median time of a call, with a distribution-free interval over the rounds; n counts the rounds.
        items_per_second: Items of the batch by the median.
        bytes_moved: The least that has to be read and written: input and output once, in a gradient each twice.
        bandwidth_share: Bytes moved a second by the median, over those of a copy of memory in the same rounds. Above 1
            where the maps stay in a cache; not estimable where the call itself takes most of the time.
    """

    direction: str
    seconds: Estimate
    items_per_second: float
    bytes_moved: int
    bandwidth_share: Estimate


@dataclass(frozen=True, slots=True)
class LayerBenchmark:
    """One pooling layer at one shape and dtype.

    Attributes:
        site: Name of the pooling site, or of the layer where it stands alone.
        variant: "as shipped", or the action of a variant that was put in its place ("average", "blur").
        layer: Class of the layer that ran.
        dtype: Of the input.
        input_shape: With batch.
        output_shape: With batch.
        timings: Forward, and the gradient where there is one.
        without_gradient: Why there is no gradient; None where there is.
    """

    site: str
    variant: str
    layer: str
    dtype: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    timings: tuple[Timing, ...]
    without_gradient: str | None = None


@dataclass(frozen=True, slots=True)
class SpeedRatio:
    """A timing over the same timing of an earlier run: below 1 is faster.

    Attributes:
        case: Site, variant, dtype, shape and direction in words.
        ratio: New median over old one; the interval holds whatever both intervals allow.
    """

    case: str
    ratio: Estimate


@dataclass(frozen=True, slots=True)
class BenchmarkEvidence:
    """Speed of the pooling of a model.

    Attributes:
        device: What it ran on.
        threads: Threads of the memory copy, as many as TensorFlow may use in an operation.
        bytes_per_second: Memory bandwidth: bytes read and written a second by a copy of arrays far larger than a cache.
        call_seconds: Median time of a call that computes nothing.
        layers: What was measured.
        not_measured: Sites that were not, each with its reason.
        compared_with: The earlier run; None where none was given.
        ratios: Of what both runs measured.
    """

    device: str
    threads: int
    bytes_per_second: Estimate
    call_seconds: float
    layers: tuple[LayerBenchmark, ...]
    not_measured: tuple[str, ...] = ()
    compared_with: str | None = None
    ratios: tuple[SpeedRatio, ...] = ()
