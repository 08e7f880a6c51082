"""Hypothesis strategies for pooling layers: biased configurations, inputs that hurt, masks. No framework needed.

Made to be used by any project's own tests:

>>> from hypothesis import given, strategies as st
>>> @given(pool_cases(kind="max", rank=2), st.data())
... def windows_give_one_cell_each(case, data):
...     x = data.draw(pool_inputs(case.input_shape, "float32")).array
...     assert my_max_pool(x, **case.configuration.arguments()).shape == case.output_shape
"""

from poolaudit.strategies.axes import CORNERS
from poolaudit.strategies.configurations import (
    CHANNELS,
    PoolCase,
    pool_cases,
    pool_configurations,
)
from poolaudit.strategies.inputs import (
    FINITE_INPUTS,
    INPUT_KINDS,
    PoolInput,
    pool_input,
    pool_inputs,
    special_elements,
    special_inputs,
    upstream_gradients,
)
from poolaudit.strategies.invalid import FLAWS, InvalidCase, invalid_configurations
from poolaudit.strategies.masks import masks
from poolaudit.strategies.networks import NetworkCase, build_network, networks

__all__ = [
    "CHANNELS",
    "CORNERS",
    "FINITE_INPUTS",
    "FLAWS",
    "INPUT_KINDS",
    "InvalidCase",
    "NetworkCase",
    "PoolCase",
    "PoolInput",
    "build_network",
    "invalid_configurations",
    "masks",
    "networks",
    "pool_cases",
    "pool_configurations",
    "pool_input",
    "pool_inputs",
    "special_elements",
    "special_inputs",
    "upstream_gradients",
]
