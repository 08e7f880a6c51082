"""Every property catches a specimen with the slip it is about, and passes a layer without one."""

from __future__ import annotations

import dataclasses

import plain_broken_layers
import plain_sound_layers
import pytest
from conformance_specimens import CAUGHT_BY, PASSED_BY

from poolaudit.conformance import ConformanceResult, all_properties, check_layers
from poolaudit.conformance.profiles import PROFILES
from poolaudit.conformance.subjects import Subject, subject_of
from poolaudit.outcomes import Outcome
from specimens.broken_layers import BROKEN_LAYERS
from specimens.sound_layers import SOUND_LAYERS

BROKEN = {specimen.name: specimen for specimen in (*BROKEN_LAYERS, *plain_broken_layers.SPECIMENS)}
SOUND = {specimen.name: specimen for specimen in (*SOUND_LAYERS, *plain_sound_layers.SPECIMENS)}
NAMES = tuple(prop.name for prop in all_properties() if not prop.builtins)


def subjects(specimens) -> tuple[Subject, ...]:
    made = tuple(subject_of(s.factory, s.like, s.dims, s.name) for s in specimens)
    assert all(subject.reference is not None for subject in made)
    return made


@pytest.fixture(scope="module")
def result() -> ConformanceResult:
    """One run for all pairs, so that TensorFlow is imported once."""
    wanted: dict[str, list[str]] = {}
    for table in (CAUGHT_BY, PASSED_BY):
        for name, specimen in table.items():
            wanted.setdefault(specimen, []).append(name)
    specimens = [specimen for name, specimen in {**BROKEN, **SOUND}.items() if name in wanted]
    lean = dataclasses.replace(
        PROFILES["quick"],
        name="lean",
        examples={"cheap": 3, "medium": 2, "trace": 0, "compile": 0, "slow": 0},
        shrinks=12,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "lean", lean)
        return check_layers(subjects(specimens), profile="lean", properties=wanted)


@pytest.mark.parametrize("name", NAMES)
def test_property_catches_the_slip_it_is_about(name: str, result: ConformanceResult) -> None:
    specimen = CAUGHT_BY[name]
    caught = [found for found in result.failures if (found.layer, found.property) == (specimen, name)]
    assert caught
    assert all(found.counterexample is not None and found.counterexample.snippet for found in caught)


@pytest.mark.parametrize("name", NAMES)
def test_property_passes_a_sound_layer(name: str, result: ConformanceResult) -> None:
    found = [r for r in result.results if (r.layer, r.property) == (PASSED_BY[name], name)]
    assert any(r.outcome is Outcome.PASSED for r in found), found
    assert all(r.outcome in (Outcome.PASSED, Outcome.SKIPPED) for r in found), found


def test_no_pair_is_left_over() -> None:
    assert set(NAMES) == set(CAUGHT_BY) == set(PASSED_BY)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["standard"])
def test_all_broken_layers_are_caught(profile: str) -> None:
    properties = {specimen.name: NAMES for specimen in BROKEN.values()}
    checked = check_layers(subjects(BROKEN.values()), profile=profile, properties=properties)
    caught = {found.layer for found in checked.failures}
    missed = sorted(set(BROKEN) - caught)
    print(f"{len(caught)} of {len(BROKEN)} broken layers are caught under {profile}; missed: {missed}")
    assert missed == []


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["quick", "standard", "thorough"])
def test_no_sound_layer_is_accused(profile: str) -> None:
    checked = check_layers(subjects(SOUND.values()), profile=profile)
    accused = sorted({f"{found.layer}: {found.property} ({found.mode}, {found.dtype})" for found in checked.failures})
    print(f"{len(accused)} false alarms on {len(SOUND)} sound layers under {profile}: {accused}")
    assert accused == []
