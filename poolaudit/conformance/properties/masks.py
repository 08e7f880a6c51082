"""Masks of time steps: deletion, and honesty about not supporting them."""

from __future__ import annotations

import warnings

import numpy as np

from poolaudit.conformance.case import Case, cast
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.numerics import as_float64, demand_same, shown
from poolaudit.conformance.property import layer_property
from poolaudit.conformance.violations import NotApplicable, Violation
from poolaudit.reference import pool


def _mask(case: Case) -> np.ndarray:
    steps = case.input_shape[1]
    mask = case.generator(7).integers(0, 2, (case.input_shape[0], steps)).astype(bool)
    mask[np.arange(len(mask)), case.generator(8).integers(0, steps, len(mask))] = True
    return mask


@layer_property("PA180", needs_argument="mask", data=("normal", "ties"), needs_keras_layer=True)
def mask_is_deletion(layer: LayerUnderTest, case: Case) -> None:
    """Masked steps are as good as absent: whatever stands there, values and gradients ignore it.

    Why: padded sequences are masked; padding that leaks makes predictions depend on the batch's longest member.
    How: NaN, inf, zeros or 1e4 under the mask must not change the output; an all-true mask is no mask; where the kind
        has a formula, the output is that of the steps left.
    Do: select with `where` before reducing; multiplying by the mask keeps NaN and inf.
    False alarm: layers that treat a mask as weights; document it.
    """
    if case.configuration.rank != 1 or case.configuration.data_format != "channels_last" or not case.input_shape[1]:
        raise NotApplicable
    x, mask = case.array(), _mask(case)
    y = layer.value(x, mask=mask)
    filler = (0.0, 1e4, np.nan, np.inf, -np.inf)[case.seed % 5]
    hidden = cast(np.where(mask[:, :, None], as_float64(x), filler), case.input_dtype)
    demand_same(layer.value(hidden, mask=mask), y, case.dtype, f"{filler!r} under the mask changes the output", 4)
    full = np.ones_like(mask)
    demand_same(
        layer.value(x, mask=full), layer.value(x), case.dtype, "a mask that hides nothing changes the output", 4
    )
    if "has_formula" in layer.traits and layer.configuration.known_kind.reduction in ("max", "average", "min"):
        expected = pool(layer.configuration, x, mask)
        defined = np.isfinite(expected)
        if y.shape != expected.shape:
            raise Violation(f"shape {y.shape}", f"shape {expected.shape}", "the mask changes the shape")
        demand_same(
            np.where(defined, as_float64(y), 0),
            np.where(defined, expected, 0),
            case.dtype,
            "the masked value is wrong",
            4,
        )


@layer_property("PA181", needs_argument="mask", data=("normal",), needs_keras_layer=True, dtypes=("float32", "float16"))
def fully_masked(layer: LayerUnderTest, case: Case) -> None:
    """A sequence without a step left gives finite numbers.

    Why: one empty sequence in a batch turns the whole loss into NaN.
    How: rows that are masked from end to end.
    Do: divide by at least one.
    False alarm: a layer that documents NaN for empty sequences.
    """
    if case.configuration.rank != 1 or case.configuration.data_format != "channels_last":
        raise NotApplicable
    x = case.array()
    y = layer.value(x, mask=np.zeros(x.shape[:2], bool))
    if not np.isfinite(as_float64(y)).all():
        raise Violation(shown(y), "finite numbers", "a fully masked sequence gives no number")


@layer_property("PA182", cost="medium", data=("ties",), needs_keras_layer=True)
def mask_honesty(layer: LayerUnderTest, case: Case) -> None:
    """A layer that passes a mask on gives it the output's length.

    Why: a mask of the input's length on a pooled sequence is wrong or fails far from its cause.
    How: `compute_mask` is asked with a mask of the input; its answer must be None or fit the output's steps; a layer
        that claims support must take the mask.
    Do: pool the mask as well, or return None.
    False alarm: none known.
    """
    instance = layer.instance
    if case.configuration.rank != 1 or not bool(getattr(instance, "supports_masking", False)):
        raise NotApplicable
    x = case.array()
    y = layer.value(x)
    mask = np.ones(x.shape[:2], bool)
    import inspect

    import tensorflow as tf

    if "mask" not in inspect.signature(instance.call).parameters and y.ndim == 2:
        layer.ran("print('observed:', layer.supports_masking)")
        raise Violation(
            "supports_masking is True, and `call` takes no mask", "a mask that is used", "the mask is ignored"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = layer.guarded("compute_mask", lambda: instance.compute_mask(tf.constant(x), tf.constant(mask)))
    if found is None:
        return
    shape = tuple(np.asarray(found).shape)
    if y.ndim != 3 or shape != tuple(y.shape[:2]):
        layer.ran(f"print('observed:', layer.compute_mask(None, tf.ones({mask.shape}, bool)).shape)")
        raise Violation(
            f"a mask of shape {shape}", f"None or one of shape {y.shape[:2]}", "the mask does not fit the output"
        )
