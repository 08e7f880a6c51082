"""Whether a model gives the same answers in every way it can be shipped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolaudit.conformance.export_process import INPUTS, NO_SPACE, RUNNING, run_modes
from poolaudit.conformance.profiles import profile_named
from poolaudit.conformance.sandbox import signal_name
from poolaudit.evidence.conformance import Counterexample, PropertyResult
from poolaudit.findings import CheckDoc, document_check
from poolaudit.outcomes import Outcome
from poolaudit.subject.models import LoadedModel

Array = NDArray[Any]
EXPORTS_PROPERTY = "exports_agree"
_REFERENCE = ("eager", "eager_again")
_TOLERANCES = {"float16": 2e-2, "bfloat16": 8e-2}
_TIMES = {"quick": 60.0, "standard": 150.0, "thorough": 600.0}
_ITEMS = 32
_ENDS = {0: None, NO_SPACE: "a full disk: there is no room for temporary files"}


def exports_agree(eager: Array, other: Array, tolerance: float) -> str | None:
    """The model decides alike and gives the same scores eagerly, as a graph, compiled and exported.

    Why: What is audited is a Keras model run by TensorFlow; what is shipped is a graph, a SavedModel or compiled code.
        A branch on the mode, a layer that is saved without its settings or a compiler's own kernels part the two.
    How: Up to 32 items of the data go through the model eagerly, in a tf.function with an open batch, through an export
        that is loaded again, and with more time also through XLA and TensorFlow Lite. Scores may differ by 1e-4 of the
        largest one (2e-2 where a layer computes in float16, 8e-2 in bfloat16); the class may differ only where the two
        highest scores are that close.
    Do: Run the script, find the first layer whose output differs, and take the branch or the constant out of it.
    False alarm: A model that is random at inference; it is told apart by two eager runs and reported as undecided.
    """
    if eager.shape != other.shape:
        return f"outputs of shape {other.shape}, not {eager.shape}"
    if not eager.size:
        return None
    finite = np.isfinite(eager) & np.isfinite(other)
    odd = ~finite & ~((eager == other) | (np.isnan(eager) & np.isnan(other)))
    if odd.any():
        return f"{int(odd.sum())} outputs are finite in one and not in the other"
    allowed = tolerance * float(np.max(np.abs(eager), where=np.isfinite(eager), initial=0.0))
    left, right = eager.reshape(len(eager), -1), other.reshape(len(other), -1)
    changed = 0
    if left.shape[1] > 1:
        ordered = np.sort(left, axis=1)
        clear = ordered[:, -1] - ordered[:, -2] > 2 * allowed
        changed = int(np.sum(clear & (left.argmax(axis=1) != right.argmax(axis=1))))
    with np.errstate(invalid="ignore"):
        largest = float(np.max(np.abs(eager - other), where=finite, initial=0.0))
    if not changed and largest <= allowed:
        return None
    return f"outputs differ by up to {largest:.3g} ({allowed:.3g} is allowed); {changed} of {len(left)} classes change"


EXPORTS_DOC: CheckDoc = document_check("PA119", exports_agree)


def check_exports(
    loaded: LoadedModel,
    inputs: Array,
    *,
    source: str | Path | None = None,
    trust_model_code: bool = False,
    profile: str = "quick",
) -> tuple[PropertyResult, ...]:
    """One result a mode: "graph" and "saved_model", under "standard" and "thorough" also "xla" and "tflite".

    A mode that refuses the model (XLA cannot compile an operation, a subclassed model cannot be exported) is SKIPPED
    with the reason. Where the model lies in a file, everything runs in a child process; a signal is then a failure.
    Other models run in this process, and are not tried with TensorFlow Lite.

    Args:
        loaded: The model under audit.
        inputs: Shape (n, ...); the first 32 items are used.
        source: Path of the model's file or folder, where it has one.
        trust_model_code: As it was loaded with.
        profile: "quick", "standard" or "thorough".
    """
    name = profile_named(profile).name
    modes = _modes(loaded, name)
    file = Path(source) if source is not None and Path(source).exists() else None
    if loaded.input_count > 1 or loaded.output_count > 1:
        reason = f"the model has {loaded.input_count} inputs and {loaded.output_count} outputs; one of each is compared"
        return tuple(_result(loaded, mode, Outcome.SKIPPED, reason=reason) for mode in modes)
    fixed = loaded.input_shape[0] if loaded.input_shape else None
    x = np.asarray(inputs[: fixed or _ITEMS]).astype(loaded.input_dtype, copy=False)
    if fixed and len(x) < fixed:
        reason = f"the model takes batches of {fixed}, and there are {len(x)} items"
        return tuple(_result(loaded, mode, Outcome.SKIPPED, reason=reason) for mode in modes)
    with tempfile.TemporaryDirectory(prefix="poolaudit-") as made:
        folder = Path(made)
        np.save(folder / INPUTS, x)
        deaths: dict[str, str] = {}
        if file is not None:
            deaths = _in_children(file, trust_model_code, folder, (*_REFERENCE, *modes), _TIMES[name])
        if file is None or "load" in deaths:
            from poolaudit.subject._keras_load import quiet_keras

            modes = tuple(mode for mode in modes if mode != "tflite")
            deaths = {}
            with quiet_keras():
                run_modes(loaded, folder, (*_REFERENCE, *modes))
        return tuple(_compared(loaded, mode, folder, deaths, x) for mode in modes)


def _modes(loaded: LoadedModel, profile: str) -> tuple[str, ...]:
    """Crash-prone ones last."""
    exportable = ("graph", "saved_model") if loaded.keras_model is not None else ()
    if profile == "quick":
        return exportable
    return (*exportable, *(("tflite",) if exportable else ()), "xla")


def _in_children(
    file: Path, trust_model_code: bool, folder: Path, modes: Sequence[str], seconds: float
) -> dict[str, str]:
    """Runs the modes in a child, and after a death the rest in a further one; modes to how they died."""
    deaths: dict[str, str] = {}
    waiting = list(modes)
    ends = time.monotonic() + seconds
    environment = dict(os.environ) | {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
    }
    while waiting:
        request = {
            "source": str(file.resolve()),
            "trust_model_code": trust_model_code,
            "folder": str(folder),
            "modes": waiting,
        }
        try:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-m", "poolaudit.conformance.export_process"],
                input=json.dumps(request) + "\n",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
                timeout=max(ends - time.monotonic(), 1.0),
            )
            how = _ENDS.get(done.returncode, "an exit") if done.returncode >= 0 else signal_name(-done.returncode)
        except subprocess.TimeoutExpired:
            how = f"no answer within {seconds:g} seconds"
        if (folder / "load.txt").exists():
            return {"load": (folder / "load.txt").read_text(encoding="utf-8")}
        if how is None:
            return deaths
        running = folder / RUNNING
        at = running.read_text(encoding="utf-8") if running.exists() else "load"
        if at not in waiting:
            return deaths | dict.fromkeys(waiting, f"loading the model in a process of its own ended by {how}")
        deaths[at] = how
        if at in _REFERENCE or how.startswith("no answer"):
            return deaths | dict.fromkeys(waiting[waiting.index(at) + 1 :], f"not tried: {at} ended by {how}")
        waiting = waiting[waiting.index(at) + 1 :]
    return deaths


def _compared(loaded: LoadedModel, mode: str, folder: Path, deaths: dict[str, str], x: Array) -> PropertyResult:
    how = deaths.get(mode)
    if how is not None and how.startswith("SIG") and how != "SIGKILL":
        found = Counterexample(_about(loaded, x), _script(loaded, mode, x), f"the process dies by {how}", "an answer")
        return _result(loaded, mode, Outcome.FAILED, counterexample=found)
    if how is not None:
        return _result(loaded, mode, Outcome.CRASHED, reason=how)
    outputs: dict[str, Array] = {}
    for each in (*_REFERENCE, mode):
        refused = folder / f"{each}.txt"
        if refused.exists():
            reason = refused.read_text(encoding="utf-8")
            if each in _REFERENCE:
                return _result(loaded, mode, Outcome.CRASHED, reason=f"the model does not run eagerly: {reason}")
            return _result(loaded, mode, Outcome.SKIPPED, reason=f"{mode} refuses the model: {reason}")
        outputs[each] = np.load(folder / f"{each}.npy", allow_pickle=False)
    tolerance = _tolerance(loaded)
    unsteady = exports_agree(outputs["eager"], outputs["eager_again"], tolerance)
    if unsteady is not None:
        reason = f"two eager runs on the same items differ: {unsteady}"
        return _result(loaded, mode, Outcome.UNDECIDED, reason=reason)
    observed = exports_agree(outputs["eager"], outputs[mode], tolerance)
    if observed is None:
        return _result(loaded, mode, Outcome.PASSED, examples=len(x))
    differences = np.abs(outputs["eager"] - outputs[mode]) if outputs["eager"].shape == outputs[mode].shape else None
    worst = 0
    if differences is not None:
        per_item = np.nan_to_num(differences, nan=np.inf, posinf=np.inf).reshape(len(x), -1).max(axis=1)
        worst = int(per_item.argmax())
    found = Counterexample(
        f"{_about(loaded, x)}; the worst is item {worst}",
        _script(loaded, mode, x[worst : worst + 1]),
        f"{mode}: {observed}",
        "what the model gives eagerly",
    )
    return _result(loaded, mode, Outcome.FAILED, counterexample=found, examples=len(x))


def _result(loaded: LoadedModel, mode: str, outcome: Outcome, **more: Any) -> PropertyResult:
    return PropertyResult(loaded.name, EXPORTS_PROPERTY, outcome, mode, _dtype(loaded), **more)


def _computing(loaded: LoadedModel) -> set[str]:
    if loaded.keras_model is None:
        return {loaded.input_dtype}
    return {str(getattr(layer, "compute_dtype", "float32")) for layer in loaded.keras_model._flatten_layers()}


def _dtype(loaded: LoadedModel) -> str:
    halves = [dtype for dtype in ("bfloat16", "float16") if dtype in _computing(loaded)]
    return halves[0] if halves else "float32"


def _tolerance(loaded: LoadedModel) -> float:
    return _TOLERANCES.get(_dtype(loaded), 1e-4)


def _about(loaded: LoadedModel, x: Array) -> str:
    return f"{loaded.name} on {len(x)} items of the data, shape {x.shape}"


def _script(loaded: LoadedModel, mode: str, x: Array) -> str:
    reach = (float(x.min()), float(x.max()), x.shape)
    values = (
        f"np.array({x.tolist()!r}, {x.dtype.name!r})"
        if x.size <= 1024
        else f"np.random.default_rng(0).uniform{reach!r}.astype({x.dtype.name!r})"
    )
    other = {
        "graph": "tf.function(lambda t: model(t, training=False), autograph=False)(x)",
        "xla": "tf.function(lambda t: model(t, training=False), jit_compile=True, autograph=False)(x)",
        "saved_model": "restored.serve(x)",
        "tflite": "restored.serve(x)  # and converted by tf.lite.TFLiteConverter",
    }[mode]
    export = (
        "model.export('exported')\nrestored = tf.saved_model.load('exported')\n"
        if mode in ("saved_model", "tflite")
        else ""
    )
    return (
        "import keras\nimport numpy as np\nimport tensorflow as tf\n\n"
        f"model = keras.saving.load_model({loaded.source!r})\n"
        f"x = {values}\n{export}"
        f"other = {other}\n"
        "print('eager', np.asarray(model(x, training=False)))\nprint('other', np.asarray(other))"
    )
