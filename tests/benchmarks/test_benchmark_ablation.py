"""Workers against a plain loop of `model.fit`: the same trainings, side by side in one run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from poolaudit.ablation.executors.executor import TrialDone
from poolaudit.ablation.executors.local import LocalExecutor
from poolaudit.ablation.trial import ModelSource, TrainingPlan, make_spec, search_path
from poolaudit.store.trials import TrialStore

FOLDER = Path(__file__).parents[1] / "ablation"
# About 30 seconds of bare fit a trial on one core of a small machine.
EPOCHS, ITEMS, TRIALS = 60, 2_000, 4

_PLAIN = """
import sys, time
sys.path[:0] = {path!r}
import ablation_recipes, keras
x, y = ablation_recipes.data({items}, 0)
started = time.perf_counter()
for seed in range({trials}):
    keras.utils.set_random_seed(seed)
    model = ablation_recipes.build()
    clock = time.perf_counter()
    model.fit(x, y, epochs={epochs}, batch_size=32, verbose=0)
    print("fit", time.perf_counter() - clock, flush=True)
    model.predict(x[:500], verbose=0)
    keras.utils.clear_session()
print("all", time.perf_counter() - started)
"""


@pytest.mark.slow
def test_two_workers_beat_a_plain_loop(tmp_path: Path) -> None:
    sys.path.insert(0, str(FOLDER))
    import ablation_recipes

    store = TrialStore(tmp_path)
    x, y = ablation_recipes.data(ITEMS, 0)
    for name, items in (("train", ITEMS), ("test", 500)):
        store.keep_array(f"x-{name}", x[:items])
        store.keep_array(f"y-{name}", y[:items])
    source = ModelSource(None, "ablation_recipes:short", (str(FOLDER), *search_path()), fingerprint="short")
    data = {"train": "train", "test": "test", "classes": "2"}
    specs = [make_spec("baseline", seed, source, TrainingPlan(EPOCHS, 32), data) for seed in range(TRIALS)]
    done: list[TrialDone] = []
    started = time.perf_counter()
    with LocalExecutor(store, workers=2) as executor:
        executor.run(specs, lambda event: done.append(event) if isinstance(event, TrialDone) else None)
    ours = time.perf_counter() - started

    code = _PLAIN.format(path=[str(FOLDER), *search_path()], items=ITEMS, trials=TRIALS, epochs=EPOCHS)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    plain = float(told[told.index("all") + 1])
    fits = [float(told[i + 1]) for i, word in enumerate(told) if word == "fit"]

    one = [make_spec("baseline", seed, source, TrainingPlan(EPOCHS, 32), data) for seed in (50, 51)]
    alone: list[TrialDone] = []
    with LocalExecutor(store, workers=1) as executor:
        executor.run(one, lambda event: alone.append(event) if isinstance(event, TrialDone) else None)
    facts = alone[-1].trial.facts
    overhead = 1 - float(facts["fit_seconds"]) / float(facts["seconds"])
    print(f"plain {plain:.1f} s, workers {ours:.1f} s, bare fits {fits}, trial {facts['seconds']} s {overhead:.3f}")
    assert plain / ours >= 1.3
