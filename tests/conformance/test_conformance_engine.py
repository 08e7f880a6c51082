"""The engine from end to end: results, counterexamples, signals, hangs, refusals."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance import (
    ConformanceResult,
    check_cases,
    check_layer,
    check_layers,
    keras_pooling_layers,
    replay,
)
from poolaudit.conformance.case import Case
from poolaudit.conformance.profiles import PROFILES
from poolaudit.conformance.subjects import subject_of
from poolaudit.errors import InvalidInputError
from poolaudit.outcomes import Outcome

CASE_PROPERTIES = ("oracle", "locality", "gradient_mass")


EXAMPLES = {
    "OffByOneAverage1D": ("average", 1, CASE_PROPERTIES),
    "SoundMax2D": ("max", 2, ("nan_propagation", "oracle")),
    "DyingGlobalMax1D": ("global_max", 1, ("locality",)),
    "ObscureMax2D": ("max", 2, ("oracle", "valid_accepted", "locality")),
    "NeedsAnArgument2D": ("max", 2, ("oracle", "valid_accepted", "locality")),
}


def attack(*names: str) -> ConformanceResult:
    """One run for several layers, so that TensorFlow is imported once."""
    subjects = [subject_of(f"conformance_examples:{name}", *EXAMPLES[name][:2], name) for name in names]
    return check_layers(subjects, profile="quick", properties={name: EXAMPLES[name][2] for name in names})


@pytest.fixture(scope="module")
def attacked() -> dict[str, ConformanceResult]:
    """The results on each of the layers."""
    result = attack(*EXAMPLES)
    return {
        name: dataclasses.replace(result, results=tuple(r for r in result.results if r.layer == name))
        for name in EXAMPLES
    }


@pytest.fixture
def off_by_one(attacked) -> ConformanceResult:
    return attacked["OffByOneAverage1D"]


def test_a_wrong_divisor_is_caught_and_shrunk(off_by_one) -> None:
    failures = {(result.property, result.dtype): result for result in off_by_one.failures}
    found = failures["oracle", "float32"]
    assert found.counterexample is not None
    assert "shape (1, 1, 1)" in found.counterexample.configuration
    assert ("gradient_mass", "float32") in failures
    assert ("locality", "float32") not in failures


def test_the_same_seed_gives_the_same_counterexample(off_by_one) -> None:
    again = attack("OffByOneAverage1D")
    assert again.results == off_by_one.results


def test_a_script_replays_with_observed_against_expected(off_by_one) -> None:
    found = next(result for result in off_by_one.failures if result.property == "oracle")
    assert found.counterexample is not None
    # The class lives beside the tests; for the script it must be importable, as the user's is.
    import os
    from pathlib import Path

    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    try:
        told = replay(found.counterexample)
    finally:
        del os.environ["PYTHONPATH"]
    assert "observed:" in told
    assert "expected:" in told


def test_a_layer_that_delegates_is_not_charged_with_the_framework(attacked) -> None:
    result = attacked["SoundMax2D"]
    assert result.failures == ()
    assert {found.property for found in result.known} <= {"nan_propagation"}


def test_a_signal_is_a_failure_with_its_name_and_a_small_case(attacked) -> None:
    (found,) = attacked["DyingGlobalMax1D"].failures
    assert found.counterexample is not None
    assert "SIGFPE" in found.counterexample.observed
    assert "(1, 7, 2)" in found.counterexample.configuration


def test_a_hanging_case_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "quick", dataclasses.replace(PROFILES["quick"], hang_seconds=4.0, batch_seconds=3.0))
    result = check_layer(
        "conformance_examples:HangingGlobalMax1D", "global_max", 1, profile="quick", properties=("locality",)
    )
    (found,) = result.failures
    assert found.counterexample is not None
    assert "no result after" in found.counterexample.observed


@pytest.mark.parametrize(("layer", "words"), [("ObscureMax2D", "crashes"), ("NeedsAnArgument2D", "wavelength")])
def test_a_layer_that_cannot_run_is_never_passed(layer: str, words: str, attacked) -> None:
    result = attacked[layer]
    assert result.results
    assert not any(found.outcome is Outcome.PASSED for found in result.results)
    assert any(found.reason and words in found.reason for found in result.results)


def test_given_cases_are_tried_and_nothing_else() -> None:
    site = Case(PoolConfiguration("max", 2, (2, 2)), (1, 6, 6, 3), seed=1, value_range=(-4.0, 9.0))
    result = check_cases("keras.layers.MaxPooling2D", (site,), properties=("oracle", "locality"))
    assert result.failures == ()
    assert {found.examples for found in result.results} == {1}


def test_keras_has_18_pooling_layers() -> None:
    import keras

    subjects = keras_pooling_layers()
    assert len(subjects) == 18
    assert all(hasattr(keras.layers, subject.name) for subject in subjects)


@pytest.mark.parametrize("wrong", [{"like": "maxx"}, {"profile": "fast"}, {"dims": 4}, {"properties": ["orakle"]}])
def test_wrong_arguments_are_refused(wrong) -> None:
    with pytest.raises(InvalidInputError):
        check_layer("keras.layers.MaxPooling2D", **wrong)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("conformance_examples:NeedsAnArgument2D", "needs the argument wavelength"),
        ("conformance_examples:SoundMaxx2D", "SoundMax2D"),
        ("no_such_module:Layer", "Cannot import"),
        ("conformance_examples:SHAPE", "not callable|no attribute"),
    ],
)
def test_what_cannot_be_checked_at_all_is_bad_input(named: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        check_layer(named, "max", 2, profile="quick", properties=("oracle",))


def test_a_layer_that_refuses_everything_is_not_passed() -> None:
    result = check_layer(
        "conformance_examples:RefusingMax2D", "max", 2, profile="quick", properties=("valid_accepted",)
    )
    (found,) = [entry for entry in result.results if (entry.mode, entry.dtype) == ("eager", "float32")]
    assert found.outcome is Outcome.UNDECIDED
    assert "refused all" in (found.reason or "")


def test_a_value_that_keras_does_not_give_is_not_excused_by_a_defect_of_keras() -> None:
    result = check_layer(
        "conformance_examples:InfinityToZeroMax2D", "max", 2, profile="quick", properties=("infinities",)
    )
    assert result.failures


def test_a_server_started_ahead_is_given_to_who_asks_for_the_same_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    from poolaudit.conformance import sandbox

    monkeypatch.setattr(sandbox, "_SHELF", sandbox._Shelf())
    with sandbox.started_ahead(with_other_kernels=True):
        toggled, plain = sandbox._SHELF._servers
        monkeypatch.setenv("ADDED_BY_AN_IMPORT", "1")
        assert sandbox.fork_server(toggle_onednn=True) is toggled
        monkeypatch.setenv("PATH", "/elsewhere")
        other = sandbox.fork_server()
        assert other is not plain, "it would see another environment"
        for server in (toggled, other):
            server.close()
    assert plain._process is not None
    assert plain._process.returncode is not None
    assert not plain._folder.exists()


def test_a_server_that_was_used_is_kept_for_the_same_environment_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from poolaudit.conformance import sandbox

    monkeypatch.setattr(sandbox, "_SHELF", sandbox._Shelf())
    with sandbox.servers_kept():
        server = sandbox.fork_server()
        hanging = server.fork()
        sandbox.release(server)
        assert hanging.connection.poll(5), "its worker was ended"
        assert sandbox.fork_server() is server
        monkeypatch.setenv("READ_BY_A_LAYER", "1")
        sandbox.release(server)
        other = sandbox.fork_server()
        assert other is not server
        sandbox.release(other)
        assert server._process is not None
        assert server._process.returncode is not None, "one a setting of the kernels is kept"
        monkeypatch.chdir(tmp_path)
        elsewhere = sandbox.fork_server()
        assert elsewhere is not other
        elsewhere.close()
    assert other._process is not None
    assert other._process.returncode is not None
    alone = sandbox.fork_server()
    sandbox.release(alone)
    assert alone._process is not None
    assert alone._process.returncode is not None, "nobody keeps any"


def test_a_fork_of_this_process_leaves_the_servers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from poolaudit.conformance import sandbox

    monkeypatch.setattr(sandbox, "_SHELF", sandbox._Shelf())
    with sandbox.servers_kept():
        server = sandbox.fork_server()
        sandbox.release(server)
        child = os.fork()
        if not child:
            other = sandbox.fork_server()
            sandbox.release(other)
            os._exit(0 if other is not server and other._process and other._process.returncode is not None else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert sandbox.fork_server() is server
        server.close()
