"""The geometry stage of an audit: blind cells of real items, recall by feature size, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from poolaudit.audit import AuditPlan, run_audit
from poolaudit.errors import InvalidInputError
from poolaudit.geometry.analysis import ModelInput
from poolaudit.geometry.feature_size import estimated_sizes, recall_by_size, smallest_feature
from poolaudit.outcomes import Outcome, Severity
from poolaudit.report.html import render_html
from poolaudit.results import AuditResult
from poolaudit.store.results import decode_result, encode_result
from poolaudit.subject.data import load_splits
from specimens.geometry_models import layers

SIZES = (2, 3, 4, 6, 8, 10)


def squares(n: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Bright squares of many sizes on black (class 1), and noise of the same mean without a square (class 0)."""
    x = np.zeros((n, 24, 24, 1), "float32")
    y = rng.integers(0, 2, n)
    sizes = np.where(y == 1, rng.choice(SIZES, n), np.nan)
    for item in range(n):
        if y[item]:
            side = int(sizes[item])
            top, left = rng.integers(2, 22 - side, 2)
            x[item, top : top + side, left : left + side] = 1.0
    return x, y, sizes


def averaging_model() -> keras.Model:
    """Calls an item a square where its mean is above 1.5 %: it drowns the small ones, as average pooling does."""
    model = keras.Sequential(
        [
            keras.Input((24, 24, 1)),
            layers.AveragePooling2D(6, name="drowns"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, activation="sigmoid"),
        ],
        name="averaging",
    )
    model.layers[-1].set_weights([np.array([[2000.0]]), np.array([-30.0])])
    return model


@pytest.fixture(scope="module")
def audited() -> AuditResult:
    x, y, sizes = squares(400, np.random.default_rng(0))
    data = {"x": x, "y": y, "size": sizes, "class_names": ["empty", "square"]}
    return run_audit(
        AuditPlan(model=averaging_model(), test=data, positive="square", stages=("geometry",), budget="quick")
    )


def test_small_features_that_drown_are_found_out(audited: AuditResult) -> None:
    geometry = audited.evidence.geometry
    assert geometry is not None
    assert geometry.by_size is not None
    assert geometry.by_size.source == "column"
    assert geometry.by_size.of == "square"
    assert geometry.by_size.bins[0].recall.value == 0.0
    assert geometry.by_size.bins[-1].recall.value == 1.0
    assert geometry.by_size.smallest_size_that_meets(0.85) is not None
    finding = next(f for f in audited.findings if f.code == "PA310")
    assert (finding.outcome, finding.severity) == (Outcome.FAILED, Severity.MAJOR)
    downsampling = next(f for f in audited.findings if f.code == "PA306")
    assert downsampling.outcome is Outcome.FAILED
    assert "fifth percentile" in str(downsampling.evidence)


def test_shifts_over_the_background_are_chosen_and_harmless_to_a_mean(audited: AuditResult) -> None:
    geometry = audited.evidence.geometry
    assert geometry is not None
    assert geometry.shift is not None
    assert geometry.shift.chosen == "background"
    assert [mode.mode for mode in geometry.shift.modes] == ["background", "circular", "zero"]
    assert geometry.shift.modes[0].consistency.value == 1.0
    assert [recall.class_name for recall in geometry.shift.recalls] == ["square"]


def test_the_result_survives_storing_and_the_report_shows_it(audited: AuditResult) -> None:
    assert decode_result(encode_result(audited)) == audited
    page = render_html(audited)
    for said in (
        "Coverage of the input",
        "Recall by feature size",
        "Receptive fields",
        "Recall under shifts",
        "drowns",
    ):
        assert said in page
    assert "could not be drawn" not in page


def test_blind_cells_of_real_items_are_overwritten(trained_digits) -> None:  # type: ignore[no-untyped-def]
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(8, 2), layers.MaxPooling2D(3), layers.Flatten(), layers.Dense(10)]
    )
    plan = AuditPlan(model=model, test=(trained_digits.x, trained_digits.y), stages=("geometry",), budget="quick")
    result = run_audit(plan)
    geometry = result.evidence.geometry
    assert geometry is not None
    (coverage,) = geometry.coverage
    assert coverage.blind_where == ("height 7", "width 7")
    assert coverage.proof is not None
    assert (coverage.proof.inputs, coverage.proof.items) == ("test items", 8)
    assert coverage.proof.unchanged == 8
    assert coverage.proof.neighbours_changed == 8
    # The last column of a handwritten digit is nearly always empty: blind, and of little weight.
    assert coverage.blind_variance is not None
    finding = next(f for f in result.findings if f.code == "PA301")
    assert finding.outcome is Outcome.FAILED
    assert "of the variance of the test items" in finding.summary


def test_the_effective_field_is_measured_where_time_is_given(trained_digits) -> None:  # type: ignore[no-untyped-def]
    result = run_audit(
        AuditPlan(
            model=trained_digits.model,
            test=(trained_digits.x[:120], trained_digits.y[:120]),
            stages=("geometry",),
            budget="thorough",
        )
    )
    geometry = result.evidence.geometry
    assert geometry is not None
    assert [field.axis for field in geometry.effective] == ["height", "width"]
    assert all(field.width.value is not None and field.theoretical == 8 for field in geometry.effective)
    assert geometry.shift is not None
    assert [site.site for site in geometry.shift.sites] == ["halve"]
    assert geometry.shift.sites[0].gain.value is not None


def test_a_head_that_cannot_be_read_leaves_the_graph_known(trained_digits) -> None:  # type: ignore[no-untyped-def]
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.MaxPooling2D(3), layers.Flatten(), layers.Dense(4)])
    result = run_audit(AuditPlan(model=model, test=(trained_digits.x, trained_digits.y), stages=("geometry",)))
    geometry = result.evidence.geometry
    assert geometry is not None
    assert geometry.coverage[0].blind > 0
    assert geometry.shift is None
    assert "cannot be read" in str(geometry.shift_reason)


def by_size(sizes: Any, right: Any, **options: Any) -> Any:
    labels = options.pop("labels", np.zeros(len(sizes), int))
    return recall_by_size(
        np.asarray(sizes, float), np.asarray(right), labels, None, ("a", "b"), source="mask", confidence=0.95, **options
    )


def test_recall_without_a_trend_is_flat_and_few_items_are_refused() -> None:
    rng = np.random.default_rng(0)
    flat = by_size(rng.uniform(2, 30, 500), rng.random(500) < 0.9)
    assert len(flat.bins) == 5
    assert sum(size_bin.recall.n for size_bin in flat.bins) == flat.items == 500
    assert flat.smallest_minus_others.low < 0.0 < flat.smallest_minus_others.high
    assert [b.low for b in flat.bins] == sorted(b.low for b in flat.bins)
    assert "need more" in by_size(np.arange(30), np.ones(30, bool))
    assert "about one size" in by_size(np.full(200, 5.0), np.ones(200, bool))
    assert by_size([np.nan] * 100 + [3.0] * 50 + [9.0] * 50, np.ones(200, bool)).items == 100


def test_foregrounds_are_estimated_only_on_a_uniform_background() -> None:
    x, y, sizes = squares(60, np.random.default_rng(1))
    image = ModelInput("input", (24, 24, 1), (0, 1), 2)
    found = estimated_sizes(x, image)
    assert not isinstance(found, str)
    np.testing.assert_allclose(found[y == 1], sizes[y == 1])
    assert np.isnan(found[y == 0]).all()
    assert smallest_feature(found) in SIZES
    noise = np.random.default_rng(0).random((60, 24, 24, 1))
    assert "no uniform background" in str(estimated_sizes(noise, image))
    assert "signal" in str(estimated_sizes(noise[:, :, 0], ModelInput("input", (24, 1), (0,), 1)))


def stored(folder: Path, **arrays: npt.NDArray[Any]) -> Any:
    x = np.zeros((4, 6, 5, 1), "float32")
    np.savez(folder / "data.npz", x=x, y=np.array([0, 1, 0, 1]), **arrays)
    return load_splits({"test": str(folder / "data.npz")})["test"]


def test_sizes_come_with_the_data(tmp_path: Path) -> None:
    split = stored(tmp_path, size=np.array([3.0, np.nan, 0.0, 5.0]))
    np.testing.assert_array_equal(split.sizes, [3.0, np.nan, np.nan, 5.0])
    assert split.size_source == "column"
    mask = np.zeros((4, 6, 5), bool)
    mask[0, :4, :4] = True
    split = stored(tmp_path, mask=mask)
    np.testing.assert_array_equal(split.sizes, [4.0, np.nan, np.nan, np.nan])
    boxes = np.array([[0, 0, 2, 2], [1, 1, 1, 1], [0, 0, 6, 6], [2, 0, 6, 1]])
    split = stored(tmp_path, box=boxes)
    np.testing.assert_array_equal(split.sizes, [2.0, np.nan, 6.0, 2.0])
    assert load_splits({"test": split})["test"].size_source == "box"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("size", np.array([1.0, 2.0]), "one an item"),
        ("size", np.array([1.0, 2.0, -3.0, 4.0]), "above 0"),
        ("mask", np.zeros((4, 3, 3), bool), "mask has shape"),
        ("box", np.zeros((4, 3)), "box has shape"),
        ("box", np.array([[3, 3, 1, 1]] * 4), "ends before it begins"),
        ("size", np.array(["a"] * 4), "numbers"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(tmp_path: Path, key: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        stored(tmp_path, **{key: value})


def test_a_manifest_may_name_sizes(tmp_path: Path) -> None:
    from PIL import Image

    rows = ["path,label,size"]
    for number in range(4):
        Image.fromarray(np.full((6, 5), 10 * number, np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'cat' if number % 2 else 'dog'},{number + 1}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    split = load_splits({"test": str(tmp_path / "manifest.csv")})["test"]
    np.testing.assert_array_equal(split.sizes, [1.0, 2.0, 3.0, 4.0])
