"""Predictions that change when the input moves by a few cells."""

from __future__ import annotations

from poolaudit.evidence.geometry import ShiftedRecall, ShiftEvidence
from poolaudit.evidence.wording import counted, difference_with_interval, percent, percentage_points, with_interval
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.policy import Policy
from poolaudit.results import Evidence

# A shift by more than this share of the frame is no small one: one cell of an 8-cell digit moves it by an eighth.
_SMALL_SHIFT = 1 / 16
_FACTS_SHOWN = 12


@detector("PA309", Severity.MAJOR)
def recall_survives_small_shifts(evidence: Evidence, policy: Policy) -> Judgement:
    """Recall survives a shift of the input by a few cells.

    Why: Framing is never exact in use. Strided pooling without a low-pass lets the same object be found or missed
        depending on which cell it starts at.
    How: The test items are shifted by 1 to k cells along each axis, by cropping where the model takes any size, over
        their own background where it is uniform, else circularly; the report says which. Recall before and after is
        compared item by item; a class fails where the interval of its loss lies above the smallest effect that
        matters (each class at its share of the error, so that many classes raise no false alarm). Minor where the
        shift is more than a sixteenth of the frame.
    Do: Blur before strides or pool at stride 1 at the sites the report names, add global pooling before the head, or
        train with shifted data.
    False alarm: Data that are always centred, in use as in the test; circular shifts cut objects that touch the
        border.
    """
    geometry = evidence.geometry
    if geometry is None or geometry.shift is None:
        reason = "the model was not run in this audit" if geometry is None else geometry.shift_reason
        return Judgement(Outcome.SKIPPED, f"Shifts were not measured: {reason or 'this run only listed the sites'}.")
    shift = geometry.shift
    facts = _facts(shift)
    severity = None if shift.relative <= _SMALL_SHIFT else Severity.MINOR
    known = [r for r in shift.recalls if r.loss.low is not None and r.loss.high is not None]
    guilty = [r for r in known if (r.loss.low or 0.0) > policy.smallest_effect]
    still_open = [r for r in known if r not in guilty and (r.loss.high or 0.0) > policy.smallest_effect]
    subjects = (*_subjects(guilty), *_subjects(still_open, is_shown=False))
    moved = f"{counted(shift.largest, 'cell')} at most"
    if guilty:
        worst = max(guilty, key=lambda recall: recall.loss.value or 0.0)
        return Judgement(
            Outcome.FAILED,
            f"Shifting the input by {moved} ({shift.chosen}) costs {worst.class_name!r} "
            f"{_points(worst)} of recall: {percent(worst.unshifted.value)} becomes "
            f"{percent(worst.shifted.value)}" + (f"; {_more(len(guilty) - 1)} too." if len(guilty) > 1 else "."),
            facts,
            "A model whose recall under shift is within the smallest effect that matters.",
            severity,
            subjects,
        )
    if not known:
        return Judgement(Outcome.SKIPPED, "No shifted item is of a judged class.", facts)
    if all((r.unshifted.high or 0.0) <= policy.smallest_effect or r.unshifted.value == 0 for r in known):
        return Judgement(Outcome.SKIPPED, "No judged class is found as it is, so shifts have no recall to cost.", facts)
    consistency = shift.modes[0].consistency
    if still_open:
        widest = max(still_open, key=lambda recall: recall.loss.high or 0.0)
        return Judgement(
            Outcome.UNDECIDED,
            f"Shifting by {moved} may cost {widest.class_name!r} up to "
            f"{percentage_points(widest.loss.high)} of recall (measured: {_points(widest)}); {widest.loss.n} items "
            "cannot tell.",
            facts,
            "More test items of this class.",
            Severity.MINOR,
            subjects,
        )
    return Judgement(
        Outcome.PASSED,
        f"Shifting by {moved} ({shift.chosen}) leaves {percent(consistency.value)} of the predicted classes as they "
        f"were and costs no judged class more than {percentage_points(policy.smallest_effect)} of recall.",
        facts,
    )


def _subjects(recalls: list[ShiftedRecall], *, is_shown: bool = True) -> tuple[Subject, ...]:
    return tuple(
        Subject(r.class_name, is_shown, extent=(r.loss.low, r.loss.high))
        for r in recalls
        if r.loss.low is not None and r.loss.high is not None
    )


def _more(classes: int) -> str:
    return "1 more class loses" if classes == 1 else f"{classes} more classes lose"


def _points(recall: ShiftedRecall) -> str:
    return percentage_points(recall.loss.value or 0.0)


def _facts(shift: ShiftEvidence) -> tuple[Fact, ...]:
    modes = tuple(Fact(f"Consistency, {mode.mode} shifts", with_interval(mode.consistency)) for mode in shift.modes)
    losses = sorted(shift.recalls, key=lambda recall: -(recall.loss.value or 0.0))
    recalls = tuple(
        Fact(f"Recall of {recall.class_name!r} lost", difference_with_interval(recall.loss))
        for recall in losses[:_FACTS_SHOWN]
    )
    sites = tuple(
        Fact(f"Consistency gained with {site.site!r} blurred", difference_with_interval(site.gain))
        for site in shift.sites
        if site.reason is None
    )
    return (Fact("Choice of shift", shift.choice), *modes, *recalls, *sites)
