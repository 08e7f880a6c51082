"""One example: a configuration, an input from a kind and a seed. Plain data, so that it travels between processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolaudit.configuration import PoolConfiguration
from poolaudit.strategies import pool_input


@dataclass(frozen=True, slots=True)
class Case:
    """What a property is tried on.

    Attributes:
        configuration: The layer's settings.
        input_shape: Whole shape, batch and channels included.
        data: Key of `poolaudit.strategies.INPUT_KINDS`.
        seed: Of the input and of everything else that is random in the example.
        dtype: Dtype of the input and dtype policy of the layer.
        flaw: What is wrong with the configuration, for the property that demands a refusal.
        value_range: Lowest and highest value of uniformly drawn data; replaces `data` at a model's pooling site.
    """

    configuration: PoolConfiguration
    input_shape: tuple[int, ...]
    data: str = "ties"
    seed: int = 0
    dtype: str = "float32"
    flaw: str | None = None
    value_range: tuple[float, float] | None = None

    @property
    def input_dtype(self) -> str:
        """Dtype of the arrays; a mixed policy is fed its compute dtype."""
        return self.dtype.removeprefix("mixed_")

    def array(self) -> NDArray[Any]:
        """The input; positive where the kind's statements hold for positive inputs only."""
        if self.value_range is not None:
            low, high = self.value_range
            drawn = self.generator(0).uniform(low, high, self.input_shape)
            return cast(drawn, self.input_dtype)
        made = pool_input(self.input_shape, self.input_dtype, self.data, self.seed).array
        if "nonnegative_domain" in self.configuration.traits:
            return cast(np.abs(made.astype(np.float64)) + 0.5, self.input_dtype)
        return made

    def upstream(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """An upstream gradient of small integers, so that sums are exact."""
        return cast(self.generator(1).integers(-3, 4, shape), self.input_dtype)

    def generator(self, salt: int) -> np.random.Generator:
        """Randomness of the example; another `salt` gives another stream."""
        return np.random.default_rng([self.seed, salt])

    def describe(self) -> str:
        """The case in one line, ready to show."""
        what = f"values in {self.value_range}" if self.value_range else f"input {self.data!r}, seed {self.seed}"
        flaw = f", flaw {self.flaw!r}" if self.flaw else ""
        return f"{self.configuration!r} on shape {self.input_shape} {self.dtype}, {what}{flaw}"


def cast(values: Any, dtype: str) -> NDArray[Any]:
    """An array of one of the floating dtypes, bfloat16 included; overflow is silent, as in the layers."""
    array = np.asarray(values)
    with np.errstate(all="ignore"):
        if dtype == "bfloat16":
            import ml_dtypes

            return array.astype(ml_dtypes.bfloat16)
        return array.astype(dtype)
