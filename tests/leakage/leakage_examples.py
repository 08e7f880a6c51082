"""Data for the tests of leakage: patches of photographs, garments where they are installed, and splits of them."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poolaudit.leakage.find import Found, find_in_splits
from poolaudit.subject.data import load_splits

Array = np.ndarray[Any, Any]

_GARMENTS = Path("/usr/share/datasets/fashion-mnist")
# Photographs that tests/benchmarks/leakage_fit.py has not seen.
HELD_OUT = ("coffee", "chelsea", "text", "moon", "china", "flower")


def garments() -> tuple[Array, Array, Array, Array]:
    """Fashion-MNIST: training images and labels, test images and labels; skips where it is not installed."""
    if not _GARMENTS.is_dir():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")

    def read(name: str, offset: int) -> Array:
        with gzip.open(_GARMENTS / name) as stream:
            return np.frombuffer(stream.read(), np.uint8, offset=offset)

    return (
        read("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1),
        read("train-labels-idx1-ubyte.gz", 8),
        read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1),
        read("t10k-labels-idx1-ubyte.gz", 8),
    )


def patches(size: int = 48, names: Sequence[str] = HELD_OUT) -> Array:
    """Disjoint patches (n, size, size, 3) of photographs that come with scikit-image or scikit-learn, none plain."""
    import skimage.data
    from sklearn.datasets import load_sample_image

    found = []
    for name in names:
        image = load_sample_image(f"{name}.jpg") if name in ("china", "flower") else getattr(skimage.data, name)()
        image = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image[..., :3]
        for top in range(0, image.shape[0] - size + 1, size):
            for left in range(0, image.shape[1] - size + 1, size):
                found.append(image[top : top + size, left : left + size])
    stack = np.stack(found)
    return stack[stack.mean(axis=-1).std(axis=(1, 2)) > 15]


def splits_of(train: Any, test: Any, **columns: Any) -> Any:
    """`DataSplit`s of arrays, with two alternating classes; columns are named train_group, test_path and so on."""

    def one(name: str, x: Any) -> dict[str, Any]:
        y = columns.get(f"{name}_y", np.arange(len(x)) % 2)
        extra = {key: columns[f"{name}_{key}"] for key in ("group", "time", "path") if f"{name}_{key}" in columns}
        return {"x": x, "y": y, **extra}

    return load_splits({"train": one("train", train), "test": one("test", test)})


def found_in(train: Any, test: Any, **columns: Any) -> Found:
    return find_in_splits(splits_of(train, test, **columns))


def textures(n: int, rng: np.random.Generator, size: int = 24) -> Array:
    """Independent shaded noise (n, size, size, 1) uint8: nothing in it repeats."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(rng.normal(size=(n, size, size)), (0, 1.5, 1.5))
    return np.clip(128 + 160 * smooth, 0, 255).astype(np.uint8)[..., None]
