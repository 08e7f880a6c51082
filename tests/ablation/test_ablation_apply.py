"""`poolaudit apply` writes a model that another process loads in plain Keras, or writes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from poolaudit.ablation.surgery import build_variant  # noqa: E402
from poolaudit.ablation.variants import parse_variant  # noqa: E402
from poolaudit.cli.main import main  # noqa: E402
from poolaudit.subject.models import load_model  # noqa: E402
from specimens import ablation_models, models  # noqa: E402


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    code = end.value.code
    assert isinstance(code, int)
    return code


def saved(model: Any, folder: Path) -> Path:
    model.save(folder / "model.keras")
    return folder / "model.keras"


def test_the_written_model_loads_in_a_process_of_its_own_and_predicts_the_variant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = models.sequential_2d()
    file, new = saved(model, tmp_path), tmp_path / "new.keras"
    assert run("apply", file, "--variant", "blur@first", "--out", new) == 0
    told = capsys.readouterr().out
    assert "keras.layers.MaxPooling2D() -> poolaudit.ablation.layers.BlurPooling2D(pool_size=(2, 2))" in told
    assert "Weights kept: 4" in told
    assert "import poolaudit.ablation.layers" in told
    x = ablation_models.inputs_of(model)
    np.save(tmp_path / "x.npy", x)
    script = (
        "import numpy, keras, poolaudit.ablation.layers\n"
        f"model = keras.saving.load_model({str(new)!r})\n"
        f"numpy.save({str(tmp_path / 'y.npy')!r}, model.predict(numpy.load({str(tmp_path / 'x.npy')!r}), verbose=0))\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, capture_output=True, timeout=300)
    expected = build_variant(model, parse_variant("blur@first")).model(x)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-5)


def test_poolaudit_reads_the_models_it_wrote(tmp_path: Path) -> None:
    file, new = saved(models.sequential_2d(), tmp_path), tmp_path / "new.keras"
    assert run("apply", file, "--variant", "gem@all", "--out", new, "--quiet") == 0
    assert load_model(new).keras_model.get_layer("first").pool_size == (2, 2)


def test_what_must_be_trained_is_said_and_the_control_keeps_the_parameters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(ablation_models.preprocessing_inside(), tmp_path)
    assert run("apply", file, "--variant", "removed@pool", "--out", tmp_path / "a.keras", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["must_be_trained"] == ["scores/kernel", "scores/bias"]
    assert told["parameters"] > told["baseline_parameters"]
    assert told["needs_poolaudit"] is False
    assert run("apply", file, "--variant", "removed@pool", "--control", "--out", tmp_path / "b.keras", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parameters"] == told["baseline_parameters"]
    assert told["must_be_trained"] == []


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("blur@frist", "Did you mean 'first'"),
        ("blurr@first", "Did you mean 'blur'"),
        ("max@first", "already"),
        ("average", "names no variant"),
    ],
)
def test_bad_input_ends_in_one_message_and_no_file(
    variant: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(models.sequential_2d(), tmp_path)
    assert run("apply", file, "--variant", variant, "--out", tmp_path / "new.keras") == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.keras"]


def test_files_are_not_replaced_unasked_and_must_be_named_keras(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(models.sequential_2d(), tmp_path)
    before = file.read_bytes()
    assert run("apply", file, "--variant", "average@first", "--out", file) == 2
    assert file.read_bytes() == before
    assert run("apply", file, "--variant", "average@first", "--out", tmp_path / "new.h5") == 2
    assert run("apply", file, "--variant", "average@first") == 2
    assert "use --list" in capsys.readouterr().err
    assert run("apply", file, "--variant", "average@first", "--out", file, "--overwrite", "--quiet") == 0
    assert isinstance(load_model(file).keras_model.get_layer("first"), keras.layers.AveragePooling2D)


def test_a_variant_of_code_is_told_and_not_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = run("apply", "specimens.ablation_models:written", "--variant", "blur@pool", "--out", tmp_path / "new.keras")
    assert code == 2
    told = capsys.readouterr().err
    assert "called by code" in told
    assert "BlurPooling2D" in told
    assert not list(tmp_path.iterdir())


def test_variants_are_listed_with_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("apply", saved(models.sequential_2d(), tmp_path), "--list") == 0
    told = capsys.readouterr().out
    assert "   average@first\n" in told
    assert "-  max@first: it is max pooling already" in told
