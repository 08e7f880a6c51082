"""Public data sets by name: `sklearn:digits`, `keras:mnist` and its kin, `tfds:NAME/SPLIT`."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError, MissingExtraError, did_you_mean, listed
from poolaudit.subject.datasets import collect
from poolaudit.subject.splits import RawSplit

_TEN = tuple(str(digit) for digit in range(10))
_KERAS = {
    "mnist": _TEN,
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
_DIGITS_TEST_SHARE = 0.3
_DIGITS_SEED = 0


def read_builtin(scheme: str, rest: str, split: str) -> RawSplit:
    """The data set `rest`, written NAME or NAME/SPLIT.

    Args:
        scheme: "sklearn", "keras" or "tfds".
        split: "test", "train" or "validation": which part to take where `rest` does not say.

    Raises:
        InvalidInputError: Unknown name or part, or the data cannot be downloaded.
        MissingExtraError: TensorFlow Datasets is not installed.
    """
    name, _, part = rest.partition("/")
    if scheme == "sklearn":
        return _sklearn(name, part)
    if scheme == "keras":
        return _keras(name, part or ("train" if split == "train" else "test"))
    return _tfds(name, part or split)


def _sklearn(name: str, part: str) -> RawSplit:
    """Handwritten digits, (n, 8, 8, 1) float32 from 0 to 16; train and test are a fixed stratified 70/30 division."""
    _require_known(name, ("digits",), "sklearn")
    _require_known(part, ("", "train", "test"), "sklearn:digits/")
    from sklearn.datasets import load_digits

    digits = load_digits()
    inputs = digits.images.astype(np.float32)[..., np.newaxis]
    labels = digits.target.astype(np.int64)
    notes = ["Pixel values run from 0 to 16."]
    if part:
        from sklearn.model_selection import train_test_split

        train, test = train_test_split(
            np.arange(len(labels)), test_size=_DIGITS_TEST_SHARE, random_state=_DIGITS_SEED, stratify=labels
        )
        chosen = np.sort(train if part == "train" else test)
        inputs, labels = inputs[chosen], labels[chosen]
        notes.append("A fixed stratified division: 70 % train, 30 % test, seed 0; writers are not kept apart.")
    source = f"sklearn:{name}/{part}" if part else f"sklearn:{name}"
    return RawSplit(inputs=inputs, labels=labels, source=source, class_names=_TEN, notes=tuple(notes))


def _keras(name: str, part: str) -> RawSplit:
    _require_known(name, tuple(_KERAS), "keras")
    _require_known(part, ("train", "test"), f"keras:{name}/")
    module = importlib.import_module(f"keras.datasets.{name}")
    try:
        train, test = module.load_data()
    except Exception as error:  # Keras raises bare Exception where a download fails
        raise InvalidInputError(
            f"keras:{name} cannot be loaded: {' '.join(str(error).split())[:200]}",
            "a data set that Keras has downloaded before, or a network connection",
            "Connect once so that Keras can keep a copy, or use sklearn:digits, which needs no network",
        ) from error
    inputs, labels = train if part == "train" else test
    inputs = inputs[..., np.newaxis] if inputs.ndim == 3 else inputs
    return RawSplit(
        inputs=inputs, labels=np.asarray(labels).reshape(-1), source=f"keras:{name}/{part}", class_names=_KERAS[name]
    )


def _tfds(name: str, part: str) -> RawSplit:
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise MissingExtraError(f"tfds:{name}", "tfds")
    library: Any = importlib.import_module("tensorflow_datasets")
    try:
        data, info = library.load(name, split=part, as_supervised=True, with_info=True)
    except Exception as error:  # many kinds: unknown name, unknown split, no network
        raise InvalidInputError(
            f"tfds:{name}/{part} cannot be loaded: {' '.join(str(error).split())[:200]}",
            "a data set of TensorFlow Datasets with a label, as NAME/SPLIT",
        ) from error
    # A data set names its own keys; the mapping of its features has no `get`.
    key = info.supervised_keys[1] if info.supervised_keys else None
    label: Any = next((feature for stated, feature in info.features.items() if stated == key), None)
    names = tuple(label.names) if getattr(label, "names", None) else None
    return collect(data, f"tfds:{name}/{part}", names)


def _require_known(name: str, known: tuple[str, ...], prefix: str) -> None:
    if name not in known:
        raise InvalidInputError(
            f"There is no {prefix}{'' if prefix.endswith('/') else ':'}{name}",
            listed(choice for choice in known if choice),
            did_you_mean(name, known),
        )
