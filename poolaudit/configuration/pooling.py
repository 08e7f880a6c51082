"""One pooling layer's settings as plain data, with the shapes and windows that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from poolaudit.configuration.kinds import KINDS, Kind, Layout
from poolaudit.configuration.validation import problems_of
from poolaudit.configuration.windows import (
    AxisWindow,
    adaptive_windows,
    same_padding,
    sliding_windows,
    windowed_output_size,
)
from poolaudit.errors import InvalidInputError

Padding = str | tuple[tuple[int, int], ...]

_LOST_BY_COUNTED_PADDING = frozenset({"constant_preserving", "partition_of_unity", "shift_equivariant", "bounded"})
_LOST_BY_OUTSIDE_WEIGHT = frozenset({"monotone", "non_expansive", "bounded"})


@dataclass(frozen=True, slots=True, repr=False)
class PoolConfiguration:
    """A pooling layer's settings. Nothing is checked on construction: layers must be offered wrong ones too.

    >>> halving = PoolConfiguration("max", rank=2, window=(2, 2), padding="same")
    >>> halving.output_shape((1, 5, 5, 3))
    (1, 3, 3, 3)

    Attributes:
        kind: A name of `KINDS`.
        rank: Spatial axes, 1 to 3.
        window: Cells an axis; None for adaptive, global and pyramid kinds, and for `subsample`.
        strides: Steps an axis; None means `window`.
        padding: `"valid"`, `"same"` (TensorFlow's rule) or explicit `((before, after), ...)` an axis.
        dilation: Distance of neighbouring cells of the window an axis; None means 1.
        data_format: `"channels_last"` or `"channels_first"`.
        output_size: Output cells an axis, adaptive kinds only.
        keepdims: Global kinds: the pooled axes stay, with length 1.
        count_padding: Padded cells count as zeros in averages and blurs (PyTorch's `count_include_pad`);
            the default leaves them out, as TensorFlow does.
        p: Exponent of `gem`.
        epsilon: `gem` raises smaller inputs to this value (Radenovic, Tolias and Chum, 2018).
        alpha: `mixed`: weight of the maximum; the average has `1 - alpha` (Lee, Gallagher and Tu, 2016).
        sharpness: `lse`: r in `log(mean(exp(r x))) / r` (Pinheiro and Collobert, 2015).
        even_median: `"mean"`, `"lower"` or `"upper"` of the two middle cells of an even window.
        levels: `spp`: bins an axis, one entry a level (He et al., 2014).
        pyramid_reduction: `spp`: `"max"` or `"average"`.
    """

    kind: str
    rank: int
    window: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None
    padding: Padding = "valid"
    dilation: tuple[int, ...] | None = None
    data_format: str = "channels_last"
    output_size: tuple[int, ...] | None = None
    keepdims: bool = False
    count_padding: bool = False
    p: float = 3.0
    epsilon: float = 1e-6
    alpha: float = 0.5
    sharpness: float = 1.0
    even_median: Literal["mean", "lower", "upper"] = "mean"
    levels: tuple[int, ...] = (1, 2, 4)
    pyramid_reduction: Literal["max", "average"] = "max"

    def __repr__(self) -> str:
        """The constructor call, defaults left out."""
        given = [repr(self.kind), f"rank={self.rank!r}"]
        for name, field in self.__dataclass_fields__.items():
            if name not in ("kind", "rank") and getattr(self, name) != field.default:
                given.append(f"{name}={getattr(self, name)!r}")
        return f"PoolConfiguration({', '.join(given)})"

    @property
    def known_kind(self) -> Kind:
        """The entry of `KINDS`. Raises InvalidInputError for an unregistered name."""
        return KINDS.get(self.kind)

    @property
    def traits(self) -> frozenset[str]:
        """The kind's traits less those that these very settings cost, for example by counted padding."""
        kind = self.known_kind
        traits = kind.traits
        if self.count_padding and self.padding != "valid" and kind.reduction in ("average", "blur", "mixed"):
            traits -= _LOST_BY_COUNTED_PADDING
        if kind.reduction == "mixed" and not 0 <= self.alpha <= 1:
            traits -= _LOST_BY_OUTSIDE_WEIGHT
        if kind.reduction == "mixed" and self.alpha == 1:
            traits -= {"every_cell_counts"}
        if kind.reduction == "median" and self.even_median != "mean":
            traits |= {"selection"}
        return traits

    @property
    def layout(self) -> Layout:
        """How the windows lie; for kind `unknown` what the given fields say, `any` where none is given."""
        layout = self.known_kind.layout
        if layout == "any" and self.window is not None:
            return "windowed"
        if layout == "any" and self.output_size is not None:
            return "adaptive"
        return layout

    @property
    def effective_window(self) -> tuple[int, ...]:
        """Window with the default filled in (`subsample` has windows of one cell)."""
        return (1,) * self.rank if self.window is None else self.window

    @property
    def effective_strides(self) -> tuple[int, ...]:
        """Strides with the default filled in."""
        return self.effective_window if self.strides is None else self.strides

    @property
    def effective_dilation(self) -> tuple[int, ...]:
        """Dilation with the default filled in."""
        return (1,) * self.rank if self.dilation is None else self.dilation

    def axis_padding(self, axis: int, size: int) -> tuple[int, int]:
        """Padding before and after the spatial axis `axis` of length `size`."""
        if self.padding == "same":
            return same_padding(
                size, self.effective_window[axis], self.effective_strides[axis], self.effective_dilation[axis]
            )
        return (0, 0) if isinstance(self.padding, str) else self.padding[axis]

    def axis_windows(self, axis: int, size: int) -> tuple[AxisWindow, ...]:
        """W(o) along one spatial axis, one entry an output cell.

        Raises:
            InvalidInputError: The kind has no single set of windows (`spp`, or `unknown` without fields).
        """
        layout = self.layout
        if layout == "windowed":
            return sliding_windows(
                size,
                self.effective_window[axis],
                self.effective_strides[axis],
                self.axis_padding(axis, size),
                self.effective_dilation[axis],
            )
        if layout == "adaptive" and self.output_size is not None:
            return adaptive_windows(size, self.output_size[axis])
        if layout == "global":
            return (AxisWindow(0, size, 1, 0, size),)
        raise InvalidInputError(
            f"Kind {self.kind!r} declares no window, output size or global layout",
            "kinds with one set of windows; for a pyramid the configurations in `.pyramid()`",
        )

    def pyramid(self) -> tuple[PoolConfiguration, ...]:
        """The adaptive configuration of each level of `spp`, in the order they are concatenated."""
        return tuple(
            PoolConfiguration(
                f"adaptive_{self.pyramid_reduction}",
                self.rank,
                data_format=self.data_format,
                output_size=(bins,) * self.rank,
            )
            for bins in self.levels
        )

    def spatial_axes(self) -> tuple[int, ...]:
        """Positions of the spatial axes in an input shape."""
        first = 2 if self.data_format == "channels_first" else 1
        return tuple(range(first, first + self.rank))

    def spatial_shape(self, input_shape: Sequence[int]) -> tuple[int, ...]:
        """Spatial part of an input shape.

        >>> PoolConfiguration("max", 2, (2, 2), data_format="channels_first").spatial_shape((1, 3, 6, 7))
        (6, 7)
        """
        return tuple(input_shape[axis] for axis in self.spatial_axes())

    def output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Shape of the output; a None in the input shape stays None where it matters.

        Args:
            input_shape: Batch, spatial axes and channels in the order of `data_format`. `spp` gives
                `(batch, channels * sum(levels ** rank))`.
        """
        first = self.data_format == "channels_first"
        batch, channels = input_shape[0], input_shape[1 if first else -1]
        if self.layout == "pyramid":
            bins = sum(level**self.rank for level in self.levels)
            return (batch, None if channels is None else channels * bins)
        if self.layout == "global":
            spatial: tuple[int | None, ...] = (1,) * self.rank if self.keepdims else ()
        else:
            spatial = tuple(
                self._axis_output_size(axis, input_shape[position]) for axis, position in enumerate(self.spatial_axes())
            )
        return (batch, channels, *spatial) if first else (batch, *spatial, channels)

    def _axis_output_size(self, axis: int, size: int | None) -> int | None:
        if self.layout == "adaptive" and self.output_size is not None:
            return self.output_size[axis]
        if self.layout != "windowed":
            raise InvalidInputError(f"Kind {self.kind!r} declares no window, so its output shape is not known")
        if size is None:
            return None
        window, stride = self.effective_window[axis], self.effective_strides[axis]
        outputs = windowed_output_size(
            size, window, stride, self.axis_padding(axis, size), self.effective_dilation[axis]
        )
        return max(outputs, 0)

    def has_empty_window(self, input_shape: Sequence[int]) -> bool:
        """Whether some output cell reads padding only, so that no value is defined for it.

        Explicit padding can do this, and so can SAME with a dilation: window 2, dilation 2, one input cell.
        """
        if self.layout == "pyramid":
            return any(level.has_empty_window(input_shape) for level in self.pyramid())
        return any(
            len(window) == 0
            for axis, size in enumerate(self.spatial_shape(input_shape))
            for window in self.axis_windows(axis, size)
        )

    def problems(self, input_shape: Sequence[int] | None = None) -> tuple[str, ...]:
        """Why a layer must refuse this configuration (on this input, if one is given); empty where valid."""
        return problems_of(self.settings(), self.layout, self.rank, input_shape)

    def settings(self) -> dict[str, object]:
        """Every field by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def arguments(self) -> dict[str, object]:
        """Constructor arguments under the field's usual names (Keras's where Keras has one).

        >>> PoolConfiguration("average", 1, window=(2,)).arguments()
        {'pool_size': (2,), 'strides': None, 'padding': 'valid', 'data_format': 'channels_last'}
        """
        kind = self.known_kind
        named: dict[str, object] = {}
        if self.layout == "windowed":
            if kind.reduction != "subsample":
                named["pool_size"] = self.window
            named |= {"strides": self.strides, "padding": self.padding}
            if self.dilation is not None:
                named["dilation_rate"] = self.dilation
        elif self.layout == "adaptive":
            named["output_size"] = self.output_size
        elif self.layout == "pyramid":
            named["levels"] = self.levels
        named["data_format"] = self.data_format
        if self.layout == "global":
            named["keepdims"] = self.keepdims
        extra = {"gem": ("p",), "mixed": ("alpha",), "lse": ("sharpness",)}.get(kind.reduction or "", ())
        return named | {name: getattr(self, name) for name in extra}
