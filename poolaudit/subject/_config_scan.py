"""What code a stored model configuration would bring in, found by reading JSON alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from poolaudit.errors import InvalidInputError

# Layers of Keras itself whose configuration points at foreign code or at another model on disk.
FOREIGN_CODE_LAYERS = frozenset({"TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})
# Keras resolves names in these packages from what is installed; nothing in the file is executed.
KERAS_PACKAGES = frozenset({"keras", "keras_hub", "keras_cv", "keras_nlp", "tf_keras"})


@dataclass(frozen=True, slots=True)
class EmbeddedCode:
    """One place where a configuration holds code, or asks for code that Keras does not know.

    Attributes:
        layer: Name of the nearest enclosing layer, "the model" where there is none.
        kind: "lambda" (Python byte code in the file), "foreign" (a layer that runs other code) or "custom"
            (a class or function outside Keras).
        class_name: The class or function asked for.
        module: The module that defines it, where the file names one.
        registered_name: The key under which Keras looks it up, where the file names one.
    """

    layer: str
    kind: str
    class_name: str
    module: str | None = None
    registered_name: str | None = None

    def described(self) -> str:
        if self.kind == "lambda":
            return f"{self.layer!r} (Lambda: Python byte code)"
        if self.kind == "foreign":
            return f"{self.layer!r} ({self.class_name}: runs code outside Keras)"
        where = f" of module {self.module}" if self.module and self.module != "builtins" else ""
        return f"{self.layer!r} (custom {self.class_name}{where})"


def parse_config(text: str | bytes, where: str) -> dict[str, Any]:
    """The configuration as plain JSON.

    Raises:
        InvalidInputError: Where it is not a JSON object, or nested too deeply to be one.
    """
    try:
        config = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:  # TypeError: an HDF5 attribute that is no text
        raise InvalidInputError(
            f"{where} is not readable JSON ({type(error).__name__})",
            "a model file as Keras writes it",
            "Save the model again with model.save(...)",
        ) from error
    if not isinstance(config, dict):
        raise InvalidInputError(f"{where} holds a JSON {type(config).__name__}", "a JSON object that describes a model")
    return config


def embedded_code(config: Any, registered: frozenset[str]) -> tuple[EmbeddedCode, ...]:
    """Every lambda, foreign-code layer and unregistered custom object in a configuration, in file order.

    Args:
        config: Parsed JSON.
        registered: Keys of the custom objects that this process has registered with Keras.
    """
    return tuple(dict.fromkeys(_walk(config, "the model", registered)))


def _walk(node: Any, layer: str, registered: frozenset[str]) -> Iterator[EmbeddedCode]:
    pending: list[tuple[Any, str]] = [(node, layer)]
    while pending:
        node, layer = pending.pop()
        if isinstance(node, list):
            pending.extend((item, layer) for item in reversed(node))
        if not isinstance(node, dict):
            continue
        class_name = node.get("class_name")
        inner = node.get("config")
        if isinstance(class_name, str):
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                layer = inner["name"]
            found = _judge(node, class_name, inner, layer, registered)
            if found is not None:
                yield found
        pending.extend((value, layer) for value in reversed(list(node.values())))


def _judge(
    node: dict[str, Any], class_name: str, inner: Any, layer: str, registered: frozenset[str]
) -> EmbeddedCode | None:
    if class_name == "__lambda__":
        return EmbeddedCode(layer, "lambda", "Lambda")
    if class_name == "Lambda" and isinstance(inner, dict) and not isinstance(inner.get("function"), dict):
        # Keras 2 stores [byte code, defaults, closure], or the bare name of a function it cannot know.
        return EmbeddedCode(layer, "lambda", "Lambda")
    if class_name in FOREIGN_CODE_LAYERS:
        return EmbeddedCode(layer, "foreign", class_name)
    if class_name.startswith("__") or "config" not in node:
        return None
    module, key = node.get("module"), node.get("registered_name")
    shown = inner if class_name == "function" and isinstance(inner, str) else class_name
    # Keras files any function of the user's under "builtins"; only its name is stored.
    is_user_function = class_name == "function" and module == "builtins"
    is_keras = isinstance(module, str) and (module.split(".")[0] in KERAS_PACKAGES or module == "builtins")
    if is_keras and not is_user_function:
        return None
    if not isinstance(module, str) and not key:
        return None  # the legacy form names no module; Keras itself says when it does not know the class
    if {key, shown, f"Custom>{shown}"} & registered:
        return None
    return EmbeddedCode(
        layer,
        "custom",
        shown,
        module if isinstance(module, str) else None,
        key if isinstance(key, str) else None,
    )
