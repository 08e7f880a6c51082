"""KerasTuner's grid search over the seeds of one model: the trainings that the ablation's benchmark times.

python tests/benchmarks/tuner_grid.py KIND TRIALS prints its seconds, imports not counted.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]

import keras  # noqa: E402
import keras_tuner  # noqa: E402
from ablation_grid import BATCH, KINDS, TEST_ITEMS, ablation_recipes, data, pictures  # noqa: E402


def search(kind: str, trials: int) -> float:
    x, y = data(kind)

    def build(choice: Any) -> Any:
        keras.utils.set_random_seed(choice.Choice("seed", list(range(trials))))
        return ablation_recipes.build() if kind == "signals" else pictures()

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        started = time.perf_counter()
        tuner = keras_tuner.GridSearch(build, objective=keras_tuner.Objective("loss", "min"), directory=folder)
        tuner.search(x, y, epochs=KINDS[kind].epochs, batch_size=BATCH, verbose=0)
        assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED"] * trials
        tuner.hypermodel.build(tuner.get_best_hyperparameters()[0]).predict(x[:TEST_ITEMS], verbose=0)
        return time.perf_counter() - started


if __name__ == "__main__":
    print(search(sys.argv[1], int(sys.argv[2])))
