"""The framework's own defects: what matches them, what does not, and that they still show."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance import check_layer
from poolaudit.conformance.case import Case
from poolaudit.conformance.divergences_page import page
from poolaudit.conformance.engine import Engine
from poolaudit.conformance.kernel_sets import KERNEL_MODE, kernels_in_use, other_setting
from poolaudit.conformance.known import KnownDivergence, explaining_entry, known_divergences, unshown_entries
from poolaudit.conformance.profiles import PROFILES
from poolaudit.conformance.property import all_properties
from poolaudit.conformance.triggers import TRIGGERS, triggered
from poolaudit.evidence.conformance import Counterexample, PropertyResult
from poolaudit.outcomes import Outcome

ENTRIES = known_divergences()
QUICK = ("max-pool-2d-minus-infinity", "global-average-fully-masked-nan", "max-pool-3d-gradient-ties")


def failure(layer: str, prop: str, observed: str, mode: str = "eager", dtype: str = "float32") -> PropertyResult:
    found = Counterexample("a case", "print()", observed, "otherwise")
    return PropertyResult(layer, prop, Outcome.FAILED, mode, dtype, counterexample=found)


def test_a_known_failure_is_recognised_and_a_new_one_is_not() -> None:
    known = explaining_entry(failure("MaxPooling2D", "infinities", "all cells are -inf: [[-3.4e+38]]"))
    assert known is not None
    assert known.identifier == "max-pool-2d-minus-infinity"
    assert explaining_entry(failure("MaxPooling2D", "infinities", "all cells are inf: [[nan]]")) is None
    assert explaining_entry(failure("MaxPooling2D", "oracle", "all cells are -inf")) is None
    assert explaining_entry(failure("GlobalMaxPooling2D", "infinities", "all cells are -inf")) is None


def test_a_defect_of_some_cases_explains_those_only() -> None:
    result = failure("AveragePooling1D", "adjoint", "<x, J^T g> = 1")
    inside = Case(PoolConfiguration("average", 1, (2,), padding="same"), (1, 4, 1))
    outside = Case(PoolConfiguration("average", 1, (5,), padding="same"), (1, 4, 1))
    assert explaining_entry(result, outside) is not None
    assert explaining_entry(result, inside) is None
    assert triggered(outside, ("window_exceeds_input",))


@pytest.mark.parametrize(("since", "until", "concerned"), [("", "99", True), ("99", "", False), ("", "1.0", False)])
def test_versions_outside_the_range_are_not_excused(since: str, until: str, concerned: bool) -> None:
    entry = KnownDivergence("x", "*", "*", since=since, until=until)
    assert entry.concerns_installed() is concerned


def test_kernels_count_by_the_process_that_ran() -> None:
    here, there = kernels_in_use(), {"1": "onednn", "0": "plain"}[other_setting()]
    assert {here, there} == {"onednn", "plain"}
    entry = KnownDivergence("x", "*", "*", kernels=there)
    assert not entry.concerns_installed("eager")
    assert entry.concerns_installed(KERNEL_MODE)


def test_what_was_tried_and_did_not_show_is_looked_at_again() -> None:
    passed = PropertyResult("GlobalAveragePooling1D", "fully_masked", Outcome.PASSED, "eager", "float32")
    assert "global-average-fully-masked-nan" in identifiers((passed,))
    shown = dataclasses.replace(passed, outcome=Outcome.FAILED, known_divergence="global-average-fully-masked-nan")
    assert "global-average-fully-masked-nan" not in identifiers((passed, shown))
    assert identifiers(()) == ()


def identifiers(results: tuple[PropertyResult, ...]) -> tuple[str, ...]:
    return tuple(entry.identifier for entry in unshown_entries(results))


@pytest.mark.parametrize(("script", "lives"), [("raise AssertionError", True), ("pass", False), ("1 / 0", False)])
def test_an_entry_is_stale_where_its_reproduction_runs_through(script: str, lives: bool) -> None:
    entry = KnownDivergence("x", "*", "*", shows="AssertionError", reproduction=script)
    with Engine(None, PROFILES["quick"], 1) as engine:
        assert engine.reproduces(entry) is lives


def test_entries_are_well_formed() -> None:
    names = [entry.identifier for entry in ENTRIES]
    assert len(names) == len(set(names))
    properties = {prop.name for prop in all_properties()}
    for entry in ENTRIES:
        assert entry.title, entry.identifier
        assert entry.reason, entry.identifier
        assert entry.reproduction, entry.identifier
        assert not entry.trigger or entry.trigger in TRIGGERS
        assert not entry.cause or entry.cause in names
        assert entry.kernels in ("any", "onednn", "plain")
        exact = [one for one in entry.property.split("|") if "*" not in one]
        assert set(exact) <= properties, entry.identifier


def test_the_page_is_up_to_date() -> None:
    written = Path(__file__).parents[2] / "docs" / "tensorflow-divergences.md"
    assert written.read_text(encoding="utf-8") == page(ENTRIES)


@pytest.mark.parametrize("name", QUICK)
def test_a_divergence_still_shows(name: str) -> None:
    demand_shown(next(entry for entry in ENTRIES if entry.identifier == name))


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.identifier for entry in ENTRIES])
def test_every_divergence_still_shows(entry: KnownDivergence) -> None:
    demand_shown(entry)


def demand_shown(entry: KnownDivergence) -> None:
    setting = "1" if entry.kernels == "onednn" else "0"
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": setting, "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-W", "ignore", "-c", entry.reproduction]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    except subprocess.TimeoutExpired:
        assert "hang" in entry.shows
        return
    if done.returncode < 0:
        assert signal.Signals(-done.returncode).name in entry.shows
        return
    raised = re.findall(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception))\b", done.stderr, re.MULTILINE)
    assert done.returncode, "the script ran through: the divergence is gone"
    assert raised, done.stderr[-2000:]
    assert re.fullmatch(entry.shows, raised[-1]), done.stderr[-2000:]


def test_a_layer_that_calls_tensorflow_is_not_charged_for_nan_and_infinities() -> None:
    result = check_layer(
        "conformance_examples:DelegatingMax2D", "max", 2, profile="quick", properties=("nan_propagation", "infinities")
    )
    assert result.failures == ()
    assert {found.known_divergence for found in result.known} == {"max-pool-2d-minus-infinity", "max-pool-2d-nan-lost"}
