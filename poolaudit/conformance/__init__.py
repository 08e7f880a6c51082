"""Property-based conformance of pooling layers: what every right layer satisfies, attacked by Hypothesis.

>>> from poolaudit.conformance import check_layer
>>> result = check_layer("keras.layers.MaxPooling2D", profile="quick")  # doctest: +SKIP
>>> result.failures  # doctest: +SKIP
()
"""

from poolaudit.conformance.check import ConformanceResult, check_cases, check_layer, check_layers
from poolaudit.conformance.property import all_properties
from poolaudit.conformance.replaying import replay
from poolaudit.conformance.subjects import keras_pooling_layers, tensorflow_pooling_operations

__all__ = [
    "ConformanceResult",
    "all_properties",
    "check_cases",
    "check_layer",
    "check_layers",
    "keras_pooling_layers",
    "replay",
    "tensorflow_pooling_operations",
]
