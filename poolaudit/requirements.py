"""Demands on a result that read as sentences and fail with the evidence; for tests and release scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.evidence.wording import with_interval
from poolaudit.outcomes import Outcome, Verdict

if TYPE_CHECKING:
    from poolaudit.evidence.estimates import Estimate
    from poolaudit.evidence.evaluation import EvaluationEvidence
    from poolaudit.findings import Finding
    from poolaudit.results import AuditResult

# Keyword to the name of the metric; the rates of a class by their field.
_OVERALL = {"accuracy_at_least": "accuracy", "balanced_accuracy_at_least": "balanced_accuracy"}
_BY_CLASS = {
    "recall_at_least": "recall",
    "precision_at_least": "precision",
    "f1_at_least": "f1",
    "average_precision_at_least": "average_precision",
}


def require(result: AuditResult, positive: str | None, bars: dict[str, float]) -> None:
    """Raises AssertionError unless each metric lies at or above its bar with its whole interval.

    Args:
        positive: The class whose rates are meant; None is the audit's class of interest, or each class.
        bars: Keywords such as "recall_at_least" to bars in [0, 1].

    Raises:
        InvalidInputError: An unknown keyword or class, a bar outside [0, 1], or a result without an evaluation.
    """
    __tracebackhide__ = True
    evaluation = result.evidence.evaluation
    if evaluation is None:
        raise InvalidInputError("This result holds no metrics", "the result of an audit with an evaluation stage")
    if not bars:
        raise InvalidInputError("Nothing is required", listed(sorted({*_OVERALL, *_BY_CLASS})))
    unmet = []
    for keyword, bar in bars.items():
        for name, estimate in _estimates(keyword, bar, positive, evaluation):
            if estimate.value is None:
                unmet.append(f"{name} cannot be estimated: {estimate.reason}")
            elif estimate.low is None or estimate.low < bar:
                below = estimate.high is not None and estimate.high < bar
                how = "is below" if below else "is not shown to reach"
                unmet.append(f"{name} {how} {bar:g}: {with_interval(estimate)}")
    if unmet:
        count, verb = len(unmet), "is" if len(unmet) == 1 else "are"
        raise AssertionError("\n".join([f"{result.title}: {count} of the demands {verb} not met", *unmet]))


def require_no(result: AuditResult, codes: tuple[str, ...]) -> None:
    """Raises AssertionError where one of these checks is open and not accepted, or was not made.

    Raises:
        InvalidInputError: The result knows no check of this code.
    """
    __tracebackhide__ = True
    known = {finding.code: finding for finding in result.findings}
    for code in codes:
        if code not in known:
            raise InvalidInputError(
                f"This result has no check {code!r}", listed(sorted(known)), did_you_mean(code, known)
            )
    told = [_told(known[code]) for code in codes if _stands_against(known[code], result)]
    if told:
        raise AssertionError("\n\n".join(told))


def require_verdict(result: AuditResult, verdict: str | Verdict) -> None:
    """Raises AssertionError, with what decided, unless the verdict is this one.

    Raises:
        InvalidInputError: There is no such verdict.
    """
    __tracebackhide__ = True
    words = [v.value for v in Verdict]
    wanted = str(verdict)
    if wanted not in words:
        raise InvalidInputError(f"There is no verdict {wanted!r}", listed(words), did_you_mean(wanted, words))
    if result.verdict.value != wanted:
        reasons = [f"{number}. {reason}" for number, reason in enumerate(result.decision.reasons, start=1)]
        raise AssertionError("\n".join([f"{result.title} is {result.verdict}, not {wanted}", *reasons]))


def require_release(result: AuditResult) -> None:
    """Raises AssertionError where a finding at or above the fail level stands that no baseline accepts."""
    __tracebackhide__ = True
    told = [_told(finding) for finding in result.findings if result.breaks_the_build(finding)]
    told += [f"The stage {s.name} crashed: {s.reason}" for s in result.stages if s.outcome is Outcome.CRASHED]
    told += list(result.decision.reasons) if result.nothing_was_checked else []
    if told:
        raise AssertionError("\n\n".join([f"{result.title} is {result.verdict}", *told]))


def _estimates(
    keyword: str, bar: float, positive: str | None, evaluation: EvaluationEvidence
) -> Iterator[tuple[str, Estimate]]:
    if keyword not in _OVERALL and keyword not in _BY_CLASS:
        known = sorted({*_OVERALL, *_BY_CLASS})
        raise InvalidInputError(f"There is no requirement {keyword!r}", listed(known), did_you_mean(keyword, known))
    if isinstance(bar, bool) or not isinstance(bar, int | float) or not 0 <= bar <= 1:
        raise InvalidInputError(f"{keyword} is {bar!r}", "a number from 0 to 1")
    if keyword in _OVERALL:
        metric = _OVERALL[keyword]
        yield metric.replace("_", " ").capitalize(), getattr(evaluation, metric)
        return
    name = positive if positive is not None else evaluation.positive
    classes = [c for c in evaluation.per_class if name in (None, c.name)]
    if not classes:
        raise InvalidInputError(
            f"There is no class {name!r}",
            listed(evaluation.class_names),
            did_you_mean(str(name), evaluation.class_names),
        )
    metric = _BY_CLASS[keyword]
    for c in classes:
        yield f"{metric.replace('_', ' ').capitalize()} of {c.name!r}", getattr(c, metric)


def _stands_against(finding: Finding, result: AuditResult) -> bool:
    if finding.outcome is Outcome.SKIPPED:
        return True
    return finding.is_open and result.acceptance_of(finding) is None


def _told(finding: Finding) -> str:
    lines = [f"{finding.code} {finding.title}: {finding.outcome}, {finding.severity}", finding.summary]
    lines += [f"  {fact.label}: {fact.value}" for fact in finding.evidence]
    if finding.outcome is not Outcome.SKIPPED and finding.do:
        lines.append(f"Do: {finding.do}")
    return "\n".join(lines)
