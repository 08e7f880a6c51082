"""Hypothesis strategies for whole networks: windows, strides, padding, dilation, branches and heads, mixed at will.

A network is a plain description; `build_network` makes a Keras model of it, with positive weights where asked, so that
what a cell depends on can be measured and compared with what a tool computes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from poolaudit.configuration.windows import window_span, windowed_output_size

_LARGEST = {1: 24, 2: 12, 3: 7}
_HEADS = ("map", "global_average", "global_max", "flatten", "dense_places")


@dataclass(frozen=True)
class Step:
    """One layer, or a fork into branches that are joined again.

    Attributes:
        kind: "convolution", "depthwise", "separable", "transposed", "max", "average", "upsample", "pad", "crop",
            "permute", "gate" (squeeze and excite), "fork", "nested" (a model inside) or "again" (the layer before it,
            a second time).
        window: Kernel or pooling window an axis; factors for "upsample".
        strides: An axis.
        dilation: An axis.
        padding: "valid" or "same".
        amounts: Cells before and behind an axis, for "pad" and "crop".
        branches: Of a fork, or the steps of a nested model.
        join: "add", "concatenate" or "maximum".
    """

    kind: str
    window: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    padding: str = "valid"
    amounts: tuple[tuple[int, int], ...] = ()
    branches: tuple[tuple[Step, ...], ...] = ()
    join: str = "add"


@dataclass(frozen=True)
class NetworkCase:
    """A network with everything needed to build it.

    Attributes:
        sizes: Spatial sizes of the input; 1 to 3 of them.
        channels: Of the input.
        width: Channels of every convolution.
        steps: In order.
        head: What stands behind the last map.
    """

    sizes: tuple[int, ...]
    channels: int
    width: int
    steps: tuple[Step, ...]
    head: str

    @property
    def rank(self) -> int:
        return len(self.sizes)

    @property
    def is_linear(self) -> bool:
        """Whether its averaging twin answers to the sum of two inputs with the sum of two answers."""
        return not any(step.kind == "gate" for step in self.all_steps)

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """The steps and those inside forks and nested models."""
        return tuple(_flat(self.steps))


def _flat(steps: tuple[Step, ...]) -> list[Step]:
    found = []
    for step in steps:
        found.append(step)
        for branch in step.branches:
            found += _flat(branch)
    return found


@st.composite
def networks(draw: st.DrawFn, rank: int | None = None, most_steps: int = 5) -> NetworkCase:
    """Networks of 1 to `most_steps` steps over small inputs of 1, 2 or 3 axes."""
    rank = rank or draw(st.sampled_from([1, 2, 2, 3]))
    sizes = tuple(draw(st.integers(3, _LARGEST[rank])) for _ in range(rank))
    steps: list[Step] = []
    current = sizes
    for _ in range(draw(st.integers(1, most_steps))):
        step, after = draw(_steps(current, deep=True))
        steps.append(step)
        if step.kind in ("max", "average") and draw(st.integers(0, 5)) == 0:
            twice = _after(step, after)
            if twice is not None:
                steps.append(Step("again"))
                after = twice
        current = after
    return NetworkCase(
        sizes=sizes,
        channels=draw(st.integers(1, 2)),
        width=draw(st.integers(1, 3)),
        steps=tuple(steps),
        head=draw(st.sampled_from(_HEADS)),
    )


@st.composite
def _steps(draw: st.DrawFn, sizes: tuple[int, ...], *, deep: bool) -> tuple[Step, tuple[int, ...]]:
    rank = len(sizes)
    kinds = ["convolution", "convolution", "max", "average", "average", "pad", "crop", "upsample", "transposed"]
    kinds += ["depthwise", "separable"] if rank < 3 else []
    kinds += ["permute"] if rank > 1 else []
    kinds += ["fork", "fork", "nested", "gate"] if deep else []
    kind = draw(st.sampled_from(kinds))
    if kind == "pad":
        amounts = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in sizes)
        return Step(kind, amounts=amounts), tuple(size + sum(both) for size, both in zip(sizes, amounts, strict=True))
    if kind == "crop":
        amounts = tuple(
            (a := draw(st.integers(0, min(2, size - 1))), draw(st.integers(0, min(2, size - 1 - a)))) for size in sizes
        )
        return Step(kind, amounts=amounts), tuple(size - sum(both) for size, both in zip(sizes, amounts, strict=True))
    if kind == "permute":
        return Step(kind), sizes[::-1]
    if kind == "gate":
        return Step(kind), sizes
    if kind == "upsample":
        factors = tuple(draw(st.integers(1, 2)) if size <= _LARGEST[rank] else 1 for size in sizes)
        return Step(kind, window=factors), tuple(size * factor for size, factor in zip(sizes, factors, strict=True))
    if kind == "nested":
        inner, after = draw(_steps(sizes, deep=False))
        return Step(kind, branches=((inner,),)), after
    if kind == "fork":
        return draw(_forks(sizes))
    return draw(_windows(kind, sizes))


@st.composite
def _windows(draw: st.DrawFn, kind: str, sizes: tuple[int, ...]) -> tuple[Step, tuple[int, ...]]:
    padding = draw(st.sampled_from(["valid", "same"]))
    if kind == "transposed":
        window = tuple(draw(st.integers(1, 3)) for _ in sizes)
        strides = tuple(draw(st.integers(1, 2)) if size <= _LARGEST[len(sizes)] else 1 for size in sizes)
        step = Step(kind, window, strides, (1,) * len(sizes), padding)
        return step, _required(step, sizes)
    taps_drawn: list[int] = []
    strides_drawn: list[int] = []
    rates_drawn: list[int] = []
    # Keras asks the same stride of every axis in a depthwise kernel, and no stride beside a dilation.
    dilated = kind in ("convolution", "depthwise", "separable") and draw(st.integers(0, 3)) == 0
    common = draw(st.integers(1, 3))
    for size in sizes:
        rate = draw(st.integers(1, 3)) if dilated else 1
        largest = size if padding == "valid" else size + 2
        taps = draw(st.integers(1, min(4, largest)))
        while padding == "valid" and window_span(taps, rate) > size:
            taps, rate = (taps, rate - 1) if rate > 1 else (taps - 1, 1)
        taps_drawn.append(taps)
        rates_drawn.append(rate)
        strides_drawn.append(
            1 if dilated else common if kind in ("depthwise", "separable") else draw(st.integers(1, 3))
        )
    step = Step(kind, tuple(taps_drawn), tuple(strides_drawn), tuple(rates_drawn), padding)
    return step, _required(step, sizes)


@st.composite
def _forks(draw: st.DrawFn, sizes: tuple[int, ...]) -> tuple[Step, tuple[int, ...]]:
    """Branches that give maps of one size: each of SAME windows, the last of one common stride."""
    strides = tuple(draw(st.integers(1, 2)) for _ in sizes)
    branches = []
    for _ in range(draw(st.integers(2, 3))):
        steps = []
        for last in range(draw(st.integers(1, 2)), -1, -1):
            kind = draw(st.sampled_from(["convolution", "average", "max"]))
            window = tuple(draw(st.integers(1, 4)) for _ in sizes)
            steps.append(Step(kind, window, strides if last == 0 else (1,) * len(sizes), (1,) * len(sizes), "same"))
        branches.append(tuple(steps))
    if set(strides) == {1} and draw(st.booleans()):
        branches.append(())  # a residual way
    after = tuple(-(-size // stride) for size, stride in zip(sizes, strides, strict=True))
    join = draw(st.sampled_from(["add", "concatenate", "maximum"]))
    return Step("fork", branches=tuple(branches), join=join), after


def _required(step: Step, sizes: tuple[int, ...]) -> tuple[int, ...]:
    after = _after(step, sizes)
    assert after is not None
    return after


def _after(step: Step, sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    """Sizes behind a windowed step; None where a window does not fit."""
    after = []
    for size, window, stride, rate in zip(sizes, step.window, step.strides, step.dilation, strict=True):
        if step.kind == "transposed":
            after.append(size * stride if step.padding == "same" else size * stride + max(window - stride, 0))
        elif step.padding == "same":
            after.append(-(-size // stride))
        else:
            after.append(windowed_output_size(size, window, stride, (0, 0), rate))
    return tuple(after) if min(after) > 0 else None


def build_network(case: NetworkCase, *, positive_averages: bool = False, seed: int = 0) -> Any:
    """The Keras model; with `positive_averages`, all weights are positive, nothing cancels, and maxima are averages.

    In that form every way through the graph shows in gradients and in differences, and no other does.
    """
    import keras

    builder = _Builder(case, positive_averages)
    inputs = keras.Input((*case.sizes, case.channels))
    x = builder.all(inputs, case.steps)
    outputs = builder.head(x)
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        values = rng.uniform(0.5, 1.5, shape) if positive_averages else rng.normal(size=shape)
        variable.assign(values / max(1, int(np.prod(shape[:-1]))))
    return model


class _Builder:
    def __init__(self, case: NetworkCase, positive: bool) -> None:
        import keras

        self.layers = keras.layers
        self.case, self.positive = case, positive
        self.before: Any = None
        self.numbers = itertools.count()

    def all(self, x: Any, steps: tuple[Step, ...]) -> Any:
        for step in steps:
            x = self.one(x, step)
        return x

    def one(self, x: Any, step: Step) -> Any:
        import keras

        rank, layers = self.case.rank, self.layers
        if step.kind == "again":
            return self.before(x)
        if step.kind == "fork":
            made = [self.all(x, branch) for branch in step.branches]
            made = [self.convolution((1,) * rank)(way) for way in made] if step.join != "concatenate" else made
            joins = {"add": layers.Add, "concatenate": layers.Concatenate, "maximum": layers.Maximum}
            join = "add" if step.join == "maximum" and self.positive else step.join
            return joins[join]()(made)
        if step.kind == "nested":
            inner = keras.Input(x.shape[1:])
            return keras.Model(inner, self.all(inner, step.branches[0]), name=f"inner_{next(self.numbers)}")(x)
        if step.kind == "gate":
            seen = getattr(layers, f"GlobalAveragePooling{rank}D")(keepdims=True)(x)
            weight = layers.Dense(x.shape[-1], activation="sigmoid")(seen)
            # A place that reads padding only would be 0 and close the gate's way; an offset keeps every way open.
            return layers.Multiply()([layers.Rescaling(1.0, offset=0.5)(x), weight])
        if step.kind == "permute":
            return layers.Permute((*range(rank, 0, -1), rank + 1))(x)
        self.before = self.layer(step)
        return self.before(x)

    def layer(self, step: Step) -> Any:
        rank, layers = self.case.rank, self.layers
        one = rank == 1
        if step.kind == "pad":
            return getattr(layers, f"ZeroPadding{rank}D")(step.amounts[0] if one else step.amounts)
        if step.kind == "crop":
            return getattr(layers, f"Cropping{rank}D")(step.amounts[0] if one else step.amounts)
        if step.kind == "upsample":
            return getattr(layers, f"UpSampling{rank}D")(step.window[0] if one else step.window)
        if step.kind in ("max", "average"):
            kind = "Average" if self.positive or step.kind == "average" else "Max"
            pool = getattr(layers, f"{kind}Pooling{rank}D")
            return pool(step.window, step.strides, padding=step.padding)
        shared = {"strides": step.strides, "padding": step.padding, "use_bias": False}
        if step.kind == "transposed":
            return getattr(layers, f"Conv{rank}DTranspose")(self.case.width, step.window, **shared)
        shared["dilation_rate"] = step.dilation
        if step.kind == "depthwise":
            return getattr(layers, f"DepthwiseConv{rank}D")(step.window, **shared)
        if step.kind == "separable":
            return getattr(layers, f"SeparableConv{rank}D")(self.case.width, step.window, **shared)
        return getattr(layers, f"Conv{rank}D")(self.case.width, step.window, **shared)

    def convolution(self, window: tuple[int, ...]) -> Any:
        kind = getattr(self.layers, f"Conv{self.case.rank}D")
        return kind(self.case.width, window, use_bias=False)

    def head(self, x: Any) -> Any:
        rank, layers = self.case.rank, self.layers
        if self.case.head == "map":
            return x
        if self.case.head == "dense_places":
            return layers.Dense(2, use_bias=False)(x)
        if self.case.head == "flatten":
            x = layers.Flatten()(x)
        else:
            kind = "Average" if self.positive or self.case.head == "global_average" else "Max"
            x = getattr(layers, f"Global{kind}Pooling{rank}D")()(x)
        return layers.Dense(3, use_bias=False)(x)
