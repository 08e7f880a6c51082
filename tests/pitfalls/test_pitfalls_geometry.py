"""PA3xx: every check has a guilty and an innocent network, built and measured, and says where nothing was measured."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.geometry import (
    BlindProof,
    GeometryEvidence,
    ReachProof,
    RecallBySize,
    ShiftedRecall,
    ShiftEvidence,
    ShiftMode,
)
from poolaudit.evidence.wording import counted, signed
from poolaudit.findings import Finding
from poolaudit.geometry.feature_size import recall_by_size
from poolaudit.geometry.inspect import inspect_pooling
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.policy import Policy
from poolaudit.results import Evidence
from poolaudit.statistics.intervals import wilson
from poolaudit.statistics.item_means import bounded_item_mean
from specimens import geometry_models as networks
from specimens import models


def found(code: str, geometry: GeometryEvidence | None, policy: Policy | None = None) -> Finding:
    return all_detectors().get(code)(Evidence(geometry=geometry), policy or Policy())


def by_size(counts: list[tuple[int, int]], source: str = "column") -> GeometryEvidence:
    """Bins of (recognised, items), at sizes 4, 5, 6, ..."""
    sizes = np.concatenate([np.full(n, 4.0 + place) for place, (_, n) in enumerate(counts)])
    right = np.concatenate([np.arange(n) < hits for hits, n in counts])
    measured = recall_by_size(sizes, right, np.zeros(len(sizes), int), None, ("a", "b"), source=source, confidence=0.95)
    assert isinstance(measured, RecallBySize), measured
    return GeometryEvidence(sites=(), by_size=measured)


def shifted(losses: list[float], relative: float = 0.02) -> GeometryEvidence:
    """One class whose items lose this share of their shifts."""
    rng = np.random.default_rng(0)
    values = np.array(losses)
    whole = bounded_item_mean(1 - values, 0.0, 1.0, rng)
    recall = ShiftedRecall("fraud", wilson(len(values), len(values)), whole, bounded_item_mean(values, -1.0, 1.0, rng))
    mode = ShiftMode("circular", whole, wilson(int((values == 0).sum()), len(values)), ())
    return GeometryEvidence(
        sites=(),
        shift=ShiftEvidence("circular", "Because.", 1, relative, 4, len(values), (mode,), (recall,)),
    )


def inspected(build: Callable[[], Any], **options: Any) -> Callable[[], GeometryEvidence]:
    return lambda: inspect_pooling(build(), **options)


GUILTY: dict[str, Callable[[], GeometryEvidence]] = {
    "PA301": inspected(networks.stride_beyond_window),
    "PA302": inspected(networks.idle_pool),
    "PA303": inspected(networks.convolution_on_one_cell),
    "PA304": inspected(networks.many_layers_on_a_small_input),
    "PA305": inspected(networks.window_beyond_the_map),
    "PA306": inspected(networks.downsampled_by_eight, feature_size=5),
    "PA307": inspected(networks.padded_average),
    "PA308": inspected(networks.twice_aliased),
    "PA309": lambda: shifted([1.0] * 20 + [0.0] * 80),
    "PA310": lambda: by_size([(20, 50), (49, 50), (50, 50)]),
}
INNOCENT: dict[str, Callable[[], GeometryEvidence]] = {
    "PA301": inspected(networks.nothing_dropped),
    "PA302": inspected(networks.thinning_by_one_cell_windows),
    "PA303": inspected(networks.squeeze_and_excite),
    "PA304": inspected(networks.few_layers),
    "PA305": inspected(networks.nothing_dropped),
    "PA306": inspected(networks.downsampled_by_eight, feature_size=8),
    "PA307": inspected(networks.same_average),
    "PA308": inspected(networks.averaged_downsampling),
    "PA309": lambda: shifted([0.0] * 400),
    "PA310": lambda: by_size([(60, 60), (59, 60), (60, 60)]),
}
CODES = tuple(code for code in all_detectors().names() if "PA300" <= code < "PA350")


def test_every_check_has_its_specimens() -> None:
    assert set(CODES) == set(GUILTY) == set(INNOCENT)


@pytest.mark.parametrize("code", CODES)
def test_guilty_fails(code: str) -> None:
    finding = found(code, GUILTY[code]())
    assert finding.outcome is Outcome.FAILED, finding.summary
    assert finding.would_change
    assert finding.evidence


@pytest.mark.parametrize("code", CODES)
def test_innocent_passes(code: str) -> None:
    finding = found(code, INNOCENT[code]())
    assert finding.outcome is Outcome.PASSED, finding.summary


@pytest.mark.parametrize("code", CODES)
def test_nothing_measured_is_skipped_with_a_reason(code: str) -> None:
    for geometry in (None, GeometryEvidence(sites=(), fields_reason="it could not be traced")):
        finding = found(code, geometry)
        assert finding.outcome is Outcome.SKIPPED
        assert finding.summary


@pytest.mark.parametrize(
    "build",
    [
        models.sequential_2d,
        models.sequential_1d,
        models.sequential_3d,
        models.nested,
        models.shared_layer,
        networks.squeeze_and_excite,
        networks.nothing_dropped,
        networks.padded_maximum,
        networks.averaged_downsampling,
    ],
)
def test_common_networks_raise_no_alarm_above_info(build: Callable[[], Any]) -> None:
    geometry = inspect_pooling(build())
    alarms = [f for code in CODES if (f := found(code, geometry)).is_open and f.severity.at_least(Severity.MINOR)]
    assert alarms == []


def test_one_row_of_many_is_minor_and_much_of_the_input_is_major() -> None:
    row = found("PA301", inspect_pooling(networks.one_row_of_many()))
    assert (row.outcome, row.severity) == (Outcome.FAILED, Severity.MINOR)
    assert "height 63; width 63" in row.summary
    assert "same to the last bit" in row.summary
    much = found("PA301", inspect_pooling(networks.stride_beyond_window()))
    assert (much.outcome, much.severity) == (Outcome.FAILED, Severity.MAJOR)
    assert "75.0 %" in much.summary


def test_what_blind_cells_hold_decides_where_data_show_it() -> None:
    geometry = inspect_pooling(networks.stride_beyond_window())
    empty = replace(geometry, coverage=(replace(geometry.coverage[0], blind_variance=0.001),))
    assert found("PA301", empty).severity is Severity.MINOR
    full = replace(geometry, coverage=(replace(geometry.coverage[0], blind_variance=0.5),))
    assert found("PA301", full).severity is Severity.MAJOR


def test_a_model_that_contradicts_the_graph_is_no_finding_against_it() -> None:
    geometry = inspect_pooling(networks.stride_beyond_window())
    refuted = replace(geometry.coverage[0], proof=BlindProof("test items", 8, 0, 0.7, 8))
    assert found("PA301", replace(geometry, coverage=(refuted,))).outcome is Outcome.UNDECIDED


def test_no_blind_cell_in_a_graph_not_wholly_followed_is_undecided() -> None:
    geometry = inspect_pooling(networks.nothing_dropped())
    doubted = replace(geometry.coverage[0], doubt="Part 'x' of the graph runs Unheard, which is not followed")
    not_asked = replace(doubted, answers=None)
    finding = found("PA301", replace(geometry, coverage=(not_asked,)))
    assert (finding.outcome, finding.severity) == (Outcome.UNDECIDED, Severity.MINOR)
    assert "Unheard" in finding.summary
    only_in_groups = replace(doubted, answers=ReachProof(8, 0, (), unsettled=5))
    assert found("PA301", replace(geometry, coverage=(only_in_groups,))).outcome is Outcome.UNDECIDED
    assert found("PA301", replace(geometry, coverage=(doubted,))).outcome is Outcome.PASSED


def test_idle_global_pools_count_and_kernels_weigh_less_than_pools() -> None:
    assert found("PA302", inspect_pooling(networks.idle_global_pool())).outcome is Outcome.FAILED
    kernel = found("PA305", inspect_pooling(networks.kernel_beyond_the_map()))
    assert (kernel.outcome, kernel.severity) == (Outcome.FAILED, Severity.INFO)


def test_shift_decides_by_interval_and_by_the_size_of_the_shift() -> None:
    few = found("PA309", shifted([0.0] * 8))
    assert (few.outcome, few.severity) == (Outcome.UNDECIDED, Severity.MINOR)
    some = found("PA309", shifted([0.25] * 10 + [0.0] * 90))
    assert some.outcome is Outcome.UNDECIDED
    for told in (some.summary, found("PA309", INNOCENT["PA309"]()).summary):
        assert "percentage points of recall" in told
        assert "% of recall" not in told
    coarse = found("PA309", shifted([1.0] * 20 + [0.0] * 80, relative=0.125))
    assert (coarse.outcome, coarse.severity) == (Outcome.FAILED, Severity.MINOR)
    assert found("PA309", GUILTY["PA309"]()).severity is Severity.MAJOR
    tolerant = found("PA309", shifted([0.5] * 100), Policy(smallest_effect=0.7))
    assert tolerant.outcome is Outcome.PASSED


def test_size_decides_by_interval_and_estimated_sizes_weigh_less() -> None:
    assert found("PA310", GUILTY["PA310"]()).severity is Severity.MAJOR
    assert found("PA310", by_size([(20, 50), (49, 50)], "estimated foreground")).severity is Severity.MINOR
    unclear = found("PA310", by_size([(16, 20), (20, 20)]))
    assert (unclear.outcome, unclear.severity) == (Outcome.UNDECIDED, Severity.MINOR)
    # Low at every size: that is low recall (PA204), and size has nothing to do with it.
    assert found("PA310", by_size([(150, 300), (151, 300), (149, 300)])).outcome is not Outcome.FAILED


def test_without_a_feature_size_downsampling_is_not_judged() -> None:
    finding = found("PA306", inspect_pooling(networks.downsampled_by_eight()))
    assert finding.outcome is Outcome.SKIPPED
    assert "--feature-size" in finding.summary


def test_estimates_of_bounded_means_are_honest_for_few_and_equal_items() -> None:
    rng = np.random.default_rng(0)
    none = bounded_item_mean(np.empty(0), 0.0, 1.0, rng)
    assert isinstance(none, Estimate)
    assert none.value is None
    ten = bounded_item_mean(np.ones(10), 0.0, 1.0, rng)
    assert ten.value == 1.0
    assert ten.low is not None
    assert 0.7 < ten.low < 0.95
    many = bounded_item_mean(np.ones(2000), 0.0, 1.0, rng)
    assert many.low is not None
    assert many.low > 0.995


def test_bounded_means_cover_what_they_say() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        values = rng.choice([0.0, 0.25, 1.0], p=[0.9, 0.07, 0.03], size=120)
        estimate = bounded_item_mean(values, -1.0, 1.0, rng)
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low <= 0.0475 <= estimate.high
    assert hits / 300 > 0.9


def found_in(*layers, shape):  # type: ignore[no-untyped-def]
    """Outcomes by code of a small network of these layers."""
    import keras

    from poolaudit import inspect_pooling
    from poolaudit.pitfalls.detector import detect
    from poolaudit.policy import Policy
    from poolaudit.results import Evidence

    model = keras.Sequential([keras.Input(shape), *layers, keras.layers.Flatten(), keras.layers.Dense(3)])
    return {f.code: f.outcome.value for f in detect(Evidence(geometry=inspect_pooling(model)), Policy())}


def test_a_transposed_convolution_grows_from_one_cell() -> None:
    import keras

    layers = (keras.layers.AveragePooling2D(4), keras.layers.Conv2DTranspose(1, 4))
    assert found_in(*layers, shape=(4, 4, 1))["PA303"] == "PASSED"
    assert found_in(layers[0], keras.layers.Conv2D(1, 3, padding="same"), shape=(4, 4, 1))["PA303"] == "FAILED"


def test_a_pool_along_an_axis_of_one_cell_does_nothing() -> None:
    import keras

    def pool(shape):  # type: ignore[no-untyped-def]
        return found_in(keras.layers.MaxPooling2D((3, 1), 1, padding="same"), shape=shape)["PA302"]

    assert pool((1, 8, 1)) == "FAILED"
    assert pool((4, 8, 1)) == "PASSED"


def test_only_padded_zeros_that_an_average_reads_count() -> None:
    import keras

    def average(*before, size=8):  # type: ignore[no-untyped-def]
        return found_in(*before, keras.layers.AveragePooling2D(2), shape=(size, size, 1))["PA307"]

    late = keras.layers.ZeroPadding2D(((0, 1), (0, 1)))
    assert average(keras.layers.ZeroPadding2D(0)) == "PASSED"
    assert average(late) == "PASSED", "no window of 2 reaches the ninth cell"
    assert average(keras.layers.ZeroPadding2D(((0, 1), (0, 1))), size=7) == "FAILED"
    leaky = keras.layers.LeakyReLU(negative_slope=0.1)
    assert average(keras.layers.ZeroPadding2D(1), leaky) == "FAILED"


def test_a_class_that_is_never_found_has_no_recall_that_a_shift_could_cost() -> None:
    rng = np.random.default_rng(0)
    never = bounded_item_mean(np.zeros(80), 0.0, 1.0, rng)
    recall = ShiftedRecall("fraud", wilson(0, 80), never, bounded_item_mean(np.zeros(80), -1.0, 1.0, rng))
    mode = ShiftMode("circular", bounded_item_mean(np.ones(80), 0.0, 1.0, rng), wilson(80, 80), ())
    geometry = GeometryEvidence(
        sites=(), shift=ShiftEvidence("circular", "Because.", 1, 0.02, 4, 80, (mode,), (recall,))
    )
    assert found("PA309", geometry).outcome is Outcome.SKIPPED


def facts_of(finding: Finding) -> dict[str, str]:
    return {fact.label: fact.value for fact in finding.evidence}


def test_differences_of_rates_are_told_in_points() -> None:
    told = facts_of(found("PA310", GUILTY["PA310"]()))["Smallest minus larger"]
    assert re.match(r"-5\d\.\d points \(-\d\d\.\d to -\d\d\.\d, 9\d(\.\d+)? % interval", told)
    unclear = found("PA309", shifted([0.25] * 10 + [0.0] * 90))
    assert "percentage points of recall (measured: 2.5 percentage points)" in unclear.summary
    lost = next(value for label, value in facts_of(unclear).items() if label.startswith("Recall of"))
    assert lost.startswith("+2.5 points (")


def test_a_size_is_called_good_enough_only_with_its_whole_interval() -> None:
    label = "Smallest size whose recall is shown, with its whole interval, to be at least 85.0 %"
    assert label in facts_of(found("PA310", INNOCENT["PA310"]()))


def test_one_cell_is_told_as_one() -> None:
    assert counted(1, "cell") == counted(1.0, "cell") == "1 cell"
    assert counted(1_200, "cell") == "1,200 cells"
    assert signed(-0.0004) == signed(0.0004) == "0.0"
