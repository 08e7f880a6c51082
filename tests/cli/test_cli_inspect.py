"""`poolaudit inspect`: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest

from poolaudit.cli.main import main
from poolaudit.store.results import load_result
from specimens.geometry_models import layers, nothing_dropped, sequential, stride_beyond_window


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("inspected")
    nothing_dropped().save(place / "sound.keras")
    stride_beyond_window().save(place / "blind.keras")
    sequential((None, None, 1), layers.Conv2D(2, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)).save(
        place / "open.keras"
    )
    return place


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["inspect", *arguments])
    return int(str(ended.value.code))


def test_a_sound_network_ends_with_0(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(folder / "sound.keras"), "--out", str(tmp_path / "out")) == 0
    told = capsys.readouterr().out
    assert "Blind cells of input: none" in told
    assert "PA301" in told
    result = load_result(tmp_path / "out")
    assert result.scope == "geometry"
    assert {finding.code[:3] for finding in result.findings} == {"PA3"}
    assert result.evidence.geometry is not None
    assert result.evidence.geometry.layers[0].fields[0].size == 3
    assert "Receptive fields" in (tmp_path / "out" / "report.html").read_text()


def test_blind_spots_end_with_1_and_json_is_all_there_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(folder / "blind.keras"), "--json", "--feature-size", "3", "--out", str(tmp_path)) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["evidence"]["geometry"]["coverage"][0]["blind"] == 192
    assert printed["evidence"]["geometry"]["feature_size"] == 3.0


def test_open_sizes_need_a_shape(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "none"
    assert run(str(folder / "open.keras"), "--out", str(out)) == 2
    assert "--input-shape 224x224x3" in capsys.readouterr().err
    assert not (out / "report.html").exists()
    assert run(str(folder / "open.keras"), "--input-shape", "20x30x1", "--out", str(out), "--quiet") == 0
    geometry = load_result(out).evidence.geometry
    assert geometry is not None
    assert geometry.input_sizes == (20, 30)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sound.keras", "--input-shape", "big"], "--input-shape is 'big'"),
        (["sound.keras", "--input-shape", "16x16x3"], "does not fit"),
        (["sound.keras", "--feature-size", "-1"], "--feature-size"),
        (["missing.keras"], "There is no model"),
    ],
)
def test_bad_usage_ends_with_2(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(str(folder / arguments[0]), *arguments[1:], "--out", str(tmp_path)) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_resnet50_is_inspected_in_two_seconds() -> None:
    import time

    import poolaudit

    model = keras.applications.ResNet50(weights=None)
    clock = time.perf_counter()
    evidence = poolaudit.inspect_pooling(model)
    assert time.perf_counter() - clock < 2.0
    assert len(evidence.layers) > 150
