"""The report of a session is no greener than the session: what is missing is told, what is old is removed."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from poolaudit.errors import InvalidInputError
from poolaudit.report.html import render_session_html
from poolaudit.report.page import SessionGap, build_session_page
from poolaudit.testing.session import Gap, Ledger, pack, unpack, write_session
from specimens.outcomes import save_good_and_bad

GOOD = """
def test_good(poolaudit):
    poolaudit.metrics("good.npz", positive="fraud", title="Good release").require_release()
"""
MISSING = """
def test_missing(poolaudit):
    poolaudit.metrics("nowhere.npz", positive="fraud", title="Missing release").require_release()
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    save_good_and_bad(pytester.path)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "no:randomly", "--poolaudit-report", "audits", *arguments)


def told(project: pytest.Pytester) -> tuple[Any, str]:
    folder = project.path / "audits"
    return json.loads((folder / "result.json").read_text()), (folder / "report.html").read_text()


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_an_audit_without_a_result_is_told(project: pytest.Pytester, workers: tuple[str, ...]) -> None:
    project.makepyfile(
        GOOD
        + MISSING
        + """
import pytest


@pytest.fixture
def broken():
    raise ValueError("no such device")


def test_setup(broken, poolaudit):
    pass


def test_of_something_else(broken):
    pass


def test_refused(poolaudit):
    with pytest.raises(ValueError, match="There is no file"):
        poolaudit.metrics("elsewhere.npz", positive="fraud")
"""
    )
    result = run(project, *workers)
    result.assert_outcomes(passed=2, failed=1, errors=2)
    assert "prediction_columns.py" not in result.stdout.str(), "the traceback ends in the user's test"
    assert "\npoolaudit report: audits" in result.stdout.str()
    document, overview = told(project)
    assert [entry["title"] for entry in document["results"]] == ["Good release"]
    assert document["incomplete"] == []
    reasons = {gap["title"].rpartition("::")[2]: gap["reason"] for gap in document["not_assessed"]}
    assert set(reasons) == {"Missing release", "test_setup"}
    assert reasons["Missing release"].startswith("There is no file 'nowhere.npz'")
    assert reasons["test_setup"] == "ValueError: no such device"
    assert "1 READY, 2 NOT ASSESSED." in overview
    suites = ElementTree.fromstring((project.path / "audits" / "junit.xml").read_bytes())
    assert [(suite.get("name"), suite.get("errors")) for suite in suites] == [
        ("poolaudit: Good release", "0"),
        ("poolaudit: not assessed", "2"),
    ]


def test_what_an_earlier_session_wrote_is_removed(project: pytest.Pytester) -> None:
    project.makepyfile(GOOD + MISSING)
    run(project, "-k", "good")
    folder = project.path / "audits"
    assert (folder / "Good-release" / "summary.md").is_file()
    (folder / "Good-release" / "mine.txt").write_text("kept")
    run(project, "-k", "missing")
    assert [file.name for file in (folder / "Good-release").iterdir()] == ["mine.txt"]
    assert "No test asked for an audit." not in told(project)[1]


def test_nothing_outside_the_folder_is_removed(pytester: pytest.Pytester) -> None:
    folder, other = pytester.path / "audits", pytester.path / "other"
    for place in (folder, other):
        place.mkdir()
    (other / "summary.md").write_text("kept")
    (folder / "link").symlink_to(other)
    for names in (["../other", str(other), "link", "..", ".", "", 3, None], "other", 3):
        listed = [{"folder": name} for name in names] if isinstance(names, list) else names
        (folder / "result.json").write_text(json.dumps({"results": listed}))
        write_session(Ledger(), folder)
        assert (other / "summary.md").read_text() == "kept"


def test_a_stopped_session_is_incomplete(project: pytest.Pytester) -> None:
    project.makepyfile(GOOD + "\n\ndef test_interrupted():\n    raise KeyboardInterrupt\n")
    run(project)
    document, overview = told(project)
    assert document["incomplete"] == ["The session was stopped: tests that did not run are missing here."]
    assert "1 READY; the session is incomplete." in overview
    project.makepyfile(GOOD + "\n\ndef test_fails():\n    raise ValueError\n\n\ndef test_later(poolaudit):\n    pass\n")
    run(project, "-x")
    assert "stopping after 1 failures" in told(project)[0]["incomplete"][0]
    run(project)
    assert told(project)[0]["incomplete"] == []


def test_a_crashed_worker_leaves_an_incomplete_session(project: pytest.Pytester) -> None:
    project.makepyfile(GOOD + "\n\ndef test_crash(poolaudit):\n    import os\n    os._exit(9)\n")
    run(project, "-n", "1")
    document, overview = told(project)
    assert document["incomplete"] == ["A worker of pytest-xdist crashed: what its tests had audited is missing here."]
    assert "INCOMPLETE" in overview


def test_a_run_without_tests_is_told(project: pytest.Pytester) -> None:
    project.makepyfile(GOOD)
    assert run(project, "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert told(project)[0]["incomplete"] == ["No test ran."]


def test_an_unusable_folder_is_refused_before_the_tests(project: pytest.Pytester) -> None:
    project.makepyfile(GOOD)
    (project.path / "taken").write_text("a file")
    for folder in ("taken", "taken/below", ""):
        result = run(project, "--poolaudit-report", folder)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert "--poolaudit-report" in result.stderr.str()
        assert "test session starts" not in result.stdout.str() or "passed" not in result.stdout.str()
        assert "Traceback" not in result.stderr.str()


def test_a_folder_lost_meanwhile_costs_no_failure_summary(project: pytest.Pytester) -> None:
    project.makepyfile(GOOD + "\n\ndef test_taken():\n    open('audits', 'w').close()\n")
    result = run(project)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.assert_outcomes(passed=2)
    assert "poolaudit wrote no report: " in result.stdout.str()
    assert "--poolaudit-report" in result.stdout.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_broken_policy_or_baseline_is_one_sentence_in_each_test(project: pytest.Pytester) -> None:
    project.makepyfile(GOOD)
    (project.path / "broken.toml").write_text("good_recal = 3")
    for option in ("--poolaudit-policy", "--poolaudit-baseline"):
        result = run(project, option, "broken.toml")
        result.assert_outcomes(errors=1)
        assert "broken.toml" in result.stdout.str()
        assert "doors.py" not in result.stdout.str()
        document, overview = told(project)
        assert "broken.toml" in document["not_assessed"][0]["reason"]
        assert "1 NOT ASSESSED." in overview


def test_paths_hold_after_a_test_changed_its_folder(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import os


        def test_elsewhere(poolaudit, tmp_path):
            data = os.path.abspath("good.npz")
            os.chdir(tmp_path)
            poolaudit.metrics(data, positive="fraud", title="Good release").require_release()
        """
    )
    (project.path / "accepted.toml").write_text("")
    run(project, "--poolaudit-baseline", "accepted.toml").assert_outcomes(passed=1)
    assert told(project)[0]["results"][0]["verdict"] == "READY"


LAYER_TESTS = """
from poolaudit.pytest_plugin import conformance


@conformance({layer!r}, like="max", properties=["determinism", "locality"]{more})
def test_layer(conformance_result):
    pass
"""


@pytest.mark.parametrize(
    ("more", "arguments", "profile"),
    [
        ("", (), "quick"),
        ("", ("--poolaudit-profile", "thorough"), "thorough"),
        (", profile='standard'", ("--poolaudit-profile", "thorough"), "standard"),
    ],
)
def test_the_profile_reaches_conformance(
    project: pytest.Pytester, more: str, arguments: tuple[str, ...], profile: str
) -> None:
    project.makepyfile(LAYER_TESTS.format(layer="nowhere.layers:Pooling", more=more))
    project.makeconftest(
        """
        import poolaudit.conformance


        def check_layer(layer, **options):
            check_layer.calls += 1
            raise RuntimeError(f"call {check_layer.calls} with profile {options['profile']}")


        check_layer.calls = 0
        poolaudit.conformance.check_layer = check_layer
        """
    )
    run(project, *arguments).assert_outcomes(errors=2)
    gaps = told(project)[0]["not_assessed"]
    assert [gap["reason"] for gap in gaps] == [f"RuntimeError: call 1 with profile {profile}"], "one try for all items"
    assert len(gaps[0]["tests"]) == 2


def test_a_kept_result_is_judged_by_its_evidence(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_bad(poolaudit):
            poolaudit.metrics("bad.npz", positive="fraud", title="Bad release").require_release()
        """
    )
    run(project).assert_outcomes(failed=1)
    (kept,) = (project.path / ".pytest_cache").rglob("poolaudit/*.json")
    sound = kept.read_bytes()
    for forge in (_pass_everything, _lower_the_bars):
        forged = json.loads(sound)
        del forged["sha256"]
        forge(forged)
        kept.write_text(json.dumps(forged))
        run(project).assert_outcomes(failed=1)
        assert told(project)[0]["results"][0]["verdict"] == "NOT_READY"


def _pass_everything(document: Any) -> None:
    document["verdict"] = "READY"
    for finding in document["findings"]:
        finding["outcome"] = "PASSED"


def _lower_the_bars(document: Any) -> None:
    document["policy"].update(good_recall=0.02, bad_recall=0.01, good_precision=0.01)


def test_ledgers_travel_whole() -> None:
    ledger = Ledger(gaps=[Gap("test_a.py::test", "a <b>", "no file \u202e")])
    assert unpack(pack(ledger)) == ledger


def test_a_gap_is_told_once_for_a_test_and_a_reason() -> None:
    ledger = Ledger()
    for _ in range(2):
        ledger.miss("test_a.py::test", "a", InvalidInputError("There is no file"))
    ledger.miss("test_a.py::test", "a", ValueError("y" * 5000))
    assert [gap.reason[:16] for gap in ledger.gaps] == ["There is no file", "ValueError: yyyy"]
    assert len(ledger.gaps[1].reason) < 2100
    ledger.forgive("test_a.py::test")
    assert ledger.gaps == []


def test_hostile_titles_and_reasons_are_text() -> None:
    hostile = "<script>alert(1)</script>\n]]>&\x1b[31m\U0001f41f"
    page = render_session_html((), (SessionGap(hostile, hostile, (hostile,)),), (hostile,))
    assert "<script>alert" not in page
    assert "\x1b" not in page


def test_many_items_of_a_function_are_one_name() -> None:
    tests = (*(f"test_a.py::test[{number}]" for number in range(28)), "test_a.py::test_b[1]", "test_a.py::test_b[2]")
    page = build_session_page((), (SessionGap("a", "b", tests),))
    assert page.gaps[0].tests == ("test_a.py::test (28 items)", "test_a.py::test_b[1]", "test_a.py::test_b[2]")
