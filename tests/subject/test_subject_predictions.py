"""Prediction files: three forms that agree, and every bad one refused with one clear message."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolaudit.errors import InvalidInputError
from poolaudit.subject.data import load_splits
from poolaudit.subject.predictions import Predictions, predictions_from_probabilities, read_predictions

TWO = {"label": [0, 1, 1, 0], "p_0": [0.9, 0.2, 0.5, 0.4], "p_1": [0.1, 0.8, 0.5, 0.6]}
THREE = {
    "label": ["cat", "dog", "owl", "cat"],
    "p_cat": [0.8, 0.1, 0.2, 0.4],
    "p_dog": [0.1, 0.7, 0.2, 0.4],
    "p_owl": [0.1, 0.2, 0.6, 0.2],
    "group": ["a", "a", "b", ""],
}


def write(folder: Path, kind: str, columns: dict[str, object], name: str = "predictions") -> Path:
    path = folder / f"{name}.{kind}"
    if kind == "csv":
        arrow_csv.write_csv(pa.table(columns), path)
    elif kind == "parquet":
        parquet.write_table(pa.table(columns), path)
    else:
        np.savez(path, **{key: np.asarray(value) for key, value in columns.items()})
    return path


def csv(folder: Path, text: str | bytes, name: str = "predictions.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def assert_same(left: Predictions, right: Predictions) -> None:
    assert left.class_names == right.class_names
    np.testing.assert_array_equal(left.labels, right.labels)
    np.testing.assert_array_equal(left.predicted, right.predicted)
    if left.probabilities is None:
        assert right.probabilities is None
    else:
        np.testing.assert_array_equal(left.probabilities, right.probabilities)
    for column in ("groups", "times", "paths"):
        a, b = getattr(left, column), getattr(right, column)
        assert (a is None) == (b is None)
        assert a is None or a.tolist() == b.tolist()
    assert left.stated == right.stated
    assert left.sha256 == right.sha256


@pytest.mark.parametrize(
    "columns", [TWO, THREE, {"label": [0, 1], "predicted": [1, 1]}], ids=["two", "three", "labels"]
)
def test_csv_parquet_and_npz_give_the_same_predictions(tmp_path: Path, columns: dict[str, object]) -> None:
    from_csv, from_parquet, from_npz = (
        read_predictions(write(tmp_path, k, columns)) for k in ("csv", "parquet", "npz")
    )
    assert_same(from_csv, from_parquet)
    assert_same(from_csv, from_npz)


def test_columns_arrive_as_they_were_written(tmp_path: Path) -> None:
    read = read_predictions(write(tmp_path, "csv", THREE))
    assert read.class_names == ("cat", "dog", "owl")
    assert read.labels.tolist() == [0, 1, 2, 0]
    assert read.labels.dtype == read.predicted.dtype == np.int64
    assert read.predicted.tolist() == [0, 1, 2, 0]  # the tie in the last row goes to the first class
    assert read.probabilities is not None
    assert read.probabilities.tolist()[1] == [0.1, 0.7, 0.2]
    assert read.groups is not None
    assert read.groups.tolist() == ["a", "a", "b", None]
    assert read.times is None
    assert read.source == "predictions.csv"
    assert read.normalised


@pytest.mark.parametrize(("positive", "third"), [(None, 1), ("1", 1), ("0", 0)])
def test_a_tie_goes_to_the_positive_class_and_the_statement_says_so(
    tmp_path: Path, positive: str | None, third: int
) -> None:
    read = read_predictions(write(tmp_path, "parquet", TWO), positive=positive)
    assert read.predicted.tolist() == [0, 1, third, 1]
    assert f"{third} is predicted where its probability is at least 0.5" in read.stated


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 1, 0],
        [0.0, 1.0, 1.0, 0.0],
        ["0", "1", "1", "0"],
        ["0.0", "1.0", "1.0", "0.0"],
        [False, True, True, False],
    ],
    ids=["int", "float", "text", "text with point", "bool"],
)
@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_every_spelling_of_a_label_finds_its_class(tmp_path: Path, labels: list[object], kind: str) -> None:
    read = read_predictions(write(tmp_path, kind, TWO | {"label": labels}))
    assert read.class_names == ("0", "1")
    assert read.labels.tolist() == [0, 1, 1, 0]


def test_leading_zeros_are_part_of_a_name(tmp_path: Path) -> None:
    read = read_predictions(csv(tmp_path, "label,p_007,p_07\n007,0.9,0.1\n07,0.2,0.8\n"))
    assert read.class_names == ("007", "07")
    assert read.labels.tolist() == [0, 1]


def test_labels_spelt_as_versions_stay_apart(tmp_path: Path) -> None:
    read = read_predictions(csv(tmp_path, "label,predicted\n1.0,1.1\n1.1,1.1\n10,1.0\n"))
    assert read.class_names == ("1.0", "1.1", "10")


def test_integer_classes_sort_as_numbers(tmp_path: Path) -> None:
    read = read_predictions(csv(tmp_path, "label,predicted\n10,2\n2,10\n1,1.0\n"))
    assert read.class_names == ("1", "2", "10")
    assert read.predicted.tolist() == [1, 2, 0]


def test_a_byte_order_mark_and_quotes_are_read(tmp_path: Path) -> None:
    read = read_predictions(csv(tmp_path, b'\xef\xbb\xbf"label","predicted"\r\n"a, b",c\r\nc,c\r\n'))
    assert read.class_names == ("a, b", "c")


def test_one_probability_is_enough_for_two_classes(tmp_path: Path) -> None:
    read = read_predictions(csv(tmp_path, "label,p_fraud\nfraud,0.5\nhonest,0.25\nhonest,0.75\n"))
    assert read.class_names == ("fraud", "honest")
    assert read.probabilities is not None
    assert read.probabilities.tolist() == [[0.5, 0.5], [0.25, 0.75], [0.75, 0.25]]
    assert read.predicted.tolist() == [0, 1, 0]
    assert "1 - p" in read.stated


def test_a_score_speaks_for_the_named_class(tmp_path: Path) -> None:
    path = csv(tmp_path, "label,score\n1,0.9\n0,0.1\n0,0.5\n")
    assert read_predictions(path, positive="1").predicted.tolist() == [1, 0, 1]
    assert read_predictions(path, positive="0").predicted.tolist() == [0, 1, 0]


def test_predicted_labels_alone_state_what_they_leave_open(tmp_path: Path) -> None:
    read = read_predictions(csv(tmp_path, "label,predicted,id\nyes,no,1\nno,no,2\n"))
    assert read.probabilities is None
    assert not read.normalised
    for word in ("ROC AUC", "thresholds", "calibration", "'id'"):
        assert word in read.stated


def test_the_shipped_decision_beats_the_arg_max(tmp_path: Path) -> None:
    read = read_predictions(write(tmp_path, "csv", TWO | {"predicted": [1, 1, 1, 1]}))
    assert read.predicted.tolist() == [1, 1, 1, 1]
    assert read.probabilities is not None
    assert "column predicted" in read.stated


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
def test_npz_matrix_with_class_names(tmp_path: Path, dtype: str) -> None:
    matrix = np.array([[0.75, 0.25], [0.25, 0.75]], dtype)
    names = np.array(["cat", "dog"])
    for labels in (np.array([0, 1]), np.array(["cat", "dog"]), np.array([b"cat", b"dog"])):
        path = tmp_path / "matrix.npz"
        np.savez_compressed(path, label=labels, probabilities=matrix, class_names=names)
        read = read_predictions(path)
        assert read.class_names == ("cat", "dog")
        assert read.labels.tolist() == read.predicted.tolist() == [0, 1]


def test_a_parquet_category_with_an_unused_value_adds_no_class(tmp_path: Path) -> None:
    label = pa.DictionaryArray.from_arrays(pa.array([0, 2, 0], pa.int8()), pa.array(["a", "never", "b"]))
    path = write(tmp_path, "parquet", {"label": label, "predicted": ["a", "a", "b"]})
    assert read_predictions(path).class_names == ("a", "b")


def test_a_class_may_be_called_nan_where_its_column_says_so(tmp_path: Path) -> None:
    read = read_predictions(csv(tmp_path, "label,p_nan,p_roti\nnan,0.9,0.1\nroti,0.2,0.8\n"))
    assert read.class_names == ("nan", "roti")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lable,p_0,p_1\n0,1,0\n", ["no column 'label'", "Rename column 'lable' to 'label'"]),
        ("label,p_0,p_1\n", ["no rows"]),
        ("", ["empty"]),
        ("label,prediction\n0,0\n1,1\n", ["no predictions", "Rename column 'prediction' to 'predicted'"]),
        ("label,p_0,p_1,p_1\n0,1,0,0\n", ["'p_1' more than once"]),
        ("label;p_0;p_1\n0;1;0\n", ["separated by commas"]),
        ("label,p_0,p_1\n0,1\n", ["cannot be read as CSV", "Expected 3 columns, got 2"]),
        ("label,p_0,p_1\n0,high,0\n", ["cannot be read as CSV", "high"]),
        (b"label,predicted\n\xff\xfe,a\nb,b\n", ["UTF"]),
        ("label,p_0,p_1\n0,nan,0.5\n1,0.5,\n0,inf,0\n", ["3 scores are missing, NaN or infinite", "row 1 (p_0)"]),
        ("label,p_0,p_1\n0,1,0\n1,-0.1,1.1\n", ["2 scores are outside [0, 1]", "row 2 (p_0)", "logits"]),
        ("label,p_0,p_1\n0,1,0\n1,0.6,0.6\n1,0.5,0.49\n", ["2 of 3 rows", "row 2 with 1.2"]),
        ("label,p_0,p_1\n0,1,0\n2,0,1\n", ["1 labels are outside the classes: '2'", "first in row 2"]),
        ("label,p_cat,p_dog\ncat,1,0\ndgo,0,1\n", ["outside the classes: 'dgo'", "Did you mean 'dog'?"]),
        ("label,p_0,p_1\n1,1,0\n1,0,1\n", ["all 2 labels are '1'", "cannot be judged"]),
        ("label,p_0,p_1\n0,1,0\n,0,1\n", ["label is missing in 1 rows (first in row 2)"]),
        ("label,predicted\n0,1\n1,\n", ["predicted is missing in 1 rows"]),
        ("label,p_0,p_1,predicted\n0,1,0,0\n1,0,1,7\n", ["predicted: 1 labels are outside", "'7'"]),
        ("label,p_x\na,1\nb,0\n", ["one column p_x"]),
        ("label,p_a\na,1\nb,0\nc,0\n", ["exactly two classes"]),
        ("label,score\n0,0.1\n1,0.9\n", ["which class it speaks for is not said", "--positive"]),
        (f"label,predicted\n{'x' * 300},a\nb,b\n", ["300 characters"]),
        ("label,predicted\n" + "".join(f"{i},{i}\n" for i in range(10_001)), ["10,001 distinct values"]),
        ("label,p_1,p_1.0\n1,1,0\n0,1,0\n", ["classes of the p_ columns"]),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, text: str | bytes, told: list[str]) -> None:
    path = csv(tmp_path, text)
    with pytest.raises(InvalidInputError) as caught:
        read_predictions(path)
    for part in told:
        assert part in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("positive", "text", "told"),
    [
        ("frod", "label,score\nfraud,0.9\nok,0.1\n", "Did you mean 'fraud'?"),
        ("frod", "label,p_fraud,p_ok\nfraud,0.9,0.1\nok,0.1,0.9\n", "Did you mean 'fraud'?"),
        ("frod", "label,predicted\nfraud,ok\nok,ok\n", "Did you mean 'fraud'?"),
        ("fraud", "label,score\nfraud,3.5\nok,-2\n", "scores are outside [0, 1], from -2 to 3.5"),
        ("a", "label,score\na,0.9\nb,0.1\nc,0.1\n", "exactly two classes"),
    ],
)
def test_a_bad_class_of_interest_is_refused(tmp_path: Path, positive: str, text: str, told: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_predictions(csv(tmp_path, text), positive=positive)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"label": np.array([0, 1]), "p_0": np.array([1.0]), "p_1": np.array([0.0])}, "1 entries for 2 items"),
        ({"label": np.array([0, 1]), "probabilities": np.ones((3, 2)) / 2}, "3 entries for 2 items"),
        ({"label": np.array([0, 1]), "probabilities": np.ones(2)}, "probabilities has shape (2,)"),
        ({"label": np.array(["a", "b"]), "probabilities": np.ones((2, 2)) / 2}, "no class_names"),
        (
            {"label": np.array([0, 3]), "probabilities": np.ones((2, 2)) / 2, "class_names": np.array(["a", "b"])},
            "outside",
        ),
        (
            {"label": np.array([0, 1]), "probabilities": np.ones((2, 2)) / 2, "class_names": np.array(["a"])},
            "class names",
        ),
        ({"label": np.array([[0], [1]]), "predicted": np.array([0, 1])}, "label has shape (2, 1)"),
        ({"label": np.array([0.5, 1]), "predicted": np.array([0, 1])}, "fraction 0.5"),
        ({"label": np.array([np.nan, 1]), "predicted": np.array([0, 1])}, "label is missing"),
        ({"label": np.array([0, 1]), "probabilities": np.ones((2, 2), complex)}, "complex"),
        ({"label": np.array([0, 1j]), "predicted": np.array([0, 1])}, "complex"),
        ({"x": np.array([0, 1])}, "no column 'label'"),
    ],
)
def test_a_bad_archive_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray], told: str) -> None:
    path = tmp_path / "predictions.npz"
    np.savez(path, **arrays)
    with pytest.raises(InvalidInputError) as caught:
        read_predictions(path)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"label": [1, None], "predicted": [0, 1]}, "label is missing in 1 rows (first in row 2)"),
        ({"label": [[1], [0]], "predicted": [0, 1]}, "label holds list"),
        ({"label": [b"a", b"b"], "predicted": [b"a", b"b"]}, "label holds binary"),
        ({"label": [1, 0], "predicted": [0, 1], "group": [[1], [0]]}, "group holds list"),
        ({"label": [1, 0], "predicted": [0, 1], "group": [b"\xff", b"a"]}, "group holds binary"),
        ({"label": [1, 0], "p_0": ["0.5", "1"], "p_1": [0.5, 0.0]}, "p_0 holds string"),
        ({"label": [1, 0], "p_0": [0.5, None], "p_1": [0.5, 0.0]}, "the first is in row 2 (p_0)"),
    ],
)
def test_bad_parquet_columns_are_refused(tmp_path: Path, columns: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_predictions(write(tmp_path, "parquet", columns))
    assert told in str(caught.value)


@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, THREE)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InvalidInputError, match=r"readable|cannot be read"):
        read_predictions(path)


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
@pytest.mark.parametrize("junk", [b"", b"\x00" * 300, b"PK\x03\x04" + b"x" * 300, b"PAR1" + b"\xff" * 300 + b"PAR1"])
def test_junk_under_any_name_is_refused(tmp_path: Path, kind: str, junk: bytes) -> None:
    path = tmp_path / f"junk.{kind}"
    path.write_bytes(junk)
    with pytest.raises(InvalidInputError):
        read_predictions(path)


@given(junk=st.binary(max_size=200), kind=st.sampled_from(["csv", "parquet", "npz"]))
def test_no_bytes_bring_another_error(tmp_path_factory: pytest.TempPathFactory, junk: bytes, kind: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz.{kind}"
    path.write_bytes(junk if kind != "csv" else b"label,predicted\n" + junk)
    with contextlib.suppress(InvalidInputError):
        read_predictions(path)


def test_a_missing_file_and_an_unknown_ending_are_told(tmp_path: Path) -> None:
    csv(tmp_path, "x", "predictions.csv")
    with pytest.raises(InvalidInputError, match=r"no file 'predictoins.csv'.*Did you mean 'predictions.csv'"):
        read_predictions(tmp_path / "predictoins.csv")
    with pytest.raises(InvalidInputError, match=r"unknown ending '\.xlsx'"):
        read_predictions(csv(tmp_path, "x", "predictions.xlsx"))


class Payload:
    """A pickle that writes a file when it is opened."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.write_text, (self.marker, "executed"))


def test_pickles_are_never_executed(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    bare = tmp_path / "bare.npz"
    bare.write_bytes(pickle.dumps(Payload(marker)))
    wrapped = tmp_path / "wrapped.npz"
    np.savez(wrapped, label=np.array([Payload(marker), 1], dtype=object), predicted=np.array([0, 1]))
    for path in (bare, wrapped):
        with pytest.raises(InvalidInputError, match="pickle"):
            read_predictions(path)
    assert not marker.exists()
    with np.load(wrapped, allow_pickle=True) as archive:  # the payload is live: this is what must not happen
        archive["label"]
    assert marker.exists()


def test_an_archive_that_claims_terabytes_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("label.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": (10**13,)})
        member.write(bytes(1 << 20))
    started = time.perf_counter()
    with pytest.raises(InvalidInputError, match="GiB of memory"):
        read_predictions(path)
    assert time.perf_counter() - started < 1


def test_an_array_twice_in_an_archive_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "npz", TWO)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("label.npy", b"")
    with pytest.raises(InvalidInputError, match="more than once"):
        read_predictions(path)


def test_a_million_rows_are_read_in_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    p = rng.random(1_000_000)
    columns = {"label": rng.integers(0, 2, len(p)), "p_0": 1 - p, "p_1": p}
    for kind in ("csv", "parquet", "npz"):
        path = write(tmp_path, kind, columns)
        started = time.process_time()  # not wall time: the machine may be busy with other tests
        read = read_predictions(path)
        duration_seconds = time.process_time() - started
        assert len(read) == 1_000_000
        assert duration_seconds < 4, f"{kind}: {duration_seconds:.2f} s"


def test_reading_predictions_imports_no_heavy_library(tmp_path: Path) -> None:
    path = write(tmp_path, "csv", TWO)
    program = (
        "import sys; from poolaudit.subject.predictions import read_predictions; read_predictions(sys.argv[1]);"
        "print([m for m in ('tensorflow', 'keras', 'scipy', 'sklearn', 'pandas', 'PIL') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_models_probabilities_take_the_same_type() -> None:
    x = np.zeros((4, 2, 2, 1), np.float32)
    split = load_splits({"test": (x, np.array([0, 1, 1, 0]))})["test"]
    one = predictions_from_probabilities(split, np.array([0.1, 0.8, 0.5, 0.6], np.float32), stated="sigmoid")
    assert one.predicted.tolist() == [0, 1, 1, 1]
    assert one.normalised
    assert one.stated == "sigmoid; 1 is predicted where its probability is at least 0.5."
    assert one.probabilities is not None
    assert one.probabilities.shape == (4, 2)
    column = predictions_from_probabilities(split, np.array([[0.1], [0.8], [0.5], [0.6]], np.float32), stated="sigmoid")
    assert_same(one, column)
    apart = predictions_from_probabilities(split, np.array([[0.9, 0.8]] * 4))
    assert not apart.normalised
    assert apart.predicted.tolist() == [0, 0, 0, 0]
    for bad in (
        np.zeros((3, 2)),
        np.zeros((4, 3)),
        np.full((4, 2), np.nan),
        np.full((4, 2), 1.5),
        np.zeros((4, 2), complex),
    ):
        with pytest.raises(InvalidInputError):
            predictions_from_probabilities(split, bad)
