"""Two results against each other: what is new, fixed, unchanged or no longer assessed, and which metrics moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import EvaluationEvidence
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome
from poolaudit.pitfalls.worsening import Test, charge_of, corrected, tests_of
from poolaudit.report.changes import Change, change_between
from poolaudit.report.question import Question
from poolaudit.results import AuditResult
from poolaudit.statistics.intervals import difference_of_rates


@dataclass(frozen=True, slots=True)
class ChangedFinding:
    """One check in both results; a side is None where the check did not exist there.

    Attributes:
        why: What is worse, or why the change is not what the outcomes alone would say; in words.
    """

    code: str
    title: str
    change: Change
    old: Finding | None
    new: Finding | None
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MovedMetric:
    """One metric in both results.

    Attributes:
        difference: New minus old, with interval (Newcombe's hybrid score); not estimable where a side is missing.
        p_value: Fisher's exact test of equal rates, Holm-corrected over all metrics compared; None without a test.
        has_moved: True where the corrected p-value is below the policy's family-wise error.
    """

    name: str
    old: Estimate
    new: Estimate
    difference: Estimate
    p_value: float | None
    has_moved: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two results side by side.

    Attributes:
        notes: What makes the comparison weaker, the gravest first: results that were not what their files said, another
            policy, class of interest or classes, other test data.
    """

    old: AuditResult
    new: AuditResult
    findings: tuple[ChangedFinding, ...]
    metrics: tuple[MovedMetric, ...]
    notes: tuple[str, ...]

    def of(self, *changes: Change) -> tuple[ChangedFinding, ...]:
        """The findings with one of these changes."""
        return tuple(f for f in self.findings if f.change in changes)

    @property
    def breaks_the_build(self) -> bool:
        """True where a finding is new or worse, counts at the new result's fail level and is not accepted.

        A stage that crashed in the new result alone breaks it too: what it would have found is not known.
        """
        if newly_crashed(self.old, self.new):
            return True
        changed = self.of(Change.NEW, Change.WORSE, Change.NEWLY_ASSESSED)
        return any(f.new is not None and self.new.breaks_the_build(f.new) for f in changed)


def compare(old: AuditResult, new: AuditResult) -> Comparison:
    """Compares two results of the same subject or of two versions of it.

    What another policy, another class of interest or other classes make of a check is never called fixed or new: it
    is another question.
    """
    before = {finding.code: finding for finding in old.findings}
    after = {finding.code: finding for finding in new.findings}
    tests = list(_tests(old, new))
    tests += [
        test
        for code, finding in after.items()
        if code in before
        for test in tests_of(charge_of(before[code]), charge_of(finding))
    ]
    p_values = corrected(tests)
    question = Question.between(old, new)
    findings = []
    for code in sorted(before.keys() | after.keys()):
        was, now = before.get(code), after.get(code)
        became = change_between(was, now, p_values, old.policy.family_wise_error)
        change, why = question.reread(became, was, now, p_values)
        title = (now or before[code]).title
        findings.append(ChangedFinding(code, title, change, was, now, why))
    order = list(Change)
    findings.sort(key=lambda f: (order.index(f.change), f.code))
    return Comparison(
        old, new, tuple(findings), _metrics(old, new, p_values), (*_own(old, new), *question.notes, *_notes(old, new))
    )


def _tests(old: AuditResult, new: AuditResult) -> Iterator[Test]:
    before, after = _counts(old.evidence.evaluation), _counts(new.evidence.evaluation)
    yield from ((*key, *before[key], *count) for key, count in after.items() if key in before)


def _metrics(old: AuditResult, new: AuditResult, p_values: Mapping[Test, float]) -> tuple[MovedMetric, ...]:
    before, after = dict(_rates(old.evidence.evaluation)), dict(_rates(new.evidence.evaluation))
    tested = {test[:2]: p_values.get(test) for test in _tests(old, new)}
    moved = []
    for key, rate in after.items():
        if key in before:
            p, difference = tested.get(key), difference_of_rates(rate, before[key])
            has_moved = p is not None and p < old.policy.family_wise_error
            moved.append(MovedMetric(_name(key), before[key], rate, difference, p, has_moved))
    return tuple(moved)


def _rates(evaluation: EvaluationEvidence | None) -> Iterator[tuple[tuple[str, str], Estimate]]:
    if evaluation is not None:
        yield ("accuracy", "all items"), evaluation.accuracy
        for c in evaluation.per_class:
            yield ("recall", c.name), c.recall
            yield ("precision", c.name), c.precision


def _counts(evaluation: EvaluationEvidence | None) -> dict[tuple[str, str], tuple[int, int]]:
    return {key: (round(e.value * e.n), e.n) for key, e in _rates(evaluation) if e.value is not None}


def _name(key: tuple[str, str]) -> str:
    metric, name = key
    return "Accuracy" if metric == "accuracy" else f"{metric.capitalize()} of {name!r}"


def _own(old: AuditResult, new: AuditResult) -> Iterator[str]:
    for which, result in (("old", old), ("new", new)):
        yield from (f"Of the {which} result: {note}" for note in result.notes)


def newly_crashed(old: AuditResult, new: AuditResult) -> tuple[str, ...]:
    """Stages that crashed in the new result and not in the old one."""
    before = {stage.name for stage in old.stages if stage.outcome is Outcome.CRASHED}
    return tuple(s.name for s in new.stages if s.outcome is Outcome.CRASHED and s.name not in before)


def _notes(old: AuditResult, new: AuditResult) -> Iterator[str]:
    for name in newly_crashed(old, new):
        yield f"The stage {name} crashed in the new result: nothing is known of what it would have found."
    if old.provenance.seed != new.provenance.seed:
        yield (
            f"The seeds differ ({old.provenance.seed} and {new.provenance.seed}): a check whose interval is drawn may "
            "fall on the other side of its bar by that alone."
        )
    data = [{d.split: d.sha256 for d in result.provenance.data}.get("test") for result in (old, new)]
    if old.evidence.evaluation is not None and new.evidence.evaluation is not None:
        if old.provenance.model is None or new.provenance.model is None:
            yield "A file of predictions does not tell whether the test items are the same; they are treated as others."
        elif data[0] == data[1] and data[0] is not None:
            yield (
                "Both were measured on the same test data. A result holds no predictions item by item, so the test "
                "treats them as two samples: it finds less than a paired one would, and claims no more."
            )
        else:
            yield "The test data differ: a metric may have moved because of the data and not because of the model."
