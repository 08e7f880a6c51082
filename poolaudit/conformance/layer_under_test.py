"""A layer, built for one case and run in one mode; keeps a record from which a script is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance.case import Case
from poolaudit.conformance.loading import LoadedSubject
from poolaudit.conformance.violations import NotApplicable, Refused, Violation


@dataclass(slots=True)
class Step:
    """One thing done with a layer: `operation` is "value", "gradient", "second" or "code"."""

    operation: str
    layer: int
    arrays: tuple[NDArray[Any], ...] = ()
    code: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Record:
    """What an example did, in order; `weights` are those of the first layer that had any."""

    built: list[tuple[LoadedSubject, PoolConfiguration, str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    weights: list[NDArray[Any]] = field(default_factory=list)


class LayerUnderTest:
    """The layer of one example.

    Args:
        subject: What builds it.
        case: The example.
        mode: One of `poolaudit.conformance.property.MODES`.
        configuration: Settings other than the case's.
        record: Shared by the layers of one example.
        flawed: Whether a refusal is what the property wants; then exceptions pass through as `Refused`.
    """

    def __init__(
        self,
        subject: LoadedSubject,
        case: Case,
        mode: str = "eager",
        configuration: PoolConfiguration | None = None,
        record: Record | None = None,
        dtype: str | None = None,
    ) -> None:
        self.subject, self.case, self.mode = subject, case, mode
        self.configuration = configuration or case.configuration
        self.dtype = dtype or case.dtype
        self.record = record or Record()
        self.number = len(self.record.built)
        self.record.built.append((subject, self.configuration, self.dtype))
        self._instance: Any = None
        self._compared = False
        self._compiled: dict[str, Any] = {}

    @property
    def instance(self) -> Any:
        """The layer itself, built on first use. Raises Refused where its constructor says no."""
        if self._instance is None:
            self._instance = self.guarded("construction", lambda: self.subject.build(self.configuration, self.dtype))
        return self._instance

    @property
    def traits(self) -> frozenset[str]:
        """What holds for the layer under these settings."""
        return self.configuration.traits

    def another(self, configuration: PoolConfiguration | None = None, mode: str | None = None) -> LayerUnderTest:
        """The same kind of layer with other settings, or in another mode; it has the example's first weights."""
        other = LayerUnderTest(
            self.subject, self.case, mode or self.mode, configuration or self.configuration, self.record, self.dtype
        )
        other._compared = True
        return other

    def in_mode(self, mode: str) -> LayerUnderTest:
        """This very instance (same weights) run in another mode."""
        other = LayerUnderTest(self.subject, self.case, mode, self.configuration, self.record, self.dtype)
        other._instance, other.number = self.instance, self.number
        self.record.built.pop()
        return other

    def with_instance(self, instance: Any) -> LayerUnderTest:
        """The same settings around another object, for example a copy made from the configuration."""
        other = self.another()
        other._instance = instance
        return other

    def value(self, x: NDArray[Any], **options: Any) -> NDArray[Any]:
        """The output as an array. Raises Refused where the layer raises."""
        self.record.steps.append(Step("value", self.number, (x,), options=options))
        self._take_weights(x)
        instance = self.instance
        if self.mode == "eager":
            output = self._array(self.guarded("call", lambda: instance(_tensor(x), **options)))
        else:
            output = self._array(self._traced("call", "value", lambda tensor: instance(tensor, **options), (x,)))
        self._keep_weights()
        return output

    def gradient(self, x: NDArray[Any], upstream: NDArray[Any]) -> NDArray[Any]:
        """J^T g. Raises Violation where there is no gradient at all."""
        self.record.steps.append(Step("gradient", self.number, (x, upstream)))
        self._take_weights(x)
        import tensorflow as tf

        instance = self.instance

        def backward(tensor: Any, incoming: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(tensor)
                output = instance(tensor)
            found = tape.gradient(output, tensor, output_gradients=incoming)
            return None if found is None else tf.convert_to_tensor(found)

        if self.mode == "eager":
            found = self.guarded("gradient", lambda: backward(_tensor(x), _tensor(upstream)))
        else:
            found = self._traced("gradient", "gradient", backward, (x, upstream))
        if found is None:
            raise Violation("None", "a tensor", "there is no gradient with respect to the input")
        return np.asarray(found)

    def second_gradient(self, x: NDArray[Any], upstream: NDArray[Any], direction: NDArray[Any]) -> NDArray[Any] | None:
        """Gradient of <J^T g, direction> with respect to g; None where the framework gives none."""
        self.record.steps.append(Step("second", self.number, (x, upstream, direction)))
        import tensorflow as tf

        instance = self.instance

        def twice() -> Any:
            tensor, incoming = _tensor(x), _tensor(upstream)
            with tf.GradientTape() as outer:
                outer.watch(incoming)
                with tf.GradientTape() as inner:
                    inner.watch(tensor)
                    output = instance(tensor)
                first = inner.gradient(output, tensor, output_gradients=incoming)
                scalar = tf.reduce_sum(tf.convert_to_tensor(first) * _tensor(direction))
            return outer.gradient(scalar, incoming)

        found = self.guarded("second gradient", twice)
        return None if found is None else np.asarray(found)

    def ran(self, code: str) -> None:
        """Notes a line of the script that is neither a call nor a gradient; `layer` is the layer."""
        self.record.steps.append(Step("code", self.number, code=code))

    def guarded(self, stage: str, action: Any) -> Any:
        """Runs an action; what it raises becomes Refused."""
        try:
            return action()
        except (Violation, Refused, NotApplicable):
            raise
        except Exception as error:
            raise Refused(stage, error, is_deliberate(error)) from error

    def _take_weights(self, x: NDArray[Any]) -> None:
        """Weights of random start must not set two layers apart that are compared."""
        if not self._compared or not self.record.weights:
            return
        self._compared = False
        instance = self.instance
        if not instance.built:
            self.guarded("build", lambda: instance.build(x.shape))
        if [w.shape for w in instance.get_weights()] != [w.shape for w in self.record.weights]:
            raise NotApplicable
        instance.set_weights(self.record.weights)

    def _keep_weights(self) -> None:
        if not self.record.weights and getattr(self.instance, "weights", None):
            self.record.weights = list(self.instance.get_weights())

    def _traced(self, stage: str, what: str, function: Any, arrays: tuple[NDArray[Any], ...]) -> Any:
        run = self._function(what, function, arrays)
        tensors = [_tensor(array) for array in arrays]
        try:
            return self.guarded(stage, lambda: run(*tensors))
        except Refused as refused:
            if self.mode != "graph_unknown_sizes" or refused.deliberate or not self._needs_sizes(function, arrays):
                raise
            # It stumbles over unknown sizes, but not over an unknown batch: a limit, however it is told.
            raise Refused(stage, refused.error, True) from refused

    def _needs_sizes(self, function: Any, arrays: tuple[NDArray[Any], ...]) -> bool:
        """Whether it runs where nothing but the batch is unknown."""
        import tensorflow as tf

        signature = [tf.TensorSpec((None, *array.shape[1:]), tf.as_dtype(array.dtype)) for array in arrays]
        try:
            tf.function(function, input_signature=signature)(*map(_tensor, arrays))
        except Exception:  # whatever it raises, the first exception is the one that is reported
            return False
        return True

    def _function(self, what: str, function: Any, arrays: tuple[NDArray[Any], ...]) -> Any:
        import tensorflow as tf

        if what in self._compiled and self.mode == "graph_unknown_sizes":
            return self._compiled[what]
        signature = None
        if self.mode == "graph_unknown_sizes":
            signature = [tf.TensorSpec(self.unknown_shape(array.shape), tf.as_dtype(array.dtype)) for array in arrays]
        made = tf.function(function, input_signature=signature, jit_compile=True if self.mode == "xla" else None)
        self._compiled[what] = made
        return made

    def unknown_shape(self, shape: tuple[int, ...]) -> tuple[int | None, ...]:
        """The shape with batch and spatial sizes unknown, channels known."""
        channel_axis = 1 if self.configuration.data_format == "channels_first" else len(shape) - 1
        return tuple(size if axis == channel_axis and len(shape) > 1 else None for axis, size in enumerate(shape))

    def _array(self, output: Any) -> NDArray[Any]:
        if isinstance(output, tuple | list | dict):
            raise Violation(f"a {type(output).__name__}", "one tensor", "the layer returns more than one tensor")
        return np.asarray(output)


_ACCIDENTS = (
    # A constant of one dtype meets a policy of another.
    "that does not match type",
    "tensor but is a ",
    "have the same dtype",
    "does not match the dtype",
    # Sizes that were computed for other inputs.
    "Input to reshape is a tensor",
    "annot reshape a",
    "Incompatible shapes",
    "required broadcastable shapes",
    "Dimensions must be equal",
    "ConcatOp : Dimension",
)
"""What TensorFlow says of arithmetic gone wrong, and never of a limit that a layer has."""


def is_deliberate(error: BaseException) -> bool:
    """Whether an exception is one with which a layer or an operation says no."""
    import tensorflow as tf

    if isinstance(error, TypeError) and any(word in str(error) for word in ("NoneType", "SymbolicTensor")):
        return False  # arithmetic with a size that is not known: an accident
    if any(words in str(error) for words in _ACCIDENTS):
        return False
    if type(error).__name__ == "ConverterError":
        return True  # TFLite's way to say that it cannot
    return isinstance(error, ValueError | TypeError | NotImplementedError | tf.errors.OpError)


def _tensor(array: NDArray[Any]) -> Any:
    import tensorflow as tf

    return tf.constant(array)
