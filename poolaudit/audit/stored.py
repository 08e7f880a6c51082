"""A stored result is believed as far as its evidence bears it out: it is checked, and judged again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from poolaudit.audit.judging import judge_again, short_title
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import EvaluationEvidence
from poolaudit.results import AuditResult

_ROUNDING = 1e-6
_MOST_ITEMS = 10**15
_ONLY_STATED = "it stands in the stored result alone; give the baseline with --baseline to count it"


def judge_stored(stored: AuditResult, origin: str) -> AuditResult:
    """The result as its evidence and its own policy have it, with a note where the file said otherwise.

    Acceptances in the file are shown and do not count: anyone can write them there.

    Raises:
        InvalidInputError: Intervals in the evidence are not those of its counts.
    """
    contradiction = next(_contradictions(stored), "")
    if contradiction:
        raise InvalidInputError(
            f"{origin!r} contradicts itself: {contradiction}",
            "a result.json as poolaudit wrote it",
            "Run the audit again; a result is not meant to be edited",
        )
    judged = judge_again(stored, stored.policy)
    return replace(
        judged,
        title=short_title(stored.title),
        accepted=tuple(replace(a, void_because=a.void_because or _ONLY_STATED) for a in stored.accepted),
        notes=tuple(_differences(stored, judged)),
    )


def _differences(stored: AuditResult, judged: AuditResult) -> Iterator[str]:
    if stored.verdict is not judged.verdict:
        yield (
            f"The file says {_words(stored.verdict)}; judged again from its evidence the result is "
            f"{_words(judged.verdict)}."
        )
    said = {finding.code: (finding.outcome, finding.severity) for finding in stored.findings}
    found = {finding.code: (finding.outcome, finding.severity) for finding in judged.findings}
    other = sorted(code for code in said.keys() | found.keys() if said.get(code) != found.get(code))
    if other:
        yield (
            f"The file's findings are not those of its evidence, judged by this version: {', '.join(other)}. "
            "It was edited, or written by another version."
        )


def _contradictions(stored: AuditResult) -> Iterator[str]:
    evaluation = stored.evidence.evaluation
    if evaluation is not None:
        yield from _in_intervals(evaluation, stored.policy.confidence)
    leak = stored.evidence.leakage
    if leak is not None and leak.impact.evaluation is not None:
        yield from _in_intervals(leak.impact.evaluation, stored.policy.confidence)


def _in_intervals(evaluation: EvaluationEvidence, confidence: float) -> Iterator[str]:
    """Intervals that follow from the confusion matrix, made again."""
    from poolaudit.evaluation.confusion import RankingMetrics, class_metrics, no_information_test
    from poolaudit.statistics.bootstrap import METRICS, margins_of
    from poolaudit.statistics.intervals import wilson

    if max((count for row in evaluation.confusion for count in row), default=0) > _MOST_ITEMS:
        yield "the confusion matrix counts more items than there can be"
        return
    counts = np.array(evaluation.confusion, np.int64)
    names = evaluation.class_names
    unknown = Estimate.not_estimable("not compared")
    again = class_metrics(counts, names, [RankingMetrics(unknown, unknown)] * len(names), confidence)
    if not _agree(evaluation.accuracy, wilson(int(np.trace(counts)), evaluation.n, confidence)):
        yield "the interval of the accuracy is not that of its counts"
    for given, made in zip(evaluation.per_class, again, strict=True):
        for metric in ("recall", "precision", "specificity", "precision_minus_recall", "f1"):
            if not _agree(getattr(given, metric), getattr(made, metric)):
                yield f"{metric.replace('_', ' ')} of {given.name!r} is not that of its counts"
    test, made_test = evaluation.no_information, no_information_test(counts, names)
    differs = abs(test.p_value - made_test.p_value) > _ROUNDING or abs(test.rate - made_test.rate) > _ROUNDING
    if test.majority_class != made_test.majority_class or differs:
        yield "the test against the most frequent class is not that of the confusion matrix"
    margins = margins_of(counts)
    stated = {name: getattr(evaluation, name) for name in ("balanced_accuracy", "matthews_correlation", "cohens_kappa")}
    for average in evaluation.averages:
        stated |= {f"{average.average}_{metric}": getattr(average, metric) for metric in ("precision", "f1")}
    for name, estimate in stated.items():
        if name in METRICS and not _is_value(estimate, float(np.ravel(METRICS[name](margins))[0])):
            yield f"{name.replace('_', ' ')} is not that of the confusion matrix"


def _is_value(given: Estimate, made: float) -> bool:
    return given.value is None or np.isnan(made) or abs(given.value - made) <= _ROUNDING


def _agree(given: Estimate, made: Estimate) -> bool:
    pairs = ((given.value, made.value), (given.low, made.low), (given.high, made.high))
    return given.n == made.n and all(
        (first is None) == (second is None) and abs((first or 0.0) - (second or 0.0)) <= _ROUNDING
        for first, second in pairs
    )


def _words(verdict: object) -> str:
    return str(verdict).replace("_", " ")
