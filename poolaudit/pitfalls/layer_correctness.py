"""Incorrect pooling layers: a property that every correct layer of the kind satisfies has a counterexample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from poolaudit.evidence.conformance import PropertyResult
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.policy import Policy
from poolaudit.results import Evidence

_FACTS_SHOWN = 12


@detector("PA100", Severity.CRITICAL)
def pooling_layers_are_correct(evidence: Evidence, policy: Policy) -> Judgement:
    """The pooling layers do what their kind promises.

    Why: A pooling layer that loses the last column, mixes the items of a batch or passes on a wrong gradient trains
        without complaint and fails in ways that no metric names.
    How: Property-based tests attack each layer: its values against a reference written from the definition, its
        gradients, shapes, dtypes, masks, modes of running and its refusals. A property with a counterexample fails.
        Failures that are the framework's own, kept in a versioned list, are counted apart (PA199).
    Do: Run the counterexample's script, mend the layer, and keep the case as a test.
    False alarm: A layer declared to be of another kind than it is: `--like` names the kind, "unknown" asks only what
        holds for every pooling layer.
    """
    results = evidence.conformance
    if results is None:
        return _not_checked()
    failed = [r for r in results if r.outcome is Outcome.FAILED and r.known_divergence is None]
    crashed = [r for r in results if r.outcome is Outcome.CRASHED]
    open_ones = [r for r in results if r.outcome is Outcome.UNDECIDED]
    passed = [r for r in results if r.outcome is Outcome.PASSED]
    if failed:
        first = failed[0]
        properties = len({(r.layer, r.property) for r in failed})
        layers = sorted({r.layer for r in failed})
        return Judgement(
            Outcome.FAILED,
            f"{_layers(layers)} {'breaks' if len(layers) == 1 else 'break'} {properties} "
            f"{'property' if properties == 1 else 'properties'} that every such layer must satisfy, first of all "
            f"{first.property!r}.",
            _facts(failed),
            "A layer for which no counterexample is found.",
            subjects=(*_subjects(failed), *_subjects(crashed + open_ones, is_shown=False)),
        )
    if crashed or open_ones:
        first = (crashed + open_ones)[0]
        return Judgement(
            Outcome.CRASHED if crashed else Outcome.UNDECIDED,
            f"{len(crashed) + len(open_ones)} checks of the layers came to no result; first {first.property!r} of "
            f"{first.layer}: {first.reason}",
            _facts(crashed + open_ones),
            "A run in which these checks finish.",
            Severity.MAJOR,
            _subjects(crashed + open_ones, is_shown=False),
        )
    if not passed:
        return Judgement(Outcome.SKIPPED, "No property could be tried on any pooling layer of this model.")
    return Judgement(
        Outcome.PASSED,
        f"{len(passed):,} checks in {sum(r.examples for r in passed):,} cases found no counterexample in "
        f"{_layers(sorted({r.layer for r in passed}))}.",
    )


@detector("PA199", Severity.MINOR)
def framework_defects_spare_the_layers(evidence: Evidence, policy: Policy) -> Judgement:
    """No known defect of the framework touches the layers.

    Why: TensorFlow and Keras have defects of their own in pooling: wrong gradients, lost NaN, dead processes. A layer
        that calls them inherits these.
    How: Failures that match the versioned list of the framework's own divergences are counted here and not charged
        to the layer.
    Do: Read the entries; avoid the mode, dtype or configuration they name, or upgrade when they are mended.
    False alarm: The divergence concerns a mode or dtype in which this model never runs.
    """
    results = evidence.conformance
    if results is None:
        return _not_checked()
    known = [r for r in results if r.outcome is Outcome.FAILED and r.known_divergence is not None]
    if not known:
        return Judgement(Outcome.PASSED, "No failure was found that is the framework's own.")
    entries = Counter(r.known_divergence for r in known)
    return Judgement(
        Outcome.FAILED,
        f"{len(entries)} known divergences of the framework show in these layers.",
        _facts(known),
        "A release of the framework without these defects.",
        subjects=_subjects(known),
    )


def _not_checked() -> Judgement:
    return Judgement(Outcome.SKIPPED, "The layers were not checked in this run.")


def _layers(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} layers"


def where_of(result: PropertyResult) -> str:
    """Which property of which layer, in which mode and dtype."""
    return f"{result.property} of {result.layer} ({result.mode}, {result.dtype})"


def _subjects(results: Sequence[PropertyResult], *, is_shown: bool = True) -> tuple[Subject, ...]:
    return tuple(Subject(name, is_shown) for name in dict.fromkeys(map(where_of, results)))


def _facts(results: Sequence[PropertyResult]) -> tuple[Fact, ...]:
    facts = []
    for result in results[:_FACTS_SHOWN]:
        where = where_of(result)
        if result.counterexample is not None:
            case = result.counterexample
            what = f"{case.configuration}: observed {case.observed}; expected {case.expected}"
        else:
            what = result.reason or ""
        known = f"[{result.known_divergence}] " if result.known_divergence else ""
        facts.append(Fact(where, known + what))
    if len(results) > _FACTS_SHOWN:
        facts.append(Fact("and further", str(len(results) - _FACTS_SHOWN)))
    return tuple(facts)
