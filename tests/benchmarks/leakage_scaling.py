"""CPU seconds and memory of the search against growing numbers of synthetic items: python leakage_scaling.py [MAX]."""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
from scipy.ndimage import gaussian_filter

from poolaudit.leakage.items import make_items
from poolaudit.leakage.nearby import Searched

SHARE_QUERIES = 100
SIZE = 16


def items(n: int, rng: np.random.Generator) -> np.ndarray:
    made = np.empty((n, SIZE, SIZE, 1), np.uint8)
    for start in range(0, n, 20_000):
        part = made[start : start + 20_000]
        smooth = gaussian_filter(rng.standard_normal((len(part), SIZE, SIZE), np.float32), (0, 1.5, 1.5))
        part[..., 0] = np.clip(128 + 160 * smooth, 0, 255)
    return made


def main(most: int) -> None:
    rng = np.random.default_rng(0)
    n = 10_000
    while n <= most:
        train, test = items(n, rng), items(max(1024, n // SHARE_QUERIES), rng)
        searched_items = make_items("train", train, np.arange(n))
        queries = make_items("test", test, np.arange(len(test)), searched_items.layout)
        clock = time.process_time()
        searched_items.keys()
        searched = Searched(searched_items, 0)
        built = time.process_time() - clock
        clock = time.process_time()
        searched.matches(queries, np.arange(len(test)), None, False, lambda *_: None)
        each = 1000 * (time.process_time() - clock) / len(test)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"{n:>9,} items: index {built:7.1f} s CPU, {each:6.2f} ms CPU a query, {memory:.2f} GB in all", flush=True
        )
        n *= 10 if n < 100_000 else 3


if __name__ == "__main__":
    main(int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 300_000)
