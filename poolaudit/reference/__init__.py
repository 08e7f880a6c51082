"""Pooling in NumPy float64, written from the definition: slow, plain, the oracle of the conformance suite.

>>> import numpy as np
>>> from poolaudit.configuration import PoolConfiguration
>>> pool(PoolConfiguration("max", rank=1, window=(2,)), np.array([[[1.0], [5.0], [2.0], [3.0]]])).ravel()
array([5., 3.])
"""

from poolaudit.reference.gradients import (
    Ties,
    gradient_bounds,
    gradient_support,
    is_convex_split,
    pool_gradient,
)
from poolaudit.reference.membership import window_membership
from poolaudit.reference.values import pool

__all__ = [
    "Ties",
    "gradient_bounds",
    "gradient_support",
    "is_convex_split",
    "pool",
    "pool_gradient",
    "window_membership",
]
