"""Whether a finding has become worse: what it accuses now, against what it accused before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from poolaudit.evidence.wording import percent
from poolaudit.findings import Finding, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.statistics.binomial import holm

# A metric and what it is of, with its hits and items before and now.
Test = tuple[str, str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Charge:
    """What of a finding is compared; an acceptance keeps exactly this."""

    outcome: Outcome
    severity: Severity
    subjects: tuple[Subject, ...]


def charge_of(finding: Finding) -> Charge:
    return Charge(finding.outcome, finding.severity, finding.subjects)


def tests_of(old: Charge, new: Charge) -> Iterator[Test]:
    """The rates that the same charge rested on before and rests on now."""
    known = {(s.metric, s.name): s for s in old.subjects if s.metric}
    for s in new.subjects:
        before = known.get((s.metric, s.name))
        if before is not None:
            yield s.metric, s.name, before.hits, before.items, s.hits, s.items


def corrected(tests: Iterable[Test]) -> dict[Test, float]:
    """Fisher's exact test of equal rates, two-sided; Holm-corrected over the different ones among `tests`."""
    from scipy.stats import fisher_exact

    distinct = [test for test in dict.fromkeys(tests) if test[3] and test[5]]
    tables = [[[was, of - was], [hits, items - hits]] for _, _, was, of, hits, items in distinct]
    return dict(zip(distinct, holm([min(1.0, float(fisher_exact(table).pvalue)) for table in tables]), strict=True))


def what_is_worse(old: Charge, new: Charge, p_values: Mapping[Test, float], error: float) -> tuple[str, ...]:
    """What is charged now that was not before, or was not as heavily; in words, one a reason.

    Args:
        old: A charge that was open.
        new: An open charge of the same check.
        p_values: Of the rates, as `corrected` gives them.
        error: The family-wise error below which a rate has moved.
    """
    lower = [
        test for test in tests_of(old, new) if p_values.get(test, 1.0) < error and test[4] / test[5] < test[2] / test[3]
    ]
    return (*_worse(old, new), *map(_fell, lower))


def _worse(old: Charge, new: Charge) -> Iterator[str]:
    if new.outcome is not old.outcome and not (old.outcome is Outcome.FAILED and new.outcome is Outcome.UNDECIDED):
        yield f"it was {old.outcome} and is {new.outcome}"
    if new.severity.rank < old.severity.rank:
        yield f"it was {old.severity} and is {new.severity}"
    known = {subject.name: subject for subject in old.subjects}
    added = [s.name for s in new.subjects if s.name not in known]
    if added:
        yield f"accused now and not before: {_named(added)}"
    both = [(known[s.name], s) for s in new.subjects if s.name in known]
    surer = [s.name for before, s in both if s.is_shown and not before.is_shown]
    if surer:
        yield f"open before and shown now: {_named(surer)}"
    for before, s in both:
        if s.extent is not None and before.extent is not None and s.extent[0] > before.extent[1]:
            yield f"{s.name!r}: {s.extent[0]:.3g} and more, where it was {before.extent[1]:.3g} at most"


def _fell(test: Test) -> str:
    metric, name, was, of, hits, items = test
    return f"{metric} of {name!r} fell from {percent(was / of)} to {percent(hits / items)}"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"
