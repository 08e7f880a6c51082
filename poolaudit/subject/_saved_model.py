"""Loads a SavedModel folder for inference through its serving signature, after reading its graph as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poolaudit.errors import InvalidInputError, listed
from poolaudit.subject._keras_load import without_paths

PYTHON_OPERATIONS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
# A function that initialises a resource runs while the folder is loaded, so these are refused wherever they stand.
FILE_OPERATIONS = frozenset(
    {
        "WriteFile",
        "ReadFile",
        "MatchingFiles",
        "PrintV2",
        "Save",
        "SaveSlices",
        "WriteAudioSummary",
        "WriteGraphSummary",
        "WriteRawProtoSummary",
        "WriteSummary",
        "CreateSummaryFileWriter",
        "WholeFileReader",
        "WholeFileReaderV2",
        "TextLineReader",
        "TextLineReaderV2",
        "TFRecordReader",
        "TFRecordReaderV2",
        "FixedLengthRecordReader",
        "FixedLengthRecordReaderV2",
        "TextLineDataset",
        "TFRecordDataset",
        "TFRecordDatasetV2",
        "FixedLengthRecordDataset",
        "FixedLengthRecordDatasetV2",
        "SaveDataset",
        "SaveDatasetV2",
        "LoadDataset",
        "SnapshotDataset",
        "SnapshotDatasetV2",
        "DebugIdentity",
        "DebugIdentityV2",
        "DebugIdentityV3",
    }
)
# The checkpoint functions every SavedModel carries; they are harmless unless something else calls them.
CHECKPOINT_OPERATIONS = frozenset(
    {"SaveV2", "RestoreV2", "Restore", "RestoreSlice", "MergeV2Checkpoints", "DeleteFile"}
)
SERVING = "serving_default"
LARGEST_GRAPH_BYTES = 2**31 - 1


@dataclass(frozen=True)
class ServingSignature:
    """A SavedModel's serving signature, ready to be called.

    Attributes:
        function: The concrete function; it takes its input by keyword.
        owner: The loaded object; it must stay alive as long as the function.
        inputs: Input name to shape (with batch) and NumPy dtype name.
        outputs: Output name to shape, in the signature's order.
        parameters: Number of values in all variables.
        notes: Sentences for the report.
    """

    function: Any
    owner: Any
    inputs: tuple[tuple[str, tuple[int | None, ...] | None, str], ...]
    outputs: tuple[tuple[str, tuple[int | None, ...] | None], ...]
    parameters: int
    notes: tuple[str, ...]


def load_saved_model(path: Path, *, trust_model_code: bool) -> ServingSignature:
    """The serving signature of a SavedModel folder.

    Raises:
        InvalidInputError: Where the folder is no SavedModel, is damaged, has no usable signature, or holds operations
            that touch files or run Python and `trust_model_code` is False.
    """
    name = path.name
    signature, notes = check_saved_model(path, trust_model_code=trust_model_code)
    import tensorflow as tf

    try:
        owner = tf.saved_model.load(str(path))
        function = owner.signatures[signature]
    except Exception as error:
        detail = without_paths(" ".join(str(error).split()), path)
        raise InvalidInputError(
            f"{name} cannot be loaded as a SavedModel ({type(error).__name__}: {detail[:200]})",
            "a whole SavedModel folder with its variables",
            "Export the model again with model.export(...)",
        ) from error
    _, specs = function.structured_input_signature
    inputs = tuple((key, _shape(spec.shape), spec.dtype.name) for key, spec in specs.items())
    outputs = tuple((key, _shape(spec.shape)) for key, spec in function.structured_outputs.items())
    variables = {id(variable): variable for variable in function.variables}
    parameters = sum(int(variable.shape.num_elements() or 0) for variable in variables.values())
    notes += (f"The model is a SavedModel; it is used through its signature {signature!r}, for inference only.",)
    return ServingSignature(function, owner, inputs, outputs, parameters, notes)


def check_saved_model(path: Path, *, trust_model_code: bool) -> tuple[str, tuple[str, ...]]:
    """The name of the signature to serve from, and notes; nothing of the model is run.

    Raises:
        InvalidInputError: As `load_saved_model`.
    """
    name = path.name
    graph = path / "saved_model.pb"
    if not graph.is_file():
        raise _no_saved_model(path)
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf import saved_model_pb2

    if graph.stat().st_size > LARGEST_GRAPH_BYTES:
        raise InvalidInputError(f"saved_model.pb of {name} is larger than a protocol buffer can be")
    stored = saved_model_pb2.SavedModel()
    try:
        stored.ParseFromString(graph.read_bytes())
    except DecodeError as error:
        raise InvalidInputError(
            f"saved_model.pb of {name} is damaged",
            "a whole SavedModel folder",
            "Copy or export the folder again",
        ) from error
    serving = [meta for meta in stored.meta_graphs if "serve" in meta.meta_info_def.tags]
    if not serving:
        raise InvalidInputError(
            f"{name} holds no graph for serving",
            "a SavedModel with the tag 'serve'",
            "Export the model with model.export(...)",
        )
    meta = serving[0]
    signature = _serving_signature(name, sorted(meta.signature_def))
    if not trust_model_code:
        _refuse_file_and_python_operations(name, meta, signature)
    other = [key for key in sorted(meta.signature_def) if key not in (signature, "__saved_model_init_op")]
    return signature, ((f"Further signatures were not audited: {listed(other)}.",) if other else ())


def _no_saved_model(path: Path) -> InvalidInputError:
    if (path / "config.json").is_file():
        return InvalidInputError(
            f"{path.name} is an unpacked .keras folder",
            "the .keras file itself, or a SavedModel folder",
            "Save the model with model.save('model.keras')",
        )
    return InvalidInputError(
        f"{path.resolve().name or path} is a folder without saved_model.pb",
        "a SavedModel folder, a .keras file, an .h5 or .hdf5 file, or package.module:function",
        "Give the folder that model.export(...) wrote",
    )


def _serving_signature(name: str, signatures: list[str]) -> str:
    usable = [key for key in signatures if key != "__saved_model_init_op"]
    if SERVING in usable:
        return SERVING
    if len(usable) == 1:
        return usable[0]
    raise InvalidInputError(
        f"{name} has no signature {SERVING!r}" + (f", only {listed(usable)}" if usable else ""),
        f"a SavedModel with the signature {SERVING!r}, or with one signature",
        "Export the model with model.export(...), or name a function that loads it (package.module:function)",
    )


def _refuse_file_and_python_operations(name: str, meta: Any, signature: str) -> None:
    functions = {function.signature.name: function for function in meta.graph_def.library.function}
    nodes = {node.name: node for node in meta.graph_def.node}
    anywhere = [node for function in functions.values() for node in function.node_def]
    anywhere.extend(nodes.values())
    refused = {node.op for node in anywhere if node.op in FILE_OPERATIONS | PYTHON_OPERATIONS}
    served = {node.op for node in _reachable(meta.signature_def[signature], nodes, functions)}
    refused |= served & CHECKPOINT_OPERATIONS
    checkpointing = _called_from(_saver_nodes(meta, nodes), functions)
    for key, function in functions.items():
        if key not in checkpointing and not _is_checkpoint_function(key):
            refused |= {node.op for node in function.node_def if node.op in CHECKPOINT_OPERATIONS}
    if refused:
        raise InvalidInputError(
            f"{name} holds operations that read or write files or run Python ({', '.join(sorted(refused))}); "
            "nothing of it was run",
            "a SavedModel that only computes",
            "If you trust the author of the model, load it with --trust-model-code (trust_model_code=True)",
        )


def _saver_nodes(meta: Any, nodes: dict[str, Any]) -> list[Any]:
    saver = meta.saver_def
    names = (saver.save_tensor_name, saver.restore_op_name)
    return [nodes[key.split(":")[0]] for key in names if key.split(":")[0] in nodes]


def _is_checkpoint_function(key: str) -> bool:
    # Saveable objects carry their own save and restore functions under these names; loading never runs them with a
    # path of the file's choice.
    return key.startswith(("__inference__traced_save", "__inference__traced_restore"))


def _reachable(signature: Any, nodes: dict[str, Any], functions: dict[str, Any]) -> Iterator[Any]:
    pending = [tensor.name.split(":")[0] for tensor in signature.outputs.values()]
    seen: set[str] = set()
    roots = []
    while pending:
        key = pending.pop()
        if key in seen or key not in nodes:
            continue
        seen.add(key)
        roots.append(nodes[key])
        pending.extend(edge.lstrip("^").split(":")[0] for edge in nodes[key].input)
    yield from roots
    for key in _called_from(roots, functions):
        yield from functions[key].node_def


def _called_from(roots: list[Any], functions: dict[str, Any]) -> set[str]:
    called: set[str] = set()
    pending = list(roots)
    while pending:
        node = pending.pop()
        for attribute in node.attr.values():
            names = [attribute.func.name] if attribute.HasField("func") else []
            names.extend(entry.name for entry in attribute.list.func)
            for key in names:
                if key in functions and key not in called:
                    called.add(key)
                    pending.extend(functions[key].node_def)
    return called


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape.rank is None else tuple(shape.as_list())
