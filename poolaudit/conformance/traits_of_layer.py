"""What can be told of a loaded layer by looking at it and by tracing it once."""

from __future__ import annotations

import inspect

from poolaudit.conformance.inference import _data, _plain
from poolaudit.conformance.loading import LoadedSubject
from poolaudit.conformance.subjects import keras_pooling_layers

_POOLING_OPERATIONS = frozenset(
    {"MaxPool", "MaxPoolV2", "MaxPool3D", "AvgPool", "AvgPool3D", "MaxPoolWithArgmax", "FractionalMaxPool"}
)


def is_keras_layer(loaded: LoadedSubject) -> bool:
    """Whether the factory makes Keras layers."""
    import keras

    if inspect.isclass(loaded.factory):
        return issubclass(loaded.factory, keras.layers.Layer)
    try:
        return isinstance(loaded.build(_plain(loaded), "float32"), keras.layers.Layer)
    except Exception:  # the user's constructor may raise anything
        return True


def takes_mask(loaded: LoadedSubject) -> bool:
    """Whether the layer's `call` has a `mask`, and it says that it supports one."""
    try:
        layer = loaded.build(_plain(loaded), "float32")
    except Exception:  # the user's constructor may raise anything
        return False
    call = getattr(layer, "call", None)
    return (
        bool(getattr(layer, "supports_masking", False))
        and call is not None
        and "mask" in inspect.signature(call).parameters
    )


def delegates_to_pooling(loaded: LoadedSubject) -> bool:
    """Whether the layer's graph holds one of TensorFlow's pooling operations, or it is or owns a pooling layer of
    Keras.
    """
    if loaded.subject.builtin or operations_of(loaded) & _POOLING_OPERATIONS:
        return True
    try:
        layer = loaded.build(_plain(loaded), "float32")
        inner = layer._flatten_layers()
    except Exception:  # the user's constructor may raise anything, and no layer has no parts
        return False
    names = {subject.name for subject in keras_pooling_layers()}
    bases = (base for part in inner for base in type(part).__mro__)
    return any(base.__module__.startswith("keras.") and base.__name__ in names for base in bases)


def sums_along_axes(loaded: LoadedSubject) -> bool:
    """Whether the layer's graph holds a running sum."""
    return "Cumsum" in operations_of(loaded)


def announces_dtype(loaded: LoadedSubject) -> bool:
    """Whether the layer announces its output's dtype itself; else Keras does, always the compute dtype."""
    import keras

    try:
        layer = loaded.build(_plain(loaded), "float32")
    except Exception:  # the user's constructor may raise anything
        return True
    announces = getattr(type(layer), "compute_output_spec", None)
    return announces is not None and announces is not keras.layers.Layer.compute_output_spec


def operations_of(loaded: LoadedSubject) -> frozenset[str]:
    """Types of the operations in the layer's graph; empty where it cannot be traced."""
    if loaded.operations is None:
        loaded.operations = _traced_operations(loaded)
    return loaded.operations


def _traced_operations(loaded: LoadedSubject) -> frozenset[str]:
    import tensorflow as tf

    try:
        layer = loaded.build(_plain(loaded), "float32")
        x = tf.constant(_data((1, *(6,) * loaded.dims, 2)))
        graph = tf.function(lambda tensor: layer(tensor)).get_concrete_function(x).graph
    except Exception:  # what cannot be traced is not known to delegate
        return frozenset()
    operations = {operation.type for operation in graph.get_operations()}
    for function in graph.as_graph_def().library.function:
        operations |= {node.op for node in function.node_def}
    return frozenset(operations)
