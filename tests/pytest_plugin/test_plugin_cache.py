"""Fingerprints: the same for the same content, another for another, none for code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poolaudit.policy import Policy
from poolaudit.testing.cache import NoFingerprint, fingerprint, key_of


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
