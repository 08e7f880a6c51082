"""Data that need TensorFlow: `tf.data.Dataset` objects and the data sets of Keras."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poolaudit.errors import InvalidInputError
from poolaudit.subject.data import load_splits

X = np.arange(7 * 5 * 4 * 1, dtype=np.float32).reshape(7, 5, 4, 1)
Y = np.array([0, 1, 2, 0, 1, 2, 0])


@pytest.fixture(scope="module")
def tf() -> Any:
    import tensorflow

    return tensorflow


@pytest.mark.parametrize("batch", [None, 1, 3, 7])
@pytest.mark.parametrize("labels", ["integers", "one-hot", "text"])
def test_datasets_batched_or_not_give_the_arrays(tf: Any, batch: int | None, labels: str) -> None:
    y = {"integers": Y, "one-hot": np.eye(3, dtype=np.float32)[Y], "text": np.array(["a", "b", "c"])[Y]}[labels]
    dataset = tf.data.Dataset.from_tensor_slices((X, y))
    split = load_splits({"test": dataset if batch is None else dataset.batch(batch)})["test"]
    np.testing.assert_array_equal(split.inputs, X)
    assert split.inputs.dtype == np.float32
    assert split.labels.tolist() == Y.tolist()
    assert split.source == "tf.data.Dataset"


def test_weights_mappings_and_batches_of_fixed_size_are_read(tf: Any) -> None:
    weighted = tf.data.Dataset.from_tensor_slices((X, Y, np.ones(7))).batch(2)
    assert load_splits({"test": weighted})["test"].notes == ("Sample weights were ignored.",)
    mapping = tf.data.Dataset.from_tensor_slices({"image": X, "label": Y}).batch(2, drop_remainder=True)
    assert load_splits({"test": mapping})["test"].labels.tolist() == Y[:6].tolist()


def test_bad_datasets_are_refused(tf: Any) -> None:
    slices = tf.data.Dataset.from_tensor_slices
    for dataset, told in (
        (slices((X, Y)).repeat(), "never ends"),
        (slices((X, Y)).take(0), "the dataset is empty"),
        (slices(X), "the dataset yields ndarray"),
        (slices(((X, X), Y)), "the dataset yields tuple"),
        (
            slices((X, Y)).map(lambda x, y: (tf.debugging.check_numerics(x / 0, "zero"), y)),
            "raised InvalidArgumentError",
        ),
        (slices((X, Y)).map(lambda x, y: (x[: tf.maximum(y, 1)], y)), "items have different shapes"),
        (slices((np.zeros((7, 3, 2)), np.eye(3)[Y])), "look the same"),
    ):
        with pytest.raises(InvalidInputError, match=told):
            load_splits({"test": dataset})


def run(home: Path, program: str) -> str:
    environment = os.environ | {
        "KERAS_HOME": str(home),
        "HOME": str(home),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_keras_data_sets_come_from_their_cache_and_fail_clearly_without_network(tmp_path: Path) -> None:
    folder = tmp_path / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    for prefix, n in (("train", 5), ("t10k", 3)):
        labels = struct.pack(">II", 2049, n) + bytes(range(n))
        images = struct.pack(">IIII", 2051, n, 28, 28) + bytes(n * 28 * 28)
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    program = """
from poolaudit.subject.data import load_splits
for split in load_splits({"train": "keras:fashion_mnist", "test": "keras:fashion_mnist/test"}).values():
    print(split.name, split.source, split.inputs.shape, split.inputs.dtype, split.class_names[0])
try:
    load_splits({"test": "keras:mnist"})
except Exception as error:
    print(type(error).__name__, error)
"""
    told = run(tmp_path, program)
    assert "train keras:fashion_mnist/train (5, 28, 28, 1) uint8 T-shirt/top" in told
    assert "test keras:fashion_mnist/test (3, 28, 28, 1) uint8" in told
    assert "InvalidInputError keras:mnist cannot be loaded: " in told
    assert "needs no network" in told


def test_a_prepared_tfds_data_set_is_read_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built and kept on this machine, so that nothing is downloaded."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class PoolauditTiny(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc,name-defined]
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = tmp_path

        def _info(self) -> object:
            label = tfds.features.ClassLabel(names=["a", "b"])
            features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(4, 4, 1)), "label": label})
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

        def _split_generators(self, manager: object) -> object:
            return {"test": self._generate_examples()}

        def _generate_examples(self) -> object:
            for number in range(6):
                yield number, {"image": np.full((4, 4, 1), number, np.uint8), "label": number % 2}

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PoolauditTiny(data_dir=tmp_path).download_and_prepare()
        split = load_splits({"test": "tfds:poolaudit_tiny/test"})["test"]
    assert split.class_names == ("a", "b")
    assert split.inputs.shape == (6, 4, 4, 1)
    assert all(label == image[0, 0, 0] % 2 for image, label in zip(split.inputs, split.labels, strict=True))
