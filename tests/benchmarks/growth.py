"""How the work grows with items, classes, trials, sites, window sizes and what stands in a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Curve = tuple[str, Sequence[tuple[int, float]]]


def all_curves() -> Iterator[Curve]:
    yield "items: evaluation of predictions of two classes", [(n, _evaluated(n, 2)) for n in _steps(1_000, 1_000_000)]
    yield "classes: evaluation of 20,000 predictions", [(n, _evaluated(20_000, n)) for n in (2, 10, 50, 200, 500)]
    yield "trials: decisions of an ablation, real trials taken again", [(n, _decided(n)) for n in (6, 12, 24, 48)]
    yield "sites: `inspect` of a network of so many pools", [(n, _inspected(n, 2)) for n in (1, 2, 4, 8, 16, 32)]
    yield "window: `inspect` of a pool of so many cells", [(n, _inspected(1, n)) for n in (2, 4, 8, 16, 32)]
    yield "classes: report, kB", [(n, _page(n)) for n in (2, 10, 50, 200, 500)]


def _steps(first: int, last: int) -> list[int]:
    return [round(n) for n in np.geomspace(first, last, 4)]


def _best(work: Callable[[], object]) -> float:
    """The quickest of three: what others do on the machine only adds."""
    took = []
    for _ in range(3):
        clock = time.perf_counter()
        work()
        took.append(time.perf_counter() - clock)
    return min(took)


def _predictions(items: int, classes: int) -> Any:
    from specimens.outcomes import predictions

    rng = np.random.default_rng(0)
    labels = np.arange(items) % classes
    scores = rng.normal(size=(items, classes))
    scores[np.arange(items), labels] += 2.5
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return predictions(labels, probabilities.argmax(axis=1), [f"class {i}" for i in range(classes)], probabilities)


def _evaluated(items: int, classes: int) -> float:
    from poolaudit.evaluation.evaluate import evaluate

    given = _predictions(items, classes)
    return _best(lambda: evaluate(given))


def _decided(seeds: int) -> float:
    """Baseline and every variant of a real ablation with so many seeds each."""
    from ablation.simulated import draw, scenario
    from poolaudit.ablation.ledger import Ledger
    from poolaudit.ablation.race import Rules

    given = scenario(2)
    drawn = draw(given, np.random.default_rng(0), given.arms["baseline"])
    measured = {name: [drawn.measures(row) for row in rows[:6]] for name, rows in given.arms.items()}

    def work() -> None:
        ledger = Ledger(tuple(n for n in measured if n != "baseline"), Rules(planned=seeds, stops_early=False))
        for name, trials in measured.items():
            for seed in range(seeds):
                ledger.add(name, seed, trials[seed % len(trials)])
        ledger.standings()

    return _best(work)


def _page(classes: int) -> float:
    from poolaudit.report.html import render_html
    from report.report_examples import result_of

    return len(render_html(result_of(_predictions(2_000, classes))).encode()) / 1_000


def _inspected(sites: int, window: int) -> float:
    import keras

    from poolaudit.geometry.inspect import inspect_pooling

    stack = [keras.layers.MaxPooling1D(window, strides=1, padding="same") for _ in range(sites)]
    model = keras.Sequential([keras.Input((256, 1)), *stack, keras.layers.GlobalMaxPooling1D(), keras.layers.Dense(2)])
    return _best(lambda: inspect_pooling(model))
