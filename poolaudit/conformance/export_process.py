"""Runs a model in every way it can be shipped and writes what each gave; a process of its own, or called."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from poolaudit.conformance.tflite_run import run_tflite
from poolaudit.errors import is_out_of_space
from poolaudit.subject.activations import told

if TYPE_CHECKING:
    from poolaudit.subject.models import LoadedModel

NO_SPACE = 28
"""Exit status of the process where there is no room for its files."""
INPUTS = "inputs.npy"
RUNNING = "running"
"""Name of the file that holds what is being tried, so that a death can be told."""


def run_modes(loaded: LoadedModel, folder: Path, modes: Sequence[str]) -> None:
    """For every mode writes `MODE.npy` with the outputs, or `MODE.txt` with why there are none."""
    x = np.load(folder / INPUTS, allow_pickle=False)
    for mode in modes:
        (folder / RUNNING).write_text(mode, encoding="utf-8")
        try:
            outputs = _MODES[mode](loaded, x, folder)
            if isinstance(outputs, dict):
                outputs = next(iter(outputs.values()))
            if isinstance(outputs, list | tuple):
                outputs = outputs[0]
            np.save(folder / f"{mode}.npy", np.asarray(outputs).astype(np.float64))
        except Exception as error:  # the model's own code, or a compiler that says no
            text = told(error).replace(str(folder), "")
            (folder / f"{mode}.txt").write_text(text, encoding="utf-8")


def _eager(loaded: LoadedModel, x: Any, folder: Path) -> Any:
    import tensorflow as tf

    return loaded.call(tf.constant(x))


def _graph(loaded: LoadedModel, x: Any, folder: Path) -> Any:
    import tensorflow as tf

    batch = loaded.input_shape[0] if loaded.input_shape else None
    signature = [tf.TensorSpec((batch, *x.shape[1:]), x.dtype)]
    return tf.function(loaded.call, input_signature=signature, autograph=False)(x)


def _xla(loaded: LoadedModel, x: Any, folder: Path) -> Any:
    import tensorflow as tf

    return tf.function(loaded.call, jit_compile=True, autograph=False)(tf.constant(x))


def _saved_model(loaded: LoadedModel, x: Any, folder: Path) -> Any:
    import tensorflow as tf

    place = _exported(loaded, folder)
    restored = tf.saved_model.load(str(place))  # the function lives no longer than the object
    return restored.serve(tf.constant(x))


def _tflite(loaded: LoadedModel, x: Any, folder: Path) -> Any:
    import tensorflow as tf

    return run_tflite(tf.lite.TFLiteConverter.from_saved_model(str(_exported(loaded, folder))).convert(), x)


def _exported(loaded: LoadedModel, folder: Path) -> Path:
    place = folder / "exported"
    if not (place / "saved_model.pb").exists():
        loaded.keras_model.export(str(place), verbose=False)
    return place


_MODES: dict[str, Callable[[LoadedModel, Any, Path], Any]] = {
    "eager": _eager,
    "eager_again": _eager,
    "graph": _graph,
    "saved_model": _saved_model,
    "tflite": _tflite,
    "xla": _xla,
}


def main() -> None:
    """Loads the model that the line on standard input names, and tries the modes."""
    # Ctrl-C goes to the whole group: the parent ends this process, and a death by it is no finding about the model.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _serve(json.loads(sys.stdin.readline()))
    except OSError as error:
        os._exit(NO_SPACE if is_out_of_space(error) else 1)
    sys.stdout.flush()
    os._exit(0)  # what TensorFlow does on its way out is no finding about the model


def _serve(request: dict[str, Any]) -> None:
    folder = Path(request["folder"])
    (folder / RUNNING).write_text("load", encoding="utf-8")
    from poolaudit.subject.models import load_model

    try:
        loaded = load_model(request["source"], trust_model_code=request["trust_model_code"])
    except Exception as error:
        (folder / "load.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
    else:
        run_modes(loaded, folder, request["modes"])


if __name__ == "__main__":
    main()
