"""What can be told of a loaded layer by looking at it and by tracing it once."""

from __future__ import annotations

import inspect

from poolaudit.conformance.inference import _data, _plain
from poolaudit.conformance.loading import LoadedSubject

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
    """Whether the layer's graph holds one of TensorFlow's pooling operations."""
    if loaded.subject.builtin:
        return True
    import tensorflow as tf

    try:
        layer = loaded.build(_plain(loaded), "float32")
        x = tf.constant(_data((1, *(6,) * loaded.dims, 2)))
        graph = tf.function(lambda tensor: layer(tensor)).get_concrete_function(x).graph
    except Exception:  # what cannot be traced is not known to delegate
        return False
    operations = {operation.type for operation in graph.get_operations()}
    for function in graph.as_graph_def().library.function:
        operations |= {node.op for node in function.node_def}
    return bool(operations & _POOLING_OPERATIONS)
