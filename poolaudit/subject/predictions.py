"""Predictions, from a CSV, Parquet or NPZ file or from a model, as one plain type; TensorFlow is never imported."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.subject.classes import require_distinct
from poolaudit.subject.columns import as_texts
from poolaudit.subject.digest import content_sha256
from poolaudit.subject.labels import (
    Codes,
    EncodedLabels,
    canonical_texts,
    encode_labels,
    find_class,
    natural_order,
    recode,
    resolve_class,
)
from poolaudit.subject.prediction_columns import read_columns
from poolaudit.subject.probabilities import (
    SUM_TOLERANCE,
    Probabilities,
    beside_complement,
    decide,
    in_unit_interval,
    probability_matrix,
    require_sum_one,
)
from poolaudit.subject.splits import Array, DataSplit, columns_at, group_names, text_column

_EXPECTED = "label with p_<class> for each class, or label and score (with --positive), or label and predicted"
_LABELS_ALONE = (
    "ranking metrics (average precision, ROC AUC), thresholds, log loss and calibration cannot be assessed without "
    "probabilities"
)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What was true and what was predicted, item by item.

    Attributes:
        labels: int64 (n,), true classes as indices into `class_names`.
        predicted: int64 (n,), decisions at the operating point as shipped.
        probabilities: float64 (n, classes) in [0, 1], or None where only decisions are known.
        groups: Object array (n,) of text or None per item; None where not given. `times` and `paths` likewise.
        source: File name or source of the split; never an absolute path.
        sha256: Over the content of labels, decisions, probabilities and class names.
        stated: One sentence: what the file or model gave, and how decisions were made from it.
        normalised: Each row of probabilities sums to 1 within 1e-3; False where there are none.
    """

    labels: Codes
    predicted: Codes
    probabilities: Probabilities | None
    class_names: tuple[str, ...]
    groups: Array | None
    times: Array | None
    paths: Array | None
    source: str
    sha256: str
    stated: str
    normalised: bool

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: Array) -> Predictions:
        """Some of the items, chosen by index or mask; `sha256` stays that of the whole."""
        names = ("labels", "predicted", "probabilities", "groups", "times", "paths")
        return replace(self, **columns_at(self, names, chosen))


def read_predictions(path: str | Path, *, positive: str | None = None) -> Predictions:
    """Predictions from a file: `label`, with `p_<class>` columns, or `score`, or `predicted`; TensorFlow-free.

    An NPZ may hold `probabilities` (n, classes) with `class_names` in place of the `p_<class>` arrays. One `p_<class>`
    of two classes is enough. Decisions are `predicted` where given; otherwise, for two classes, the positive one
    where its probability is at least 0.5, and for more the class with the highest probability (the first among ties).

    Args:
        positive: The class of interest. Needed with `score`; with `p_<class>` columns of two classes it only says
            which class wins at exactly 0.5 (without it, the last column's).

    Raises:
        InvalidInputError: The file cannot be read, a column is missing or given twice, labels are missing, fractional
            or outside the classes, all labels are of one class, or probabilities are NaN, outside [0, 1] or do not
            sum to 1.
    """
    file = Path(path)
    columns, ignored = read_columns(file)
    source = file.name
    if "label" not in columns:
        present = [*columns, *ignored]
        raise InvalidInputError(
            f"{source} has no column 'label'; it has {listed(present)}", _EXPECTED, _rename("label", present)
        )
    if len(columns["label"]) == 0:
        raise InvalidInputError(f"{source} has no rows", "at least two items, of two classes")
    suffixes = [name[2:] for name in columns if name.startswith("p_")]
    labels = encode_labels(columns["label"], f"{source}: label", suffixes)
    if len(labels.texts) < 2:
        raise InvalidInputError(
            f"{source}: all {len(labels.codes):,} labels are {labels.texts[0]!r}",
            "labels of at least two classes: with one, recall and precision cannot be judged",
            "Add items of the other classes",
        )
    names, probabilities, stated = _read_probabilities(columns, labels, suffixes, positive, ignored, source)
    decided = encode_labels(columns["predicted"], f"{source}: predicted", suffixes) if "predicted" in columns else None
    if names is None:
        if decided is None:
            raise AssertionError("neither probabilities nor decisions")
        names = _names_of(labels, decided, source)
        stated = f"Predicted labels alone: {_LABELS_ALONE}"
    codes = recode(labels, names, f"{source}: label")
    if positive is not None:
        resolve_class(positive, names)
    if decided is not None:
        predicted = recode(decided, names, f"{source}: predicted")
        if probabilities is not None:
            stated += "; decisions are those in column predicted"
    else:
        assert probabilities is not None
        favoured = positive if positive is not None or len(suffixes) != 1 else suffixes[0]
        predicted, rule = decide(probabilities, names, None if favoured is None else resolve_class(favoured, names))
        stated += f"; {rule}"
    if ignored:
        stated += f"; columns not used: {listed(ignored)}"
    return _finish(
        codes,
        predicted,
        probabilities,
        names,
        group_names(_texts(columns.get("group"), f"{source}: group")),
        *(_texts(columns.get(name), f"{source}: {name}") for name in ("time", "path")),
        source=source,
        stated=stated + ".",
        normalised=probabilities is not None,
    )


def predictions_from_probabilities(
    split: DataSplit, probabilities: Array, *, stated: str = "", source: str | None = None
) -> Predictions:
    """A model's probabilities for a split, with decisions: for two classes the second where its probability is at
    least 0.5, otherwise the class with the highest probability (the first among ties).

    Args:
        probabilities: (n, classes), or (n,) or (n, 1) for the probability of the second of two classes. Rows need
            not sum to 1 (independent sigmoids); `normalised` tells whether they do.
        stated: How the model's raw output was read, in words; the decision rule is added.

    Raises:
        InvalidInputError: Wrong shape, NaN or infinity, or values outside [0, 1].
    """
    source = source or split.source
    matrix = np.asarray(probabilities)
    n, names = len(split), split.class_names
    if matrix.ndim == 1:
        matrix = matrix[:, np.newaxis]
    if matrix.ndim != 2 or len(matrix) != n or matrix.shape[1] not in ({1, 2} if len(names) == 2 else {len(names)}):
        raise InvalidInputError(
            f"{source}: the probabilities have shape {np.shape(probabilities)}",
            f"({n}, {len(names)}): one row an item, one column a class",
        )
    if matrix.dtype.kind not in "biuf":
        raise InvalidInputError(f"{source}: the probabilities have dtype {matrix.dtype}", "numbers in [0, 1]")
    matrix = in_unit_interval(matrix.astype(np.float64), [f"output {i}" for i in range(matrix.shape[1])], source)
    if matrix.shape[1] == 1:
        matrix = np.column_stack([1.0 - matrix[:, 0], matrix[:, 0]])
    normalised = bool((np.abs(matrix.sum(axis=1) - 1.0) <= SUM_TOLERANCE).all())
    if normalised or len(names) > 2:
        predicted, rule = decide(matrix, names, None)
    else:
        predicted = matrix.argmax(axis=1).astype(np.int64)
        rule = "the class with the higher output is predicted, the first among ties"
    return _finish(
        split.labels,
        predicted,
        matrix,
        names,
        split.groups,
        split.times,
        split.paths,
        source=source,
        stated="; ".join(part for part in (stated.rstrip("."), rule) if part) + ".",
        normalised=normalised,
    )


def _texts(column: Any, what: str) -> Array | None:
    return text_column(column) if column is None or isinstance(column, np.ndarray) else as_texts(column, what)


def _read_probabilities(
    columns: dict[str, Any],
    labels: EncodedLabels,
    suffixes: list[str],
    positive: str | None,
    ignored: Iterable[str],
    source: str,
) -> tuple[tuple[str, ...] | None, Probabilities | None, str]:
    if len(suffixes) >= 2:
        names = require_distinct(canonical_texts(suffixes), f"{source}: the classes of the p_ columns")
        matrix = probability_matrix(columns, [f"p_{suffix}" for suffix in suffixes], source)
        require_sum_one(matrix, source)
        also = "; score was not used, as there are p_ columns" if "score" in columns else ""
        return names, matrix, f"A probability for each of {len(names)} classes{also}"
    if len(suffixes) == 1:
        (name,) = canonical_texts(suffixes)
        names = _two_classes(labels, name, f"p_{suffixes[0]}", source)
        column = probability_matrix(columns, [f"p_{suffixes[0]}"], source)[:, 0]
        return (
            names,
            beside_complement(column, names, name),
            f"The probability of {name}; that of the other class is 1 - p",
        )
    if "score" in columns:
        if positive is None:
            raise InvalidInputError(
                f"{source} holds one score, and which class it speaks for is not said",
                "p_<class> columns, or score with the class of interest",
                f"Name the class with --positive, one of {listed(natural_order(labels.texts))}",
            )
        known = natural_order(labels.texts)
        name = known[resolve_class(positive, known)]
        names = _two_classes(labels, name, "score", source)
        column = probability_matrix(columns, ["score"], source)[:, 0]
        return names, beside_complement(column, names, name), f"The score is the probability of {name}"
    if "predicted" in columns:
        return None, None, ""
    present = [*columns, *ignored]
    hint = next((cure for word in ("predicted", "score") if (cure := _rename(word, ignored))), "")
    raise InvalidInputError(f"{source} has no predictions; its columns are {listed(present)}", _EXPECTED, hint)


def _rename(wanted: str, present: Iterable[str]) -> str:
    close = difflib.get_close_matches(wanted, [name.strip().lower() for name in present], n=1)
    meant = [name for name in present if close and name.strip().lower() == close[0]]
    return f"Rename column {meant[0]!r} to {wanted!r}" if meant else ""


def _two_classes(labels: EncodedLabels, name: str, column: str, source: str) -> tuple[str, ...]:
    names = natural_order(labels.texts)
    index = find_class(name, names)
    if len(names) != 2 or index is None:
        raise InvalidInputError(
            f"{source} has one column {column} for {name!r}, and its labels are {listed(names)}",
            "with a single column, labels of exactly two classes, the named one among them",
            did_you_mean(name, names) if len(names) == 2 else "Give a p_<class> column for each class",
        )
    return names


def _names_of(labels: EncodedLabels, decided: EncodedLabels, source: str) -> tuple[str, ...]:
    known = list(natural_order(labels.texts))
    new = [text for text in decided.texts if find_class(text, known) is None]
    folded = {_folded(text): text for text in known}
    for text in new:
        if _folded(text) in folded:
            raise InvalidInputError(
                f"{source}: predicted holds {text!r} and label {folded[_folded(text)]!r}, which differ only in spaces, "
                "case or Unicode form",
                "one spelling a class: another one counts as another class, and every such prediction as wrong",
                "Spell the classes alike in both columns",
            )
    return natural_order(canonical_texts([*known, *new]))


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _finish(
    labels: Codes,
    predicted: Codes,
    probabilities: Probabilities | None,
    class_names: tuple[str, ...],
    groups: Array | None,
    times: Array | None,
    paths: Array | None,
    *,
    source: str,
    stated: str,
    normalised: bool,
) -> Predictions:
    digest = content_sha256((labels, predicted, probabilities, *class_names))
    return Predictions(
        labels, predicted, probabilities, class_names, groups, times, paths, source, digest, stated, normalised
    )
