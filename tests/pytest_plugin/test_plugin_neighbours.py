"""Beside pytest-cov, pytest-xdist, pytest-benchmark, pytest-randomly and hypothesis' own plugin: each does its work."""

from __future__ import annotations

import importlib.util
import json

import pytest

from specimens.outcomes import save_good_and_bad

NEIGHBOURS = ("pytest_cov", "xdist", "pytest_benchmark", "pytest_randomly", "_hypothesis_pytestplugin")

CODE = """
def halve(values):
    return values[::2]
"""

TESTS = """
from hypothesis import HealthCheck, given, settings, strategies as st

import mypool


def test_release(poolaudit):
    result = poolaudit.metrics("good.npz", positive="fraud", title="Good release")
    result.require(recall_at_least=0.85)


def test_bad_release(poolaudit):
    poolaudit.metrics("bad.npz", positive="fraud", title="Bad release").require_release()


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers()))
def test_halve(values):
    assert len(mypool.halve(values)) == (len(values) + 1) // 2


def test_speed(benchmark):
    benchmark(mypool.halve, [1, 2, 3])
"""

LAYER_TESTS = """
from poolaudit.pytest_plugin import conformance


@conformance("keras.layers:MaxPooling1D", like="max", properties=["constant"])
def test_layer(conformance_result):
    pass
"""

# A project's own settings of Hypothesis, which poolaudit's search neither obeys nor changes.
CONFTEST = """
from hypothesis import settings

settings.register_profile("mean", max_examples=1, deadline=None, database=None)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    # Inherited from a run of this suite in several workers, they would switch benchmarks off.
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    for name in NEIGHBOURS:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed; pip install 'poolaudit[dev]'")
    save_good_and_bad(pytester.path)
    pytester.makepyfile(mypool=CODE, test_project=TESTS, test_layers=LAYER_TESTS, conftest=CONFTEST)
    pytester.syspathinsert()
    return pytester


ALL_AT_ONCE = ["--cov=mypool", "--cov-report=term", "--hypothesis-show-statistics", "--poolaudit-report", "audits"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["test_project.py", "--benchmark-columns=min"], "1 tests"),
        (["test_project.py", "-n", "2"], "2 workers"),
        (["--hypothesis-profile=mean", "--hypothesis-seed=1"], "hypothesis profile 'mean'"),
    ],
    ids=["one process", "two workers", "a project's own Hypothesis settings"],
)
def test_all_neighbours_work_in_one_run(project: pytest.Pytester, arguments: list[str], told: str) -> None:
    result = project.runpytest_subprocess(*ALL_AT_ONCE, "-p", "no:cacheprovider", "-v", *arguments)
    text = result.stdout.str()
    with_layer = "test_project.py" not in arguments
    result.assert_outcomes(passed=3 + with_layer, failed=1)
    assert "mypool.py" in text, "the coverage report"
    assert "100%" in text
    assert "--randomly-seed=" in text, "pytest-randomly is at work"
    assert "Good release is" not in text
    assert told in text
    document = json.loads((project.path / "audits" / "result.json").read_text())
    titles = [entry["title"] for entry in document["results"]]
    assert titles[:2] == ["Bad release", "Good release"]
    assert len(titles) == 2 + with_layer


def test_the_order_of_the_tests_changes_nothing(project: pytest.Pytester) -> None:
    documents = []
    for seed in ("1", "2"):
        project.runpytest_subprocess(
            "test_project.py",
            "-p",
            "no:cacheprovider",
            f"--randomly-seed={seed}",
            "--poolaudit-report",
            f"audits-{seed}",
        )
        document = json.loads((project.path / f"audits-{seed}" / "result.json").read_text())
        for entry in document["results"]:
            entry["result"].pop("provenance")
            entry["result"].pop("stages")
        documents.append(document)
    assert documents[0] == documents[1]
