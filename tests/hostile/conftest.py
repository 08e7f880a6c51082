"""What hostile input is made from: a trained model in every form, its data, and a real result."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_attempt import TALLY

from poolaudit.cli.main import main
from specimens.outcomes import save_overlapping


@pytest.fixture(scope="session")
def sound(trained_digits: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.keras, model.h5, exported/, test.npz, train.npz, predictions.csv and result.json."""
    folder = tmp_path_factory.mktemp("sound")
    shutil.copy(trained_digits.model_file, folder / "model.keras")
    shutil.copy(trained_digits.test_file, folder / "test.npz")
    shutil.copy(trained_digits.validation_file, folder / "train.npz")
    trained_digits.model.save(folder / "model.h5")
    trained_digits.model.export(folder / "exported", verbose=False)
    save_overlapping(folder / "predictions.csv", 200)
    with pytest.raises(SystemExit):
        main(["metrics", str(folder / "predictions.csv"), "--positive", "b", "--out", str(folder / "out"), "--quiet"])
    shutil.move(folder / "out" / "result.json", folder / "result.json")
    shutil.rmtree(folder / "out")
    return folder


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[None]:
    """Prints what the attempts of a module came to."""
    yield
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{TALLY.line()}")


@pytest.fixture(autouse=True)
def standing_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt ends what it started, although tests share processes otherwise."""
    from poolaudit.conformance import sandbox

    monkeypatch.setattr(sandbox, "_SHELF", sandbox._Shelf())
