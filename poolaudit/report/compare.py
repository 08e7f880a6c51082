"""Two results against each other: what is new, fixed, unchanged or no longer assessed, and which metrics moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import EvaluationEvidence
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome
from poolaudit.results import AuditResult
from poolaudit.statistics.binomial import holm
from poolaudit.statistics.intervals import difference_of_rates


class Change(str, Enum):
    """What became of a check between two results; only a check that ran and passed can be fixed."""

    NEW = "new"
    WORSE = "worse"
    UNCHANGED = "unchanged"
    BETTER = "better"
    FIXED = "fixed"
    NO_LONGER_ASSESSED = "no longer assessed"
    NEWLY_ASSESSED = "newly assessed"
    PASSED_BOTH = "passed in both"
    NEVER_ASSESSED = "assessed in neither"


# From bad to good, among the outcomes that say something.
_ORDER = (Outcome.CRASHED, Outcome.FAILED, Outcome.UNDECIDED, Outcome.PASSED)


@dataclass(frozen=True, slots=True)
class ChangedFinding:
    """One check in both results; a side is None where the check did not exist there."""

    code: str
    title: str
    change: Change
    old: Finding | None
    new: Finding | None


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
        notes: What makes the comparison weaker: other test data, another policy, other classes.
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
        """True where a finding is new or worse, counts at the new result's fail level and is not accepted."""
        changed = self.of(Change.NEW, Change.WORSE, Change.NEWLY_ASSESSED)
        return any(f.new is not None and self.new.breaks_the_build(f.new) for f in changed)


def compare(old: AuditResult, new: AuditResult) -> Comparison:
    """Compares two results of the same subject or of two versions of it."""
    before = {finding.code: finding for finding in old.findings}
    after = {finding.code: finding for finding in new.findings}
    findings = [
        ChangedFinding(
            code,
            (after.get(code) or before[code]).title,
            _change(before.get(code), after.get(code)),
            before.get(code),
            after.get(code),
        )
        for code in sorted(before.keys() | after.keys())
    ]
    order = list(Change)
    findings.sort(key=lambda f: (order.index(f.change), f.code))
    return Comparison(old, new, tuple(findings), _metrics(old, new), tuple(_notes(old, new)))


def _change(old: Finding | None, new: Finding | None) -> Change:
    was_assessed = old is not None and old.outcome is not Outcome.SKIPPED
    is_assessed = new is not None and new.outcome is not Outcome.SKIPPED
    if not was_assessed and not is_assessed:
        return Change.NEVER_ASSESSED
    if not is_assessed:
        return Change.NO_LONGER_ASSESSED
    assert new is not None
    if not was_assessed:
        return Change.NEWLY_ASSESSED
    assert old is not None
    # A check that crashes now says nothing any more, whatever it said before.
    if new.outcome is Outcome.CRASHED and old.outcome is not Outcome.CRASHED:
        return Change.NO_LONGER_ASSESSED
    if not old.is_open and not new.is_open:
        return Change.PASSED_BOTH
    if not old.is_open:
        return Change.NEW
    if not new.is_open:
        return Change.FIXED
    return _among_open(old, new)


def _among_open(old: Finding, new: Finding) -> Change:
    rank = (_ORDER.index(new.outcome), new.severity.rank)
    was = (_ORDER.index(old.outcome), old.severity.rank)
    if rank == was:
        return Change.UNCHANGED
    return Change.WORSE if rank < was else Change.BETTER


def _metrics(old: AuditResult, new: AuditResult) -> tuple[MovedMetric, ...]:
    if old.evidence.evaluation is None or new.evidence.evaluation is None:
        return ()
    before, after = dict(_rates(old.evidence.evaluation)), dict(_rates(new.evidence.evaluation))
    names = [name for name in after if name in before]
    tests = {name: _p_value(before[name], after[name]) for name in names}
    tested = [name for name in names if tests[name] is not None]
    corrected = dict(zip(tested, holm([tests[name] or 0.0 for name in tested]), strict=True))
    return tuple(
        MovedMetric(
            name,
            before[name],
            after[name],
            difference_of_rates(after[name], before[name]),
            corrected.get(name),
            corrected.get(name, 1.0) < new.policy.family_wise_error,
        )
        for name in names
    )


def _rates(evaluation: EvaluationEvidence) -> Iterator[tuple[str, Estimate]]:
    yield "Accuracy", evaluation.accuracy
    for c in evaluation.per_class:
        yield f"Recall of {c.name!r}", c.recall
        yield f"Precision of {c.name!r}", c.precision


def _p_value(old: Estimate, new: Estimate) -> float | None:
    if old.value is None or new.value is None:
        return None
    from scipy.stats import fisher_exact

    hits = [round(estimate.value * estimate.n) for estimate in (old, new) if estimate.value is not None]
    table = [[hits[0], old.n - hits[0]], [hits[1], new.n - hits[1]]]
    return float(fisher_exact(table).pvalue)


def _notes(old: AuditResult, new: AuditResult) -> Iterator[str]:
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
        if old.evidence.evaluation.class_names != new.evidence.evaluation.class_names:
            yield "The classes differ; only metrics of classes in both are compared."
    if old.policy != new.policy:
        yield "The policies differ: a finding may have changed although no number did."
    if old.scope != new.scope:
        yield f"The old result is of {old.scope}, the new one of {new.scope}."
