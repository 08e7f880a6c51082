"""Small ablations whose truth is known by construction: features of known size planted in real images and signals.

Each scenario holds data and a baseline model; its arms are the same model with another pooling. What pooling costs is
known because of what was planted: a mark that is finer than the window in front of which nothing looks at it is lost, a
mark that is coarser is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Split = tuple[Array, Array]

GUILTY, INNOCENT = "over-pooled", "innocent"
ITEMS = {"train": 1_000, "validation": 600, "test": 1_000}


@dataclass(frozen=True)
class Net:
    """A small network: pooling of the input, two convolutions, a head.

    Attributes:
        stem: Window (and stride) of the pooling in front of the convolutions; 1 for none.
        kind: "max" or "average".
        middle: Window of a max pooling between the convolutions; 1 for none.
        head: "gap", "gmp" or "flatten".
        filters: Of each convolution.
        units: Of a hidden layer behind the head; 0 for none.
        rate: Learning rate of Adam.
        bias: Start value of the convolutions' biases; far below 0 some seeds never come to life.
        epochs: Passes over the training data.
        squeeze: Window of an averaging in front of the head, which keeps its width where nothing is pooled before.
    """

    stem: int = 4
    kind: str = "max"
    middle: int = 1
    head: str = "gap"
    filters: int = 12
    units: int = 0
    rate: float = 6e-3
    bias: float = 0.0
    epochs: int = 10
    squeeze: int = 1


@dataclass(frozen=True)
class Scenario:
    """Data, a baseline, its arms and the truth about over-pooling.

    Attributes:
        truth: "over-pooled" or "innocent".
        cause: Why, in a word: "fine", "coarse", "threshold", "capacity", "collapse".
        arms: By name "weaker", "removed", "kind", "stronger"; "baseline" is another entry.
        controls: For an arm, a net with the baseline's pooling and the arm's number of parameters.
    """

    name: str
    truth: str
    cause: str
    data: Callable[[int], dict[str, Split]]
    arms: Mapping[str, Net]
    controls: Mapping[str, Net] = field(default_factory=dict)


def build(net: Net, shape: tuple[int, ...]) -> Any:
    """The compiled network for inputs of this shape, channels last; pooling layers are named stem, middle and head."""
    import keras
    from keras import layers

    rank = len(shape) - 1
    conv = layers.Conv1D if rank == 1 else layers.Conv2D
    pools = {
        "max": layers.MaxPooling1D if rank == 1 else layers.MaxPooling2D,
        "average": layers.AveragePooling1D if rank == 1 else layers.AveragePooling2D,
    }
    heads = {
        "gap": layers.GlobalAveragePooling1D if rank == 1 else layers.GlobalAveragePooling2D,
        "gmp": layers.GlobalMaxPooling1D if rank == 1 else layers.GlobalMaxPooling2D,
        "flatten": layers.Flatten,
    }
    bias = keras.initializers.Constant(net.bias)
    stack: list[Any] = [keras.Input(shape)]
    if net.stem > 1:
        stack.append(pools[net.kind](net.stem, name="stem"))
    stack.append(conv(net.filters, 3, padding="same", activation="relu", bias_initializer=bias))
    if net.middle > 1:
        stack.append(pools["max"](net.middle, name="middle"))
    stack.append(conv(net.filters, 3, padding="same", activation="relu", bias_initializer=bias))
    if net.squeeze > 1:
        stack.append(pools["average"](net.squeeze, name="squeeze"))
    stack.append(heads[net.head](name="head"))
    if net.units:
        stack.append(layers.Dense(net.units, activation="relu"))
    stack.append(layers.Dense(1, activation="sigmoid", name="score"))
    model = keras.Sequential(stack, name="planted")
    model.compile(keras.optimizers.Adam(net.rate), "binary_crossentropy")
    return model


@cache
def _photograph_patches(size: int, count: int, seed: int) -> Array:
    """Patches of real photographs, float32 in [0, 1], contrast 0.25 around their own mean, (count, size, size, 1)."""
    import skimage.data

    rng = np.random.default_rng(seed)
    photographs = [skimage.data.brick(), skimage.data.grass(), skimage.data.gravel(), skimage.data.camera()]
    patches = np.empty((count, size, size, 1), np.float32)
    for i in range(count):
        photograph = photographs[int(rng.integers(len(photographs)))].astype(np.float32) / 255
        top, left = (int(rng.integers(side - size)) for side in photograph.shape)
        patch = photograph[top : top + size, left : left + size]
        patches[i, :, :, 0] = 0.4 + 0.25 * (patch - patch.mean()) / (patch.std() + 0.05) / 2
    return patches


@cache
def _signals(length: int, count: int, seed: int) -> Array:
    """Real-valued mnist1d signals cut to `length`, contrast lowered, float32 (count, length, 1)."""
    from mnist1d.data import get_dataset_args, make_dataset

    args = get_dataset_args()
    args.num_samples, args.seed = count, seed
    signals = np.asarray(make_dataset(args)["x"], np.float32)
    repeats = -(-length // signals.shape[1])
    wide = np.concatenate([signals] * repeats, axis=1)[:, :length]
    return (0.15 * wide[:count, :, None]).astype(np.float32)


def _planted(backgrounds: Array, marks: tuple[Array, Array], prevalence: float, rng: Any) -> Split:
    """Each background gets one mark at a random place: the first where the label is 0, the second where it is 1."""
    x = backgrounds.copy()
    y = (rng.random(len(x)) < prevalence).astype(np.int64)
    for i, label in enumerate(y):
        mark = marks[label]
        place = tuple(
            slice(start := int(rng.integers(1, side - extent)), start + extent)
            for side, extent in zip(x.shape[1:-1], mark.shape, strict=True)
        )
        x[(i, *place, 0)] += mark
    return x, y


def planted_images(marks: tuple[Array, Array], *, size: int = 24, prevalence: float = 0.35) -> Any:
    def make(seed: int) -> dict[str, Split]:
        return _splits(lambda n, s: _photograph_patches(size, n, s), marks, prevalence, seed)

    return make


def planted_signals(marks: tuple[Array, Array], *, length: int = 64, prevalence: float = 0.35) -> Any:
    def make(seed: int) -> dict[str, Split]:
        return _splits(lambda n, s: _signals(length, n, s), marks, prevalence, seed)

    return make


def _splits(backgrounds: Any, marks: tuple[Array, Array], prevalence: float, seed: int) -> dict[str, Split]:
    rng = np.random.default_rng(seed + 77)
    splits = {}
    for number, (name, count) in enumerate(ITEMS.items()):
        splits[name] = _planted(backgrounds(count, 10 * seed + number), marks, prevalence, rng)
    return splits


def digits_of_interest(digit: int, prevalence: float = 0.3) -> Any:
    """Handwritten digits, one of them against others of its look; real data, nothing planted."""

    def make(seed: int) -> dict[str, Split]:
        from sklearn.datasets import load_digits

        images, digits = load_digits(return_X_y=True)
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(digits))
        x = (images[order] / 16).astype(np.float32).reshape(-1, 8, 8, 1)
        y = (digits[order] == digit).astype(np.int64)
        return {"train": (x[:600], y[:600]), "validation": (x[600:1000], y[600:1000]), "test": (x[1000:], y[1000:])}

    return make


def _dots(*places: tuple[int, ...], size: int, height: float = 0.9) -> Array:
    mark = np.zeros((size,) * len(places[0]), np.float32)
    for place in places:
        mark[place] = height
    return mark


def _bar(size: int, *, horizontal: bool, height: float) -> Array:
    mark = np.zeros((size, size), np.float32)
    third = size // 3
    if horizontal:
        mark[third : 2 * third] = height
    else:
        mark[:, third : 2 * third] = height
    return mark


# Two bright points side by side or one above the other: finer than a window of 4 by 4.
FINE_2D = (_dots((0, 0), (2, 0), size=3), _dots((0, 0), (0, 2), size=3))
# A spike and a dip behind it, or the other way round.
FINE_1D = (np.array([0.9, -0.9], np.float32), np.array([-0.9, 0.9], np.float32))


def _bars(height: float) -> tuple[Array, Array]:
    """Bars four wide and twelve long, upright or level: coarser than any window here."""
    return _bar(12, horizontal=False, height=height), _bar(12, horizontal=True, height=height)


def _waves(height: float) -> tuple[Array, Array]:
    """A swell of ten and a trough of ten, or the other way round."""
    wave = np.repeat([height, -height], 10).astype(np.float32)
    return wave, -wave


def _pooling_arms(base: Net) -> dict[str, Net]:
    """The baseline and its pooling weakened, removed and of the other kind; no two of them alike."""
    other = "average" if base.kind == "max" else "max"
    arms = {"baseline": base, "kind": replace(base, kind=other), "removed": replace(base, stem=1)}
    if base.stem > 2:
        arms["weaker"] = replace(base, stem=base.stem // 2)
    return arms


def _scenarios() -> tuple[Scenario, ...]:
    image, signal = Net(stem=4, epochs=12), Net(stem=4, epochs=12)
    fine, coarse = planted_images(FINE_2D), planted_images(_bars(0.45))
    spike, wave = planted_signals(FINE_1D), planted_signals(_waves(0.3))
    bright, loud = planted_images(_bars(0.7)), planted_signals(_waves(0.6))
    average = {"kind": "average"}
    # Its baseline is the arm "kind" with every score moved far down: the same ranking, hardly ever above 0.5.
    timid = {name: net for name, net in _pooling_arms(replace(signal, stem=2)).items() if name != "baseline"}
    flat = Net(stem=2, head="flatten", filters=2, units=2, epochs=10)
    return (
        Scenario("fine mark, max", GUILTY, "fine", fine, _pooling_arms(image)),
        Scenario("fine mark, average", GUILTY, "fine", fine, _pooling_arms(replace(image, **average))),
        Scenario("fine spike, max", GUILTY, "fine", spike, _pooling_arms(signal)),
        Scenario("fine spike, average", GUILTY, "fine", spike, _pooling_arms(replace(signal, **average))),
        Scenario("eights, max", GUILTY, "fine", digits_of_interest(8), _pooling_arms(Net(epochs=25, filters=16))),
        Scenario("coarse mark, max", INNOCENT, "coarse", coarse, _pooling_arms(replace(image, stem=2))),
        Scenario("coarse mark, average", INNOCENT, "coarse", coarse, _pooling_arms(replace(image, stem=2, **average))),
        Scenario("coarse wave, max", INNOCENT, "coarse", wave, _pooling_arms(replace(signal, stem=2))),
        Scenario("coarse wave, average", INNOCENT, "coarse", wave, _pooling_arms(replace(signal, **average))),
        Scenario("bright mark, max", INNOCENT, "coarse", bright, _pooling_arms(replace(image, stem=2, epochs=16))),
        Scenario("under-confident", INNOCENT, "threshold", loud, timid),
        Scenario(
            "dying units", INNOCENT, "collapse", bright, _pooling_arms(replace(image, stem=2, bias=-0.15, filters=4))
        ),
        Scenario(
            "narrow head",
            INNOCENT,
            "capacity",
            bright,
            {"baseline": flat, "removed": replace(flat, stem=1)},
            {"removed": replace(flat, stem=1, squeeze=2)},
        ),
    )


SCENARIOS = _scenarios()
