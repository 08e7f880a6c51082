"""A full disk in a process of poolaudit's own is told as one, and says nothing about a layer, a variant or a model."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from test_faults_full_disk import small_disk

from poolaudit.conformance import check_layer
from poolaudit.errors import InvalidInputError, PoolauditError, is_out_of_space
from poolaudit.outcomes import Outcome
from poolaudit.store.trials import TrialStore

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")


def write(path: Path) -> None:
    with path.open("wb", buffering=0) as stream:
        stream.write(b"x")


def write_hdf5(path: Path) -> None:
    import h5py

    with path.open("r+b", buffering=0) as stream, h5py.File(stream, "w") as weights:
        weights["x"] = np.zeros(10)


def write_by_tensorflow(path: Path) -> None:
    import tensorflow as tf

    with tf.io.gfile.GFile(str(path), "w") as stream:
        stream.write("x" * 100_000)


@needs_full
@pytest.mark.parametrize("writes", [write, write_hdf5, write_by_tensorflow])
def test_a_full_disk_is_known_by_whoever_tells_of_it(writes: Callable[[Path], None]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library raises its own
        writes(FULL)
    assert is_out_of_space(caught.value), repr(caught.value)
    wrapped = RuntimeError("loading failed")
    wrapped.__cause__ = caught.value
    assert is_out_of_space(wrapped)


@pytest.mark.parametrize("writes", [write, write_by_tensorflow])
def test_another_trouble_is_no_full_disk(writes: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        writes(tmp_path / "missing" / "file")
    assert not is_out_of_space(caught.value)
    assert not is_out_of_space(zipfile.BadZipFile("File is not a zip file"))


class SavedToAFullDisk(keras.layers.MaxPooling2D):  # type: ignore[misc]
    def save_own_variables(self, store: Any) -> None:
        write(FULL)


class SavedToNowhere(keras.layers.MaxPooling2D):  # type: ignore[misc]
    def save_own_variables(self, store: Any) -> None:
        write(Path("/missing/file"))


@needs_full
@pytest.mark.parametrize(("layer", "expected"), [(SavedToAFullDisk, Outcome.CRASHED), (SavedToNowhere, Outcome.FAILED)])
def test_a_layer_is_not_accused_of_a_full_disk(layer: type[Any], expected: Outcome) -> None:
    result = check_layer(layer, "max", 2, profile="quick", properties=("save_and_load",))
    outcomes = {entry.outcome for entry in result.results if entry.property == "save_and_load"}
    assert outcomes == {expected}


def test_a_file_system_without_locks_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    def wait() -> None:
        raise AssertionError("nobody holds it")

    store = TrialStore(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    other = tmp_path / "data" / "other.npy.part"
    other.write_bytes(b"")
    with store.held(wait), store.held():
        assert other.exists(), "it may be another run's"
    monkeypatch.undo()
    with store.held():
        assert not other.exists()
        with pytest.raises(PoolauditError, match="Another run"), store.held():
            pass


@pytest.mark.slow
def test_a_model_too_large_for_the_temporary_files_is_not_called_damaged(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4200,)), keras.layers.Dense(4200)])  # 67 MiB
    model.save(tmp_path / "model.keras")
    code = "import sys; from poolaudit.subject.models import load_model; load_model(sys.argv[1])"
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "model.keras")]
    with small_disk(tmp_path / "tmp", 64):
        environment = dict(os.environ) | {"TMPDIR": str(tmp_path / "tmp")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = done.stderr.strip().splitlines()[-1]
    assert InvalidInputError.__name__ in said
    assert "no space is left in" in said
    assert "damaged" not in said


def test_a_full_disk_is_told_where_a_legacy_model_is_mended_and_where_a_variant_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from poolaudit.ablation.apply import _file_of
    from poolaudit.subject.models import load_model

    keras.utils.set_random_seed(0)
    layers = [keras.Input((16, 16, 1)), keras.layers.MaxPooling2D(2), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(4000)])
    model.save(tmp_path / "model.h5")
    as_keras_2_wrote_it(tmp_path / "model.h5")
    assert "mended" in " ".join(load_model(tmp_path / "model.h5").notes)
    assert _file_of(model, None)
    with small_disk(tmp_path / "tmp", 400):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        with pytest.raises(InvalidInputError, match=r"model\.h5 cannot be mended: no space is left in '.*TMPDIR"):
            load_model(tmp_path / "model.h5")
        with pytest.raises(InvalidInputError, match=r"variant cannot be saved: no space is left in '.*TMPDIR"):
            _file_of(model, None)


def as_keras_2_wrote_it(path: Path) -> None:
    import h5py

    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        first, second = config["config"]["layers"][:2]
        second["config"]["batch_input_shape"] = first["config"].pop("batch_shape")
        config["config"]["layers"].remove(first)
        file.attrs["model_config"] = json.dumps(config)
