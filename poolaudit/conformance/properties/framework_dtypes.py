"""What the framework's own layers announce, and what half precision does to their masks."""

from __future__ import annotations

import numpy as np

from poolaudit.conformance.case import Case, cast
from poolaudit.conformance.corners import halves_of_range, many_steps, one_case
from poolaudit.conformance.kernel_sets import KERNEL_MODE
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.numerics import as_float64, demand_same, shown
from poolaudit.conformance.property import layer_property
from poolaudit.conformance.violations import NotApplicable, Refused, Violation

_HALF = ("float16", "bfloat16")


@layer_property(
    "PA155",
    needs_keras_layer=True,
    corners=one_case,
    dtypes=("float16", "float64", "bfloat16", "mixed_float16"),
    modes=("eager",),
    builtins="*",
)
def announced_dtype_runs(layer: LayerUnderTest, case: Case) -> None:
    """A dtype that the symbolic call announces can be run.

    Why: a model is built, and its first batch fails.
    How: the symbolic call and the run, forward and backward, in each floating dtype.
    Do: run that layer in float32.
    False alarm: none; a layer that refuses the dtype when it is built is not accused.
    """
    import keras

    x = case.array()
    instance = layer.instance
    layer.guarded("symbolic call", lambda: instance(keras.KerasTensor(x.shape, dtype=case.input_dtype)))
    try:
        y = layer.value(x)
        layer.gradient(x, cast(np.ones(y.shape), str(y.dtype)))
    except Refused as refused:
        raise Violation(
            str(refused), f"a result in {case.input_dtype}, as announced", "the dtype does not run"
        ) from None


@layer_property(
    "PA156", needs_keras_layer=True, corners=one_case, modes=("graph_unknown_sizes",), builtins="*", cost="slow"
)
def announced_shape_runs(layer: LayerUnderTest, case: Case) -> None:
    """A shape with unknown sizes that the symbolic call announces can be run.

    Why: a fully convolutional model is built for any image size, and `predict` fails.
    How: the symbolic call with unknown sizes, and a traced function with the same signature.
    Do: fix the input's size.
    False alarm: none; a layer that refuses unknown sizes when it is built is not accused.
    """
    import keras

    x = case.array()
    instance = layer.instance
    unknown = layer.unknown_shape(x.shape)
    layer.guarded("symbolic call", lambda: instance(keras.KerasTensor(unknown, dtype=case.input_dtype)))
    try:
        layer.value(x)
    except Refused as refused:
        raise Violation(str(refused), f"a result for {unknown}, as announced", "unknown sizes do not run") from None


@layer_property(
    "PA183", needs_keras_layer=True, needs_argument="mask", corners=halves_of_range, dtypes=_HALF, builtins="*"
)
def masked_range(layer: LayerUnderTest, case: Case) -> None:
    """A mask that hides nothing costs no range.

    Why: half precision ends at 65504; a sum over steps reaches it where the mean is far from it.
    How: steps of half the largest value, with and without a mask of ones.
    Do: sum in float32.
    False alarm: none known.
    """
    x = case.array()
    full = np.ones(x.shape[:2], bool)
    demand_same(layer.value(x, mask=full), layer.value(x), case.dtype, "a mask that hides nothing changes the output")


@layer_property(
    "PA184", needs_keras_layer=True, needs_argument="mask", corners=many_steps, dtypes=_HALF, builtins="*", cost="slow"
)
def masked_count(layer: LayerUnderTest, case: Case) -> None:
    """Masked steps are counted exactly, however many there are.

    Why: float16 counts to 2048 and ends at 65504, bfloat16 counts to 256.
    How: 70,000 equal steps under a mask of ones.
    Do: count in integers or float32.
    False alarm: none known.
    """
    masked_range(layer, case)


@layer_property("PA185", needs_keras_layer=True, needs_argument="mask", corners=one_case, builtins="*")
def mask_shape(layer: LayerUnderTest, case: Case) -> None:
    """A mask of the wrong shape is refused, and not broadcast.

    Why: a mask of one step for all gives a sum where a mean is wanted.
    How: a mask of shape (batch, 1).
    Do: check the mask's shape before the call.
    False alarm: none known.
    """
    x = case.array()
    mask = np.ones((x.shape[0], 1), bool)
    try:
        y = layer.value(x, mask=mask)
    except Refused:
        return
    demand_same(y, layer.value(x), case.dtype, f"a mask of shape {mask.shape} is accepted and changes the output")


@layer_property("PA186", needs_keras_layer=True, needs_argument="mask", corners=one_case, builtins="*")
def masked_integers(layer: LayerUnderTest, case: Case) -> None:
    """A mask does not change the output's dtype.

    Why: an exported signature names one dtype.
    How: int32 input with and without a mask of ones.
    Do: cast before the layer.
    False alarm: none known.
    """
    x = case.array().astype(np.int32)
    masked, unmasked = layer.value(x, mask=np.ones(x.shape[:2], bool)), layer.value(x)
    if masked.dtype != unmasked.dtype:
        raise Violation(str(masked.dtype), f"{unmasked.dtype}, as without a mask", "the mask changes the dtype")


@layer_property(
    "PA187",
    traits="accumulates bounded has_formula",
    data=("half_maximum",),
    dtypes=_HALF,
    modes=("eager", "xla", KERNEL_MODE),
    cost="medium",
    builtins="*",
)
def half_range(layer: LayerUnderTest, case: Case) -> None:
    """An average of finite half-precision cells is finite in every mode and with either kernels.

    Why: the eager run overflows where the compiled one does not, so training and deployment differ.
    How: cells of half the largest value.
    Do: pool in float32.
    False alarm: bfloat16 reaches as far as float32, whose sums overflow too; only a quarter of the range is used there.
    """
    x = case.array()
    if case.input_dtype == "bfloat16":
        x = cast(as_float64(x) * 2.0**-60, case.input_dtype)
    if not x.size:
        raise NotApplicable
    y = as_float64(layer.value(x))
    if not np.isfinite(y).all():
        raise Violation(shown(y), f"{float(x.ravel()[0]):g}, the value of every cell", "a finite average overflows")
