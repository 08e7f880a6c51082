"""AuditResult to the plain view data that the template shows; no HTML and no measuring here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from poolaudit.evidence.evaluation import EvaluationEvidence
from poolaudit.evidence.wording import interval, percent
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Verdict
from poolaudit.report.blocks import Badge, Problem, Section, badge_of
from poolaudit.report.compare import Comparison
from poolaudit.report.machine import void_acceptances
from poolaudit.report.sections import SECTIONS
from poolaudit.report.sections import comparison as comparison_sections
from poolaudit.report.sections.comparison import change_counts, comparison_in_words
from poolaudit.results import AuditResult, Provenance
from poolaudit.version import __version__

_LEADING = 4
_VERDICT_TEXT = {
    Verdict.READY: "Nothing that was checked speaks against releasing this model.",
    Verdict.NEEDS_REVIEW: "Some checks failed. A person must look before this model is released.",
    Verdict.NOT_READY: "Do not release this model as it is.",
    Verdict.INCONCLUSIVE: "The evidence does not decide whether this model can be released.",
}
_LAYER_VERDICT_TEXT = {
    Verdict.READY: "Nothing that was checked speaks against using {what}.",
    Verdict.NEEDS_REVIEW: "Some checks failed. A person must look before {what} {is_} used.",
    Verdict.NOT_READY: "Do not use {what} as {it_is}.",
    Verdict.INCONCLUSIVE: "The evidence does not decide whether {what} can be used.",
}
_NO_VERDICT = "NO VERDICT"


@dataclass(frozen=True, slots=True)
class Headline:
    """One of the few numbers on the first screen."""

    label: str
    value: str
    interval: str
    note: str


@dataclass(frozen=True, slots=True)
class Card:
    """A finding as a card; `opened` cards show their body without a click."""

    code: str
    title: str
    badge: Badge
    severity: str
    summary: str
    evidence: tuple[tuple[str, str], ...]
    why: str
    how: str
    do: str
    false_alarm: str
    would_change: str
    accepted: str
    opened: bool


@dataclass(frozen=True, slots=True)
class Count:
    """How many checks ended in one outcome."""

    badge: Badge
    number: int


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the template shows, in reading order.

    Attributes:
        title: Of the audit, shown and in the window's title.
        subject: Model, data, number of items and day, each of which may be written from right to left.
        verdict: The verdict in words.
        verdict_style: Style name of the verdict.
        verdict_text: The verdict as a sentence.
        notes: What a reader must know first.
        reasons: Up to three sentences that decided.
        further_reasons: How many more there are.
        would_change: What would turn the verdict around.
        headlines: Numbers for the first screen.
        counts: Checks by outcome.
        not_assessed: Pairs of what and why.
        not_assessed_lead: The first of these in a line, for readers who do not open the list.
        cards: All findings, open ones first.
        sections: What was measured, in reading order.
        version: poolaudit's version.
    """

    title: str
    subject: tuple[str, ...]
    verdict: str
    verdict_style: str
    verdict_text: str
    notes: tuple[str, ...]
    reasons: tuple[str, ...]
    further_reasons: int
    would_change: tuple[str, ...]
    headlines: tuple[Headline, ...]
    counts: tuple[Count, ...]
    not_assessed: tuple[tuple[str, str], ...]
    not_assessed_lead: str
    cards: tuple[Card, ...]
    sections: tuple[Section, ...]
    version: str


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """One result of a test session, the folder its own report is in, and the tests that asked for it."""

    folder: str
    tests: tuple[str, ...]
    result: AuditResult


@dataclass(frozen=True, slots=True)
class SessionGap:
    """What tests of a session asked for and did not get.

    Attributes:
        title: What was to be audited.
        reason: Why there is no result.
        tests: Node identifiers of the tests that asked.
    """

    title: str
    reason: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionAudit:
    """One result on the overview of a session."""

    title: str
    verdict: str
    style: str
    report: str
    reasons: tuple[str, ...]
    counts: tuple[Count, ...]
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Everything the overview of a session shows.

    Attributes:
        lead: How many results of which verdict, as a sentence.
        notes: Why the session may hold less than was asked for.
        gaps: What was asked for and has no result.
        audits: The results, by title.
        version: poolaudit's version.
    """

    lead: str
    notes: tuple[str, ...]
    gaps: tuple[SessionGap, ...]
    audits: tuple[SessionAudit, ...]
    version: str


def build_session_page(
    entries: Sequence[SessionEntry], gaps: Sequence[SessionGap] = (), notes: Sequence[str] = ()
) -> SessionPage:
    """View data of the overview of a test session."""
    words = [_words(verdict) for verdict in Verdict] + [_NO_VERDICT]
    stamps = [_stamp_of(entry.result) for entry in entries]
    told = [f"{stamps.count(word)} {word}" for word in words if word in stamps]
    told += [f"{len(gaps)} NOT ASSESSED"] if gaps else []
    nothing = "No audit was made." if notes else "No test asked for an audit."
    return SessionPage(
        lead=f"{', '.join(told)}{'; the session is incomplete' if notes else ''}." if told else nothing,
        notes=tuple(notes),
        gaps=tuple(SessionGap(gap.title, gap.reason, _by_function(gap.tests)) for gap in gaps),
        audits=tuple(
            SessionAudit(
                title=entry.result.title,
                verdict=_stamp_of(entry.result),
                style=entry.result.verdict.value.lower().replace("_", "-"),
                report=f"{entry.folder}/report.html",
                reasons=entry.result.decision.reasons[:3],
                counts=_counts(entry.result),
                tests=_by_function(entry.tests),
            )
            for entry in entries
        ),
        version=next((dict(e.result.provenance.versions).get("poolaudit", "") for e in entries), __version__),
    )


def _by_function(tests: Sequence[str]) -> tuple[str, ...]:
    """The tests' names; more than three items of one test function are told by their number."""
    functions: dict[str, list[str]] = {}
    for test in tests:
        functions.setdefault(test.partition("[")[0], []).append(test)
    told: list[str] = []
    for function, items in functions.items():
        told += items if len(items) <= 3 else [f"{function} ({len(items)} items)"]
    return tuple(told)


@dataclass(frozen=True, slots=True)
class DiffPage:
    """Everything the comparison shows, in reading order.

    Attributes:
        title: What is compared.
        verdict: Old and new verdict in words.
        style: Style name of the new verdict.
        lead: The comparison as a sentence.
        notes: What makes the comparison weaker.
        counts: How many checks changed in which way.
        sections: Checks and metrics.
        version: poolaudit's version.
    """

    title: str
    verdict: str
    style: str
    lead: str
    notes: tuple[str, ...]
    counts: tuple[str, ...]
    sections: tuple[Section, ...]
    version: str


def build_diff_page(comparison: Comparison) -> DiffPage:
    """View data of a comparison."""
    old, new = comparison.old, comparison.new
    verdicts = [_stamp_of(result) for result in (old, new)]
    return DiffPage(
        title=new.title if old.title == new.title else f"{old.title} against {new.title}",
        verdict=verdicts[1] if verdicts[0] == verdicts[1] else f"{verdicts[0]} → {verdicts[1]}",
        style=new.verdict.value.lower().replace("_", "-"),
        lead=comparison_in_words(comparison),
        notes=comparison.notes,
        counts=change_counts(comparison),
        sections=comparison_sections.sections(comparison),
        version=dict(new.provenance.versions).get("poolaudit", ""),
    )


def build_page(result: AuditResult) -> Page:
    """View data of a result. A section that cannot be built becomes a visible problem, not a missing page."""
    evaluation = result.evidence.evaluation
    return Page(
        title=result.title,
        subject=_subject(result.provenance),
        verdict=_stamp_of(result),
        verdict_style=result.verdict.value.lower().replace("_", "-"),
        verdict_text=_verdict_text(result),
        notes=(*result.notes, *void_acceptances(result)),
        reasons=result.decision.reasons[:3],
        further_reasons=max(len(result.decision.reasons) - 3, 0),
        would_change=result.decision.main_changes,
        headlines=_headlines(evaluation) if evaluation else (),
        counts=_counts(result),
        not_assessed=tuple((item.what, item.reason) for item in result.not_assessed),
        not_assessed_lead=_lead([item.what for item in result.not_assessed]),
        cards=tuple(_card(finding, result) for finding in result.findings),
        sections=_sections(result),
        version=dict(result.provenance.versions).get("poolaudit", ""),
    )


def _words(verdict: Verdict) -> str:
    return verdict.value.replace("_", " ")


def _stamp_of(result: AuditResult) -> str:
    """Where only speed was measured, nothing was asked that a verdict could answer."""
    return _NO_VERDICT if result.scope == "benchmarks" else _words(result.verdict)


def _verdict_text(result: AuditResult) -> str:
    if result.scope == "benchmarks":
        return "Speed alone decides no release."
    left_out = result.stages_not_run
    text = _layer_verdict_text(result) if result.scope == "conformance" else _VERDICT_TEXT[result.verdict]
    return f"{text} Not run: {', '.join(left_out)}." if left_out else text


def _layer_verdict_text(result: AuditResult) -> str:
    """A check of layers says nothing of a model that they may be part of."""
    one = len({entry.layer for entry in result.evidence.conformance or ()}) <= 1
    what, is_, it_is = ("this layer", "is", "it is") if one else ("these layers", "are", "they are")
    return _LAYER_VERDICT_TEXT[result.verdict].format(what=what, is_=is_, it_is=it_is)


def _subject(provenance: Provenance) -> tuple[str, ...]:
    parts = [] if provenance.model is None else [f"model {provenance.model.source}"]
    parts += [f"{data.split} {data.source}, {data.items:,} items" for data in provenance.data]
    return (*parts, provenance.started[:10])


def _counts(result: AuditResult) -> tuple[Count, ...]:
    return tuple(Count(badge_of(o), sum(f.outcome is o for f in result.findings)) for o in Outcome)


def _sections(result: AuditResult) -> tuple[Section, ...]:
    built = []
    for name, build in SECTIONS:
        try:
            section = build(result)
        except Exception as error:
            problem = f"{name} could not be rendered ({type(error).__name__}: {str(error)[:200]})."
            section = Section(name.lower().replace(" ", "-"), name, (Problem(problem),))
        if section is not None:
            built.append(section)
    return tuple(built)


def _lead(names: list[str]) -> str:
    more = len(names) - _LEADING
    return "; ".join(names[:_LEADING]) + (f"; and {more} more" if more > 0 else "")


def _card(finding: Finding, result: AuditResult) -> Card:
    accepted = result.acceptance_of(finding)
    return Card(
        code=finding.code,
        title=finding.title,
        badge=badge_of(finding.outcome),
        severity=finding.severity.value,
        summary=finding.summary,
        evidence=tuple((fact.label, fact.value) for fact in finding.evidence),
        why=finding.why,
        how=finding.how,
        do=finding.do,
        false_alarm=finding.false_alarm,
        would_change=finding.would_change or "",
        accepted="" if accepted is None else f"Accepted until {accepted.expires}: {accepted.reason}",
        opened=finding.is_open,
    )


def _headlines(evaluation: EvaluationEvidence) -> tuple[Headline, ...]:
    test = evaluation.no_information
    shown = [
        Headline(
            "Accuracy",
            percent(evaluation.accuracy.value),
            interval(evaluation.accuracy, as_percent=True),
            f"always answering {test.majority_class!r}: {percent(test.rate)}",
        )
    ]
    if evaluation.positive is not None:
        of_interest = next(c for c in evaluation.per_class if c.name == evaluation.positive)
        label = f" of {of_interest.name!r}"
    else:
        judged = [c for c in evaluation.per_class if c.recall.value is not None]
        of_interest = min(judged, key=lambda c: c.recall.value or 0.0)
        label = f" of the weakest class, {of_interest.name!r}"
    shown.append(
        Headline(
            "Recall" + label,
            percent(of_interest.recall.value),
            interval(of_interest.recall, as_percent=True),
            f"{of_interest.false_negatives:,} of {of_interest.support:,} missed",
        )
    )
    alarms = of_interest.true_positives + of_interest.false_positives
    shown.append(
        Headline(
            f"Precision of {of_interest.name!r}",
            percent(of_interest.precision.value),
            interval(of_interest.precision, as_percent=True),
            f"{of_interest.false_positives:,} of {alarms:,} alarms are false" if alarms else "never predicted",
        )
    )
    return tuple(shown)
