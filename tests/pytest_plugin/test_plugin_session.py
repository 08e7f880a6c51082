"""The plugin in real pytest runs: options and ini keys, demands, shared and cached results, one report of a session."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from specimens.outcomes import save_good_and_bad, save_scored

TESTS = """
import pytest


def test_good(poolaudit):
    result = poolaudit.metrics("good.npz", positive="fraud", title="Good release")
    result.require(recall_at_least=0.85, precision_at_least=0.85)
    result.require_no("PA201", "PA204")
    result.require_verdict("READY")
    result.require_release()


def test_bad_recall(poolaudit):
    poolaudit.metrics("bad.npz", positive="fraud", title="Bad release").require(recall_at_least=0.85)


def test_bad_paradox(poolaudit):
    poolaudit.metrics("bad.npz", positive="fraud", title="Bad release").require_no("PA201")


def test_bad_verdict(poolaudit):
    poolaudit.metrics("bad.npz", positive="fraud", title="Bad release").require_verdict("READY")


def test_bad_release(poolaudit):
    poolaudit.metrics("bad.npz", positive="fraud", title="Bad release").require_release()
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with predictions of a good and of a bad model, and tests of both."""
    save_good_and_bad(pytester.path)
    pytester.makepyfile(test_release=TESTS)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "no:randomly", *arguments)


def test_demands_pass_and_fail_with_the_evidence(project: pytest.Pytester) -> None:
    result = run(project)
    result.assert_outcomes(passed=1, failed=4)
    text = result.stdout.str()
    assert "Recall of 'fraud' is below 0.85: 12.0 % (8.2 % to 17.2 %" in text
    assert "PA201 Good accuracy hides no missed class: FAILED, critical" in text
    assert "misses 176 of the 200 'fraud' cases" in text
    assert "Bad release is NOT_READY, not READY" in text
    assert "requirements.py" not in text, "the traceback ends in the user's test"


def test_a_session_has_one_report(project: pytest.Pytester) -> None:
    result = run(project, "--poolaudit-report", "audits")
    assert "poolaudit report: " in result.stdout.str()
    folder = project.path / "audits"
    document = json.loads((folder / "result.json").read_text())
    assert [(entry["title"], entry["verdict"]) for entry in document["results"]] == [
        ("Bad release", "NOT_READY"),
        ("Good release", "READY"),
    ]
    assert len(document["results"][0]["tests"]) == 4
    suites = ElementTree.fromstring((folder / "junit.xml").read_bytes())
    assert [suite.get("name") for suite in suites] == ["poolaudit: Bad release", "poolaudit: Good release"]
    overview = (folder / "report.html").read_text()
    for entry in document["results"]:
        assert f'href="{entry["folder"]}/report.html"' in overview
        assert (folder / entry["folder"] / "report.html").is_file()
        assert (folder / entry["folder"] / "result.sarif").is_file()
    assert "test_release.py::test_bad_paradox" in overview


def test_two_workers_give_the_same_report(project: pytest.Pytester) -> None:
    run(project, "--poolaudit-report", "alone", "-p", "no:cacheprovider")
    run(project, "--poolaudit-report", "together", "-n", "2", "-p", "no:cacheprovider")

    def timeless(folder: str) -> list[str]:
        texts = []
        for file in sorted((project.path / folder).rglob("*")):
            if file.is_file():
                text = file.read_text()
                text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\+00:00|Z)", "THEN", text)
                text = re.sub(r'("duration_seconds": |time=")[\d.]+', r"\1", text)
                # The checksum covers the times.
                text = re.sub(r'"sha256": "[0-9a-f]{64}"', "", text)
                texts.append(f"{file.relative_to(project.path / folder)}\n" + re.sub(r"\d+\.\d(?= s<|<)", "", text))
        return texts

    assert timeless("alone") == timeless("together")


def test_only_the_chosen_tests_are_in_the_report(project: pytest.Pytester) -> None:
    run(project, "--poolaudit-report", "audits", "-k", "good")
    document = json.loads((project.path / "audits" / "result.json").read_text())
    assert [entry["title"] for entry in document["results"]] == ["Good release"]
    run(project)
    run(project, "--poolaudit-report", "failed", "--lf")
    document = json.loads((project.path / "failed" / "result.json").read_text())
    assert [entry["title"] for entry in document["results"]] == ["Bad release"]


def test_the_report_of_a_session_without_audits_says_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing():\n    pass")
    result = pytester.runpytest_subprocess("--poolaudit-report", "audits")
    result.assert_outcomes(passed=1)
    assert "No test asked for an audit." in (pytester.path / "audits" / "report.html").read_text()


STRICT = "good_recall = 0.99\nbad_recall = 0.98\n"


def test_ini_keys_say_the_same_as_options(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\npoolaudit_report = audits\npoolaudit_policy = strict.toml\npoolaudit_profile = quick")
    (project.path / "strict.toml").write_text(STRICT)
    run(project, "-k", "good").assert_outcomes(failed=1)
    assert (project.path / "audits" / "report.html").is_file()


def test_the_option_beats_the_ini_key(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\npoolaudit_policy = strict.toml")
    (project.path / "strict.toml").write_text(STRICT)
    (project.path / "usual.toml").write_text("good_recall = 0.85\n")
    run(project, "-k", "good").assert_outcomes(failed=1)
    run(project, "-k", "good", "--poolaudit-policy", "usual.toml").assert_outcomes(passed=1)


def test_a_policy_in_the_root_folder_is_found(project: pytest.Pytester) -> None:
    (project.path / "poolaudit.toml").write_text(STRICT)
    run(project, "-k", "good").assert_outcomes(failed=1)


def test_a_baseline_accepts_what_is_known(project: pytest.Pytester) -> None:
    run(project, "--poolaudit-report", "audits")
    command = [sys.executable, "-m", "poolaudit", "accept", "audits/Bad-release", "--reason", "known"]
    subprocess.run([*command, "--expires", "2999-12-31"], cwd=project.path, check=True, timeout=60)
    result = run(project, "--poolaudit-baseline", "poolaudit-baseline.toml")
    # Accepted findings break no build; what the test itself demands of recall and verdict stays.
    result.assert_outcomes(passed=3, failed=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--poolaudit-profile", "fast"], "allowed: quick, standard, thorough"),
        (["--poolaudit-policy", "nowhere.toml"], "'nowhere.toml' is not a file"),
        (["--poolaudit-baseline", "nowhere.toml"], "'nowhere.toml' is not a file"),
    ],
)
def test_a_wrong_option_is_a_usage_error(project: pytest.Pytester, arguments: list[str], message: str) -> None:
    result = run(project, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()


def test_a_broken_policy_is_one_message(project: pytest.Pytester) -> None:
    (project.path / "poolaudit.toml").write_text("god_recall = 0.05\n")
    text = run(project, "-k", "good").stdout.str()
    assert "Unknown policy key 'god_recall'" in text


def test_results_are_shared_in_a_session_and_cached_across_runs(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_cache="""
        import poolaudit.audit


        def test_measured_once(poolaudit, monkeypatch):
            first = poolaudit.metrics("good.npz", positive="fraud")

            def never(plan):
                raise RuntimeError("measured again")

            monkeypatch.setattr("poolaudit.audit.run_audit", never)
            assert poolaudit.metrics("good.npz", positive="fraud") == first
        """,
        test_later="""
        def test_not_measured(poolaudit, monkeypatch):
            def never(plan):
                raise RuntimeError("measured again")

            monkeypatch.setattr("poolaudit.audit.run_audit", never)
            assert poolaudit.metrics("good.npz", positive="fraud").verdict == "READY"
        """,
    )
    run(project, "test_cache.py").assert_outcomes(passed=1)
    run(project, "test_later.py").assert_outcomes(passed=1)
    for file in (project.path / ".pytest_cache").rglob("*.json"):
        file.write_text("{")
    run(project, "test_later.py").assert_outcomes(failed=1)
    run(project, "test_cache.py").assert_outcomes(passed=1)
    save_scored(project.path / "good.npz", 24, 176, 24, 9776)
    run(project, "test_later.py").assert_outcomes(failed=1)


def test_unused_it_loads_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys


        def test_nothing():
            loaded = {name for name in sys.modules if name.startswith("poolaudit")}
            assert loaded == {"poolaudit", "poolaudit.version", "poolaudit.pytest_plugin"}
            assert "tensorflow" not in sys.modules
            assert "numpy" not in sys.modules
        """
    )
    pytester.runpytest_subprocess("-p", "no:cov", "-p", "no:benchmark", "-p", "no:randomly").assert_outcomes(passed=1)


def test_leaks_are_found_shared_and_reported(project: pytest.Pytester) -> None:
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 255, (2, 40, 12, 12, 1)).astype("uint8")
    labels = np.arange(40) % 2
    np.savez(project.path / "train.npz", x=train, y=labels)
    np.savez(project.path / "clean.npz", x=test, y=labels)
    np.savez(project.path / "leaky.npz", x=np.concatenate([test[:30], train[:10]]), y=[*labels[:30], *labels[:10]])
    project.makepyfile(
        test_leaks="""
        def test_clean(poolaudit):
            poolaudit.find_leaks("train.npz", "clean.npz", title="Clean split").require_no("PA401")


        def test_leaky(poolaudit):
            poolaudit.find_leaks("train.npz", "leaky.npz", title="Leaky split").require_no("PA401")


        def test_shared(poolaudit, monkeypatch):
            monkeypatch.setattr("poolaudit.audit.leaks.find_leaks", None)
            assert poolaudit.find_leaks("train.npz", "leaky.npz", title="Leaky split").scope == "leakage"


        def test_written(poolaudit):
            for name in ("one.npz", "two.npz"):
                poolaudit.find_leaks("train.npz", "leaky.npz", title="Leaky split", clean_split=name)
        """
    )
    result = run(project, "test_leaks.py", "--poolaudit-report", "audits")
    result.assert_outcomes(passed=3, failed=1)
    assert "PA401 No test item is a copy of a training item: FAILED" in result.stdout.str()
    document = json.loads((project.path / "audits" / "result.json").read_text())
    assert {entry["title"] for entry in document["results"]} == {"Clean split", "Leaky split"}
    assert (project.path / "one.npz").is_file()
    assert (project.path / "two.npz").is_file()


def test_the_profile_reaches_audits_and_layer_checks(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_profile="""
        import pytest


        class Seen(Exception):
            pass


        def test_audit(poolaudit, monkeypatch):
            def seen(plan):
                raise Seen(plan.budget)

            monkeypatch.setattr("poolaudit.audit.run_audit", seen)
            with pytest.raises(Seen, match="^standard$"):
                poolaudit.audit("good.npz", test="good.npz")
            with pytest.raises(Seen, match="^thorough$"):
                poolaudit.audit("good.npz", test="good.npz", budget="thorough")
        """
    )
    run(project, "test_profile.py", "--poolaudit-profile", "standard").assert_outcomes(passed=1)
    run(project, "test_profile.py").assert_outcomes(failed=1)
    run(project, "test_profile.py", "-o", "poolaudit_profile=standard").assert_outcomes(passed=1)


@pytest.mark.parametrize("key", ["poolaudit_policy", "poolaudit_baseline"])
def test_a_wrong_ini_key_is_a_usage_error(project: pytest.Pytester, key: str) -> None:
    result = run(project, "-o", f"{key}=nowhere.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "is not a file" in result.stderr.str()


def test_a_report_folder_that_cannot_be_made_is_one_message(project: pytest.Pytester) -> None:
    (project.path / "taken").write_text("a file")
    result = run(project, "-k", "good", "--poolaudit-report", "taken")
    text = result.stdout.str() + result.stderr.str()
    assert result.ret != pytest.ExitCode.OK
    assert "INTERNALERROR" not in text
    assert "taken" in text
