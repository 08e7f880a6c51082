"""How time and memory of the search grow with synthetic items, and docs/images/leakage-scaling.svg.

    python tests/benchmarks/leakage_scaling.py [MAX] [SVG]

Items are independent shaded textures of 16x16 pixels. For each number of items the index is built (content keys,
descriptors, inverted lists) and 1,000 further items are looked for with all transforms and verified. The time of an
audit of n training and n / 6 test items follows from both; its exponent is fitted on a log-log scale.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from poolaudit.leakage.items import make_items
from poolaudit.leakage.nearby import Searched

SIZE, QUERIES, SHARE, PART = 16, 1000, 6, 20_000
NUMBERS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
SVG = Path(__file__).parents[2] / "docs" / "images" / "leakage-scaling.svg"


def textures(n: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    made = np.empty((n, SIZE, SIZE, 1), np.uint8)
    for start in range(0, n, PART):
        part = made[start : start + PART]
        smooth = gaussian_filter(rng.standard_normal((len(part), SIZE, SIZE), np.float32), (0, 1.5, 1.5))
        part[..., 0] = np.clip(128 + 160 * smooth, 0, 255)
    return made


def measure(n: int, rng: np.random.Generator) -> dict[str, float]:
    train, test = textures(n, rng), textures(QUERIES, rng)
    items = make_items("train", train, np.arange(n))
    queries = make_items("test", test, np.arange(QUERIES), items.layout)
    clock = time.process_time()
    items.keys()
    searched = Searched(items, 0)
    index = time.process_time() - clock
    clock = time.process_time()
    found = searched.matches(queries, np.arange(QUERIES), None, searched.moves, lambda *_: None)
    query = (time.process_time() - clock) / QUERIES
    return {
        "items": n,
        "index": index,
        "query": query,
        "audit": index + n / SHARE * query,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "false": len(found.queries),
    }


def draw(rows: list[dict[str, float]], exponent: float, path: Path) -> None:
    import altair as alt
    import vl_convert

    first = rows[0]
    lines = [{"items": r["items"], "hours": r["audit"] / 3600, "line": "measured"} for r in rows]
    lines += [
        {"items": r["items"], "hours": first["audit"] / 3600 * (r["items"] / first["items"]) ** 2, "line": "quadratic"}
        for r in rows
    ]
    chart = (
        alt.Chart(alt.Data(values=lines), width=520, height=300)
        .mark_line(point=True)
        .encode(
            alt.X("items:Q", scale=alt.Scale(type="log"), title="training items"),
            alt.Y("hours:Q", scale=alt.Scale(type="log"), title="hours of one processor, all transforms"),
            alt.Color("line:N", title=None, scale=alt.Scale(range=["#1f5fa8", "#999999"])),
        )
        .properties(title=f"n training and n/{SHARE} test items of {SIZE}x{SIZE}: time grows as n^{exponent:.2f}")
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(vl_convert.vegalite_to_svg(chart.to_dict()))


def main(most: int, path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for n in NUMBERS:
        if n > most:
            break
        row = measure(n, rng)
        rows.append(row)
        print(
            f"| {n:,} | {row['index']:.1f} | {1000 * row['query']:.2f} | {row['audit'] / 60:.1f} | "
            f"{row['gigabytes']:.2f} | {row['false']:.0f} |",
            flush=True,
        )
    if len(rows) > 2:
        logs = np.log([[row["items"], row["audit"]] for row in rows])
        exponent = float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])
        print(f"exponent {exponent:.2f}")
        draw(rows, exponent, path)


if __name__ == "__main__":
    main(
        int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else NUMBERS[-1],
        Path(sys.argv[2]) if len(sys.argv) > 2 else SVG,
    )
