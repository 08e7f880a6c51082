"""The trainings that the ablation's benchmark times: recipes and data, and the plain way to train them.

python tests/benchmarks/ablation_grid.py plain KIND     a plain loop of model.fit over the seeds
python tests/benchmarks/ablation_grid.py overhead KIND  bare fits and whole trials in turn, in one process

Both print JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / "ablation"), str(Path(__file__).parents[2])]

import ablation_recipes  # noqa: E402

from poolaudit.ablation.recipe import Recipe  # noqa: E402
from poolaudit.ablation.trial import ModelSource, TrainingPlan, TrialSpec, make_spec, search_path  # noqa: E402
from poolaudit.store.trials import TrialStore  # noqa: E402

TEST_ITEMS = 500
BATCH = 32


@dataclass(frozen=True)
class Kind:
    """One kind of training.

    Attributes:
        items: To train on.
        epochs: Of a trial in the comparison with the plain loop.
        long_epochs: Of a trial of about 30 s.
    """

    items: int
    epochs: int
    long_epochs: int


KINDS = {"signals": Kind(4_000, 60, 130), "pictures": Kind(4_000, 24, 48)}


def pictures() -> Any:
    """A small network on pictures of 28x28."""
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(name="stem"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(name="second"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(name="head"),
            layers.Dense(1, activation="sigmoid"),
        ],
        name="pictures",
    )
    model.compile("adam", "binary_crossentropy")
    return model


recipe_signals = Recipe(ablation_recipes.build)
recipe_pictures = Recipe(pictures)


def data(kind: str) -> tuple[Any, Any]:
    items = KINDS[kind].items
    if kind == "signals":
        return ablation_recipes.data(items, 0)
    rng = np.random.default_rng(0)
    x = rng.random((items, 28, 28, 1)).astype(np.float32)
    y = (rng.random(items) < 0.4).astype(np.int64)
    x[y == 1, 10:14, 10:14] += 0.5
    return x, y


def specs(kind: str, seeds: range, epochs: int) -> list[TrialSpec]:
    path = (str(Path(__file__).parent), *search_path())
    source = ModelSource(None, f"ablation_grid:recipe_{kind}", path, fingerprint=kind)
    hashes = {"train": f"{kind}-train", "test": f"{kind}-test", "classes": "2"}
    return [make_spec("baseline", seed, source, TrainingPlan(epochs, BATCH), hashes) for seed in seeds]


def filled(folder: Path, kind: str) -> TrialStore:
    store = TrialStore(folder)
    x, y = data(kind)
    for name, items in (("train", len(x)), ("test", TEST_ITEMS)):
        store.keep_array(f"x-{kind}-{name}", x[:items])
        store.keep_array(f"y-{kind}-{name}", y[:items])
    return store


def plain(kind: str, trials: int) -> dict[str, float]:
    """Seconds of the loop that anyone would write, imports not counted."""
    import keras

    x, y = data(kind)
    build = ablation_recipes.build if kind == "signals" else pictures
    started = time.perf_counter()
    for seed in range(trials):
        keras.utils.set_random_seed(seed)
        model = build()
        model.fit(x, y, epochs=KINDS[kind].epochs, batch_size=BATCH, verbose=0)
        model.predict(x[:TEST_ITEMS], verbose=0)
        keras.utils.clear_session()
    return {"wall": time.perf_counter() - started, "cpu": time.process_time()}


def overhead(kind: str, repeats: int) -> list[dict[str, float]]:
    """A bare fit and a whole trial in turn: wall and processor seconds of each."""
    import keras

    from poolaudit.ablation.executors.worker import FileCheckpoint, load_materials
    from poolaudit.ablation.training import run_trial

    epochs = KINDS[kind].long_epochs
    build = ablation_recipes.build if kind == "signals" else pictures
    with tempfile.TemporaryDirectory() as folder:
        store = filled(Path(folder), kind)

        def bare(seed: int, epochs: int) -> tuple[float, float]:
            x, y = data(kind)
            keras.utils.clear_session(free_memory=False)
            keras.utils.set_random_seed(seed)
            model = build()
            clock = time.perf_counter(), time.process_time()
            model.fit(x, y, epochs=epochs, batch_size=BATCH, verbose=0)
            return time.perf_counter() - clock[0], time.process_time() - clock[1]

        def trial(seed: int, epochs: int) -> tuple[float, float]:
            (spec,) = specs(kind, range(seed, seed + 1), epochs)
            clock = time.perf_counter(), time.process_time()
            checkpoint = FileCheckpoint(store.checkpoint_path(spec.key))
            store.write(run_trial(spec, load_materials(spec, store), checkpoint, lambda done, total: None))
            return time.perf_counter() - clock[0], time.process_time() - clock[1]

        bare(99, 1), trial(99, 1)
        rows = []
        for seed in range(repeats):
            order = (bare, trial) if seed % 2 == 0 else (trial, bare)
            took = {run.__name__: run(seed, epochs) for run in order}
            rows.append({f"{name}_{what}": took[name][i] for name in took for i, what in enumerate(("wall", "cpu"))})
        return rows


if __name__ == "__main__":
    what, chosen, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    print(json.dumps(plain(chosen, count) if what == "plain" else overhead(chosen, count)))
