"""The pooling operations of `tf.nn` as subjects: callables built like a layer, without a layer around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class NnOperation:
    """One `tf.nn` pooling call with its settings bound.

    Args:
        name: Name in `tf.nn`.
        settings: Its keyword arguments except the input.
    """

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.name, self.settings = name, settings

    def __call__(self, inputs: Any) -> Any:
        import tensorflow as tf

        output = getattr(tf.nn, self.name)(inputs, **self.settings)
        return output[0] if self.name == "max_pool_with_argmax" else output

    def code(self) -> str:
        """The call as an expression."""
        settings = ", ".join(f"{key}={value!r}" for key, value in self.settings.items())
        first = "[0]" if self.name == "max_pool_with_argmax" else ""
        return f"lambda x: tf.nn.{self.name}(x, {settings}){first}"


def _bound(name: str) -> Callable[..., NnOperation]:
    def factory(pool_size: Any = 2, strides: Any = None, padding: Any = "valid") -> NnOperation:
        settings = {"ksize": pool_size, "strides": pool_size if strides is None else strides}
        spelt = padding.upper() if isinstance(padding, str) else [(0, 0), *padding, (0, 0)]
        return NnOperation(name, settings | {"padding": spelt})

    return factory


def _bound_pool(pooling_type: str) -> Callable[..., NnOperation]:
    def factory(
        pool_size: Any = 2, strides: Any = None, padding: Any = "valid", dilation_rate: Any = None
    ) -> NnOperation:
        settings = {
            "window_shape": pool_size,
            "pooling_type": pooling_type,
            "strides": pool_size if strides is None else strides,
            "padding": padding.upper() if isinstance(padding, str) else padding,
        }
        return NnOperation("pool", settings | ({} if dilation_rate is None else {"dilations": dilation_rate}))

    return factory


max_pool_1d, max_pool_2d, max_pool_3d = _bound("max_pool1d"), _bound("max_pool2d"), _bound("max_pool3d")
avg_pool_1d, avg_pool_2d, avg_pool_3d = _bound("avg_pool1d"), _bound("avg_pool2d"), _bound("avg_pool3d")
max_pool, avg_pool = _bound("max_pool"), _bound("avg_pool")
max_pool_with_argmax = _bound("max_pool_with_argmax")
dilated_max_pool, dilated_avg_pool = _bound_pool("MAX"), _bound_pool("AVG")
