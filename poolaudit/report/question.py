"""Whether a check was asked the same in two results: by the same policy, about the same classes, layers and variants.

What passes because less was asked is not fixed, and what fails because more was asked is not new.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace

from poolaudit.errors import listed
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome
from poolaudit.pitfalls.detector import detect
from poolaudit.pitfalls.layer_correctness import where_of
from poolaudit.pitfalls.worsening import Test, charge_of
from poolaudit.report.changes import Became, Change, change_between
from poolaudit.report.trend import charged_for_a_rise, cleared_by_a_fall
from poolaudit.results import AuditResult

# By class; of the class of interest as a whole; of all items; of layers; of variants.
_BY_CLASS = ("PA201", "PA204", "PA205", "PA206", "PA207", "PA208", "PA209", "PA309")
_OF_INTEREST = ("PA310", "PA350", "PA351", "PA352", "PA353", "PA408", "PA503", "PA504", "PA505")
_OF_ALL = ("PA202", "PA203", "PA210", "PA211")
_OF_LAYERS = ("PA100", "PA199")
_OF_VARIANTS = ("PA350", "PA351", "PA352", "PA353", "PA354", "PA501", "PA502", "PA503")
_GOOD = (Change.FIXED, Change.BETTER)
_BAD = (Change.NEW, Change.WORSE, Change.NEWLY_ASSESSED)


@dataclass(frozen=True, slots=True)
class Question:
    """What the new result was asked, beside what the old one was.

    Attributes:
        by_old_policy: The new evidence judged by the old policy, by code; None where that cannot be done.
        notes: How the questions differ, for the top of the comparison.
    """

    old: AuditResult
    new: AuditResult
    by_old_policy: Mapping[str, Finding] | None
    notes: tuple[str, ...]

    @classmethod
    def between(cls, old: AuditResult, new: AuditResult) -> Question:
        judged: Mapping[str, Finding] | None = {finding.code: finding for finding in new.findings}
        if old.policy != new.policy:
            same_intervals = old.policy.confidence == new.policy.confidence
            judged = {f.code: f for f in detect(new.evidence, old.policy)} if same_intervals else None
        return cls(old, new, judged, tuple(_notes(old, new)))

    def reread(
        self, became: Became, was: Finding | None, now: Finding | None, p_values: Mapping[Test, float]
    ) -> Became:
        """What became of the check, where the question differs."""
        if was is None or now is None:
            return became
        told = self._by_trend(became, was, now, p_values)
        if told is not None:
            return told
        if Outcome.SKIPPED in (was.outcome, now.outcome):
            return became
        change, why = self._by_policy(became, was, now, p_values)
        lost = self._lost(was)
        if not lost:
            return change, why
        gone = f"not assessed any more: {_names(lost)}"
        accused = {subject.name for subject in now.subjects}
        if not now.is_open or (accused and accused <= lost):
            return Change.NO_LONGER_ASSESSED, (*why, gone)
        if lost >= {subject.name for subject in was.subjects} and change is not Change.NEW:
            return Change.NEWLY_ASSESSED, (*why, gone)
        return (Change.UNCHANGED if change is Change.BETTER else change), (*why, gone)

    def _by_trend(self, became: Became, was: Finding, now: Finding, p_values: Mapping[Test, float]) -> Became | None:
        """What became of a check that came with a rise or went with a fall; None where it did neither."""
        error = self.old.policy.family_wise_error
        if became[0] in _BAD and Outcome.CRASHED not in (was.outcome, now.outcome):
            rise = charged_for_a_rise(self.old, self.new, now)
            rest = tuple(subject for subject in now.subjects if subject.name not in rise.names)
            if rise.names and not rest:
                return Change.BETTER, (rise.why,)
            if rise.names and was.is_open:
                undecided = now.outcome is Outcome.FAILED and not any(subject.is_shown for subject in rest)
                left = replace(now, subjects=rest, outcome=Outcome.UNDECIDED if undecided else now.outcome)
                change, why = change_between(was, left, p_values, error)
                return None if change is Change.WORSE else (change, (*why, f"{_names(rise.names)}: {rise.why}"))
        if became[0] in _GOOD:
            fall = cleared_by_a_fall(self.old, self.new, was)
            gone = fall.names - {subject.name for subject in now.subjects}
            if gone:
                change = Change.UNCHANGED if now.is_open else Change.NO_LONGER_ASSESSED
                return change, (f"{_names(gone)}: {fall.why}",)
        return None

    def _by_policy(self, became: Became, was: Finding, now: Finding, p_values: Mapping[Test, float]) -> Became:
        if self.by_old_policy is None:
            other = "judged with another confidence"
            return (Change.NO_LONGER_ASSESSED, (other,)) if became[0] in _GOOD else became
        same = self.by_old_policy.get(was.code)
        if same is None or charge_of(same) == charge_of(now):
            return became
        told = f"by the old policy it would be {same.outcome}, {same.severity}"
        if now.is_open and not same.is_open:
            return Change.NEWLY_ASSESSED, (told,)
        if same.is_open and not now.is_open:
            return Change.NO_LONGER_ASSESSED, (told,)
        change, why = change_between(was, same, p_values, self.old.policy.family_wise_error)
        if became[0] is Change.WORSE and change is not Change.WORSE:
            return Change.NEWLY_ASSESSED, (*became[1], told)
        return change, (*why, told)

    def _lost(self, was: Finding) -> set[str]:
        """What the check was about before and is not now; of a check that passed, only where nothing is left."""
        accused = {subject.name for subject in was.subjects}
        lost: set[str] = set()
        if was.code in _BY_CLASS:
            before, after = _judged(self.old), _judged(self.new)
            gone = before - after
            if was.is_open:
                lost = {name for name in accused if self._is_gone(name.removeprefix("order of "))}
            else:
                lost = gone if gone == before else set()
        elif was.code in _OF_ALL and was.is_open:
            lost = _present(self.old) - _present(self.new)
        if was.code in _OF_INTEREST and _positive(self.old) not in (_positive(self.new), None):
            lost = accused | {str(_positive(self.old))}
        if was.code in _OF_LAYERS:
            lost |= accused - _tried(self.new)
        if was.code in _OF_VARIANTS:
            lost |= accused - _compared(self.new)
        if was.code == "PA401" and was.is_open and _left_out(self.new) > _left_out(self.old):
            lost |= {f"{_left_out(self.new):,} test items"}
        if was.code == "PA306" and was.is_open and _easier_feature(self.old, self.new):
            lost |= {"the smaller feature"}
        return lost

    def _is_gone(self, name: str) -> bool:
        """Whether a class that was judged, with or without items of its own, is not judged any more."""
        before, after = _support(self.old), _support(self.new)
        if name not in before:
            return False
        asked = _positive(self.new) in (None, name)
        return not asked or name not in after or (before[name] > 0 and not after[name])


def _notes(old: AuditResult, new: AuditResult) -> Iterator[str]:
    if old.scope != new.scope:
        yield f"The old result is of {old.scope}, the new one of {new.scope}; only what both did is compared."
    if old.policy != new.policy:
        changed = [
            f"{field.name} {_value(getattr(old.policy, field.name))} became {_value(getattr(new.policy, field.name))}"
            for field in fields(old.policy)
            if getattr(old.policy, field.name) != getattr(new.policy, field.name)
        ]
        yield (
            f"The policies differ ({'; '.join(changed)}): what only the other policy changes is called neither fixed "
            "nor new."
        )
    if old.evidence.evaluation is None or new.evidence.evaluation is None:
        return
    if _positive(old) != _positive(new):
        was, now = (f"{p!r}" if p is not None else "each class" for p in (_positive(old), _positive(new)))
        yield f"The class of interest was {was} and is {now}: what is not asked any more is not fixed."
    gone = _present(old) - _present(new)
    if gone:
        yield f"The new test data hold no item of {_names(gone)}: nothing is known of what it was before."
    if set(old.evidence.evaluation.class_names) != set(new.evidence.evaluation.class_names):
        yield "The classes differ; only metrics of classes in both are compared."


def _names(names: Iterable[str]) -> str:
    return listed(sorted(names), 6)


def _positive(result: AuditResult) -> str | None:
    return None if result.evidence.evaluation is None else result.evidence.evaluation.positive


def _support(result: AuditResult) -> dict[str, int]:
    """Test items of each class."""
    evaluation = result.evidence.evaluation
    return {} if evaluation is None else {c.name: c.support for c in evaluation.per_class}


def _present(result: AuditResult) -> set[str]:
    """Classes with test items."""
    return {name for name, items in _support(result).items() if items}


def _judged(result: AuditResult) -> set[str]:
    positive, present = _positive(result), _present(result)
    return present if positive is None else present & {positive}


def _tried(result: AuditResult) -> set[str]:
    return {where_of(r) for r in result.evidence.conformance or () if r.outcome is not Outcome.SKIPPED}


def _compared(result: AuditResult) -> set[str]:
    ablation = result.evidence.ablation
    if ablation is None:
        return set()
    return {arm.name for arm in (ablation.baseline, *ablation.arms) if arm.trained or arm.swap or arm.unchanged}


def _left_out(result: AuditResult) -> int:
    leak = result.evidence.leakage
    return 0 if leak is None else sum(c.left_out for c in leak.comparisons if (c.first, c.second) == ("test", "train"))


def _easier_feature(old: AuditResult, new: AuditResult) -> bool:
    """Only because the smallest feature is said to be larger does the network's coarsest map pass."""
    before, after = old.evidence.geometry, new.evidence.geometry
    if before is None or after is None or before.feature_size is None or not after.bottleneck:
        return False
    return max(after.bottleneck) > before.feature_size


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
