"""What can become of a check between two results."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome
from poolaudit.pitfalls.worsening import Test, charge_of, what_is_worse


class Change(str, Enum):
    """What became of a check between two results; only a check that ran and passed can be fixed."""

    NEW = "new"
    WORSE = "worse"
    NEWLY_ASSESSED = "newly assessed"
    NO_LONGER_ASSESSED = "no longer assessed"
    NO_LONGER_DECIDED = "no longer decided"
    UNCHANGED = "unchanged"
    BETTER = "better"
    FIXED = "fixed"
    PASSED_BOTH = "passed in both"
    NEVER_ASSESSED = "assessed in neither"


# What became of a check, and what is to be said of it.
Became = tuple[Change, tuple[str, ...]]


def change_between(old: Finding | None, new: Finding | None, p_values: Mapping[Test, float], error: float) -> Became:
    """What became of a check that was asked the same both times.

    Args:
        p_values: Of the rates that charges rest on, corrected.
        error: The family-wise error below which a rate has moved.
    """
    was_assessed = old is not None and old.outcome is not Outcome.SKIPPED
    is_assessed = new is not None and new.outcome is not Outcome.SKIPPED
    if not was_assessed and not is_assessed:
        return Change.NEVER_ASSESSED, ()
    if new is None or not is_assessed:
        return Change.NO_LONGER_ASSESSED, ()
    if old is None or not was_assessed:
        return Change.NEWLY_ASSESSED, ()
    if Outcome.CRASHED in (old.outcome, new.outcome):
        # A check that crashes says nothing, whatever the other run's said.
        if old.outcome is new.outcome:
            return Change.UNCHANGED, ()
        return (Change.NO_LONGER_ASSESSED if new.outcome is Outcome.CRASHED else Change.NEWLY_ASSESSED), ()
    if not old.is_open:
        return (Change.NEW if new.is_open else Change.PASSED_BOTH), ()
    if not new.is_open:
        return Change.FIXED, ()
    return _among_open(old, new, p_values, error)


def _fewer_items(old: Finding, new: Finding) -> bool:
    """Whether what is charged rests on fewer items than before, so that it is milder for want of evidence."""
    before = {(s.metric, s.name): s.items for s in old.subjects if s.metric}
    return any(s.items < before.get((s.metric, s.name), 0) for s in new.subjects if s.metric)


def _among_open(old: Finding, new: Finding, p_values: Mapping[Test, float], error: float) -> Became:
    worse = what_is_worse(charge_of(old), charge_of(new), p_values, error)
    if worse:
        return Change.WORSE, worse
    if new.outcome is not old.outcome:
        return Change.NO_LONGER_DECIDED, ()
    accused, was_accused = ({subject.name for subject in finding.subjects} for finding in (new, old))
    is_better = (new.severity.rank > old.severity.rank and not _fewer_items(old, new)) or accused < was_accused
    return (Change.BETTER if is_better else Change.UNCHANGED), ()
