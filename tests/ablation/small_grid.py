"""A few small trials for tests of executors, and a process of its own that runs them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ablation_recipes

from poolaudit.ablation.executors.executor import TrialDone
from poolaudit.ablation.executors.local import LocalExecutor
from poolaudit.ablation.trial import ModelSource, TrainingPlan, TrialSpec, make_spec, search_path
from poolaudit.store.trials import TrialStore

SPLITS = {"train": (300, 0), "test": (80, 1), "validation": (60, 2)}


def filled(folder: Path) -> tuple[TrialStore, dict[str, str]]:
    store = TrialStore(folder)
    for name, (items, seed) in SPLITS.items():
        x, y = ablation_recipes.data(items, seed)
        store.keep_array(f"x-{name}", x)
        store.keep_array(f"y-{name}", y)
    return store, {name: name for name in SPLITS} | {"classes": "2"}


def specs(data: dict[str, str], recipe: str = "short", seeds: int = 2, epochs: int = 4) -> list[TrialSpec]:
    source = ModelSource(None, f"ablation_recipes:{recipe}", search_path(), fingerprint=recipe)
    plan = TrainingPlan(epochs, 32, {"class_weight": {"0": 1.0, "1": 1.5}})
    return [make_spec(arm, seed, source, plan, data) for seed in range(seeds) for arm in ("baseline", "weaker@stem")]


def run(
    executor: LocalExecutor, wanted: list[TrialSpec], also: Callable[[object], None] = lambda event: None
) -> dict[str, TrialDone]:
    """The trials by key; none may be told of twice."""
    done: dict[str, TrialDone] = {}

    def heard(event: object) -> None:
        also(event)
        if isinstance(event, TrialDone):
            assert event.spec.key not in done, "no trial is counted twice"
            done[event.spec.key] = event

    executor.run(wanted, heard)
    return done


def stored(store: TrialStore, wanted: list[TrialSpec]) -> dict[str, tuple[Any, ...]]:
    """What each trial that is there left behind, to the last bit."""
    found = {spec.key: store.read(spec.key) for spec in wanted}
    return {
        key: (trial.facts["history"], *(trial.arrays[name].tobytes() for name in sorted(trial.arrays)))
        for key, trial in found.items()
        if trial is not None
    }


def outputs(store: TrialStore, wanted: list[TrialSpec]) -> list[bytes]:
    found = [store.read(spec.key) for spec in wanted]
    assert all(found), "no trial is lost"
    return [trial.arrays["test"].tobytes() for trial in found if trial is not None]


_PARENT = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from small_grid import filled, specs, run
from poolaudit.ablation.executors.local import LocalExecutor
store, data = filled(Path({folder!r}))
with LocalExecutor(store, workers=2) as executor:
    print("started", flush=True)
    run(executor, specs(data, seeds={seeds}, epochs={epochs}), lambda event: print("event", flush=True))
"""


def parent(folder: Path, seeds: int, epochs: int) -> subprocess.Popen[str]:
    """A process that runs the trials with two workers; it writes a line when it starts and one for every event."""
    path = [str(Path(__file__).parent), *search_path()]
    code = textwrap.dedent(_PARENT).format(path=path, folder=str(folder), seeds=seeds, epochs=epochs)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]
