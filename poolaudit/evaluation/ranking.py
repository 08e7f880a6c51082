"""Per-class ranking metrics and the precision-recall curve, thinned for the page."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from poolaudit.evaluation.confusion import RankingMetrics
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import ClassMetrics, OperatingPoint, PrecisionRecallCurve
from poolaudit.statistics.ranking import RankedScores, average_precision, roc_auc

MOST_CURVE_POINTS = 200
_RECALL_BINS = 64


def ranking_metrics(ranked: RankedScores, confidence: float) -> RankingMetrics:
    """Average precision and ROC AUC of one class's scores."""
    return RankingMetrics(average_precision(ranked, confidence), roc_auc(ranked, confidence))


def no_ranking(reason: str) -> RankingMetrics:
    """Both metrics not estimable, for one reason."""
    missing = Estimate.not_estimable(reason)
    return RankingMetrics(missing, missing)


def precision_recall_curve(
    ranked: RankedScores, shipped: ClassMetrics, shipped_threshold: float | None
) -> PrecisionRecallCurve:
    """The exact curve, thinned to at most 200 points that keep its shape.

    Every point is exact. Where thinning is needed, each of 64 equal steps of recall keeps its first threshold and the
    ones of highest and lowest precision; first and last threshold stay, and the first that finds every item.

    Args:
        ranked: The class's scores, with at least one positive.
        shipped: Counts of the class at the operating point as shipped.
        shipped_threshold: The score threshold behind those counts, None where there is none.
    """
    precision = ranked.true_positives / ranked.predicted_positives
    kept = _thinned(ranked, precision)
    points = tuple(
        OperatingPoint(threshold, hits, chosen - hits, hits / chosen, hits / ranked.positives)
        for threshold, hits, chosen in zip(
            ranked.thresholds[kept].tolist(),
            ranked.true_positives[kept].tolist(),
            ranked.predicted_positives[kept].tolist(),
            strict=True,
        )
    )
    return PrecisionRecallCurve(
        class_name=shipped.name,
        prevalence=ranked.positives / len(ranked.order),
        points=points,
        shipped_precision=shipped.precision.value,
        shipped_recall=shipped.recall.value,
        shipped_threshold=shipped_threshold,
    )


def threshold_in_use(scores: npt.NDArray[np.float64], chosen: npt.NDArray[np.bool_]) -> float | None:
    """0.5 where the class is predicted for every score above 0.5 and for none below it, else None."""
    return 0.5 if bool(np.all((scores == 0.5) | ((scores > 0.5) == chosen))) else None


def _thinned(ranked: RankedScores, precision: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    groups = len(precision)
    if groups <= MOST_CURVE_POINTS:
        return np.arange(groups)
    steps = np.linspace(0, ranked.positives, _RECALL_BINS + 1)[:-1]
    starts = np.unique(np.searchsorted(ranked.true_positives, steps, side="right"))
    starts = starts[starts < groups]
    kept = {0, groups - 1, int(np.searchsorted(ranked.true_positives, ranked.positives))}
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), groups], strict=True):
        part = precision[start:end]
        kept.update((start, start + int(part.argmax()), start + int(part.argmin())))
    return np.array(sorted(kept), dtype=np.intp)
