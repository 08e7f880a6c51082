"""Finds the last activation of a model, from its layers or from its traced graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from poolaudit.subject._loaded import LoadedModel
from poolaudit.subject._trace import called_graphs, trace
from poolaudit.subject.compiled_loss import loss_of

# Layers that leave class scores as they are at inference.
PASSING_LAYERS = frozenset(
    {
        "Reshape",
        "Flatten",
        "Dropout",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "AlphaDropout",
        "GaussianNoise",
        "GaussianDropout",
        "ActivityRegularization",
        "Identity",
        "Squeeze",
        "Cast",
    }
)
ACTIVATION_LAYERS = {
    "Softmax": "softmax",
    "Sigmoid": "sigmoid",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "ELU": "elu",
    "LogSoftmax": "log_softmax",
    "Relu": "relu",
    "Tanh": "tanh",
    "HardSigmoid": "hard_sigmoid",
}
# Layers whose outputs are sums of both signs when they carry no activation.
SCORING_LAYERS = frozenset(
    {
        "Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "SeparableConv1D", "SeparableConv2D",
        "DepthwiseConv1D", "DepthwiseConv2D", "BatchNormalization",
    }
)  # fmt: skip
GRAPH_ACTIVATIONS = {
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "Relu": "relu",
    "Relu6": "relu6",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "BiasAdd": "linear",
    "MatMul": "linear",
    "Conv2D": "linear",
}
_GRAPH_PASSING = frozenset({"Identity", "Reshape", "Squeeze", "Cast", "ExpandDims", "StopGradient", "Snapshot"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


@dataclass(frozen=True, slots=True)
class FinalActivation:
    """Name of the last activation ("linear" for none) and where it stands, in words."""

    name: str
    where: str


def final_activation(loaded: LoadedModel) -> FinalActivation | None:
    """The activation that makes the outputs; None where neither the layers nor the graph tell."""
    model = loaded.keras_model
    if model is not None and loaded.fixed_sizes:
        outputs = getattr(model, "outputs", None)
        if outputs and len(outputs) == 1:
            found = _of_tensor(outputs[0], model)
            if found is not None:
                return found
    try:
        traced = trace(loaded)
    except Exception:  # the model's own code; the output values have to tell
        return None
    return _of_graph_tensor(traced.outputs[0]) if len(traced.outputs) == 1 else None


def _of_tensor(tensor: Any, model: Any) -> FinalActivation | None:
    import keras

    for _ in range(100):
        history = getattr(tensor, "_keras_history", None)
        if history is None:
            return None
        layer = history.operation
        kind = type(layer).__name__
        if isinstance(layer, keras.Model):
            inner = _outputs(layer)
            return _of_tensor(inner[history.tensor_index], layer) if inner else None
        if kind == "InputLayer":
            return None
        where = f"layer {layer.name!r}"
        activation = getattr(layer, "activation", None)
        name = getattr(activation, "__name__", type(activation).__name__) if activation is not None else None
        if kind in ACTIVATION_LAYERS:
            return FinalActivation(ACTIVATION_LAYERS[kind], where)
        if kind == "Activation" and name == "linear":
            name = None
        elif name is not None and kind in (*SCORING_LAYERS, "Activation"):
            return FinalActivation(_plain(name), where)
        elif kind in SCORING_LAYERS:
            return FinalActivation("linear", where)
        elif kind not in PASSING_LAYERS:
            return None
        parents = layer._inbound_nodes[history.node_index].input_tensors
        if len(parents) != 1:
            return None
        tensor = parents[0]
    return None


def _outputs(model: Any) -> list[Any]:
    try:
        return list(model.outputs or ())
    except AttributeError:
        return []


def _plain(name: str) -> str:
    snake = "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))
    return {"re_l_u": "relu", "soft_max": "softmax"}.get(snake, snake)


def _of_graph_tensor(tensor: Any) -> FinalActivation | None:
    for _ in range(200):
        operation = tensor.op
        if operation.type in GRAPH_ACTIVATIONS:
            return FinalActivation(GRAPH_ACTIVATIONS[operation.type], f"operation {operation.name!r}")
        if operation.type in ("AddV2", "Add"):
            parents = [source.op.type for source in operation.inputs]
            if "MatMul" in parents or "BatchMatMulV2" in parents:
                return FinalActivation("linear", f"operation {operation.name!r}")
            return None
        if operation.type in _CALLS:
            graphs = called_graphs(operation)
            if len(graphs) != 1:
                return None
            tensor = graphs[0].outputs[tensor.value_index]
        elif operation.type in _GRAPH_PASSING:
            tensor = operation.inputs[0]
        else:
            return None
    return None


def compiled_loss(loaded: LoadedModel) -> tuple[str | None, bool | None]:
    """Name of the compiled loss, and whether it takes logits; None for what is not known."""
    loss = loss_of(loaded.keras_model)
    if loss is None:
        return None, None
    if isinstance(loss, str):
        name = _plain(loss)
        return name, False if name.endswith("crossentropy") else None
    if callable(loss) and not hasattr(loss, "get_config"):
        return _plain(getattr(loss, "__name__", type(loss).__name__)), None
    if not hasattr(loss, "get_config"):
        return None, None
    try:
        from_logits = loss.get_config().get("from_logits")
    except Exception:  # a user's loss may not be able to describe itself
        from_logits = None
    return _plain(type(loss).__name__), from_logits if isinstance(from_logits, bool) else None
