"""Forward pass and gradient of pooling layers as work to be timed, and the timings put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.benchmarks.timing import (
    COPY_BYTES,
    MemoryCopy,
    Work,
    median_estimate,
    over,
    time_in_turns,
    usable_threads,
)
from poolaudit.evidence.benchmarks import BenchmarkEvidence, LayerBenchmark, Timing
from poolaudit.evidence.estimates import Estimate

# Where a call that computes nothing takes more than this share of the time, a bandwidth would be that of the call.
_MOST_OVERHEAD = 0.2
AS_SHIPPED = "as shipped"
_COPY, _NOTHING = "copy of memory", "nothing"


@dataclass(frozen=True)
class Case:
    """One layer at one shape and dtype.

    Attributes:
        site: Name of the pooling site.
        variant: "as shipped" or what was put in its place.
        layer: The layer: called with one tensor.
        shape: With batch.
        dtype: Of the input.
    """

    site: str
    variant: str
    layer: Any
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Prepared:
    """A case with its work, compiled: names of directions to calls."""

    case: Case
    output_shape: tuple[int, ...]
    work: dict[str, Work]
    without_gradient: str | None

    def bytes_moved(self, direction: str) -> int:
        """Input and output once each; for a gradient also the gradient of the output and that of the input."""
        import tensorflow as tf

        cells = int(np.prod(self.case.shape)) + int(np.prod(self.output_shape))
        return cells * int(tf.as_dtype(self.case.dtype).size) * (1 if direction == "forward" else 2)


def measure(
    cases: Sequence[Case],
    *,
    rounds: int,
    confidence: float = 0.95,
    seed: int = 0,
    not_measured: Sequence[str] = (),
    tell: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> BenchmarkEvidence:
    """Times all cases, a copy of memory and an empty call in turns.

    Args:
        rounds: Samples of each; six or more give a 95 % interval.
        seed: Of the inputs, which are standard normal.
    """
    rng = np.random.default_rng(seed)
    prepared, missing = [], list(not_measured)
    for case in cases:
        try:
            prepared.append(prepare(case, rng))
        except Exception as error:  # the layer's own code, or a dtype it has no kernel for
            told = " ".join(str(error).split())[:200]
            missing.append(f"{case.site} ({case.variant}, {case.dtype}): {type(error).__name__}: {told}")
    work = {name_of(n, direction): run for n, entry in enumerate(prepared) for direction, run in entry.work.items()}
    samples = with_yardsticks(work, rounds, tell)
    return evidence_of(prepared, samples, confidence=confidence, not_measured=missing)


def with_yardsticks(
    work: Mapping[str, Work], rounds: int, tell: Callable[[int, int, str], None] = lambda done, total, what: None
) -> dict[str, list[float]]:
    """Seconds a call of the work, of a copy of memory and of a call that computes nothing, all in turns."""
    copy = MemoryCopy(usable_threads())
    try:
        return time_in_turns({_COPY: copy, _NOTHING: _empty_call(), **work}, rounds, tell)
    finally:
        copy.close()


def name_of(number: int, direction: str) -> str:
    """What the samples of a case's direction are filed under."""
    return f"{number} {direction}"


def evidence_of(
    prepared: Sequence[Prepared],
    samples: Mapping[str, list[float]],
    *,
    confidence: float = 0.95,
    not_measured: Sequence[str] = (),
) -> BenchmarkEvidence:
    """The timings put together.

    Args:
        samples: Seconds a call, by `name_of` the prepared case's number and direction, with those of the yardsticks.
    """
    copied = median_estimate([2 * COPY_BYTES / seconds for seconds in samples[_COPY]], confidence)
    nothing = float(np.median(samples[_NOTHING]))
    layers = []
    for number, entry in enumerate(prepared):
        took = {d: median_estimate(samples[name_of(number, d)], confidence) for d in entry.work}
        layers.append(_put_together(entry, took, copied, nothing))
    return BenchmarkEvidence(
        device=_device(),
        threads=usable_threads(),
        bytes_per_second=copied,
        call_seconds=nothing,
        layers=tuple(layers),
        not_measured=tuple(not_measured),
    )


def prepare(case: Case, rng: np.random.Generator) -> Prepared:
    """The case compiled at its shape, run once.

    Raises:
        Exception: Whatever the layer raises.
    """
    import tensorflow as tf

    x = tf.cast(tf.constant(rng.standard_normal(case.shape, dtype=np.float32)), case.dtype)
    layer = case.layer

    def called(inputs: Any) -> Any:
        return layer(inputs)

    def differentiated(inputs: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
        # The output is returned as well: else the forward pass of a linear layer would be left out.
        return outputs, tape.gradient(outputs, inputs)

    def compiled(function: Callable[[Any], Any]) -> Any:
        signature = [tf.TensorSpec(x.shape, x.dtype)]
        return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()

    forward = compiled(called)
    output = forward(x)
    work: dict[str, Work] = {"forward": lambda: _finished(forward(x))}
    without = None
    try:
        gradient = compiled(differentiated)
        if gradient(x)[1] is None:
            without = "the output does not depend on the input by a differentiable way"
        else:
            work["gradient"] = lambda: _finished(gradient(x)[1])
    except Exception as error:
        without = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return Prepared(case, tuple(int(size) for size in output.shape), work, without)


def _put_together(entry: Prepared, seconds: dict[str, Estimate], copied: Estimate, nothing: float) -> LayerBenchmark:
    timings = []
    for direction, took in seconds.items():
        moved, middle = entry.bytes_moved(direction), took.value
        assert middle is not None
        if nothing > _MOST_OVERHEAD * middle:
            share = Estimate.not_estimable(
                f"the call itself takes {nothing / middle:.0%} of the time; give a larger batch", n=took.n
            )
        else:
            rate = Estimate(
                moved / middle,
                None if took.high is None else moved / took.high,
                None if took.low is None else moved / took.low,
                took.n,
                took.method,
                took.confidence,
                took.reason,
            )
            share = over(rate, copied)
        timings.append(Timing(direction, took, entry.case.shape[0] / middle, moved, share))
    case = entry.case
    return LayerBenchmark(
        site=case.site,
        variant=case.variant,
        layer=type(case.layer).__name__,
        dtype=case.dtype,
        input_shape=case.shape,
        output_shape=entry.output_shape,
        timings=tuple(timings),
        without_gradient=entry.without_gradient,
    )


def _empty_call() -> Work:
    import tensorflow as tf

    one = tf.constant(1.0)
    empty = tf.function(lambda x: x, input_signature=[tf.TensorSpec((), tf.float32)], autograph=False)
    return lambda: _finished(empty(one))


def _finished(tensor: Any) -> Any:
    """The tensor once it is there: a GPU works on after the call has returned."""
    if "GPU" in tensor.device:
        import tensorflow as tf

        tf.test.experimental.sync_devices()
    return tensor


def _device() -> str:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))
