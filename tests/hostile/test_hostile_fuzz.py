"""Every parser of a user's file, fed with mutations of real files: it reads them or refuses them, and nothing else.

Hypothesis draws the mutations; `--hypothesis-profile=thorough` draws a thousand for each parser.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from poolaudit.baseline import load_baseline
from poolaudit.errors import PoolauditError
from poolaudit.policy import load_policy
from poolaudit.store.results import load_result
from poolaudit.subject.data import load_splits
from poolaudit.subject.models import load_model
from poolaudit.subject.predictions import read_predictions

BOUNDED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


@st.composite
def mutations(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with a few flipped, cut out, doubled or put in, or cut off."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(1, 40))
        how = draw(st.sampled_from(["flip", "remove", "double", "insert", "cut", "number", "zero"]))
        if how == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "remove":
            del content[at : at + length]
        elif how == "double":
            content[at:at] = content[at : at + length]
        elif how == "insert":
            content[at:at] = draw(st.binary(max_size=40))
        elif how == "cut":
            del content[at + 1 :]
        elif how == "number":
            content[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"9999", b"-1,,"]))
        else:
            content[at : at + length] = bytes(min(length, len(content) - at))
    return bytes(content)


def predictions_npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, label=np.array(["a", "b"] * 10), predicted=np.array(["a", "a"] * 10))
    return stream.getvalue()


def predictions_parquet() -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.table({"label": ["a", "b"] * 10, "p_a": [0.7, 0.2] * 10, "p_b": [0.3, 0.8] * 10}), stream)
    return stream.getvalue()


def data_npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.random.default_rng(0).random((12, 4, 4, 1)), y=np.arange(12) % 2, group=np.arange(12))
    return stream.getvalue()


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def read_image(file: Path) -> Any:
    return load_splits({"test": str(file.parent.parent)})


def read_data(file: Path) -> Any:
    return load_splits({"test": str(file)})


POLICY = b'good_recall = 0.9\ngood_precision = 0.8\nfail_level = "major"\n'
BASELINE = (
    b'[[accepted]]\ncode = "PA204"\noutcome = "FAILED"\nseverity = "major"\nlabels = ["recall"]\n'
    b'reason = "a person checks"\nexpires = 2030-01-01\n'
)
MANIFEST = b"path,label,group\n0/a.png,x,1\n0/b.png,y,2\n"
CSV = b"label,p_a,p_b,group\n" + b"a,0.9,0.1,1\nb,0.2,0.8,2\n" * 8

# File name, a whole file, and who reads it.
PARSERS: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], Any]]] = {
    "CSV": ("f.csv", lambda: CSV, read_predictions),
    "Parquet": ("f.parquet", predictions_parquet, read_predictions),
    "NPZ of predictions": ("f.npz", predictions_npz, read_predictions),
    "NPZ of data": ("f.npz", data_npz, read_data),
    "manifest": ("f.csv", lambda: MANIFEST, read_data),
    "PNG": ("0/f.png", lambda: picture("PNG"), read_image),
    "JPEG": ("0/f.jpg", lambda: picture("JPEG"), read_image),
    "GIF": ("0/f.gif", lambda: picture("GIF"), read_image),
    "BMP": ("0/f.bmp", lambda: picture("BMP"), read_image),
    "TIFF": ("0/f.tif", lambda: picture("TIFF"), read_image),
    "WebP": ("0/f.webp", lambda: picture("WEBP"), read_image),
    "policy": ("f.toml", lambda: POLICY, load_policy),
    "baseline": ("f.toml", lambda: BASELINE, load_baseline),
}


def survives(read: Callable[[Path], Any], file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    with contextlib.suppress(PoolauditError):
        read(file)


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_reads_or_refuses(name: str, tmp_path: Path) -> None:
    where, make, read = PARSERS[name]
    folder = tmp_path / "f"
    for at in range(2):
        (folder / "0").mkdir(parents=True, exist_ok=True)
        if name == "manifest" or where.startswith("0/"):
            (folder / "0" / f"{'ab'[at]}.png").write_bytes(picture("PNG"))
    whole = make()

    @BOUNDED
    @given(mutations(whole) | st.binary(max_size=400))
    def reads_or_refuses(content: bytes) -> None:
        survives(read, folder / where, content)

    reads_or_refuses()


def test_stored_results_are_read_or_refused(sound: Path, tmp_path: Path) -> None:
    whole = (sound / "result.json").read_bytes()
    unsealed = re.sub(rb',\s*"sha256": "[0-9a-f]{64}"', b"", whole)  # by its digest, most are refused at once
    assert unsealed != whole

    @BOUNDED
    @given(mutations(unsealed))
    def reads_or_refuses(content: bytes) -> None:
        survives(load_result, tmp_path / "r.json", content)

    reads_or_refuses()


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_model_files_are_read_or_refused(name: str, sound: Path, tmp_path: Path) -> None:
    whole = (sound / name).read_bytes()

    @settings(BOUNDED, max_examples=min(40, settings.default.max_examples))
    @given(mutations(whole))
    def reads_or_refuses(content: bytes) -> None:
        survives(load_model, tmp_path / name, content)

    reads_or_refuses()


@st.composite
def changed_leaf(draw: st.DrawFn, document: Any) -> Any:
    """The JSON document with one value, drawn from anywhere, replaced or removed."""
    if isinstance(document, dict) and document and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(document)))
        if draw(st.integers(0, 9)) == 0:
            return {k: v for k, v in document.items() if k != key}
        return {**document, key: draw(changed_leaf(document[key]))}
    if isinstance(document, list) and document and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(document) - 1))
        return [*document[:at], draw(changed_leaf(document[at])), *document[at + 1 :]]
    return draw(st.sampled_from([None, True, -1, 0, 2**31, 1e308, "", "x", [], {}, [[]], "relu", "/etc/passwd"]))


def test_changed_configurations_are_read_or_refused(sound: Path, tmp_path: Path) -> None:
    """Archives with right checksums whose configuration says something else."""
    with zipfile.ZipFile(sound / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])

    @settings(BOUNDED, max_examples=min(30, settings.default.max_examples))
    @given(changed_leaf(config))
    def reads_or_refuses(changed: Any) -> None:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, json.dumps(changed).encode() if name == "config.json" else content)
        survives(load_model, tmp_path / "m.keras", stream.getvalue())

    reads_or_refuses()
