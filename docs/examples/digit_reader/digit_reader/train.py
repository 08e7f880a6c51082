"""Trains a release and writes it, with its data, into a folder: `python -m digit_reader.train --out release`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from digit_reader.data import CLASS_NAMES, Split, load_splits, shifted
from digit_reader.layers import GlobalLogSumExpPooling2D


def build(*, coarse: bool) -> Any:
    """The network; a coarse one pools by four at once, which is faster and loses where a stroke lies."""
    inputs = keras.Input((8, 8, 1))
    if coarse:
        x = layers.Conv2D(24, 3, padding="same", activation="relu")(inputs)
        x = layers.MaxPooling2D(4, name="quarter")(x)
        x = layers.Conv2D(24, 1, activation="relu")(x)
        x = layers.GlobalAveragePooling2D(name="over_the_map")(x)
    else:
        x = layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
        x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2, name="halve")(x)
        x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
        where = layers.Flatten()(layers.MaxPooling2D(2, name="quarter")(x))
        what = GlobalLogSumExpPooling2D(name="over_the_map")(x)
        x = layers.Dropout(0.4)(layers.Concatenate()([where, what]))
    return keras.Model(inputs, layers.Dense(len(CLASS_NAMES), activation="softmax")(x), name="digit_reader")


def train(splits: dict[str, Split], *, coarse: bool, seed: int = 0) -> Any:
    """The trained model; the coarse one sees no shifted copies, since it was made to be quick."""
    keras.utils.set_random_seed(seed)
    model = build(coarse=coarse)
    x, y = splits["train"] if coarse else shifted(splits["train"])
    epochs, batch_size = 30 if coarse else 8, 64
    steps = epochs * -(-len(y) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(1e-2 if coarse else 3e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=epochs, batch_size=batch_size, verbose=0)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("release"), help="folder for the model and its data")
    parser.add_argument("--coarse", action="store_true", help="pool by four: the release that should not pass")
    options = parser.parse_args()
    splits = load_splits()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, (x, y) in splits.items():
        np.savez_compressed(options.out / f"{name}.npz", x=x, y=y, class_names=np.array(CLASS_NAMES))
    train(splits, coarse=options.coarse).save(options.out / "model.keras")


if __name__ == "__main__":
    main()
