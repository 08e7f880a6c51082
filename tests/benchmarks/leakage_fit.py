"""Fits the score that tells copies from items that look alike, and writes poolaudit/leakage/weights.py.

    python tests/benchmarks/leakage_fit.py [OUTPUT]

Copies are planted by tests/specimens/planted_copies.py with seeds, images and halves of the data that neither the tests
nor the numbers in docs/leakage.md use: photographs (camera, coins, page, brick, grass, gravel, astronaut, rocket) in
patches of 24 to 64 pixels, garments, half of the faces, half of the digits, rings, stripes and shaded blobs. Distinct
items are the clean test items and training items against their nearest other training items; pairs among them that are
the same down to small residuals with nothing else near are left out, as true duplicates.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).parents[1]))

from leakage.leakage_examples import garments, patches
from poolaudit.leakage.items import make_items
from poolaudit.leakage.matches import features, is_plain
from poolaudit.leakage.nearby import Searched
from poolaudit.leakage.verify import Comparison
from specimens.planted_copies import plant

Array = np.ndarray[Any, Any]

SEED, STRENGTH, EACH_DOMAIN, GARMENTS_COUNT = 1000, 0.1, 1000.0, 3.0
PHOTOGRAPHS = ("camera", "coins", "page", "brick", "grass", "gravel", "astronaut", "rocket")
WEIGHTS = Path(__file__).parents[2] / "poolaudit" / "leakage" / "weights.py"


def rings(n: int, rng: np.random.Generator, size: int = 28) -> Array:
    y, x = np.mgrid[:size, :size]
    made = []
    for _ in range(n):
        centre, radius, width = rng.uniform(8, size - 8, 2), rng.uniform(3, 8), rng.uniform(0.5, 2)
        ring = np.exp(-(((np.hypot(y - centre[0], x - centre[1]) - radius) / width) ** 2))
        made.append(np.clip(255 * ring * rng.uniform(0.6, 1) + rng.normal(0, 4, ring.shape) + 8, 0, 255))
    return np.stack(made).astype(np.uint8)[..., None]


def stripes(n: int, rng: np.random.Generator, size: int = 32) -> Array:
    x = np.arange(size)
    angle, period, phase = (rng.uniform(low, high, (n, 1, 1)) for low, high in ((0, np.pi), (4, 9), (0, 7)))
    wave = np.sin(2 * np.pi * (np.cos(angle) * x[:, None] + np.sin(angle) * x + phase) / period)
    return np.clip(128 + 100 * wave + rng.normal(0, 2, wave.shape), 0, 255).astype(np.uint8)[..., None]


def blobs(n: int, rng: np.random.Generator, size: int, blur: float) -> Array:
    smooth = gaussian_filter(rng.normal(size=(n, size, size)), (0, blur, blur))
    return np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)[..., None]


def domains() -> Iterator[tuple[str, Array, Array, int]]:
    """Name, training items, clean test items, copies of each kind."""
    import skimage.data
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(SEED)
    for size in (24, 32, 48, 64):
        items = rng.permutation(patches(size, PHOTOGRAPHS))
        cut = int(0.7 * len(items))
        yield f"photographs {size}", items[:cut], items[cut:], cut // 14
        if size == 32:
            grey = items.mean(axis=-1, keepdims=True).astype(np.uint8)
            yield "grey photographs", grey[:cut], grey[cut:], cut // 14
    faces = np.rint(skimage.data.lfw_subset()[::2] * 255).astype(np.uint8)[..., None]
    yield "faces", faces[:70], faces[70:], 5
    digits = np.clip(np.rint(load_digits().images[:900] / 16 * 255), 0, 255).astype(np.uint8)[..., None]
    yield "digits", digits[:650], digits[650:], 40
    yield "rings", rings(800, rng), rings(200, rng), 30
    yield "stripes", stripes(800, rng), stripes(200, rng), 30
    yield "blobs", blobs(800, rng, 24, 1.5), blobs(200, rng, 24, 1.5), 30
    yield "smooth blobs", blobs(800, rng, 28, 4.0), blobs(200, rng, 28, 4.0), 30
    train, _, test, _ = garments()
    yield "garments", train, test[:2000], 200
    yield "some garments", train[:6000], test[:800], 60


def examples(train: Array, clean: Array, each: int) -> tuple[Array, Array]:
    """Features of copies with their originals, and of distinct items with their nearest others."""
    rng = np.random.default_rng(SEED)
    copies, origins, names = plant(train, rng, each)
    items = make_items("train", train, np.arange(len(train)))
    tests = np.concatenate([clean, copies])
    queries = make_items("test", tests, np.arange(len(tests)), items.layout)
    searched = Searched(items, 0)
    at = np.sort(rng.permutation(len(train))[:1000])
    guilty, innocent = [], []
    start = 0
    for part in searched.compare(queries, np.arange(len(tests)), None, None, lambda *_: None, ""):
        rows = np.arange(start, start + len(part.items)) - len(clean)
        start += len(part.items)
        of = np.maximum(rows, 0)
        original = (rows >= 0) & (part.items[:, 0] == origins[of]) & (np.array(names)[of] != "exact")
        told = ~is_plain(part)
        guilty.append(features(part)[original & told])
        innocent.append(features(part)[(rows < 0) & told & ~_duplicates(part)])
    for part in searched.compare(items, at, at, None, lambda *_: None, ""):
        innocent.append(features(part)[~is_plain(part) & ~_duplicates(part)])
    return np.concatenate(guilty), np.concatenate(innocent)


def _duplicates(part: Comparison) -> Array:
    return (part.residuals[:, 0, :3] < 0.06).all(axis=1) & (features(part)[:, 5] < -0.8)


def quadratic(rows: Array, centre: Array, spread: Array) -> Array:
    standard = (rows - centre) / spread
    first, second = np.triu_indices(standard.shape[1])
    return np.concatenate([standard, standard[:, first] * standard[:, second]], axis=1)


def main(output: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    warnings.simplefilter("ignore")
    rows, labels, weights = [], [], []
    for name, train, clean, each in domains():
        guilty, innocent = examples(train, clean, each)
        print(f"{name}: {len(guilty):,} copies, {len(innocent):,} distinct", flush=True)
        weight = EACH_DOMAIN * (GARMENTS_COUNT if "garments" in name else 1.0)
        for part, label in ((guilty, 1), (innocent, 0)):
            rows.append(part)
            labels.append(np.full(len(part), label))
            weights.append(np.full(len(part), weight / len(part)))
    x, y, w = np.concatenate(rows), np.concatenate(labels), np.concatenate(weights)
    centre, spread = np.round(x.mean(axis=0), 4), np.round(x.std(axis=0) + 1e-6, 4)
    fitted = LogisticRegression(C=STRENGTH, max_iter=5000, tol=1e-6)
    fitted.fit(quadratic(x, centre, spread), y, sample_weight=w / w.mean())
    output.write_text(
        '"""Weights of the score that tells copies from items that look alike; written by '
        'tests/benchmarks/leakage_fit.py."""\n\n'
        f"# fmt: off\nCENTRE = {_tuple(centre)}\nSPREAD = {_tuple(spread)}\n"
        f"CONSTANT = {fitted.intercept_[0]:.4f}\n"
        "# Of the features, then of their products in the order of numpy.triu_indices.\n"
        f"WEIGHTS = {_tuple(fitted.coef_[0])}\n# fmt: on\n"
    )


def _tuple(values: Array) -> str:
    text = ", ".join(f"{value:.4f}" for value in values)
    return "(\n" + textwrap.fill(text + ",", 112, initial_indent="    ", subsequent_indent="    ") + "\n)"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS)
