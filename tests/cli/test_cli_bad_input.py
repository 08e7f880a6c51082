"""Bad input: exit code 2, one message that says what to do, nothing on standard output, nothing written."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from poolaudit.cli.main import main

Maker = Callable[[Path, Any], list[str]]


def predictions(folder: Path, text: str, *options: str) -> list[str]:
    (folder / "p.csv").write_text(text)
    return ["metrics", "p.csv", *options]


def audit(folder: Path, digits: Any, *options: str, model: Path | str | None = None, **arrays: Any) -> list[str]:
    """`poolaudit audit` of the trained model on the given arrays, the real ones by default."""
    np.savez(folder / "t.npz", **({"x": digits.x, "y": digits.y} | arrays))
    return ["audit", str(model or digits.model_file), "--test", "t.npz", *options]


def truncated_model(folder: Path, digits: Any) -> list[str]:
    (folder / "m.keras").write_bytes(digits.model_file.read_bytes()[:4000])
    return audit(folder, digits, model="m.keras")


def hdf5_without_model(folder: Path, digits: Any) -> list[str]:
    with h5py.File(folder / "m.h5", "w") as file:
        file["x"] = np.arange(5)
    return audit(folder, digits, model="m.h5")


def zip_without_model(folder: Path, digits: Any) -> list[str]:
    with zipfile.ZipFile(folder / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    return audit(folder, digits, model="m.keras")


def renamed_pickle(folder: Path, digits: Any) -> list[str]:
    (folder / "p.npz").write_bytes(pickle.dumps({"label": [0, 1]}))
    return ["metrics", "p.npz"]


def object_arrays(folder: Path, digits: Any) -> list[str]:
    np.savez(folder / "p.npz", label=np.array(["a", 1], dtype=object), predicted=np.array([0, 1]))
    return ["metrics", "p.npz"]


def not_finite(value: float) -> Maker:
    def make(folder: Path, digits: Any) -> list[str]:
        x = digits.x.copy()
        x[3, 2, 1, 0] = value
        return audit(folder, digits, x=x)

    return make


def one_image(folder: Path, name: str, size: tuple[int, int]) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, 77).save(folder / name)


def unreadable_image(folder: Path, digits: Any) -> list[str]:
    for name in ("0/a.png", "1/a.png"):
        one_image(folder / "images", name, (8, 8))
    (folder / "images" / "1" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return ["audit", str(digits.model_file), "--test", "images"]


def mixed_image_sizes(folder: Path, digits: Any) -> list[str]:
    one_image(folder / "images", "0/a.png", (8, 8))
    one_image(folder / "images", "1/a.png", (9, 8))
    return ["audit", str(digits.model_file), "--test", "images"]


def with_policy(text: str, name: str = "ours.toml", ask: str = "ours.toml") -> Maker:
    def make(folder: Path, digits: Any) -> list[str]:
        (folder / name).write_text(text)
        return predictions(folder, GOOD, "--policy", ask)

    return make


def taken_output(folder: Path, digits: Any) -> list[str]:
    (folder / "taken").write_text("a file")
    return predictions(folder, GOOD, "--out", "taken/below")


def report_of(content: bytes | None) -> Maker:
    def make(folder: Path, digits: Any) -> list[str]:
        if content is not None:
            (folder / "r.json").write_bytes(content)
        return ["report", "r.json", "--out", "out"]

    return make


GOOD = "label,p_a,p_b\n" + "a,0.9,0.1\nb,0.2,0.8\n" * 30

# Name: how it is made, and what the message must say.
CASES: dict[str, tuple[Maker, str]] = {
    "missing predictions": (lambda f, d: ["metrics", "nowhere.csv"], "nowhere.csv"),
    "misspelt predictions": (lambda f, d: [*predictions(f, GOOD)[:1], "pp.csv"], "Did you mean 'p.csv'"),
    "missing model": (lambda f, d: audit(f, d, model="nowhere.keras"), "nowhere.keras"),
    "missing test data": (lambda f, d: ["audit", str(d.model_file), "--test", "nowhere.npz"], "nowhere.npz"),
    "truncated keras file": (truncated_model, "m.keras"),
    "keras file without a model": (zip_without_model, "m.keras"),
    "hdf5 that is no model": (hdf5_without_model, "m.h5"),
    "pickle renamed npz": (renamed_pickle, "pickles are never opened"),
    "object arrays": (object_arrays, "object"),
    "wrong rank": (lambda f, d: audit(f, d, x=d.x.reshape(len(d.x), -1)), "64"),
    "wrong channel count": (lambda f, d: audit(f, d, x=np.repeat(d.x, 3, axis=-1)), "3"),
    "labels outside the classes": (lambda f, d: audit(f, d, y=d.y + 5), "15 classes"),
    "negative labels": (lambda f, d: audit(f, d, y=d.y - 1), "-1"),
    "one class only": (lambda f, d: audit(f, d, y=np.zeros_like(d.y)), "class"),
    "one class only in predictions": (lambda f, d: predictions(f, "label,predicted\na,a\na,b\n"), "two classes"),
    "empty split": (lambda f, d: audit(f, d, x=d.x[:0], y=d.y[:0]), "t.npz"),
    "empty predictions": (lambda f, d: predictions(f, "label,predicted\n"), "no rows"),
    "empty file": (lambda f, d: predictions(f, ""), "p.csv"),
    "nan in inputs": (not_finite(np.nan), "NaN"),
    "infinity in inputs": (not_finite(np.inf), "infinit"),
    "nan in scores": (lambda f, d: predictions(f, "label,p_a,p_b\na,nan,0.1\nb,0.2,0.8\n"), "row 1"),
    "infinity in scores": (lambda f, d: predictions(f, "label,p_a,p_b\na,0.9,0.1\nb,inf,0.8\n"), "row 2"),
    "no probabilities": (lambda f, d: predictions(f, "label,p_a,p_b\na,9,1\nb,-2,8\n"), "[0, 1]"),
    "sums not one": (lambda f, d: predictions(f, "label,p_a,p_b\na,0.9,0.3\nb,0.2,0.8\n"), "do not sum to 1"),
    "misspelt class": (lambda f, d: predictions(f, GOOD, "--positive", "c"), "'b'"),
    "misspelt longer class": (
        lambda f, d: predictions(f, "label,predicted\nfraud,fraud\nfine,fine\n", "--positive", "fruad"),
        "Did you mean 'fraud'",
    ),
    "misspelt class with a model": (lambda f, d: audit(f, d, "--positive", "ten"), "ten"),
    "mismatched lengths": (lambda f, d: audit(f, d, y=d.y[:-1]), "599"),
    "unreadable image": (unreadable_image, "b.png"),
    "mixed image sizes": (mixed_image_sizes, "--resize"),
    "no label column": (lambda f, d: predictions(f, "lable,predicted\na,a\nb,b\n"), "Rename column 'lable'"),
    "unknown policy key": (with_policy("good_recal = 0.9"), "Did you mean 'good_recall'"),
    "policy out of range": (with_policy("good_recall = 85"), "from 0 to 1"),
    "policy that is no toml": (with_policy("good_recall"), "TOML"),
    "misspelt policy file": (with_policy("", ask="our.toml"), "Did you mean 'ours.toml'"),
    "unwritable output": (taken_output, "--out"),
    "output below a device": (lambda f, d: predictions(f, GOOD, "--out", "/dev/null/below"), "--out"),
    "unknown command": (lambda f, d: ["audti"], "audit"),
    "unknown option": (lambda f, d: ["metrics", "p.csv", "--positve", "a"], "--positive"),
    "missing argument": (lambda f, d: ["metrics"], "Missing argument"),
    "missing option": (lambda f, d: ["audit", "m.keras"], "--test"),
    "seed that is no number": (lambda f, d: predictions(f, GOOD, "--seed", "x"), "--seed"),
    "negative seed": (lambda f, d: predictions(f, GOOD, "--seed", "-1"), "--seed"),
    "unknown fail level": (lambda f, d: predictions(f, GOOD, "--fail-level", "fatal"), "critical"),
    "bad resize": (lambda f, d: audit(f, d, "--resize", "big"), "HEIGHTxWIDTH"),
    "bad class list": (lambda f, d: audit(f, d, "--classes", "a,,b"), "--classes"),
    "unknown stage to skip": (
        lambda f, d: audit(f, d, "--skip-stage", "leaks"),
        "'geometry', 'evaluation', 'conformance', 'ablation', 'leakage'",
    ),
    "nothing left to run": (lambda f, d: audit(f, d, "--stage", "geometry", "--skip-stage", "geometry"), "skipped"),
    "minutes without training data": (lambda f, d: audit(f, d, "--minutes", "5"), "--minutes"),
    "seeds of a quick audit": (
        lambda f, d: audit(f, d, "--train", "t.npz", "--budget", "quick", "--seeds", "5"),
        "trains nothing",
    ),
    "epochs without the ablation": (
        lambda f, d: audit(f, d, "--train", "t.npz", "--skip-stage", "ablation", "--epochs", "5"),
        "--epochs",
    ),
    "too few seeds": (lambda f, d: audit(f, d, "--train", "t.npz", "--seeds", "2"), "--seeds"),
    "unknown check": (lambda f, d: ["explain", "PA2O1"], "'PA201', 'PA202'"),
    "missing result": (report_of(None), "r.json"),
    "truncated result": (report_of(b'{"schema_version": 1,'), "r.json"),
    "result of another version": (report_of(b'{"schema_version": 7}'), "schema version 7"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trained_digits: Any
) -> None:
    make, said = CASES[name]
    monkeypatch.chdir(tmp_path)
    arguments = make(tmp_path, trained_digits)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as end:
        main(arguments)
    out, err = capsys.readouterr()
    assert end.value.code == 2, err
    assert out == ""
    lines = err.strip().splitlines()
    messages = [line for line in lines if line.startswith("poolaudit: ")]
    assert len(messages) == 1, err
    assert lines[-1] == messages[0]
    progress = [line for line in lines[:-1] if not line.startswith("Usage:")]
    assert all(line.endswith((" ...", " s")) for line in progress), err
    assert "Traceback" not in err
    assert said in err
    assert str(tmp_path) not in messages[0].replace(str(trained_digits.folder), "") or "--policy" in arguments
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_another_backend_of_keras_is_refused_in_one_sentence(backend: str, tmp_path: Path) -> None:
    """Whether that backend is installed or not; its absence would be no defect of poolaudit's."""
    command = [sys.executable, "-m", "poolaudit", "audit", "model.keras", "--test", "test.npz"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "KERAS_BACKEND": backend}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert f"Keras runs on the {backend} backend" in done.stderr
    assert "poolaudit metrics" in done.stderr
    assert "Traceback" not in done.stderr
