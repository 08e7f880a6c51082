"""The files beside the HTML: valid in their own formats, agreeing with the exit code, hostile names only text."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jsonschema
import pytest
import yaml
from browsing import NODE_MODULES
from report_examples import HOSTILE, result_of, scored

from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.verdict import fails_release
from poolaudit.report.files import render_all
from poolaudit.report.junit import render_junit
from poolaudit.report.markdown import render_markdown
from poolaudit.report.model_card import render_model_index
from poolaudit.report.sarif import render_sarif
from poolaudit.results import Acceptance, AuditResult, StageResult
from poolaudit.store.results import encode_result
from poolaudit.store.schema import encode_schema, result_schema
from specimens.outcomes import from_confusion, scored_counts

SARIF_SCHEMA = NODE_MODULES / "@microsoft" / "jest-sarif" / "lib" / "schemas" / "sarif-2.1.0-rtm.5.json"
ROOT = Path(__file__).parent.parent.parent


def fraud() -> AuditResult:
    """98 % accuracy with 12 % recall."""
    return result_of(scored_counts(12, 88, 12, 4_888), "fraud")


def healthy() -> AuditResult:
    return result_of(scored_counts(960, 40, 40, 4_960), "fraud")


def with_finding(outcome: Outcome, severity: Severity) -> AuditResult:
    finding = Finding("PA299", "Made to measure", outcome, severity, "A sentence.")
    return dataclasses.replace(healthy(), findings=(finding,))


@pytest.fixture(scope="module")
def hostile() -> AuditResult:
    return result_of(scored(len(HOSTILE), 3_000, HOSTILE), title=" ".join(HOSTILE))


def test_every_file_is_written() -> None:
    assert set(render_all(fraud())) == {
        "report.html",
        "result.json",
        "junit.xml",
        "result.sarif",
        "summary.md",
        "model-index.yml",
    }


def test_the_same_result_gives_the_same_bytes() -> None:
    assert render_all(fraud()) == render_all(fraud())


# JUnit


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("outcome", Outcome)
def test_junit_agrees_with_the_exit_code(outcome: Outcome, severity: Severity) -> None:
    result = with_finding(outcome, severity)
    suite = ElementTree.fromstring(render_junit(result)).find("testsuite")
    assert suite is not None
    broken = int(suite.get("failures", "")) + int(suite.get("errors", ""))
    assert (broken > 0) is fails_release(result)
    (case,) = [c for c in suite.findall("testcase") if c.get("name") == "PA299 Made to measure"]
    assert (len(case) == 0) is (outcome is Outcome.PASSED), "nothing but PASSED may be green"


def test_junit_counts_what_it_holds() -> None:
    suite = ElementTree.fromstring(render_junit(fraud())).find("testsuite")
    assert suite is not None
    assert int(suite.get("tests", "")) == len(suite.findall("testcase")) == len(fraud().findings) + 1
    assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure")) > 0
    assert "PA201" in suite.findall("testcase")[0].get("name", "")
    assert "12 of" in (suite.findall("testcase/failure")[0].text or "") or "88 of the 100" in (
        suite.findall("testcase/failure")[0].text or ""
    )


def test_a_crashed_stage_is_an_error_in_junit() -> None:
    result = dataclasses.replace(healthy(), stages=(StageResult("geometry", Outcome.CRASHED, 0.1, "ValueError: no"),))
    suite = ElementTree.fromstring(render_junit(result)).find("testsuite")
    assert suite is not None
    assert suite.get("errors") == "1"


# SARIF


@pytest.mark.skipif(not SARIF_SCHEMA.is_file(), reason="the SARIF schema is not installed: npm ci --prefix tests/node")
def test_sarif_is_valid(hostile: AuditResult) -> None:
    schema = json.loads(SARIF_SCHEMA.read_text(encoding="utf-8"))
    crashed = dataclasses.replace(healthy(), stages=(StageResult("geometry", Outcome.CRASHED, 0.1, "ValueError: no"),))
    validator = jsonschema.validators.validator_for(schema)(schema)
    for result in (fraud(), healthy(), hostile, crashed, accepted(fraud())):
        validator.validate(json.loads(render_sarif(result)))
    broken = json.loads(render_sarif(fraud()))
    broken["runs"][0]["results"][0]["kind"] = "bad"
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(broken)


def test_sarif_levels_follow_outcome_and_severity() -> None:
    log = json.loads(render_sarif(fraud()))
    (run,) = log["runs"]
    by_rule = {entry["ruleId"]: entry for entry in run["results"]}
    assert by_rule["PA201"]["level"] == "error"
    assert by_rule["PA201"]["kind"] == "fail"
    assert by_rule["PA203"] | {"kind": "pass", "level": "none"} == by_rule["PA203"]
    assert by_rule["PA100"]["kind"] == "notApplicable"
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(rules[entry["ruleIndex"]] == entry["ruleId"] for entry in run["results"])
    assert run["invocations"][0]["executionSuccessful"] is True


def accepted(result: AuditResult) -> AuditResult:
    return dataclasses.replace(
        result,
        accepted=tuple(
            Acceptance(f.code, f.outcome, f.severity, f.subjects, "known", "2999-12-31")
            for f in result.findings
            if f.is_open
        ),
    )


def test_an_accepted_finding_breaks_nothing_and_says_so() -> None:
    result = accepted(fraud())
    assert fails_release(fraud())
    assert not fails_release(result)
    assert result.verdict == fraud().verdict
    suite = ElementTree.fromstring(render_junit(result)).find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "0"
    assert "accepted until 2999-12-31: known" in render_junit(result).decode()
    assert "accepted until 2999-12-31: known" in render_markdown(result)
    (run,) = json.loads(render_sarif(result))["runs"]
    assert [r["ruleId"] for r in run["results"] if r.get("suppressions")] == [
        f.code for f in result.findings if f.is_open
    ]


# Markdown


def test_markdown_tells_the_decision() -> None:
    text = render_markdown(fraud())
    assert text.startswith("## NOT READY: ")
    assert "| Recall of 'fraud' | 12.0 % |" in text
    assert "✗ FAILED, critical" in text


def test_markdown_keeps_hostile_names_as_text(hostile: AuditResult) -> None:
    text = render_markdown(hostile)
    assert len(text) <= 60_100
    for sign in ("<script>", "<img", "](http", "](javascript", "@everyone", ":smile:", "<iframe"):
        assert sign not in text.replace("\\<", "<!").replace("\\]", "]!").replace("\\@", "@!").replace("\\:", ":!"), (
            sign
        )
    assert "\0" not in text
    assert text.count("<details>") == text.count("</details>")


def test_a_long_summary_is_cut_and_says_so() -> None:
    findings = tuple(
        Finding(f"PA2{i:02}", "Long", Outcome.FAILED, Severity.MAJOR, "word " * 400) for i in range(20, 99)
    )
    text = render_markdown(dataclasses.replace(fraud(), findings=findings))
    assert len(text) < 61_000
    assert text.endswith("Cut here; the rest stands in the report.\n")


# Model card


def test_the_model_index_is_yaml_with_intervals(hostile: AuditResult) -> None:
    text = render_model_index(fraud())
    assert text is not None
    (front,) = [part for part in yaml.safe_load_all(text) if part]
    (entry,) = front["model-index"][0]["results"]
    metrics = {metric["name"]: metric for metric in entry["metrics"]}
    assert metrics["Recall of fraud"]["value"] == pytest.approx(0.12)
    low, high = metrics["Recall of fraud"]["args"]["interval"]
    assert low < 0.12 < high
    text = render_model_index(hostile)
    assert text is not None
    (front,) = [part for part in yaml.safe_load_all(text) if part]
    assert list(front) == ["model-index"]
    assert len(front["model-index"][0]["results"][0]["metrics"]) > len(HOSTILE)


def test_no_metrics_no_model_card() -> None:
    nothing = dataclasses.replace(fraud().evidence, evaluation=None)
    assert render_model_index(dataclasses.replace(fraud(), evidence=nothing)) is None


# JSON


def test_results_fit_the_published_schema(hostile: AuditResult) -> None:
    validator = jsonschema.Draft202012Validator(result_schema())
    unscored = result_of(from_confusion([[40, 10], [5, 45]]))
    for result in (fraud(), healthy(), hostile, accepted(fraud()), unscored):
        validator.validate(json.loads(encode_result(result)))
    broken = json.loads(encode_result(fraud()))
    broken["findings"][0]["outcome"] = "FINE"
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(broken)


def test_the_documented_schema_is_up_to_date() -> None:
    documented = (ROOT / "docs" / "result.schema.json").read_text(encoding="utf-8")
    assert documented == encode_schema(), "run: python -m poolaudit.store.schema > docs/result.schema.json"


def test_the_schema_command_prints_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "poolaudit.store.schema"], capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(done.stdout) == result_schema()


# Notebook


def test_a_notebook_shows_the_summary_and_runs_nothing(hostile: AuditResult) -> None:
    assert "NOT READY" in fraud()._repr_html_()
    shown = hostile._repr_html_()
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown
