"""Data from arrays and NPZ files: one class mapping for all splits, and every bad input refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poolaudit.errors import InvalidInputError, MissingExtraError
from poolaudit.subject.data import (
    DataSplit,
    check_against_classes,
    check_against_input_shape,
    load_splits,
    require_two_classes,
    resolve_class,
)
from poolaudit.subject.splits import group_names, text_column

X = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3, 1)


def load(x: Any, y: Any, **options: Any) -> DataSplit:
    return load_splits({"test": (x, y)}, **options)["test"]


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 2, 1],
        [0.0, 1.0, 2.0, 1.0],
        ["0", "1", "2", "1"],
        [[0], [1], [2], [1]],
        np.eye(3)[[0, 1, 2, 1]],
        np.eye(3, dtype=bool)[[0, 1, 2, 1]],
        np.array([0, 1, 2, 1], ">i2"),
        np.array(["0", "1", "2", "1"], object),
        np.array([b"0", b"1", b"2", b"1"]),
    ],
)
def test_every_spelling_of_integer_labels_gives_indices(labels: Any) -> None:
    split = load(X, labels)
    assert split.labels.dtype == np.int64
    assert split.labels.tolist() == [0, 1, 2, 1]
    assert split.class_names == ("0", "1", "2")
    assert split.class_counts == (1, 2, 1)
    assert split.inputs.dtype == np.uint8
    assert len(split) == 4


def test_one_hot_and_boolean_labels_are_noted() -> None:
    assert "one-hot over 3 classes" in load(X, np.eye(3)[[0, 1, 1, 0]]).notes[0]
    assert load(X, np.eye(3)[[0, 1, 1, 0]]).class_names == ("0", "1", "2")
    split = load(X, [True, False, True, False])
    assert split.labels.tolist() == [1, 0, 1, 0]
    assert "True is class 1" in split.notes[0]
    assert resolve_class("true", split.class_names) == 1


def test_a_missing_integer_keeps_its_place() -> None:
    assert load(X, [0, 2, 2, 3]).class_names == ("0", "1", "2", "3")


def test_all_splits_share_one_mapping() -> None:
    splits = load_splits(
        {"train": (X, ["cat", "owl", "cat", "owl"]), "test": (X, ["dog", "cat", "dog", "cat"])},
    )
    assert splits["train"].class_names == splits["test"].class_names == ("cat", "dog", "owl")
    assert splits["train"].labels.tolist() == [0, 2, 0, 2]
    assert splits["test"].labels.tolist() == [1, 0, 1, 0]
    numbers = load_splits({"train": (X, [0, 11, 2, 3]), "test": (X, [2, 0, 2, 0])})
    assert numbers["test"].class_names == tuple(map(str, range(12)))
    assert numbers["test"].labels.tolist() == [2, 0, 2, 0]


def test_given_class_names_set_the_order() -> None:
    assert load(X, ["b", "a", "b", "a"], class_names=["b", "a"]).labels.tolist() == [0, 1, 0, 1]
    assert load(X, [0, 1, 0, 1], class_names=["b", "a"]).labels.tolist() == [0, 1, 0, 1]
    # Names that are numbers are meant as names.
    assert load(X, [3, 7, 3, 7], class_names=["7", "3"]).labels.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (np.empty((0, 3, 3, 1)), [], "the split is empty"),
        (np.zeros(4), [0, 1, 0, 1], "rank 1"),
        (np.zeros((4, 0)), [0, 1, 0, 1], "no axis of size 0"),
        (X.astype(complex), [0, 1, 0, 1], "dtype complex128"),
        (X.astype(object), [0, 1, 0, 1], "dtype object"),
        (X.astype(str), [0, 1, 0, 1], "dtype <U"),
        ([[1, 2], [3]], [0, 1], "x is no array"),
        (X, [0, 1, 0], "y has 3 entries for 4 items"),
        (X, 1, "y has a single value for 4 items"),
        (X, [0, 1, 0, 0.5], "the fraction 0.5 (first in row 4)"),
        (X, [0, 1, 0, np.nan], "label is missing in 1 rows (first in row 4)"),
        (X, [0, -1, 0, -1], "the negative number -1 (first in row 2)"),
        (X, [0, 1, 0, 1e12], "goes up to 1,000,000,000,000"),
        (X, np.array([0, 1, 0, 2**63], np.uint64), "holds 9223372036854775808"),
        (X, [0, 1, 0, 1j], "complex"),
        (np.ma.masked_less(X, 3), [0, 1, 0, 1], "x has masked entries"),
        (X, np.array(["a", None, "b", 1.5], object), "Python objects"),
        (X, ["a", "b", "", "a"], "label is missing in 1 rows (first in row 3)"),
        (X, np.full((4, 2), 0.5), "4 rows that are not one-hot"),
        (X, np.ones((4, 3)), "4 rows that are not one-hot"),
        (X, np.zeros((4, 2, 2)), "shape (4, 2, 2)"),
    ],
)
def test_bad_arrays_are_refused(x: Any, y: Any, told: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load(x, y)
    assert told in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_non_finite_inputs_are_counted_and_placed(value: float, dtype: type) -> None:
    x = np.zeros((5, 3, 3, 1), dtype)
    x[2, 1, 0, 0] = x[4, 0, 0, 0] = value
    with pytest.raises(
        InvalidInputError, match=r"2 input values are NaN or infinite; the first at index \(2, 1, 0, 0\)"
    ):
        load(x, [0, 1, 0, 1, 0])


def test_labels_outside_given_classes_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"outside the classes: 'dgo' \(first in row 2\).*Did you mean 'dog'"):
        load(X, ["cat", "dgo", "cat", "cat"], class_names=["cat", "dog"])
    with pytest.raises(InvalidInputError, match=r"1 labels are outside the classes: '2'"):
        load(X, [0, 1, 2, 1], class_names=["cat", "dog"])
    with pytest.raises(InvalidInputError, match="single text 'ab'"):
        load(X, [0, 0, 0, 0], class_names="ab")
    for names in (["cat"], ["cat", "cat"], ["cat", ""]):
        with pytest.raises(InvalidInputError, match="class names are"):
            load(X, [0, 0, 0, 0], class_names=names)


def test_integers_beside_names_are_refused_and_names_cure_it() -> None:
    sources = {"train": (X, [0, 1, 0, 1]), "test": (X, ["cat", "dog", "cat", "dog"])}
    with pytest.raises(InvalidInputError, match="are integers and those of arrays are names"):
        load_splits(sources)
    cured = load_splits(sources, class_names=["cat", "dog"])
    assert cured["train"].labels.tolist() == cured["test"].labels.tolist() == [0, 1, 0, 1]


def test_splits_that_order_their_classes_differently_are_refused() -> None:
    train = {"x": X, "y": [0, 1, 0, 1], "class_names": ["cat", "dog"]}
    test = {"x": X, "y": [0, 1, 0, 1], "class_names": ["dog", "cat"]}
    with pytest.raises(InvalidInputError, match="in different orders"):
        load_splits({"train": train, "test": test})
    more = load_splits({"train": train, "test": {**test, "class_names": ["cat", "dog", "owl"]}})
    assert more["train"].class_names == ("cat", "dog", "owl")


def test_one_class_only_is_refused_where_recall_is_judged() -> None:
    with pytest.raises(InvalidInputError, match=r"All 4 items of the test split \(arrays\) are of class '1'"):
        require_two_classes(load(X, [1, 1, 1, 1]))
    require_two_classes(load(X, [1, 1, 1, 0]))


def test_classes_are_held_against_the_model() -> None:
    named = load(X, ["cat", "dog", "cat", "dog"])
    assert check_against_classes(named, 2, "model.keras") is named
    assert check_against_classes(load(X, [0, 1, 1, 0]), 4, "model.keras").class_names == ("0", "1", "2", "3")
    assert check_against_classes(load(X, np.eye(5)[[0, 1, 1, 0]]), 2, "model.keras").class_names == ("0", "1")
    with pytest.raises(InvalidInputError, match=r"model.keras tells 2 classes apart.*subtract 1"):
        check_against_classes(load(X, [1, 2, 1, 2]), 2, "model.keras")
    with pytest.raises(InvalidInputError, match="2 items are outside the first 2"):
        check_against_classes(load(X, [0, 1, 2, 2]), 2, "model.keras")
    with pytest.raises(InvalidInputError, match="which output belongs to which name cannot be told"):
        check_against_classes(named, 3, "model.keras")


def test_inputs_are_held_against_the_model() -> None:
    split = load(X, [0, 1, 1, 0])
    assert check_against_input_shape(split, (3, 3, 1), "model.keras") is split
    assert check_against_input_shape(split, (None, None, 1), "model.keras") is split
    flat = load(X[..., 0], [0, 1, 1, 0])
    widened = check_against_input_shape(flat, (3, 3, 1), "model.keras")
    assert widened.inputs.shape == X.shape
    assert "channel axis" in widened.notes[-1]
    for shape, told in (
        ((3, 3, 3), "1 channels"),
        ((28, 28, 1), "size 3x3"),
        ((9,), "rank 4"),
        ((3, 3, 3, 1), "rank 4"),
    ):
        with pytest.raises(InvalidInputError, match=told):
            check_against_input_shape(split, shape, "model.keras")


def test_a_misspelt_class_is_answered_with_the_closest() -> None:
    assert resolve_class("1.0", ("0", "1")) == 1
    with pytest.raises(InvalidInputError, match=r"no class 'frod'.*Did you mean 'fraud'\?"):
        resolve_class("frod", ("legit", "fraud"))


def test_npz_round_trip_with_all_columns(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(
        path,
        x=X,
        y=np.array([0, 1, 1, 0]),
        group=np.array([1, 1, 2, 2]),
        time=np.array(["2024-01-01", "2024-01-02", "NaT", "2024-01-04"], "datetime64[ns]"),
        path=np.array(["a.png", "b.png", "", "d.png"]),
        class_names=np.array(["cat", "dog"]),
    )
    split = load_splits({"test": str(path)})["test"]
    np.testing.assert_array_equal(split.inputs, X)
    assert split.class_names == ("cat", "dog")
    assert split.source == "data.npz"
    assert split.groups is not None
    assert split.groups.tolist() == ["1", "1", "2", "2"]

    assert split.times is not None
    assert split.times.tolist()[2] is None
    assert split.times.tolist()[0].startswith("2024-01-01")
    assert split.paths is not None
    assert split.paths.tolist() == ["a.png", "b.png", None, "d.png"]
    again = load_splits({"test": split})["test"]
    assert again.sha256 == split.sha256 == load(X, [0, 1, 1, 0]).sha256


def test_a_group_is_the_same_whatever_column_it_stands_in() -> None:
    """A column of whole numbers with a gap is read as floats; blanks around a name are no part of it."""
    with_gap = group_names(np.array([3.0, np.nan, 12.0, 2.5]))
    assert with_gap is not None
    assert with_gap.tolist() == ["3", None, "12", "2.5"]
    for written in ([" 3", "", "12 ", "2.5"], ["3.0", " ", "12.0", "2.5"]):
        plain = group_names(np.array(written, dtype=object))
        assert plain is not None
        assert plain.tolist() == with_gap.tolist()
    paths = text_column(np.array(["\t=1+1", " a.png"], dtype=object))
    assert paths is not None
    assert paths.tolist() == ["\t=1+1", " a.png"], "a path is another with a blank"


def test_the_hash_tells_content_apart() -> None:
    y = [0, 1, 1, 0]
    changed = X.copy()
    changed[3, 2, 2, 0] += 1
    hashes = {
        load(x, labels).sha256
        for x, labels in ((X, y), (changed, y), (X, [*y[::-1][1:], 1]), (X.astype(np.int16), y), (X.reshape(4, 9), y))
    }
    assert len(hashes) == 5
    assert load(np.asfortranarray(X), y).sha256 == load(X, y).sha256


def test_one_archive_may_hold_both_splits(tmp_path: Path) -> None:
    path = tmp_path / "both.npz"
    np.savez(path, x_train=X, y_train=[0, 1, 0, 1], x_test=X[:2], y_test=[0, 1])
    splits = load_splits({"train": path, "test": path})
    assert (len(splits["train"]), len(splits["test"])) == (4, 2)
    with pytest.raises(InvalidInputError, match="x_validation and y_validation"):
        load_splits({"validation": path})


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"X": X, "y": np.zeros(4)}, ["no array 'x'", "it has 'X', 'y'", "Did you mean 'X'?"]),
        ({"x": X}, ["no array 'y'"]),
        ({"x": X, "y": np.zeros(4), "group": np.zeros(3)}, ["group has 3 entries for 4 items"]),
        ({"x": X, "y": np.array(["a", 1, 2, 3], dtype=object)}, ["'y' holds Python objects"]),
        ({"x": X.astype(object), "y": np.zeros(4)}, ["'x' holds Python objects"]),
        ({"x": X, "y": np.array([0, 1, 2, 0]), "class_names": np.array(["a", "b"])}, ["outside the classes: '2'"]),
    ],
)
def test_a_bad_npz_is_refused(tmp_path: Path, arrays: dict[str, Any], told: list[str]) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    with pytest.raises(InvalidInputError) as caught:
        load_splits({"test": path})
    for part in told:
        assert part in str(caught.value)


class Payload:
    """A pickle that writes a file when it is opened."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.write_text, (self.marker, "executed"))


def test_a_pickle_renamed_npz_is_refused_and_never_opened(tmp_path: Path) -> None:
    path, marker = tmp_path / "data.npz", tmp_path / "executed"
    path.write_bytes(pickle.dumps({"x": Payload(marker)}))
    with pytest.raises(InvalidInputError, match="no readable NPZ archive"):
        load_splits({"test": path})
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()


def test_a_missing_or_unknown_source_is_told(tmp_path: Path) -> None:
    (tmp_path / "digits.npz").write_bytes(b"")
    (tmp_path / "model.txt").write_text("x")
    for source, told in (
        (tmp_path / "digit.npz", "Did you mean 'digits.npz'?"),
        (tmp_path / "model.txt", "unknown ending '.txt'"),
        ("", "no file or folder"),
        ("x" * 5000, "no file or folder"),
        ("data\0.npz", "no file or folder"),
        ("skleran:digits", "Did you mean 'sklearn'?"),
        ("sklearn:digit", "Did you mean 'digits'?"),
        ("sklearn:digits/tets", "Did you mean 'test'?"),
        ("keras:minst", "Did you mean 'mnist'?"),
        (3.5, "the data are a float"),
        ({"inputs": X}, "the mapping holds 'inputs'"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            load_splits({"test": source})
        assert told in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(InvalidInputError, match="Did you mean 'test'"):
        load_splits({"tests": (X, [0, 1, 1, 0])})
    with pytest.raises(InvalidInputError, match="no split comes from image files"):
        load(X, [0, 1, 1, 0], resize=(8, 8))


def test_tfds_names_its_extra_where_it_is_missing() -> None:
    try:
        import tensorflow_datasets  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"poolaudit\[tfds\]"):
            load_splits({"test": "tfds:mnist/test"})


def test_digits_come_whole_or_divided() -> None:
    whole = load_splits({"test": "sklearn:digits"})["test"]
    assert whole.inputs.shape == (1797, 8, 8, 1)
    assert whole.inputs.max() == 16
    assert whole.class_names == tuple("0123456789")
    splits = load_splits({"train": "sklearn:digits/train", "test": "sklearn:digits/test"})
    assert len(splits["train"]) + len(splits["test"]) == 1797
    assert min(splits["test"].class_counts) >= 50
    rows = {image.tobytes() for image in splits["train"].inputs}
    assert not any(image.tobytes() in rows for image in splits["test"].inputs)


def test_functions_of_the_user_give_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "audited_data.py").write_text(
        "import numpy as np\n"
        "def pair(): return np.zeros((4, 3, 3, 1)), [0, 1, 0, 1]\n"
        "def mapping(): return {'x': np.zeros((2, 5)), 'y': ['a', 'b'], 'group': ['g', None]}\n"
        "def broken(): raise KeyError('no such table')\n"
        "def wrong(): return 3\n"
        "number = 3\n"
    )
    (tmp_path / "broken_data.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    assert len(load_splits({"test": "audited_data:pair"})["test"]) == 4
    mapping = load_splits({"test": "audited_data:mapping"})["test"]
    assert mapping.groups is not None
    assert mapping.groups.tolist() == ["g", None]
    assert mapping.source == "audited_data:mapping"
    for source, told in (
        ("audited_data:broken", "raised KeyError"),
        ("audited_data:wrong", "the data are a int"),
        ("audited_data:number", "is a int"),
        ("audited_data:paar", "Did you mean 'pair'?"),
        ("audited_nothing:pair", "cannot be imported"),
        ("broken_data:pair", "raised ZeroDivisionError"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            load_splits({"test": source})
        assert told in str(caught.value)
