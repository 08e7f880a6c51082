"""Does the predicted class survive a shift of a few cells, what recall does it cost, and which pooling causes it?

Since Zhang, "Making convolutional networks shift-invariant again" (2019), strided pooling without a low-pass is known
to make predictions jump. Items, not shifts, are the units of every interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.errors import InvalidInputError
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.geometry import (
    FlipExample,
    PoolingSite,
    ShiftAtDistance,
    ShiftedRecall,
    ShiftEvidence,
    ShiftMode,
    SiteShift,
)
from poolaudit.geometry import blurred_pooling, shifting
from poolaudit.geometry.analysis import ModelInput
from poolaudit.statistics.intervals import wilson
from poolaudit.statistics.item_means import bounded_item_mean
from poolaudit.subject._loaded import LoadedModel
from poolaudit.subject.pictures import item_pictures

Array = npt.NDArray[Any]
Decide = Callable[[LoadedModel, Array], npt.NDArray[np.int64]]
Tell = Callable[[int, int, str], None]
_SECONDS = {"quick": 8.0, "standard": 30.0, "thorough": 240.0}
_MOST_ITEMS = {"quick": 200, "standard": 1_000, "thorough": 5_000}
_SITES = {"quick": 0, "standard": 6, "thorough": 40}
_FEWEST_ITEMS = 16
_EXAMPLES = 4
_CLASSES_JUDGED = 30


@dataclass(frozen=True)
class ShiftSubject:
    """What is shifted.

    Attributes:
        inputs: Test items, (n, ...).
        labels: (n,), indices into `class_names`.
        positive: Index of the class of interest; None judges each class.
        decide: Predicted class indices of a model for inputs, by the rule the model ships with.
        any_size: The model takes items of other sizes than these.
    """

    loaded: LoadedModel
    model_input: ModelInput
    inputs: Array
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    positive: int | None
    decide: Decide
    any_size: bool


def measure_shift(
    subject: ShiftSubject,
    sites: Sequence[tuple[PoolingSite, Any]],
    *,
    budget: str,
    confidence: float,
    seed: int,
    tell: Tell = lambda done, total, what: None,
    largest: int | None = None,
    modes: Sequence[str] | None = None,
) -> ShiftEvidence | str:
    """Shift consistency and recall under shift, or why they were not measured.

    Args:
        subject: The model and its test items.
        sites: Pooling sites with the layer behind each.
        budget: "quick", "standard" or "thorough": how many items and whether sites are tried one by one.
        confidence: Coverage of the intervals.
        seed: Of the choice of items and of the bootstrap.
        tell: Told of progress.
        largest: Largest shift in cells; by default 1 to 4, a sixteenth of the shortest axis.
        modes: Ways of shifting to measure, the judged one first; by default what the data allow.
    """
    axes = subject.model_input.spatial
    if not axes or min(subject.model_input.sizes) < 3:
        return "the items have no axis along which to shift"
    if (
        np.issubdtype(np.dtype(subject.loaded.input_dtype), np.integer)
        and len(axes) == 1
        and subject.model_input.channel is None
    ):
        return "the items are sequences of whole numbers, such as words; a shift by a cell means nothing there"
    if len(subject.model_input.shape) == 1:
        return "the items are plain rows of features; their order means nothing"
    rng = np.random.default_rng(seed)
    largest = largest or shifting.largest_shift(subject.model_input.sizes)
    shifts = shifting.all_shifts(axes, largest)
    sample = subject.inputs[rng.permutation(len(subject.inputs))[:200]]
    if modes is None:
        chosen, choice = shifting.choose(sample, axes, largest, any_size=subject.any_size)
        modes = [chosen, *(mode for mode in ("circular", "zero") if mode != chosen)]
    else:
        chosen, choice = modes[0], "As asked for."
    if chosen == "crop" and not _takes_crops(subject, sample[:2], largest):
        chosen, choice = shifting.choose(sample, axes, largest, any_size=False)
        modes = [chosen, *(mode for mode in ("circular", "zero") if mode != chosen)]
    items, extra = _chosen_items(subject, len(shifts), budget, rng)
    main = _answers(subject, subject.loaded, np.concatenate([items, extra]), chosen, shifts, largest, tell)
    base = slice(0, len(items))
    measured = [_mode(chosen, _rows(main, base), shifts, rng, confidence)]
    fewer = items[: max(_FEWEST_ITEMS, len(items) // 2)]
    for mode in modes[1:]:
        answers = _answers(subject, subject.loaded, fewer, mode, shifts, largest, tell)
        measured.append(_mode(mode, answers, shifts, rng, confidence))
    tried, sites_reason = _sites(subject, sites, chosen, fewer[:200], shifts, largest, budget, confidence, rng, tell)
    return ShiftEvidence(
        chosen=chosen,
        choice=choice,
        largest=largest,
        relative=largest / min(subject.model_input.sizes),
        shifts=len(shifts),
        items=len(items),
        modes=tuple(measured),
        recalls=_recalls(subject, main, rng, confidence),
        sites=tried,
        sites_reason=sites_reason,
        examples=_examples(subject, main, shifts, chosen, largest),
    )


@dataclass(frozen=True)
class _Answers:
    """Predicted classes: of the unshifted items (n,), and of each shift (n, shifts)."""

    index: npt.NDArray[np.int64]
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]

    @property
    def agreement(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.after == self.before[:, None])


def _rows(answers: _Answers, rows: slice) -> _Answers:
    return _Answers(answers.index[rows], answers.before[rows], answers.after[rows])


def _answers(
    subject: ShiftSubject,
    loaded: LoadedModel,
    index: npt.NDArray[np.int64],
    mode: str,
    shifts: Sequence[shifting.Shift],
    largest: int,
    tell: Tell,
) -> _Answers:
    axes, items = subject.model_input.spatial, subject.inputs[index]
    before = subject.decide(loaded, shifting.reference(items, mode, largest, axes))
    after = []
    for number, shift in enumerate(shifts):
        after.append(subject.decide(loaded, shifting.shifted(items, shift, mode, largest, axes)))
        tell(number + 1, len(shifts), f"shifting ({mode})")
    return _Answers(index, np.asarray(before), np.stack(after, axis=1))


def _takes_crops(subject: ShiftSubject, items: Array, largest: int) -> bool:
    try:
        subject.decide(subject.loaded, shifting.reference(items, "crop", largest, subject.model_input.spatial))
    except (InvalidInputError, ValueError):
        return False
    return True


def _chosen_items(
    subject: ShiftSubject, shifts: int, budget: str, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A random sample of items, and further items of the class of interest; both as many as the time allows."""
    order = rng.permutation(len(subject.inputs))
    probe = subject.inputs[order[:32]]
    subject.decide(subject.loaded, probe)  # compiles
    clock = time.perf_counter()
    subject.decide(subject.loaded, probe)
    each = (time.perf_counter() - clock) / len(probe)
    affordable = int(_SECONDS[budget] / max(each * (shifts + 1), 1e-9))
    # Coarse steps: a machine that is a little faster today must not change the sample.
    steps = [_FEWEST_ITEMS * 2**power for power in range(12) if _FEWEST_ITEMS * 2**power <= affordable]
    count = min(_MOST_ITEMS[budget], max([_FEWEST_ITEMS, *steps]))
    base, rest = order[:count], order[count:]
    if subject.positive is None:
        return base, rest[:0]
    return base, rest[subject.labels[rest] == subject.positive][: count // 2]


def _mode(
    mode: str, answers: _Answers, shifts: Sequence[shifting.Shift], rng: np.random.Generator, confidence: float
) -> ShiftMode:
    agreement = answers.agreement

    def estimate(columns: npt.NDArray[np.bool_]) -> Estimate:
        return bounded_item_mean(agreement[:, columns].mean(axis=1), 0.0, 1.0, rng, confidence=confidence)

    distances = np.array([abs(shift.cells) for shift in shifts])
    return ShiftMode(
        mode=mode,
        consistency=estimate(np.ones(len(shifts), bool)),
        stable_items=wilson(int(agreement.all(axis=1).sum()), len(agreement), confidence),
        by_distance=tuple(ShiftAtDistance(int(cells), estimate(distances == cells)) for cells in np.unique(distances)),
    )


def _recalls(
    subject: ShiftSubject, answers: _Answers, rng: np.random.Generator, confidence: float
) -> tuple[ShiftedRecall, ...]:
    labels = subject.labels[answers.index]
    classes = [subject.positive] if subject.positive is not None else np.unique(labels).tolist()[:_CLASSES_JUDGED]
    # Each class is judged on its own, so that the chance of any false alarm stays what was asked for.
    each = 1 - (1 - confidence) / len(classes)
    found = []
    for index in classes:
        of_class = labels == index
        before = answers.before[of_class] == index
        after = (answers.after[of_class] == index).mean(axis=1)
        found.append(
            ShiftedRecall(
                class_name=subject.class_names[index],
                unshifted=wilson(int(before.sum()), len(before), confidence),
                shifted=bounded_item_mean(after, 0.0, 1.0, rng, confidence=confidence),
                loss=bounded_item_mean(before - after, -1.0, 1.0, rng, confidence=each, empty="no item of this class"),
            )
        )
    return tuple(found)


def _sites(
    subject: ShiftSubject,
    sites: Sequence[tuple[PoolingSite, Any]],
    mode: str,
    index: npt.NDArray[np.int64],
    shifts: Sequence[shifting.Shift],
    largest: int,
    budget: str,
    confidence: float,
    rng: np.random.Generator,
    tell: Tell,
) -> tuple[tuple[SiteShift, ...], str | None]:
    if not sites:
        return (), "no pooling site was found"
    if _SITES[budget] == 0:
        return (), "the quick budget does not try the sites one by one"
    if subject.loaded.keras_model is None:
        return (), "a SavedModel's operations cannot be exchanged"
    own = _answers(subject, subject.loaded, index, mode, shifts, largest, tell)
    owners = [owner for _, owner in sites]
    labels, found, tried = subject.labels[index], [], 0
    for place, (site, owner) in enumerate(sites):
        reason = blurred_pooling.why_not(site, owner, owners, place)
        if reason is None and tried >= _SITES[budget]:
            reason = f"the {budget} budget tries {_SITES[budget]} sites"
        if reason is None:
            tried += 1
            try:
                with blurred_pooling.blurred(subject.loaded, site, owner) as changed:
                    answers = _answers(subject, changed, index, mode, shifts, largest, tell)
            except Exception as error:  # the model's own code may not stand another layer in this place
                reason = f"the model does not run with it blurred ({type(error).__name__}: {str(error)[:160]})"
        if reason is not None:
            none = Estimate.not_estimable(reason)
            found.append(SiteShift(site.name, none, none, none, reason))
            continue
        gain = answers.agreement.mean(axis=1) - own.agreement.mean(axis=1)
        right = (answers.before == labels).astype(float) - (own.before == labels)
        found.append(
            SiteShift(
                site=site.name,
                consistency=bounded_item_mean(answers.agreement.mean(axis=1), 0.0, 1.0, rng, confidence=confidence),
                gain=bounded_item_mean(gain, -1.0, 1.0, rng, confidence=confidence),
                accuracy_change=bounded_item_mean(right, -1.0, 1.0, rng, confidence=confidence),
            )
        )
    return tuple(found), None


def _examples(
    subject: ShiftSubject, answers: _Answers, shifts: Sequence[shifting.Shift], mode: str, largest: int
) -> tuple[FlipExample, ...]:
    """Items that were right and became wrong come first; the smallest shift that flips each is shown."""
    flipped = ~answers.agreement
    labels = subject.labels[answers.index]
    candidates = np.flatnonzero(flipped.any(axis=1))
    right = answers.before[candidates] == labels[candidates]
    wanted = candidates[np.argsort(~right, kind="stable")][:_EXAMPLES]
    axes, model_input = subject.model_input.spatial, subject.model_input
    names = dict(zip(model_input.spatial, model_input.axes, strict=True))
    found = []
    for row in wanted:
        column = int(np.argmax(flipped[row]))
        item = subject.inputs[answers.index[row] : answers.index[row] + 1]
        moved = shifting.shifted(item, shifts[column], mode, largest, axes)
        pair = [shifting.reference(item, mode, largest, axes)[0], moved[0]]
        drawn = item_pictures(
            [_channels_last(cells, model_input) for cells in pair], are_signals=len(model_input.spatial) == 1
        )
        found.append(
            FlipExample(
                item=int(answers.index[row]),
                true_class=subject.class_names[labels[row]],
                before=subject.class_names[answers.before[row]],
                after=subject.class_names[answers.after[row, column]],
                shift=shifts[column].told(names),
                picture=drawn[0] or "",
                shifted_picture=drawn[1] or "",
            )
        )
    return tuple(found)


def _channels_last(cells: npt.NDArray[Any], model_input: ModelInput) -> npt.NDArray[Any]:
    channel = () if model_input.channel is None else (model_input.channel,)
    return np.transpose(cells, (*model_input.spatial, *channel))
