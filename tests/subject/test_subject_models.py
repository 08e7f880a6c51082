"""Models load from every form, and what is damaged, unsafe or no model is refused with one clear message."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from poolaudit.errors import InvalidInputError  # noqa: E402
from poolaudit.subject.models import load_model, predict  # noqa: E402
from specimens import models  # noqa: E402

RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.random((5, 16, 16, 1), dtype=np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sound model in every file form, and its own predictions."""
    root = tmp_path_factory.mktemp("models")
    model = models.sequential_2d()
    model.compile(optimizer="adam", loss="categorical_crossentropy")
    np.save(root / "expected.npy", model.predict_on_batch(IMAGES))
    model.save(root / "sound.keras")
    with_old_warning(lambda: model.save(root / "sound.h5"))
    model.save_weights(root / "only.weights.h5")
    model.export(root / "exported", verbose=False)
    return root


def with_old_warning(action: Callable[[], None]) -> None:
    import logging

    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        action()
    finally:
        logger.setLevel(level)


@pytest.mark.parametrize(("file", "form"), [("sound.keras", "keras"), ("sound.h5", "h5"), ("exported", "savedmodel")])
def test_every_file_form_gives_the_same_predictions(folder: Path, file: str, form: str) -> None:
    loaded = load_model(folder / file)
    assert (loaded.format, loaded.source) == (form, file)
    assert loaded.input_shape == (None, 16, 16, 1)
    assert loaded.output_shape == (None, 3)
    assert loaded.parameters == 55
    assert loaded.sha256 is not None
    assert len(loaded.sha256) == 64
    assert not any(str(folder) in note for note in loaded.notes)
    np.testing.assert_allclose(predict(loaded, IMAGES), np.load(folder / "expected.npy"), atol=1e-6)


def test_loading_twice_gives_the_same_hash(folder: Path) -> None:
    assert load_model(folder / "exported").sha256 == load_model(str(folder / "exported")).sha256


def test_code_and_objects_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "audited_recipe.py").write_text(
        "import keras\n\n\ndef build():\n    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    loaded = load_model("audited_recipe:build")
    assert sys.path == before
    assert (loaded.format, loaded.source, loaded.sha256) == ("code", "audited_recipe:build", None)
    assert load_model(models.sequential_1d()).format == "object"
    with pytest.raises(InvalidInputError, match=r"Did you mean 'build'\?"):
        load_model("audited_recipe:buid")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("specimens.models:not_a_model", "is a builtins.str, not a Keras model"),
        ("specimens.models:raising", "raised RuntimeError: no weights here"),
        ("specimens.models:CLASSES", "is a int"),
        ("no_such_module_here:build", "cannot be imported"),
        ("missing.keras", "There is no model 'missing.keras'"),
        (keras.Sequential([keras.Input((8, 8, 1))]), "is a Sequential model without layers"),
        (np.zeros(3), "is a numpy.ndarray, not a Keras model"),
    ],
)
def test_what_is_no_model_is_refused(source: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        load_model(source)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _with_members(root: Path, folder: Path, members: dict[Any, bytes]) -> Path:
    path = Path(shutil.copy(folder / "sound.keras", root / "extended.keras"))
    with zipfile.ZipFile(path, "a") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def _truncated(root: Path, folder: Path) -> Path:
    whole = (folder / "sound.keras").read_bytes()
    return _written(root / "cut.keras", whole[: len(whole) // 2])


def _truncated_h5(root: Path, folder: Path) -> Path:
    whole = (folder / "sound.h5").read_bytes()
    return _written(root / "cut.h5", whole[: len(whole) // 2])


def _empty(root: Path, folder: Path) -> Path:
    return _written(root / "empty.keras", b"")


def _no_model(root: Path, folder: Path) -> Path:
    with h5py.File(root / "data.h5", "w") as file:
        file["numbers"] = np.arange(3)
    return root / "data.h5"


def _weights_only(root: Path, folder: Path) -> Path:
    return folder / "only.weights.h5"


def _h5_named_keras(root: Path, folder: Path) -> Path:
    return Path(shutil.copy(folder / "sound.h5", root / "misnamed.keras"))


def _keras_named_h5(root: Path, folder: Path) -> Path:
    return Path(shutil.copy(folder / "sound.keras", root / "misnamed.h5"))


def _unknown(root: Path, folder: Path) -> Path:
    return _written(root / "model.bin", b"abc")


def _traversal(root: Path, folder: Path) -> Path:
    return _with_members(root, folder, {"../outside.txt": b"x"})


def _absolute(root: Path, folder: Path) -> Path:
    return _with_members(root, folder, {"/outside.txt": b"x"})


def _symbolic_link(root: Path, folder: Path) -> Path:
    link = zipfile.ZipInfo("assets/link")
    link.external_attr = 0o120777 << 16
    return _with_members(root, folder, {link: b"../../secret"})


def _bomb(root: Path, folder: Path) -> Path:
    path = root / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (65 * 2**20))
        archive.writestr("model.weights.h5", b"")
    return path


def _without_weights(root: Path, folder: Path) -> Path:
    path = root / "bare.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", b"{}")
    return path


def _bad_json(root: Path, folder: Path) -> Path:
    path = root / "json.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", b"[" * 100_000)
        archive.writestr("model.weights.h5", b"")
    return path


def _external_link(root: Path, folder: Path) -> Path:
    path = Path(shutil.copy(folder / "sound.h5", root / "linked.h5"))
    with h5py.File(path, "r+") as file:
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/secret")
    return path


def _plain_folder(root: Path, folder: Path) -> Path:
    (root / "nothing").mkdir()
    return root / "nothing"


def _damaged_folder(root: Path, folder: Path) -> Path:
    shutil.copytree(folder / "exported", root / "damaged")
    _written(root / "damaged" / "saved_model.pb", b"\xff\xff\xff")
    return root / "damaged"


def _without_variables(root: Path, folder: Path) -> Path:
    shutil.copytree(folder / "exported", root / "hollow")
    shutil.rmtree(root / "hollow" / "variables")
    return root / "hollow"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_truncated, "damaged or incomplete"),
        (_truncated_h5, "damaged or no HDF5"),
        (_empty, "damaged or incomplete"),
        (_no_model, "holds no Keras model"),
        (_weights_only, "weights only"),
        (_h5_named_keras, "is a HDF5 file.*Rename it to end in .h5"),
        (_keras_named_h5, "is a ZIP file.*Rename it to end in .keras"),
        (_unknown, "no suffix of a model file"),
        (_traversal, "members that point outside it"),
        (_absolute, "members that point outside it"),
        (_symbolic_link, "symbolic links"),
        (_bomb, "implausible size"),
        (_without_weights, "without model.weights.h5"),
        (_bad_json, "not readable JSON"),
        (_external_link, "an external link"),
        (_plain_folder, "without saved_model.pb"),
        (_damaged_folder, "is damaged"),
        (_without_variables, "cannot be loaded as a SavedModel"),
    ],
)
def test_damaged_and_unsafe_files_are_refused(
    make: Callable[[Path, Path], Path], message: str, tmp_path: Path, folder: Path
) -> None:
    path = make(tmp_path, folder)
    with pytest.raises(InvalidInputError, match=message) as refusal:
        load_model(path)
    assert str(tmp_path) not in str(refusal.value)
    assert not (tmp_path.parent / "outside.txt").exists()


def _payload(target: Path) -> Any:
    """A model whose Lambda writes a file when it is called."""
    source = f"lambda x: (open({str(target)!r}, 'w').close(), x)[1]"
    inputs = keras.Input((4,))
    x = keras.layers.Lambda(eval(source), output_shape=(4,), name="hidden")(inputs)  # noqa: S307
    return keras.Model(inputs, keras.layers.Dense(2)(x))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_lambda_is_refused_unrun_and_runs_only_when_trusted(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / "written"
    path = tmp_path / f"payload{suffix}"
    with_old_warning(lambda: _payload(target).save(path))
    target.unlink(missing_ok=True)
    with pytest.raises(InvalidInputError, match=r"'hidden' \(Lambda: Python byte code\).*--trust-model-code"):
        load_model(path)
    assert not target.exists()
    trusted = load_model(path, trust_model_code=True)
    predict(trusted, np.ones((1, 4), np.float32))
    assert target.exists()


def test_unregistered_custom_layer_is_refused_and_a_registered_one_loads(tmp_path: Path) -> None:
    path = tmp_path / "custom.keras"
    models.custom_layers().save(path)
    assert load_model(path).format == "keras"
    known = dict(keras.saving.get_custom_objects())
    try:
        keras.saving.get_custom_objects().clear()
        with pytest.raises(InvalidInputError, match="custom MinimumPooling of module"):
            load_model(path)
        assert load_model(path, trust_model_code=True).format == "keras"
    finally:
        keras.saving.get_custom_objects().update(known)


def test_custom_loss_is_left_out_and_said(tmp_path: Path) -> None:
    def steep(true: Any, predicted: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(true - predicted))

    model = models.dense("softmax", 3, loss=steep)
    model.save(tmp_path / "loss.keras")
    with_old_warning(lambda: model.save(tmp_path / "loss.h5"))
    for name in ("loss.keras", "loss.h5"):
        loaded = load_model(tmp_path / name)
        assert any("compile=False" in note for note in loaded.notes), name


def _as_keras_2(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        edit(config)
        file.attrs["model_config"] = json.dumps(config)


def _input_shape_on_first_layer(config: dict[str, Any]) -> None:
    stored = config["config"]["layers"]
    first = stored.pop(0)
    config["config"].pop("build_input_shape", None)
    for layer in stored:
        for key in ("module", "registered_name", "build_config"):
            layer.pop(key, None)
    stored[0]["config"]["batch_input_shape"] = first["config"]["batch_shape"]


def test_legacy_input_shape_is_mended_and_said(tmp_path: Path) -> None:
    model = models.dense("softmax", 3)
    with_old_warning(lambda: model.save(tmp_path / "old.h5"))
    before = (tmp_path / "old.h5").read_bytes()
    _as_keras_2(tmp_path / "old.h5", _input_shape_on_first_layer)
    assert (tmp_path / "old.h5").read_bytes() != before
    with pytest.warns(UserWarning, match="input_shape"):
        misread = keras.saving.load_model(tmp_path / "old.h5", compile=False)
    assert misread.input_shape == (None, None, 4)  # the trap itself: an axis too many, and no error
    loaded = load_model(tmp_path / "old.h5")
    assert loaded.input_shape == (None, 4)
    assert any("mended" in note for note in loaded.notes)
    x = RANDOM.random((6, 4), dtype=np.float32)
    np.testing.assert_allclose(predict(loaded, x), model.predict_on_batch(x), atol=1e-6)


def test_legacy_convolution_model_loads_after_mending(tmp_path: Path, folder: Path) -> None:
    path = Path(shutil.copy(folder / "sound.h5", tmp_path / "old.h5"))
    _as_keras_2(path, _input_shape_on_first_layer)
    loaded = load_model(path)
    np.testing.assert_allclose(predict(loaded, IMAGES), np.load(folder / "expected.npy"), atol=1e-6)


def test_stored_shape_that_contradicts_the_weights_is_refused(tmp_path: Path, folder: Path) -> None:
    path = Path(shutil.copy(folder / "sound.h5", tmp_path / "wrong.h5"))

    def three_channels(config: dict[str, Any]) -> None:
        config["config"]["layers"][0]["config"]["batch_shape"][-1] = 3
        config["config"]["build_input_shape"][-1] = 3
        for layer in config["config"]["layers"]:
            layer.pop("build_config", None)

    _as_keras_2(path, three_channels)
    with pytest.raises(InvalidInputError, match=r"declares the input shape \(None, 16, 16, 3\).*1 channels"):
        load_model(path)


class _Writing(tf.Module):
    def __init__(self, target: str) -> None:
        self.target = target

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32)])
    def write(self, x: Any) -> Any:
        tf.io.write_file(self.target, "x")
        return {"y": x}


def test_saved_model_that_writes_files_is_refused_unrun(tmp_path: Path) -> None:
    module = _Writing(str(tmp_path / "written"))
    tf.saved_model.save(module, str(tmp_path / "writing"), signatures={"serving_default": module.write})
    with pytest.raises(InvalidInputError, match=r"read or write files or run Python \(WriteFile\)"):
        load_model(tmp_path / "writing")
    assert not (tmp_path / "written").exists()
    predict(load_model(tmp_path / "writing", trust_model_code=True), np.ones((1, 4), np.float32))
    assert (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 16, 16), r"Add a channel axis: x\[..., numpy.newaxis\]"),
        ((5, 16, 16, 3), "Give inputs with 1 channels; these have 3"),
        ((5, 28, 28, 1), "--resize 16x16"),
        ((5, 1, 16, 16), "Move the channels to the last axis"),
        ((5, 256), "Give inputs with 4 axes"),
        ((0, 16, 16, 1), "at least one input"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_the_cure(shape: tuple[int, ...], message: str, folder: Path) -> None:
    with pytest.raises(InvalidInputError, match=message):
        predict(load_model(folder / "sound.keras"), np.zeros(shape))


def test_bad_values_are_refused(folder: Path) -> None:
    loaded = load_model(folder / "sound.keras")
    spoiled = IMAGES.copy()
    spoiled[2, 0, 0, 0] = np.nan
    with pytest.raises(InvalidInputError, match="1 of 5 inputs hold NaN"):
        predict(loaded, spoiled)
    with pytest.raises(InvalidInputError, match="dtype object"):
        predict(loaded, np.empty((2, 16, 16, 1), dtype=object))
    with pytest.raises(InvalidInputError, match="has 2 outputs"):
        predict(load_model(models.two_outputs()), np.zeros((2, 4)))
    broken = models.dense(None, 2)
    broken.layers[-1].bias.assign([np.inf, 0.0])
    with pytest.raises(InvalidInputError, match="NaN or infinity for 2 of 2 inputs"):
        predict(load_model(broken), np.zeros((2, 4)))


def test_prediction_is_deterministic_and_independent_of_the_batch_size(folder: Path) -> None:
    loaded = load_model(folder / "sound.keras")
    seen: list[tuple[int, int]] = []
    whole = predict(loaded, IMAGES)
    parts = predict(loaded, IMAGES, batch_size=2, on_batch=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, parts, atol=1e-6)
    assert np.array_equal(whole, predict(loaded, IMAGES))
    assert len(loaded.compiled) == 1


def test_a_fixed_batch_is_filled_up_and_cut() -> None:
    model = keras.Sequential([keras.Input(batch_shape=(4, 4)), keras.layers.Dense(2)])
    x = RANDOM.random((6, 4), dtype=np.float32)
    expected = x @ np.asarray(model.layers[0].kernel)
    np.testing.assert_allclose(predict(load_model(model), x), expected, atol=1e-6)


def test_a_subclassed_model_takes_the_shape_it_was_built_with() -> None:
    loaded = load_model(models.subclassed())
    assert (loaded.input_shape, loaded.output_shape) == ((None, 16, 16, 1), (None, 3))
    assert predict(loaded, IMAGES).shape == (5, 3)
