"""AuditResult as SARIF 2.1.0, the form code hosts show beside the code."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Severity
from poolaudit.report.machine import standing
from poolaudit.results import AuditResult

_LEVELS = {Severity.CRITICAL: "error", Severity.MAJOR: "error", Severity.MINOR: "warning", Severity.INFO: "note"}
# A check that could not tell is "open" in SARIF's words; one that crashed needs a person.
_KINDS = {
    Outcome.PASSED: "pass",
    Outcome.FAILED: "fail",
    Outcome.UNDECIDED: "open",
    Outcome.SKIPPED: "notApplicable",
    Outcome.CRASHED: "review",
}


def render_sarif(result: AuditResult) -> bytes:
    """One run with one result a check; every check is a rule with its documentation.

    Levels follow the severity; a result other than a failure has no level, as the standard demands. Findings that a
    baseline accepts carry a suppression with its reason.
    """
    crashed = [stage for stage in result.stages if stage.outcome is Outcome.CRASHED]
    rules = sorted(result.findings, key=lambda finding: finding.code)
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "poolaudit",
                "semanticVersion": dict(result.provenance.versions).get("poolaudit", ""),
                "rules": [_rule(finding) for finding in rules],
            }
        },
        "invocations": [
            {
                "executionSuccessful": not crashed,
                "startTimeUtc": result.provenance.started.replace("+00:00", "Z"),
                "toolExecutionNotifications": [
                    {
                        "level": "error",
                        "message": {"text": f"The stage {stage.name} crashed: {stage.reason}"},
                    }
                    for stage in crashed
                ],
            }
        ],
        "artifacts": [{"location": {"uri": uri}} for uri in _artifacts(result)],
        "results": [_result(finding, result, rules) for finding in result.findings],
        "properties": {"verdict": result.verdict.value, "title": result.title},
    }
    log = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return (json.dumps(log, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(errors="replace")


def _rule(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.code,
        "shortDescription": {"text": finding.title},
        "fullDescription": {"text": finding.why or finding.title},
        "help": {
            "text": f"How: {finding.how}\n\nDo: {finding.do}\n\nWhen it is a false alarm: {finding.false_alarm}",
        },
        "defaultConfiguration": {"level": _LEVELS[finding.severity]},
    }


def _result(finding: Finding, result: AuditResult, rules: list[Finding]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rules.index(finding),
        "kind": _KINDS[finding.outcome],
        "level": _LEVELS[finding.severity] if finding.outcome is Outcome.FAILED else "none",
        "message": {"text": finding.summary},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": uri, "index": index}}}
            for index, uri in enumerate(_artifacts(result)[:1])
        ],
        "partialFingerprints": {"poolaudit/v1": f"{finding.code}:{result.title}"},
        "properties": {
            "standing": standing(finding, result),
            "evidence": [f"{fact.label}: {fact.value}" for fact in finding.evidence],
        },
    }
    accepted = result.acceptance_of(finding)
    if accepted is not None:
        entry["suppressions"] = [
            {
                "kind": "external",
                "status": "accepted",
                "justification": f"{accepted.reason} (until {accepted.expires})",
            }
        ]
    return entry


def _artifacts(result: AuditResult) -> list[str]:
    """What was audited, as relative addresses: the model or the file of predictions first."""
    model = result.provenance.model
    named = [model.source] if model is not None else []
    named += [data.source for data in result.provenance.data]
    return [quote(name, errors="replace") for name in dict.fromkeys(named)]
