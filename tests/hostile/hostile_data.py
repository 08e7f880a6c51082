"""Data sets and prediction files that try to escape, to run code or to fill memory, and damaged ones."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from hostile_documents import Maker, endless, linked_in_a_ring, pipe, text
from PIL import Image


class Payload:
    """Unpickling it makes a file."""

    def __reduce__(self) -> Any:
        return os.system, ("touch was_run",)


def npy(shape: tuple[int, ...], dtype: str = "<f4", content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """A member of an NPZ archive whose header says what it likes."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode().ljust(118) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + content


def npz(name: str, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        with zipfile.ZipFile(folder / name, "w", compression) as archive:
            for member, content in members.items():
                archive.writestr(f"{member}.npy", content)
        return name

    return make


def arrays(name: str, **values: Any) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        np.savez(folder / name, **values)
        return name

    return make


def header(source: str) -> bytes:
    whole = source.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(whole)) + whole


def archives(name: str, x: str, y: str) -> dict[str, Maker]:
    """NPZ archives that are wrong under any names of their arrays."""
    good = io.BytesIO()
    np.save(good, np.arange(20) % 2)
    labels = good.getvalue()
    pickled = header("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }") + pickle.dumps([Payload(), Payload()])
    bits = struct.pack("<IHHHHHHIIIHHIIII", *([0] * 16))
    return {
        "NPZ of pickles": npz(name, {x: pickled, y: labels}),
        "NPZ of pickled labels": npz(name, {x: labels, y: pickled}),
        "NPZ that is a pickle": text(name, pickle.dumps([Payload()])),
        "NPZ that claims terabytes": npz(name, {x: npy((10**6, 10**6)), y: labels}),
        "NPZ that claims more than a number holds": npz(name, {x: npy((2**62, 2**62)), y: labels}),
        "NPZ of a negative length": npz(name, {x: npy((-5,)), y: labels}),
        "NPZ cut in its array": npz(name, {x: npy((20, 8, 8, 1), content=b"1234"), y: labels}),
        "NPZ of records": npz(name, {x: npy((2,), dtype="V8", content=bytes(16)), y: labels}),
        "NPZ with code for a header": npz(name, {x: header("__import__('os').system('touch was_run')"), y: labels}),
        "NPZ with a deep header": npz(name, {x: header("(" * 100), y: labels}),
        "NPZ of a later format": npz(name, {x: npy((1,), version=b"\x09\x00"), y: labels}),
        "NPZ of an unknown type": npz(name, {x: npy((1,), dtype="<q99"), y: labels}),
        "NPZ bomb": npz(
            name, {x: npy((40 << 30,), dtype="|u1", content=bytes(1 << 20)), y: labels}, zipfile.ZIP_DEFLATED
        ),
        "NPZ without arrays": npz(name, {}),
        "NPZ of complex numbers": arrays(name, **{x: np.zeros((20, 8, 8, 1), complex), y: np.arange(20) % 2}),
        "NPZ of days": arrays(name, **{x: np.zeros(20, "M8[D]"), y: np.arange(20) % 2}),
        "NPZ of scalars": arrays(name, **{x: 1.0, y: 1}),
        "NPZ of NaN": arrays(name, **{x: np.full((20, 8, 8, 1), np.nan), y: np.arange(20) % 2}),
        "NPZ of nothing": text(name, b""),
        "NPZ of zero bytes": text(name, bytes(5000)),
        "NPZ with a false directory": text(name, b"PK\x05\x06" + bits[:18]),
        "NPZ that is a pipe": pipe(name),
        "NPZ without end": endless(name),
        "NPZ in a ring of links": linked_in_a_ring(name),
    }


def picture(side: tuple[int, int] = (8, 8), kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("L", side, 77).save(stream, kind)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, *more: bytes) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", ihdr), *more, chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def images(content: bytes, name: str = "b.png") -> Maker:
    """A folder of class folders in which one image is the given bytes."""

    def make(folder: Path, sound: Path) -> str:
        for label in "01":
            (folder / "d" / label).mkdir(parents=True)
            (folder / "d" / label / "a.png").write_bytes(picture())
        (folder / "d" / "1" / name).write_bytes(content)
        return "d"

    return make


def linked(where: str, target: str) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        images(picture())(folder, sound)
        (folder / "d" / where).symlink_to(target)
        return "d"

    return make


def manifest(*paths: str, rows: str | None = None) -> Maker:
    def make(folder: Path, sound: Path) -> str:
        images(picture())(folder, sound)
        shutil.move(folder / "d", folder / "images")
        (folder / "secret.png").write_bytes(picture())
        (folder / "inside").mkdir()
        (folder / "inside" / "a.png").write_bytes(picture())
        (folder / "inside" / "link.png").symlink_to("../secret.png")
        lines = ["path,label", "a.png,0", *(f"{path},1" for path in paths)]
        (folder / "inside" / "m.csv").write_text(rows if rows is not None else "\n".join(lines) + "\n")
        return "inside/m.csv"

    return make


DATA: dict[str, Maker] = {
    **archives("d.npz", "x", "y"),
    "image bomb": images(png_of(40_000, 40_000)),
    "image of the largest size": images(png_of(2**31 - 1, 2**31 - 1)),
    "image bomb in a text": images(png_of(8, 8, chunk(b"zTXt", b"k\x00\x00" + zlib.compress(bytes(200 << 20))))),
    "image of nothing": images(b""),
    "image cut": images(picture((64, 64))[:60]),
    "PostScript named png": images(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(was_run) (w) file closefile\n"),
    "SVG named png": images(b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>'),
    "TIFF of a ring": images(b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00", "b.tif"),
    "GIF without frames": images(b"GIF89a\x08\x00\x08\x00\x00\x00\x00;", "b.gif"),
    "BMP of a negative size": images(picture(kind="BMP")[:18] + struct.pack("<ii", -8, -8) + bytes(30), "b.bmp"),
    "JPEG cut": images(picture((64, 64), "JPEG")[:120], "b.jpg"),
    "image that is a link out": linked("1/c.png", "/etc/passwd"),
    "class that is a link out": linked("2", "/etc"),
    "class that is a ring": linked("2", "../d"),
    "image that is a pipe": lambda folder, sound: (images(picture())(folder, sound), os.mkfifo(folder / "d/1/c.png"))[
        0
    ],
    "image that is a device": linked("1/c.png", "/dev/zero"),
    "folder of nothing": lambda folder, sound: ((folder / "d").mkdir(), "d")[1],
    "path of a parent": manifest("../secret.png"),
    "absolute path": manifest("/etc/passwd"),
    "path by a link": manifest("link.png"),
    "path of Windows": manifest("..\\secret.png"),
    "path that is a web address": manifest("http://127.0.0.1/a.png"),
    "path of 100,000 characters": manifest("a" * 100_000 + ".png"),
    "path with a zero byte": manifest("a\x00.png"),
    "path that is a device": manifest("/dev/zero"),
    "path of the folder itself": manifest("."),
    "path that is missing": manifest(""),
    "manifest of predictions": manifest(rows="label,p_a,p_b\na,0.9,0.1\n"),
    "manifest of one column": manifest(rows="path\na.png\n"),
    "manifest of random bytes": text("m.csv", bytes(range(256)) * 3),
    "manifest that is a pipe": pipe("m.csv"),
    "manifest without end": endless("m.csv"),
    "Parquet of a signature": text("m.parquet", b"PAR1" + bytes(50) + b"PAR1"),
    "function of no module": lambda folder, sound: "no_such_module:f",
    "function that is a path": lambda folder, sound: "../../x:f",
    "scheme of nothing": lambda folder, sound: "sklearn:../../etc/passwd",
    "scheme that fetches": lambda folder, sound: "https://127.0.0.1/d.npz",
}

_GOOD = "label,p_a,p_b\n" + "a,0.9,0.1\nb,0.2,0.8\n" * 20

PREDICTIONS: dict[str, Maker] = {
    **archives("p.npz", "label", "predicted"),
    "CSV of zero bytes": text("p.csv", bytes(4000)),
    "CSV of random bytes": text("p.csv", bytes(range(256)) * 20),
    "CSV in UTF-16": text("p.csv", _GOOD.encode("utf-16")),
    "CSV with an open quote": text("p.csv", _GOOD + 'a,"0.9,0.1\n'),
    "CSV of ragged rows": text("p.csv", _GOOD + "a,0.9\n"),
    "CSV of a column twice": text("p.csv", "label,p_a,p_a\na,0.9,0.1\n"),
    "CSV of 50,000 columns": text("p.csv", ",".join(f"p_{i}" for i in range(50_000)) + "\n"),
    "CSV of one long line": text("p.csv", "x" * (3 << 20)),
    "CSV of one long cell": text("p.csv", _GOOD + "a" * 500_000 + ",0.5,0.5\n"),
    "CSV of huge numbers": text("p.csv", _GOOD + "a,1e999,0.1\n"),
    "CSV of formulas for numbers": text("p.csv", _GOOD + "a,=1+1,0.1\n"),
    "CSV of lone surrogates": text("p.csv", _GOOD + "\ud800,0.5,0.5\n"),
    "CSV of a header alone": text("p.csv", "label,p_a,p_b"),
    "CSV that is a pipe": pipe("p.csv"),
    "CSV without end": endless("p.csv"),
    "CSV in a ring of links": linked_in_a_ring("p.csv"),
    "CSV that is a folder": lambda folder, sound: ((folder / "p.csv").mkdir(), "p.csv")[1],
    "gzip named csv": text("p.csv", b"\x1f\x8b\x08\x00" + bytes(200)),
    "Parquet of zero bytes": text("p.parquet", bytes(4000)),
    "Parquet of a signature": text("p.parquet", b"PAR1" + b"\xff" * 100 + b"PAR1"),
    "Parquet of a huge footer": text("p.parquet", b"PAR1" + b"\x00" * 50 + b"\xff\xff\xff\x7fPAR1"),
    "an unknown ending": text("p.pkl", pickle.dumps([Payload()])),
    "no ending": text("p", _GOOD),
    "a name of 4,000 characters": lambda folder, sound: "x" * 4000 + ".csv",
    "a name with a zero byte": lambda folder, sound: "a\x00b.csv",
    "a name that climbs": lambda folder, sound: "../" * 400 + "p.csv",
}
