"""Every door refuses every bad input: exit code 2, one message, no traceback, no hang, nothing written, nothing run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hostile_attempt import OUT, TALLY, attempt
from hostile_data import DATA, PREDICTIONS
from hostile_documents import BASELINES, POLICIES, RESULTS, Maker
from hostile_models import MODELS

pytestmark = pytest.mark.usefixtures("tally")

# Where the bad input goes ("{}"), and where the sound things lie ("sound/").
MODEL_DOORS = {
    "audit": "audit {} --test sound/test.npz --out out",
    "inspect": "inspect {} --out out",
    "check": "check {} --out out",
    "ablate": "ablate {} --train sound/train.npz --test sound/test.npz --store out/store --out out",
    "apply": "apply {} --variant average@all --out out.keras",
    "bench": "bench {} --out out",
}
DATA_DOORS = {
    "audit --test": "audit sound/model.keras --test {} --out out",
    "audit --train": "audit sound/model.keras --test sound/test.npz --train {} --out out",
    "leaks --test": "leaks --train sound/train.npz --test {} --out out",
    "leaks --train": "leaks --train {} --test sound/test.npz --out out",
    "ablate --train": "ablate sound/model.keras --train {} --test sound/test.npz --store out/store --out out",
}
PREDICTION_DOORS = {
    "metrics": "metrics {} --positive b --out out",
    "metrics --validation": "metrics sound/predictions.csv --validation {} --out out",
}
POLICY_DOORS = {
    "metrics --policy": "metrics sound/predictions.csv --policy {} --out out",
    "report --policy": "report sound/result.json --policy {} --out out",
    "leaks --policy": "leaks --train sound/train.npz --test sound/test.npz --policy {} --out out",
}
BASELINE_DOORS = {
    "metrics --baseline": "metrics sound/predictions.csv --baseline {} --out out",
    "report --baseline": "report sound/result.json --baseline {} --out out",
    "diff --baseline": "diff sound/result.json sound/result.json --baseline {} --out out",
    "audit --baseline": "audit sound/model.keras --test sound/test.npz --baseline {} --out out",
}
RESULT_DOORS = {
    "report": "report {} --out out",
    "diff OLD": "diff {} sound/result.json --out out",
    "diff NEW": "diff sound/result.json {} --out out",
    "accept": "accept {} --reason r --expires 2099-01-01 --baseline out.toml",
    "bench --against": "bench sound/model.keras --against {} --out out",
}


KINDS: dict[str, tuple[Mapping[str, str], Mapping[str, Maker]]] = {
    "models": (MODEL_DOORS, MODELS),
    "data": (DATA_DOORS, DATA),
    "predictions": (PREDICTION_DOORS, PREDICTIONS),
    "policies": (POLICY_DOORS, POLICIES),
    "baselines": (BASELINE_DOORS, BASELINES),
    "results": (RESULT_DOORS, RESULTS),
}


def matrix() -> list[Any]:
    """Every input at every door: at one of them, each in its turn, by default, and at the others among the slow."""
    return [
        pytest.param(kind, door, name, marks=() if at % len(doors) == which else pytest.mark.slow)
        for kind, (doors, inputs) in KINDS.items()
        for at, name in enumerate(inputs)
        for which, door in enumerate(doors)
    ]


def refused(command: str, bad: str, folder: Path, sound: Path) -> None:
    """Runs the command in the folder and holds it to what every refusal owes."""
    (folder / "sound").symlink_to(sound)
    done = attempt([word.replace("{}", bad).replace("sound/", f"{sound}/") for word in command.split()], folder)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert len(done.messages) == 1, done.err
    assert done.err.rstrip().splitlines()[-1] == done.messages[0]
    assert 20 < len(done.messages[0]) < 2000, done.messages[0]
    assert done.out == ""
    assert not done.touched
    assert not [path for path in (folder / OUT).rglob("*") if path.is_file() and path.name != "lock"]


@pytest.mark.parametrize(("kind", "door", "name"), matrix())
def test_every_door_refuses(kind: str, door: str, name: str, tmp_path: Path, sound: Path) -> None:
    doors, inputs = KINDS[kind]
    refused(doors[door], inputs[name](tmp_path, sound), tmp_path, sound)


def test_enough_was_tried() -> None:
    """Counts what this module holds, whichever of it was chosen to run."""
    assert sum(len(inputs) for _, inputs in KINDS.values()) >= 200
    assert TALLY.tracebacks == TALLY.hangs == TALLY.written_outside == 0
