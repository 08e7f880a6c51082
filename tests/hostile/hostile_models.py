"""Model files that try to run code, to reach other files or to fill memory, and files that are damaged."""

from __future__ import annotations

import base64
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hostile_documents import Maker, endless, pipe

Change = Callable[[dict[str, Any]], object]


def members_of(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def archive_of(path: Path, members: dict[Any, bytes], compression: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path.name


def configured(change: Change) -> Maker:
    """The sound model with its configuration changed."""

    def make(folder: Path, sound: Path) -> str:
        members = members_of(sound / "model.keras")
        config = json.loads(members["config.json"])
        change(config)
        return archive_of(folder / "m.keras", {**members, "config.json": json.dumps(config).encode()})

    return make


def added(name: Any, content: bytes = b"x") -> Maker:
    return lambda folder, sound: archive_of(folder / "m.keras", {**members_of(sound / "model.keras"), name: content})


def replaced(**contents: bytes) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        names = {"config": "config.json", "weights": "model.weights.h5", "metadata": "metadata.json"}
        members = members_of(sound / "model.keras") | {names[key]: value for key, value in contents.items()}
        return archive_of(folder / "m.keras", members)

    return make


def layers(config: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = config["config"]["layers"]
    return found


def second_layer(**entry: Any) -> Change:
    """Puts the entry in the place of the second layer."""
    return lambda config: layers(config).__setitem__(
        1,
        {"module": "keras.layers", "registered_name": None, "build_config": {"input_shape": [None, 8, 8, 1]}, **entry},
    )


def lambda_of(function: Any, **more: Any) -> Change:
    return second_layer(
        class_name="Lambda",
        config={"name": "hidden", "trainable": True, "dtype": "float32", "function": function, **more},
    )


def byte_code(folder: Path, sound: Path) -> str:
    """A Lambda of Keras's own making, whose byte code writes a file where it is called."""
    import marshal

    target = str(folder / "was_run")
    code = compile(f"lambda x: (open({target!r}, 'w').close(), x)[1]", "<hostile>", "eval").co_consts[0]
    text = base64.b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": text, "defaults": None, "closure": None}}
    return configured(lambda_of(function))(folder, sound)


def weights(change: Callable[[h5py.File], object]) -> Maker:
    """The sound archive with its HDF5 of weights changed."""

    def make(folder: Path, sound: Path) -> str:
        members = members_of(sound / "model.keras")
        stream = io.BytesIO(members["model.weights.h5"])
        with h5py.File(stream, "r+") as file:
            change(file)
        return archive_of(folder / "m.keras", {**members, "model.weights.h5": stream.getvalue()})

    return make


def legacy(change: Callable[[h5py.File], object]) -> Maker:
    """The sound model as one HDF5 file, changed."""

    def make(folder: Path, sound: Path) -> str:
        shutil.copy(sound / "model.h5", folder / "m.h5")
        with h5py.File(folder / "m.h5", "r+") as file:
            change(file)
        return "m.h5"

    return make


def legacy_config(change: Change) -> Maker:
    def edit(file: h5py.File) -> None:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)

    return legacy(edit)


def first_dataset(file: h5py.File) -> str:
    """Path of the first data set with at least one axis."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) and item.ndim else None)
    return found[0]


def inflated(file: h5py.File) -> None:
    """A kernel of 40 GB that lies in the file as nothing."""
    name = first_dataset(file)
    del file[name]
    file.create_dataset(name, (100_000, 100_000), np.float32, chunks=(1000, 1000), compression="gzip")


def elsewhere(file: h5py.File) -> None:
    name = first_dataset(file)
    del file[name]
    file[name] = h5py.ExternalLink("/etc/hostname", "/x")


def stored_elsewhere(file: h5py.File) -> None:
    name = first_dataset(file)
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    file.create_dataset(name, shape, dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File) -> None:
    name = first_dataset(file)
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource("other.h5", "x", shape)
    file.create_virtual_dataset(name, layout)


def mounted(file: h5py.File) -> None:
    """A group that a soft link leads to and that holds an external link."""
    file["soft"] = h5py.SoftLink("/hard")
    file.create_group("hard")["out"] = h5py.ExternalLink("../secret.h5", "/x")


def ring(file: h5py.File) -> None:
    """A group that holds itself: walking it never ends."""
    group = file.create_group("ring")
    group["again"] = group
    name = first_dataset(file)
    del file[name]
    file[name] = h5py.ExternalLink("/etc/hostname", "/x")


def wrong_shape(file: h5py.File) -> None:
    name = first_dataset(file)
    del file[name]
    file[name] = np.zeros((2, 2), np.float32)


def text_weights(file: h5py.File) -> None:
    name = first_dataset(file)
    del file[name]
    file[name] = np.array([b"not", b"numbers"])


def saved_model(change: Callable[[Path], object]) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        shutil.copytree(sound / "exported", folder / "m")
        change(folder / "m")
        return "m"

    return make


def operation(name: str) -> Callable[[Path], None]:
    """Adds a function that the graph never calls by itself, holding one operation."""

    def change(folder: Path) -> None:
        from tensorflow.core.protobuf import saved_model_pb2

        stored = saved_model_pb2.SavedModel()
        stored.ParseFromString((folder / "saved_model.pb").read_bytes())
        function = stored.meta_graphs[0].graph_def.library.function.add()
        function.signature.name = "__inference_initializer_666"
        node = function.node_def.add()
        node.name, node.op = "payload", name
        (folder / "saved_model.pb").write_bytes(stored.SerializeToString())

    return change


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def truncated(source: str, name: str, share: float) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        whole = (sound / source).read_bytes()
        (folder / name).write_bytes(whole[: int(share * len(whole))])
        return name

    return make


def written(name: str, content: bytes) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        (folder / name).write_bytes(content)
        return name

    return make


def npz_weights(folder: Path, sound: Path) -> str:
    """Weights as a NumPy archive of pickled objects, which Keras reads where there is no HDF5."""
    stream = io.BytesIO()
    np.savez(stream, root=np.array([{"a": 1}], dtype=object))
    members = members_of(sound / "model.keras")
    del members["model.weights.h5"]
    return archive_of(folder / "m.keras", {**members, "model.weights.npz": stream.getvalue()})


def twice(folder: Path, sound: Path) -> str:
    import warnings

    path = Path(shutil.copy(sound / "model.keras", folder / "m.keras"))
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("config.json", b"{}")
    return path.name


def encrypted(folder: Path, sound: Path) -> str:
    content = bytearray((sound / "model.keras").read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 8] |= 1
        at = content.find(b"PK\x01\x02", at + 4)
    (folder / "m.keras").write_bytes(content)
    return "m.keras"


def link(target: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("assets/link")
    entry.external_attr = 0o120777 << 16
    entry.comment = target.encode()
    return entry


def bomb(folder: Path, sound: Path) -> str:
    members = {**members_of(sound / "model.keras"), "config.json": b" " * (65 << 20)}
    return archive_of(folder / "m.keras", members, zipfile.ZIP_DEFLATED)


def huge_number(folder: Path, sound: Path) -> str:
    config = members_of(sound / "model.keras")["config.json"].replace(b'"filters": 24', b'"filters": ' + b"9" * 5000)
    return replaced(config=config)(folder, sound)


def function_of_keras(name: str, module: str = "keras.utils") -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


MODELS: dict[str, Maker] = {
    "lambda with byte code": byte_code,
    "lambda of a builtin": configured(lambda_of(function_of_keras("eval", "builtins"))),
    "lambda of os.system": configured(
        lambda_of(function_of_keras("system", "os"), arguments={"command": "touch was_run"})
    ),
    "lambda that downloads": configured(
        lambda_of(function_of_keras("get_file"), arguments={"origin": "file:///etc/passwd", "cache_dir": "."})
    ),
    "lambda by internal name": configured(
        lambda_of(
            function_of_keras("get_file", "keras.src.utils.file_utils"), arguments={"origin": "http://127.0.0.1/x"}
        )
    ),
    "activation of subprocess": configured(
        lambda c: layers(c)[1]["config"].update(activation=function_of_keras("run", "subprocess"))
    ),
    "activation that reads files": configured(
        lambda c: layers(c)[1]["config"].update(activation=function_of_keras("load_model", "keras.saving"))
    ),
    "layer of another module": configured(second_layer(class_name="Payload", module="payload", config={"name": "p"})),
    "layer without a home": configured(
        second_layer(class_name="Payload", module=None, registered_name="x>Payload", config={})
    ),
    "TFSMLayer": configured(second_layer(class_name="TFSMLayer", config={"name": "t", "filepath": "/etc"})),
    "TorchModuleWrapper": configured(
        second_layer(class_name="TorchModuleWrapper", config={"name": "t", "module": "gASVAA=="})
    ),
    "vocabulary in a file": configured(
        second_layer(class_name="StringLookup", config={"name": "s", "vocabulary": "/etc/passwd", "dtype": "string"})
    ),
    "class that is a function": configured(
        second_layer(class_name="get_file", module="keras.utils", config={"fname": "x", "origin": "file:///etc/passwd"})
    ),
    "class that is code": configured(second_layer(class_name="exec", module="builtins", config={"source": "1/0"})),
    "initializer of os": configured(
        lambda c: layers(c)[1]["config"].update(
            kernel_initializer={
                "module": "os",
                "class_name": "system",
                "config": {"command": "touch was_run"},
                "registered_name": None,
            }
        )
    ),
    "configuration that is a list": replaced(config=b"[]"),
    "configuration that is a number": replaced(config=b"7"),
    "configuration that is no text": replaced(config=bytes(range(256))),
    "configuration nested deeply": replaced(config=nested(200_000)),
    "configuration nested": replaced(config=nested(400)),
    "configuration without layers": configured(lambda c: c.update(config={})),
    "configuration of no class": configured(lambda c: c.update(class_name=None)),
    "layers that are text": configured(lambda c: c["config"].update(layers="abc")),
    "a layer that is null": configured(lambda c: layers(c).__setitem__(1, None)),
    "a cell size of minus one": configured(lambda c: layers(c)[2]["config"].update(pool_size=[-1, 2])),
    "a window of nothing": configured(lambda c: layers(c)[2]["config"].update(pool_size=[0, 0])),
    "a size of 5,000 digits": huge_number,
    "a width that fits nowhere": configured(lambda c: layers(c)[1]["config"].update(filters=10**15)),
    "a width that fills memory": configured(lambda c: layers(c)[-1]["config"].update(units=10**9)),
    "an input without axes": configured(lambda c: layers(c)[0]["config"].update(batch_shape=[])),
    "an input of text": configured(lambda c: layers(c)[0]["config"].update(dtype="string")),
    "an input of nonsense": configured(lambda c: layers(c)[0]["config"].update(dtype={"a": "b"})),
    "path traversal": added("../../was_run"),
    "path traversal of Windows": added("..\\was_run"),
    "absolute path": added("/tmp/was_run"),
    "drive letter": added("C:/was_run"),
    "symbolic link": added(link("/etc/passwd")),
    "a member twice": twice,
    "zip bomb": bomb,
    "encrypted members": encrypted,
    "no weights": lambda f, s: archive_of(f / "m.keras", {"config.json": members_of(s / "model.keras")["config.json"]}),
    "pickled weights": npz_weights,
    "weights that are no HDF5": replaced(weights=b"\x89HDF\r\n\x1a\n" + bytes(300)),
    "empty weights": replaced(weights=b""),
    "weights with an external link": weights(elsewhere),
    "weights stored elsewhere": weights(stored_elsewhere),
    "weights that are virtual": weights(virtual),
    "weights behind a soft link": weights(mounted),
    "weights in a ring": weights(ring),
    "weights of 40 GB": weights(inflated),
    "weights of another shape": weights(wrong_shape),
    "weights that are text": weights(text_weights),
    "legacy external link": legacy(elsewhere),
    "legacy stored elsewhere": legacy(stored_elsewhere),
    "legacy virtual": legacy(virtual),
    "legacy ring": legacy(ring),
    "legacy of 40 GB": legacy(inflated),
    "legacy lambda": legacy_config(lambda_of(["4wEAAAA=", None, None])),
    "legacy named function": legacy_config(lambda_of("system")),
    "legacy configuration that is no JSON": legacy(lambda f: f.attrs.__setitem__("model_config", "{")),
    "legacy configuration that is a number": legacy(lambda f: f.attrs.__setitem__("model_config", 7)),
    "legacy configuration that is a list": legacy(lambda f: f.attrs.__setitem__("model_config", "[1]")),
    "legacy without a configuration": legacy(lambda f: f.attrs.__delitem__("model_config")),
    "legacy layers of text": legacy_config(lambda c: c["config"].update(layers={"a": "b"})),
    "SavedModel that writes": saved_model(operation("WriteFile")),
    "SavedModel that reads": saved_model(operation("ReadFile")),
    "SavedModel that runs Python": saved_model(operation("PyFunc")),
    "SavedModel that lists files": saved_model(operation("MatchingFiles")),
    "SavedModel that prints": saved_model(operation("PrintV2")),
    "SavedModel that deletes": saved_model(operation("DeleteFile")),
    "SavedModel that unpacks a data set": saved_model(operation("TFRecordDatasetV2")),
    "SavedModel without variables": saved_model(lambda m: shutil.rmtree(m / "variables")),
    "SavedModel of garbage": saved_model(lambda m: (m / "saved_model.pb").write_bytes(b"\xff" * 50)),
    "SavedModel of nothing": saved_model(lambda m: (m / "saved_model.pb").write_bytes(b"")),
    "SavedModel of cut variables": saved_model(lambda m: next(m.glob("variables/*.data*")).write_bytes(b"cut")),
    "cut archive": truncated("model.keras", "m.keras", 0.6),
    "archive of one byte": written("m.keras", b"P"),
    "cut HDF5": truncated("model.h5", "m.h5", 0.4),
    "HDF5 of a signature": written("m.h5", b"\x89HDF\r\n\x1a\n"),
    "pickle named h5": written("m.h5", b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}."),
    "text named keras": written("m.keras", b"import os\n"),
    "archive that is a pipe": pipe("m.keras"),
    "archive without end": endless("m.h5"),
}
