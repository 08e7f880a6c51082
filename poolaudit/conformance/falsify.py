"""Tries to break one property on one layer in one mode and dtype, and makes the counterexample small."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, settings

from poolaudit.conformance.case import Case
from poolaudit.conformance.classics import classics
from poolaudit.conformance.drawing import cases_for
from poolaudit.conformance.kernel_sets import KERNEL_MODES
from poolaudit.conformance.layer_under_test import LayerUnderTest, Record
from poolaudit.conformance.loading import LoadedSubject
from poolaudit.conformance.profiles import Profile
from poolaudit.conformance.property import LayerProperty
from poolaudit.conformance.refusals import reasons, unexplained
from poolaudit.conformance.shrinking import shrink
from poolaudit.conformance.snippets import script
from poolaudit.conformance.triggers import triggered
from poolaudit.conformance.violations import NotApplicable, Refused, Unjudged, Violation
from poolaudit.evidence.conformance import Counterexample, PropertyResult
from poolaudit.outcomes import Outcome

Announce = Callable[[Case], None]

_SHRINKS = {"trace": 40, "compile": 16}
"""Examples spent on a smaller counterexample where each is traced or compiled anew."""

_REFUSED = 12
"""So many refusals and nothing accepted: the layer does not take this at all."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A property result with the case behind it."""

    result: PropertyResult
    case: Case | None = None


class _Enough(BaseException):
    """Ends the search; no Exception, so that Hypothesis lets it through."""


@dataclass(slots=True)
class _Search:
    """What a search has seen so far."""

    accepted: list[Case] = field(default_factory=list)
    refused: list[tuple[Case, Refused]] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    unjudged: str = ""
    tries: int = 0
    since_failure: int = 0
    found: tuple[Case, Violation, Record] | None = None


def falsify(
    subject: LoadedSubject,
    prop: LayerProperty,
    mode: str,
    dtype: str,
    profile: Profile,
    seed: int,
    announce: Announce,
    cases: Sequence[Case] | None = None,
    flaw: str | None = None,
    avoid: tuple[str, ...] = (),
) -> Verdict:
    """Runs a search with Hypothesis, or through the given cases only.

    The same seed gives the same counterexample: nothing is stored between runs, and shrinking ends after a number
    of examples. Only the time limit of the profile, which is there for machines far too slow, can cut it short.
    """
    search = _Search()
    shrinks = min(profile.shrinks, _SHRINKS.get(_cost(prop, mode), profile.shrinks), 40 if flaw else profile.shrinks)
    run_mode = "eager" if mode in KERNEL_MODES else mode
    started = time.monotonic()

    def attempt(case: Case) -> None:
        if time.monotonic() - started > profile.batch_seconds and search.tries > 1:
            raise _Enough
        if search.found is not None:
            search.since_failure += 1
            if search.since_failure > shrinks:
                raise _Enough
        if len(search.refused) >= _REFUSED and not search.accepted and prop.name != "valid_accepted":
            raise _Enough
        if avoid and triggered(case, avoid):
            return
        announce(case)
        search.tries += 1
        violation = examine(subject, prop, run_mode, case, search)
        if violation is not None:
            raise violation

    if cases is None and prop.corners is not None:
        cases = prop.corners(subject, dtype)
    if cases is not None:
        for case in cases:
            try:
                attempt(case)
            except (Violation, _Enough):
                break
    else:
        designed = _first_classic(subject, prop, run_mode, dtype, profile, attempt)
        if designed is not None:
            _shrink_classic(subject, prop, run_mode, designed, profile.batch_seconds, shrinks, announce, search, avoid)
        elif search.found is None and (profile.examples[_cost(prop, run_mode)] or prop.cases == "invalid"):
            _hypothesis_run(subject, prop, run_mode, dtype, profile, seed, attempt, flaw)
    return _verdict(subject, prop, mode, dtype, search)


def _first_classic(
    subject: LoadedSubject,
    prop: LayerProperty,
    mode: str,
    dtype: str,
    profile: Profile,
    attempt: Callable[[Case], None],
) -> Case | None:
    """The first designed case that fails."""
    count = profile.classics.get(_cost(prop, mode), 0)
    if prop.cases == "invalid" or not count:
        return None
    for case in itertools.islice(classics(subject, prop, mode, dtype), count):
        try:
            attempt(case)
        except Violation:
            return case
        except _Enough:
            return None
    return None


def _shrink_classic(
    subject: LoadedSubject,
    prop: LayerProperty,
    mode: str,
    case: Case,
    seconds: float,
    shrinks: int,
    announce: Announce,
    search: _Search,
    avoid: tuple[str, ...],
) -> None:
    def fails(candidate: Case) -> bool:
        if (avoid and triggered(candidate, avoid)) or not subject.can_be(candidate.configuration):
            return False
        announce(candidate)
        trial = _Search()
        violated = examine(subject, prop, mode, candidate, trial) is not None
        if violated:
            search.found = trial.found
        return violated

    shrink(case, fails, seconds, shrinks)


def examine(subject: LoadedSubject, prop: LayerProperty, mode: str, case: Case, search: _Search) -> Violation | None:
    """One example; what happened is noted in `search`."""
    record = Record()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prop.statement(LayerUnderTest(subject, case, mode, record=record), case)
    except Violation as violation:
        search.found = (case, violation, record)
        return violation
    except Refused as refused:
        search.refused.append((case, refused))
    except Unjudged as reason:
        search.unjudged = str(reason)
    except NotApplicable:
        pass
    except Exception as error:
        search.crashes.append(f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}")
    else:
        search.accepted.append(case)
    return None


def _hypothesis_run(
    subject: LoadedSubject,
    prop: LayerProperty,
    mode: str,
    dtype: str,
    profile: Profile,
    seed: int,
    attempt: Callable[[Case], None],
    flaw: str | None,
) -> None:
    cost = _cost(prop, mode)

    @hypothesis.seed(seed)
    @settings(
        max_examples=profile.examples[cost] if flaw is None else max(4, profile.examples[cost] // 6),
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=cases_for(subject, prop, mode, dtype, flaw))
    def search(case: Case) -> None:
        attempt(case)

    try:
        search()
    except (_Enough, Violation):
        pass
    except hypothesis.errors.Flaky:
        pass  # the layer itself is not deterministic; what was found stands


def _cost(prop: LayerProperty, mode: str) -> str:
    if prop.cost == "slow":
        return prop.cost
    return {"graph": "trace", "graph_unknown_sizes": "trace", "xla": "compile"}.get(mode, prop.cost)


def _verdict(subject: LoadedSubject, prop: LayerProperty, mode: str, dtype: str, search: _Search) -> Verdict:
    def result(outcome: Outcome, **more: Any) -> PropertyResult:
        return PropertyResult(subject.name, prop.name, outcome, mode, dtype, examples=len(search.accepted), **more)

    if search.found is not None:
        case, violation, record = search.found
        return Verdict(result(Outcome.FAILED, counterexample=counterexample(prop, case, mode, violation, record)), case)
    if prop.name == "valid_accepted" and search.refused:
        pair = unexplained(search.accepted, search.refused)
        if pair is not None and not (pair[1].deliberate and not search.accepted):
            violation = Violation(str(pair[1]), "a result: the configuration is valid, and nothing about it is unusual")
            record = Record([(subject, pair[0].configuration, dtype)])
            layer = LayerUnderTest(subject, pair[0], "eager", record=Record())
            examine_again(layer, prop, pair[0])
            found = counterexample(prop, pair[0], mode, violation, layer.record)
            return Verdict(result(Outcome.FAILED, counterexample=found), pair[0])
        if not search.accepted and (mode, dtype) == ("eager", "float32"):
            why = f"the layer refused {_all_of(len(search.refused), 'valid case')}, so nothing is known of it"
            return Verdict(result(Outcome.UNDECIDED, reason=f"{why} ({search.refused[0][1]})"))
        return Verdict(result(Outcome.SKIPPED, reason=reasons(search.accepted, search.refused)))
    if search.unjudged:
        return Verdict(result(Outcome.SKIPPED, reason=search.unjudged))
    if search.crashes:
        reason = f"the check itself crashed on {len(search.crashes)} of {search.tries} examples: {search.crashes[0]}"
        return Verdict(result(Outcome.CRASHED, reason=reason))
    if not search.accepted:
        if search.refused and not all(refused.deliberate for _, refused in search.refused):
            at, bad = next(pair for pair in search.refused if not pair[1].deliberate)
            return Verdict(result(Outcome.CRASHED, reason=f"the layer crashes: {bad}; for example {at.describe()}"))
        why = "no case of this layer says anything about it"
        if search.refused:
            why = f"the layer refused {_all_of(len(search.refused), 'case')} ({search.refused[0][1]})"
        return Verdict(result(Outcome.SKIPPED, reason=why))
    return Verdict(result(Outcome.PASSED))


def examine_again(layer: LayerUnderTest, prop: LayerProperty, case: Case) -> None:
    """Runs a statement for its record only."""
    try:
        prop.statement(layer, case)
    except Exception:
        return


def counterexample(prop: LayerProperty, case: Case, mode: str, violation: Violation, record: Record) -> Counterexample:
    """A violation, ready to show."""
    what = f"{violation.what}: " if violation.what else ""
    run_mode = "eager" if mode in KERNEL_MODES else mode
    return Counterexample(
        configuration=case.describe(),
        snippet=script(record, case, run_mode, violation, prop.doc.title),
        observed=f"{what}{violation.observed}",
        expected=violation.expected,
    )


def _all_of(count: int, noun: str) -> str:
    return f"the only {noun}" if count == 1 else f"all {count} {noun}s"
