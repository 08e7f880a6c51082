"""AuditResult as JUnit XML, the form every CI system reads."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome
from poolaudit.report.charts.chart import legible
from poolaudit.report.machine import BuildEffect, build_effect, standing
from poolaudit.report.page import SessionGap
from poolaudit.results import AuditResult


def render_junit(result: AuditResult) -> bytes:
    """One suite an audit, one test case a check and a stage.

    A finding that makes the command exit with 1 is a failure (an error where the check crashed); any other outcome than
    PASSED is shown as skipped with its reason, so that nothing but PASSED is green.
    """
    return render_session_junit([result])


def render_session_junit(
    results: Sequence[AuditResult], gaps: Sequence[SessionGap] = (), notes: Sequence[str] = ()
) -> bytes:
    """Several results in one file, a suite each; what has no result is an error in a suite of its own."""
    suites = ElementTree.Element("testsuites")
    suites.extend(_suite(result) for result in results)
    if gaps or notes:
        suites.append(_missing(gaps, notes))
    ElementTree.indent(suites)
    text: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _missing(gaps: Sequence[SessionGap], notes: Sequence[str]) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name="poolaudit: not assessed")
    for gap in gaps:
        case = _case(suite, "poolaudit.session", f"{gap.title} could be audited", 0.0)
        _problem(case, "error", "NOT ASSESSED", "\n".join([gap.reason, *gap.tests]))
    for note in notes:
        case = _case(suite, "poolaudit.session", "The session is complete", 0.0)
        _problem(case, "error", "INCOMPLETE", note)
    _count(suite)
    suite.set("time", "0.000")
    return suite


def _count(suite: ElementTree.Element) -> None:
    for kind, plural in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(plural, str(len(suite.findall(f"testcase/{kind}"))))
    suite.set("tests", str(len(suite.findall("testcase"))))


def _suite(result: AuditResult) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=legible(f"poolaudit: {result.title}"))
    for finding in result.findings:
        _add_finding(suite, finding, result)
    if result.nothing_was_checked:
        case = _case(suite, "poolaudit.checks", "At least one check could be made", 0.0)
        _problem(case, "failure", "INCONCLUSIVE", "; ".join(result.decision.reasons))
    for stage in result.stages:
        case = _case(suite, "poolaudit.stages", stage.name, stage.duration_seconds)
        if stage.outcome is Outcome.CRASHED:
            _problem(case, "error", "CRASHED", stage.reason or "")
        elif stage.outcome is not Outcome.PASSED:
            _problem(case, "skipped", str(stage.outcome), stage.reason or "")
    _count(suite)
    suite.set("time", f"{result.provenance.duration_seconds:.3f}")
    suite.set("timestamp", legible(result.provenance.started))
    return suite


def _add_finding(suite: ElementTree.Element, finding: Finding, result: AuditResult) -> None:
    case = _case(suite, "poolaudit.checks", f"{finding.code} {finding.title}", 0.0)
    effect = build_effect(finding, result)
    if effect is BuildEffect.PASSES:
        return
    kind = "skipped"
    if effect is BuildEffect.BREAKS:
        kind = "error" if finding.outcome is Outcome.CRASHED else "failure"
    lines = [finding.summary, *(f"{fact.label}: {fact.value}" for fact in finding.evidence)]
    lines += [f"Do this: {finding.do}"] if finding.do else []
    _problem(case, kind, standing(finding, result), "\n".join(lines))


def _case(suite: ElementTree.Element, group: str, name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=group, name=legible(name), time=f"{seconds:.3f}")


def _problem(case: ElementTree.Element, kind: str, message: str, text: str) -> None:
    # The schema gives "skipped" no type.
    attributes = {"message": legible(message)}
    if kind != "skipped":
        attributes["type"] = legible(message.partition(",")[0])
    ElementTree.SubElement(case, kind, attributes).text = legible(text)
