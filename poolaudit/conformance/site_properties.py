"""Statements about one pooling site of a model, judged on the activations that real data produce."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance.case import cast
from poolaudit.conformance.numerics import as_float64, demand_same, shown
from poolaudit.conformance.site_configuration import small_shape
from poolaudit.conformance.violations import Violation
from poolaudit.evidence.conformance import Counterexample, PropertyResult
from poolaudit.findings import CheckDoc, document_check
from poolaudit.outcomes import Outcome
from poolaudit.reference import pool
from poolaudit.registry import Registry
from poolaudit.subject.activations import SiteActivations, told

Array = NDArray[Any]
HALVES = ("float16", "bfloat16")


@dataclass(frozen=True)
class SiteUnderTest:
    """A site with what is known of it.

    Attributes:
        activations: What the data showed.
        configuration: The layer's settings; None where they are not known.
    """

    activations: SiteActivations
    configuration: PoolConfiguration | None

    def result(self, name: str, outcome: Outcome, mode: str = "eager", **more: Any) -> PropertyResult:
        """A result of this site; `examples` is the number of items that were looked at."""
        seen = self.activations
        return PropertyResult(seen.name, name, outcome, mode, seen.dtype_policy, examples=seen.items, **more)

    def failed(
        self, name: str, observed: str, expected: str, x: Array | None = None, mode: str = "eager"
    ) -> PropertyResult:
        """A failure with its counterexample."""
        seen = self.activations
        where = f"{seen.site.layer} {seen.config} on shape {seen.input_shape}, values {seen.lowest} to {seen.highest}"
        found = Counterexample(where, self._script(x), observed, expected)
        return self.result(name, Outcome.FAILED, mode, counterexample=found)

    def run(self, x: Array, function: Callable[[Any], Any] | None = None) -> Array:
        """The output of the live layer, or of a function made from it, in inference mode."""
        import tensorflow as tf

        return np.asarray((function or self.activations.live)(tf.constant(x)))

    def _script(self, x: Array | None) -> str:
        seen = self.activations
        if x is None or seen.config is None or not (seen.layer or "").startswith("keras.layers:"):
            layer = seen.name.partition("@")[0]
            return (
                "import keras\nimport numpy as np\n\n"
                'model = keras.saving.load_model("model.keras")  # the audited model\n'
                'x = np.load("data.npy")  # the audited data\n'
                f"layer = model.get_layer({layer!r})\n"
                "probe = keras.Model(model.inputs, [layer.input, layer.output])\n"
                "for name, values in zip(('input', 'output'), probe(x)):\n"
                "    print(name, values.shape, np.isnan(values).sum(), 'NaN', np.isinf(values).sum(), 'infinite')"
            )
        name = (seen.layer or "").partition(":")[2]
        return (
            "import keras\nimport numpy as np\n\n"
            f"layer = keras.layers.{name}.from_config({seen.config!r})\n"
            f"x = {_expression(x)}\n"
            "print(np.asarray(layer(x)))"
        )


@dataclass(frozen=True, slots=True)
class SiteProperty:
    """A documented statement about a pooling site; None where it says nothing about this one."""

    name: str
    doc: CheckDoc
    statement: Callable[[SiteUnderTest], PropertyResult | None]


SITE_PROPERTIES: Registry[SiteProperty] = Registry("property")


def site_property(code: str) -> Callable[[Any], Any]:
    """Registers a function under its own name; its docstring is its documentation."""

    def register(statement: Any) -> Any:
        name = str(statement.__name__)
        SITE_PROPERTIES.register(name, SiteProperty(name, document_check(code, statement), statement))
        return statement

    return register


@site_property("PA115")
def site_activations_finite(site: SiteUnderTest) -> PropertyResult:
    """No NaN and no infinity goes into or comes out of the pooling site on the data.

    Why: A max pool can swallow a NaN and an average spreads it over the map; either way scores go wrong in silence.
    How: The model runs eagerly on items of the data; NaN and infinities before and after the site are counted.
    Do: Look at the layer before the site: overflow in half precision, a division by zero, a logarithm of zero.
    False alarm: A layer that marks places with -inf on purpose, for example for a mask.
    """
    seen = site.activations
    if seen.reason is not None:
        return site.result("site_activations_finite", Outcome.SKIPPED, reason=f"not recorded: {seen.reason}")
    found = [
        f"{count} {what} in its {where}"
        for count, what, where in (
            (seen.input_nan, "NaN", "input"),
            (seen.input_infinite, "infinities", "input"),
            (seen.output_nan, "NaN", "output"),
            (seen.output_infinite, "infinities", "output"),
        )
        if count
    ]
    if not found:
        return site.result("site_activations_finite", Outcome.PASSED)
    return site.failed("site_activations_finite", f"{', '.join(found)} over {seen.items} items", "finite values only")


@site_property("PA116")
def site_window_fits(site: SiteUnderTest) -> PropertyResult | None:
    """Every window of the site reads at least one cell, and at least one window fits into the map.

    Why: TensorFlow answers with an empty map where no window fits, and without an error: an average over it is NaN, a
        maximum the lowest number, and the classifier sees nothing of its input.
    How: The window is held against the shape of the feature map that the data produce; the output's shape is looked at.
    Do: Give larger inputs, use a smaller window, or padding="same".
    False alarm: None known.
    """
    seen, configuration = site.activations, site.configuration
    if seen.input_shape is None or seen.output_shape is None:
        return None
    if 0 in seen.input_shape[1:]:
        return site.failed("site_window_fits", f"an empty map of shape {seen.input_shape}", "cells to pool over")
    if configuration is not None and configuration.window is not None:
        problems = configuration.problems(seen.input_shape)
        if problems:
            return site.failed("site_window_fits", "; ".join(problems), "a window that fits into the map")
        if configuration.has_empty_window(seen.input_shape):
            return site.failed("site_window_fits", "a window that reads padding only", "a cell in every window")
    if 0 in seen.output_shape[1:]:
        return site.failed("site_window_fits", f"an empty output, {seen.output_shape}", "at least one output cell")
    return site.result("site_window_fits", Outcome.PASSED)


@site_property("PA117")
def site_half_precision_safe(site: SiteUnderTest) -> PropertyResult | None:
    """In half precision the site gives the right values over the range that the data produce.

    Why: float16 ends at 65504 and a sum over a window gets there long before its mean; bfloat16 counts to 256 only.
    How: The site runs on the recorded inputs with the largest value and the largest sum of magnitudes, and on a map
        filled with the largest value; the result is held against float64, rounded once, with three times the tolerance
        of the dtype. Sites that compute in float32 or float64 are not asked.
    Do: Give the layer dtype="float32" within the mixed policy, or scale the activations down.
    False alarm: The model is served on hardware whose kernels accumulate in float32, and this machine's do not.
    """
    seen, configuration = site.activations, site.configuration
    if seen.compute_dtype not in HALVES or seen.extremes is None or seen.live is None:
        return None
    dtype, name = seen.compute_dtype, "site_half_precision_safe"
    if configuration is None or "has_formula" not in configuration.traits:
        if not seen.output_infinite and not seen.output_nan:
            return site.result(name, Outcome.SKIPPED, reason="what the layer computes is not known, so nothing says")
        return site.failed(name, "values that are not finite", "finite values")
    inputs = [x for x in seen.extremes if np.isfinite(as_float64(x)).all()]
    if seen.highest is not None and seen.lowest is not None and seen.input_shape is not None:
        largest = max(seen.highest, seen.lowest, key=abs)
        inputs.insert(0, cast(np.full(small_shape(configuration, seen.input_shape)[1:], largest), dtype))
    for item in inputs:
        x = cast(item[np.newaxis], dtype)
        if configuration.problems(x.shape):
            return None  # `site_window_fits` tells
        expected = cast(pool(configuration, x), dtype)
        try:
            observed = site.run(x)
            demand_same(observed, expected, dtype, "", 3)
        except Violation as violation:
            return site.failed(
                name, f"{violation.observed} from values up to {np.abs(as_float64(x)).max():g}", violation.expected, x
            )
        except Exception as error:  # the layer's own code
            return site.result(name, Outcome.CRASHED, reason=told(error))
    return site.result(name, Outcome.PASSED)


@site_property("PA118")
def site_unknown_sizes(site: SiteUnderTest) -> PropertyResult | None:
    """With batch and spatial sizes left open, the site computes what it computes with known ones.

    Why: Exports and serving trace a model with open sizes, and a layer that reads a static shape then divides by
        another number or pads another way.
    How: The live layer runs on recorded inputs eagerly and in a tf.function whose signature leaves the sizes open.
    Do: Take sizes from tf.shape inside the layer.
    False alarm: None known; a layer that refuses open sizes is reported as skipped.
    """
    import tensorflow as tf

    seen, name, mode = site.activations, "site_unknown_sizes", "graph_unknown_sizes"
    if seen.live is None or seen.extremes is None or seen.extremes.ndim < 3:
        return None
    x = cast(seen.extremes, seen.extremes.dtype.name)
    live = seen.live
    channels = (
        1 if site.configuration is not None and site.configuration.data_format == "channels_first" else x.ndim - 1
    )
    shape = [size if axis == channels else None for axis, size in enumerate(x.shape)]
    try:
        expected = site.run(x)
    except Exception as error:  # the layer's own code
        return site.result(name, Outcome.CRASHED, "eager", reason=told(error))
    try:
        spec = tf.TensorSpec(shape, x.dtype)
        function = tf.function(lambda tensor: live(tensor), autograph=False).get_concrete_function(spec)
        observed = site.run(x, function)
    except Exception as error:  # the layer's own code, or Keras's, says no
        return site.result(name, Outcome.SKIPPED, mode, reason=f"the layer refuses open sizes: {told(error)}")
    try:
        demand_same(observed, expected, seen.compute_dtype if seen.compute_dtype in _FLOATS else "float32", "")
    except Violation as violation:
        where = f"{violation}: " if str(violation).startswith("at") else ""
        return site.failed(name, where + violation.observed, violation.expected, x, mode)
    return site.result(name, Outcome.PASSED, mode)


_FLOATS = ("float16", "bfloat16", "float32", "float64")


def _expression(x: Array) -> str:
    values = as_float64(x)
    if values.size and (values == values.flat[0]).all():
        return f"np.full({x.shape}, {float(values.flat[0])!r}, {x.dtype.name!r})"
    if values.size <= 512:
        return f"np.array({values.tolist()!r}, {x.dtype.name!r})"
    return f"np.load('input.npy')  # the recorded input, {shown(x, 0)[:60]}"
