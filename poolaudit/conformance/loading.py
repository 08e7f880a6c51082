"""A subject made ready inside a worker: its factory, what can be set, and what is fixed."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from poolaudit.configuration import KINDS, PoolConfiguration
from poolaudit.conformance.naming import told_by_size
from poolaudit.conformance.signature import default_of, own_names, parameter_names
from poolaudit.conformance.subjects import Subject


@dataclass(slots=True)
class LoadedSubject:
    """What builds the layer of an example.

    Attributes:
        like: Kind; settled.
        dims: Spatial axes; settled.
        taken: The field's argument to the factory's name for it.
        takes_dtype: Whether `dtype` can be given; else the global policy is set while it is built.
        fixed: Fields of the configuration that cannot be set, with the value the layer was found to have.
        scalar: Whether sizes must be given as one integer.
        strides_needed: Whether the default of the strides is a number, so that None need not be known.
        reversed_weight: Whether the `alpha` of a mixture is the weight of the average and not of the maximum.
        operations: Types of TensorFlow operations in its graph; None before they were asked for.
        notes: What was found out or assumed, in sentences.
    """

    subject: Subject
    factory: Callable[..., Any]
    like: str
    dims: int
    taken: dict[str, str]
    takes_dtype: bool
    fixed: dict[str, Any] = field(default_factory=dict)
    scalar: bool = False
    strides_needed: bool = False
    reversed_weight: bool = False
    operations: frozenset[str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.subject.name

    def takes(self, argument: str) -> bool:
        """Whether the factory can be given one of the field's arguments."""
        return argument in self.taken

    @property
    def layout(self) -> str:
        """How the windows lie; by the signature where the kind does not say."""
        layout = KINDS.get(self.like).layout
        if layout == "any" and (self.takes("pool_size") or "window" in self.fixed):
            return "windowed"
        if layout == "any" and self.takes("output_size"):
            return "adaptive"
        return layout

    def arguments(self, configuration: PoolConfiguration) -> dict[str, Any]:
        """Constructor arguments of a configuration, under the factory's own names."""
        given: dict[str, Any] = {}
        for argument, value in configuration.arguments().items():
            if argument in self.taken and not (argument == "dilation_rate" and value is None):
                if argument == "strides" and value is None and self.strides_needed:
                    value = configuration.effective_strides
                if argument == "alpha" and self.reversed_weight:
                    value = 1 - configuration.alpha
                given[self.taken[argument]] = self._scalar(value) if self.scalar else value
        if configuration.layout == "any" and "data_format" in self.taken:
            given[self.taken["data_format"]] = configuration.data_format
        return given

    def build(self, configuration: PoolConfiguration, dtype: str) -> Any:
        """The layer with these settings."""
        arguments = self.arguments(configuration)
        if self.takes_dtype:
            return self.factory(**arguments, dtype=dtype)
        import keras

        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(dtype)
        try:
            return self.factory(**arguments)
        finally:
            keras.config.set_dtype_policy(before)

    def code(self, configuration: PoolConfiguration, dtype: str) -> tuple[str, str]:
        """The import line and the expression that build the layer, for a script."""
        arguments = self.arguments(configuration)
        if self.subject.reference is not None and self.subject.reference.startswith("poolaudit.conformance.nn_"):
            return "", str(self.factory(**arguments).code())
        if self.takes_dtype:
            arguments["dtype"] = dtype
        shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        if self.subject.reference is None:
            return f"# {self.name} is defined where poolaudit was called: import it here", f"{self.name}({shown})"
        module, _, attribute = self.subject.reference.partition(":")
        if module == "keras.layers":
            return "", f"keras.layers.{attribute}({shown})"
        root = attribute.split(".")[0]
        return f"from {module} import {root}", f"{attribute}({shown})"

    def fits(self, configuration: PoolConfiguration) -> PoolConfiguration:
        """The configuration with what cannot be set replaced by what the layer has."""
        return replace(configuration, **self.fixed) if self.fixed else configuration

    def can_be(self, configuration: PoolConfiguration) -> bool:
        """Whether the layer can have these settings: what is fixed has its value, one integer serves all axes."""
        if self.fits(configuration) != configuration:
            return False
        sizes = (configuration.window, configuration.strides, configuration.output_size)
        return not self.scalar or all(not isinstance(size, tuple) or len(set(size)) == 1 for size in sizes)

    @staticmethod
    def _scalar(value: Any) -> Any:
        return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def load(subject: Subject, factory: Callable[..., Any]) -> LoadedSubject:
    """Settles kind, rank and defaults. Builds and runs the layer, so it belongs into a worker."""
    from poolaudit.conformance.inference import infer_dims, infer_kind, settle_defaults

    taken, takes_dtype, missing = parameter_names(factory)
    if not subject.builtin:
        found = told_by_size(factory, own_names(factory), taken, subject.dims)
        if subject.like == "subsample" and "pool_size" in found:  # it has no window; what sets its size is the stride
            found = {} if "strides" in taken else {"strides": found["pool_size"]}
        taken |= found
        missing = tuple(name for name in missing if name not in found.values())
    if missing:
        from poolaudit.errors import InvalidInputError

        raise InvalidInputError(
            f"{subject.name} needs the argument{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            "layers whose arguments bear Keras's names (pool_size, strides, output_size, ...) or have defaults",
            "Give a function that fills them in and takes the usual ones by keyword",
        )
    loaded = LoadedSubject(subject, factory, subject.like or "unknown", subject.dims or 2, taken, takes_dtype)
    loaded.strides_needed = "strides" in taken and default_of(factory, taken["strides"]) is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if subject.dims is None:
            loaded.dims = infer_dims(loaded, factory)
        if subject.like is None:
            infer_kind(loaded, factory)
        if not subject.builtin:
            settle_defaults(loaded)
    return loaded


def is_class(factory: Callable[..., Any]) -> bool:
    """Whether the factory is a layer class."""
    return inspect.isclass(factory)
