"""Fingerprints: the same for the same content, another for another, none for code."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from poolaudit.audit.content import NoFingerprint, _environment, content_key, fingerprint
from poolaudit.policy import Policy
from poolaudit.testing.cache import key_of


def test_the_same_content_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.npz").write_bytes(b"content")
    assert fingerprint(tmp_path / "a" / "x.npz") == fingerprint(str(tmp_path / "b" / "x.npz"))
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    (tmp_path / "b" / "x.npz").write_bytes(b"contenT")
    assert fingerprint(tmp_path / "a" / "x.npz") != fingerprint(tmp_path / "b" / "x.npz")
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


def test_arrays_differ_by_content_dtype_and_shape() -> None:
    base = np.arange(6)
    others = (base.astype(np.float32), base.reshape(2, 3), base + 1, np.array(["a"], dtype=object), base[::-1])
    assert len({fingerprint(a) for a in (base, *others)}) == 6
    assert fingerprint(base) == fingerprint(base.copy())
    assert fingerprint((base, base)) != fingerprint(base)


def test_policies_and_plain_values_differ() -> None:
    assert fingerprint(Policy()) == fingerprint(Policy())
    assert fingerprint(Policy(good_recall=0.9)) != fingerprint(Policy())
    assert fingerprint("fraud") != fingerprint(None)
    assert fingerprint(1) != fingerprint("1")
    assert fingerprint("sklearn:digits/test") == fingerprint("sklearn:digits/test")


@pytest.mark.parametrize("code", ["package.module:function", lambda: 0, object(), iter(())])
def test_code_has_no_fingerprint_and_is_measured_again(code: object) -> None:
    with pytest.raises(NoFingerprint):
        fingerprint(code)
    assert key_of("audit", {"model": code}) is None


def test_models_differ_by_weights_and_configuration() -> None:
    import keras

    def model(units: int = 2, value: float = 0.5) -> keras.Model:
        made = keras.Sequential([keras.Input((4,), name="i"), keras.layers.Dense(units, name="d")], name="m")
        made.set_weights([np.full(w.shape, value) for w in made.get_weights()])
        return made

    base = fingerprint(model())
    assert fingerprint(model()) == base
    assert fingerprint(model(value=0.6)) != base
    assert fingerprint(model(units=3)) != base

    class Own(keras.layers.Layer):
        def call(self, x: object) -> object:
            return x

    with pytest.raises(NoFingerprint):
        fingerprint(keras.Sequential([keras.Input((4,)), Own()]))


def test_a_manifest_counts_with_the_images_it_names(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"first")
    (tmp_path / "test.csv").write_text("path,label\na.png,x\n")
    before = fingerprint(tmp_path / "test.csv")
    assert fingerprint(tmp_path / "test.csv") == before
    (tmp_path / "a.png").write_bytes(b"other")
    assert fingerprint(tmp_path / "test.csv") != before


def test_a_link_in_a_folder_is_not_followed_and_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "link").symlink_to(tmp_path)
    with pytest.raises(NoFingerprint, match="link"):
        fingerprint(tmp_path / "images")


@pytest.mark.parametrize("form", ["object", "keras", "h5"])
@pytest.mark.parametrize("place", ["nested layer", "activation", "lambda", "none"])
def test_a_model_with_code_of_its_own_has_no_fingerprint(form: str, place: str, tmp_path: Path) -> None:
    """Code can change while the file and the weights stay: an old answer would be passed off as a new one."""
    import keras

    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])

    @keras.saving.register_keras_serializable("content_test")
    def own_activation(x: object) -> object:
        return x

    @keras.saving.register_keras_serializable("content_test")
    class OwnLayer(keras.layers.Layer):
        def call(self, x: object) -> object:
            return x

    if place == "nested layer":
        inner.add(OwnLayer())
    elif place == "activation":
        inner.add(keras.layers.Activation(own_activation))
    elif place == "lambda":
        inner.add(keras.layers.Lambda(lambda x: 2 * x))
    model = keras.Sequential([keras.Input((4,)), inner])
    try:
        given: object = model
        if form != "object":
            given = tmp_path / f"model.{form}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # h5py's own
                model.save(given)
        if place == "none" and form != "h5":
            assert fingerprint(given) == fingerprint(given)
        else:
            with pytest.raises(NoFingerprint, match=r"code|registered"):
                fingerprint(given)
    finally:
        for name in [name for name in keras.saving.get_custom_objects() if name.startswith("content_test>")]:
            del keras.saving.get_custom_objects()[name]


def test_the_machine_and_its_software_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    _environment.cache_clear()
    before = content_key("audit", {"model": 1})
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "other")
    _environment.cache_clear()
    after = content_key("audit", {"model": 1})
    _environment.cache_clear()
    assert before != after
    assert content_key("metrics", {"model": 1}) != content_key("audit", {"model": 1})
