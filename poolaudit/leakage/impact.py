"""Every metric on all test items, on the clean ones and on the leaked ones, and whether they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.leakage import LeakImpact, MetricWithoutLeak
from poolaudit.statistics.intervals import difference_of_rates, wilson

Array = np.ndarray[Any, Any]


def no_impact(reason: str) -> LeakImpact:
    """Why the metrics were not measured without the leak."""
    return LeakImpact((), Estimate.not_estimable(reason), reason)


def measure_impact(
    labels: Array,
    predicted: Array,
    class_names: Sequence[str],
    leaked: Array,
    confidence: float,
    train_accuracy: Estimate,
) -> LeakImpact:
    """Accuracy, recall and precision by class.

    Args:
        labels: (n,) true classes.
        predicted: (n,) predicted classes.
        leaked: (n,) bool.
        train_accuracy: Where it was measured.
    """
    right = labels == predicted
    metrics = [_metric("accuracy", "", right, np.ones(len(labels), bool), leaked, confidence)]
    for index, name in enumerate(class_names):
        metrics.append(_metric("recall", name, right, labels == index, leaked, confidence))
        metrics.append(_metric("precision", name, right, predicted == index, leaked, confidence))
    return LeakImpact(tuple(metrics), train_accuracy)


def _metric(
    metric: str, class_name: str, right: Array, counted: Array, leaked: Array, confidence: float
) -> MetricWithoutLeak:
    def rate(chosen: Array, empty: str) -> Estimate:
        return wilson(int(right[chosen].sum()), int(chosen.sum()), confidence, empty=empty)

    dirty, clean = counted & leaked, counted & ~leaked
    first, second = rate(dirty, "no leaked items"), rate(clean, "no clean items")
    difference: Estimate = Estimate.not_estimable("one of the two has no items")
    p_value = None
    if dirty.any() and clean.any():
        difference = difference_of_rates(first, second)
        p_value = _fisher(right, dirty, clean)
    return MetricWithoutLeak(metric, class_name, rate(counted, "no items"), second, first, difference, p_value)


def _fisher(right: Array, dirty: Array, clean: Array) -> float:
    from scipy.stats import fisher_exact

    table = [[int(right[part].sum()), int((~right[part]).sum())] for part in (dirty, clean)]
    return float(fisher_exact(table)[1])
