"""Charges that come where a model only improved, and go where it only fell.

Some checks speak only of a class that is near the bar, or of one rate against another: a class that falls below the bar
leaves the one, a precision that falls to its recall the other, and neither is fixed by it; the way up is no new fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import ClassMetrics, EvaluationEvidence
from poolaudit.findings import Finding
from poolaudit.pitfalls.rates import RateJudgement, judge_rates, judged_classes, recalls
from poolaudit.results import AuditResult

# Passed where recall is shown to miss the bar, since other checks have the word then; open on the way up to it.
_NEAR_THE_BAR = ("PA207", "PA208")
# Skipped where accuracy is too low to mislead anybody; recall against precision.
_GOOD_ACCURACY, _GAP = "PA201", "PA206"
# A threshold is cleared where the ranking is to blame.
_THRESHOLD, _RANKING = "PA208", "PA209"


@dataclass(frozen=True, slots=True)
class Trend:
    """Names of subjects, and why their charge came or went, in words."""

    names: frozenset[str]
    why: str


def charged_for_a_rise(old: AuditResult, new: AuditResult, now: Finding) -> Trend:
    """What `now` charges although it was no better before, and nothing of it has fallen."""
    near = "recall was shown to miss the bar before, and has not fallen since"
    ranked = "recall or any threshold was shown to miss the bar before, and neither recall nor ranking has fallen since"
    hidden = "accuracy looks good now; recall was not shown to meet the bar before either, and has not fallen"
    gap = "neither recall nor precision has fallen"
    why = {_GOOD_ACCURACY: hidden, _GAP: gap, _THRESHOLD: ranked}.get(now.code, near)
    if now.code not in (*_NEAR_THE_BAR, _GOOD_ACCURACY, _GAP) or _other_question(old, new, now.code):
        return Trend(frozenset(), why)
    before = _judged(old, new.policy.good_recall)
    names = set()
    for name, was, is_now in _pairs(old, new, now):
        short = {_GAP: True, _GOOD_ACCURACY: name in _charged(before)}.get(now.code, name in _below(before))
        if now.code == _THRESHOLD:
            short |= name in _not_ranked(old) and _value(is_now.average_precision) >= _value(was.average_precision)
        rose = is_now.support >= was.support and _value(is_now.recall) >= _value(was.recall)
        if short and rose and (now.code != _GAP or _value(is_now.precision) >= _value(was.precision)):
            names.add(name)
    return Trend(frozenset(names), why)


def cleared_by_a_fall(old: AuditResult, new: AuditResult, was_found: Finding) -> Trend:
    """What was charged and is not any more only because it became worse, on no more items."""
    near = "recall, or any threshold, is shown to miss the bar now"
    gap = "precision has fallen to its recall, and recall has not risen"
    why = gap if was_found.code == _GAP else near
    if was_found.code not in (*_NEAR_THE_BAR, _GAP) or old.policy != new.policy:
        return Trend(frozenset(), why)
    short = _below(_judged(new, new.policy.good_recall))
    names = set()
    for name, was, is_now in _pairs(old, new, was_found):
        if was_found.code == _THRESHOLD and _value(is_now.average_precision) <= _value(was.average_precision):
            short |= _not_ranked(new) & {name}
        no_better = is_now.support <= was.support and _value(is_now.recall) <= _value(was.recall)
        fell = _value(is_now.precision) < _value(was.precision) if was_found.code == _GAP else name in short
        if no_better and fell:
            names.add(name)
    return Trend(frozenset(names), why)


def _other_question(old: AuditResult, new: AuditResult, code: str) -> bool:
    return code not in _NEAR_THE_BAR and old.policy != new.policy


def _pairs(old: AuditResult, new: AuditResult, finding: Finding) -> Iterator[tuple[str, ClassMetrics, ClassMetrics]]:
    was, is_now = _classes(old.evidence.evaluation), _classes(new.evidence.evaluation)
    for subject in finding.subjects:
        if subject.name in was and subject.name in is_now:
            yield subject.name, was[subject.name], is_now[subject.name]


def _classes(evaluation: EvaluationEvidence | None) -> dict[str, ClassMetrics]:
    return {} if evaluation is None else {c.name: c for c in evaluation.per_class}


def _judged(result: AuditResult, bar: float) -> RateJudgement:
    evaluation = result.evidence.evaluation
    return judge_rates(() if evaluation is None else recalls(judged_classes(evaluation)), bar)


def _below(judged: RateJudgement) -> set[str]:
    return {rate.class_name for rate in judged.below}


def _not_ranked(result: AuditResult) -> set[str]:
    """Classes of which it is shown that no threshold reaches what is demanded."""
    return {s.name for f in result.findings if f.code == _RANKING and f.is_open for s in f.subjects if s.is_shown}


def _charged(judged: RateJudgement) -> set[str]:
    return {rate.class_name for rate in (*judged.below, *judged.open)}


def _value(estimate: Estimate) -> float:
    return estimate.value or 0.0
