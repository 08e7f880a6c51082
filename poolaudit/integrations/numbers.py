"""The numbers of a result under flat names, for tools that plot and compare runs."""

from __future__ import annotations

from collections.abc import Iterator

from poolaudit.evidence.estimates import Estimate
from poolaudit.outcomes import Outcome
from poolaudit.results import AuditResult


def numbers_of(result: AuditResult) -> dict[str, float]:
    """Metrics with the ends of their intervals, and how many checks ended how.

    What cannot be estimated has no entry: a 0 would be read as a measurement.
    """
    numbers = dict(_estimates(result))
    for outcome in Outcome:
        numbers[f"checks/{outcome.value.lower()}"] = float(sum(f.outcome is outcome for f in result.findings))
    numbers["breaks_the_build"] = float(any(result.breaks_the_build(f) for f in result.findings))
    return numbers


def _estimates(result: AuditResult) -> Iterator[tuple[str, float]]:
    evaluation = result.evidence.evaluation
    if evaluation is None:
        return
    yield from _of("accuracy", evaluation.accuracy)
    yield from _of("balanced_accuracy", evaluation.balanced_accuracy)
    for entry in evaluation.per_class:
        if evaluation.positive in (None, entry.name):
            yield from _of("recall", entry.recall, f"/{entry.name}")
            yield from _of("precision", entry.precision, f"/{entry.name}")


def _of(metric: str, estimate: Estimate, of_class: str = "") -> Iterator[tuple[str, float]]:
    # The end of the interval before the class: a class may be named "low", and some stores make folders of slashes.
    for end, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high)):
        if value is not None:
            yield f"{metric}{end}{of_class}", value
