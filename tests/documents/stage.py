"""What the documents take as given: a model, its data, predictions, layers of one's own, an earlier result."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from documents.blocks import ROOT

_MAKE = """
import pathlib
import keras
import numpy as np
from mypackage.models import build, pictures

keras.utils.set_random_seed(0)
arrays = {}
for name, items, seed in (("train", 500, 1), ("validation", 300, 2), ("test", 400, 3)):
    x, y = arrays[name] = pictures(items, seed)
    np.savez(f"{name}.npz", x=x, y=y, class_names=["ok", "fraud"])
model = build()
model.fit(*arrays["train"], epochs=6, verbose=0)
model.save("model.keras")
keras.Sequential([
    keras.Input((None, None, 3)), keras.layers.MaxPooling2D(2), keras.layers.Conv2D(4, 3),
    keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax"),
]).save("open_sizes.keras")
x, y = arrays["test"]
scores = model.predict(x, verbose=0)[:, 1]
rows = [f"{('ok', 'fraud')[label]},{1 - score:.6f},{score:.6f}" for label, score in zip(y, scores)]
pathlib.Path("predictions.csv").write_text("\\n".join(["label,p_ok,p_fraud", *rows]) + "\\n")
"""
_GIVEN = """
import numpy as np
import poolaudit
from mypackage.models import build, pictures
x_train, y_train = pictures(500, 1)
x_test, y_test = pictures(400, 3)
model = build()
"""


def set_stage(folder: Path) -> None:
    """Writes all of it into the folder, with real trainings and commands."""
    package = folder / "mypackage"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name in ("layers", "models"):
        shutil.copy(Path(__file__).with_name(f"given_{name}.py"), package / f"{name}.py")
    (folder / "make.py").write_text(_MAKE)
    (folder / "given.py").write_text(_GIVEN)
    run([sys.executable, "make.py"], folder)
    poolaudit = [sys.executable, "-m", "poolaudit"]
    test = ["--test", "test.npz", "--positive", "fraud", "--budget", "quick"]
    run([*poolaudit, "audit", "model.keras", *test, "--out", "poolaudit-report"], folder)
    run([*poolaudit, "apply", "model.keras", "--variant", "blur@pool2", "--out", "new.keras"], folder)
    shutil.copytree(folder / "poolaudit-report", folder / "last-release")


def copy_of_checkout(folder: Path) -> Path:
    """What a newcomer has after `git clone`: the files that git knows, as they are now."""
    copy = folder / "checkout"
    if not copy.exists():
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(lambda name: (ROOT / name).exists(), listed.splitlines()):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


def run(command: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs it with `poolaudit`, `python` and `pytest` on the search path; raises where it ends with neither 0 nor 1."""
    programs = folder / ".programs"
    if not programs.exists():
        programs.mkdir()
        for name, words in (("poolaudit", "-m poolaudit"), ("python", ""), ("pytest", "-m pytest")):
            script = programs / name
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MLFLOW_TRACKING_URI": (folder / "runs").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        shell=isinstance(command, str),
        timeout=1_800,
    )
    if done.returncode not in (0, 1) or "Traceback (most recent call last)" in done.stderr:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done
