"""Average pools that take in zeros which a layer before them put around the map."""

from __future__ import annotations

from typing import Any

from poolaudit.geometry.analysis import Analysis
from poolaudit.geometry.receptive_field import listed_calls

_PASSING = frozenset({"Identity", "ExpandDims", "Squeeze", "Transpose", "Relu", "Relu6", "Cast"})
_AVERAGES = frozenset({"AvgPool", "AvgPool3D"})


def averaged_padding(analysis: Analysis) -> tuple[str, ...]:
    """Names of the pooling layers concerned.

    TensorFlow's own SAME padding is left out of averages, so only a padding layer of its own is meant.
    """
    found = []
    for call, name in listed_calls(analysis):
        operations = call.graph.get_operations()[call.start : call.end]
        if any(operation.type in _AVERAGES and _reads_padding(operation) for operation in operations):
            found.append(name)
    return tuple(dict.fromkeys(found))


def _reads_padding(operation: Any) -> bool:
    if all(size == 1 for size in operation.get_attr("ksize")):
        return False
    source = operation.inputs[0].op
    while source.type in _PASSING and len(source.inputs) > 0:
        source = source.inputs[0].op
    return source.type in ("Pad", "PadV2")
