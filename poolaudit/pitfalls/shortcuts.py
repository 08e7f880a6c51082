"""Shortcuts to the class, and preprocessing that has seen the test split."""

from __future__ import annotations

from collections.abc import Sequence

from poolaudit.evidence.leakage import ShortcutProbe
from poolaudit.evidence.wording import p_value, percent, with_interval
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.leaked_copies import no_leakage_stage
from poolaudit.policy import Policy
from poolaudit.results import Evidence

_SIGNIFICANT = 0.01
# Balanced accuracy for one class against the rest; 0.5 is chance.
_TELLS = 0.9
_MAY_TELL = 0.75
_NEARLY_PERFECT = 0.97


@detector("PA406", Severity.MAJOR)
def no_shortcut_tells_the_class(evidence: Evidence, policy: Policy) -> Judgement:
    """No shortcut tells the class.

    Why: A mark in the corner, a frame or a level of brightness that goes with the class is learned before the thing
        itself; the metrics are good, and in use the mark is not there.
    How: Small trees that see only the corner pixels, only the border or only mean and spread of intensity are
        cross-validated on the test split. Corners of items of 16 cells or more fail from a balanced accuracy of 90 %
        for one class against the rest, significantly; all else only where it is nearly perfect, because bags are by
        nature brighter than sandals. File names and the order in the file are shown and never fail: the model
        does not see them.
    Do: Look at items of the class named; remove the mark, or record without it.
    False alarm: Classes that differ at the border by nature.
    """
    leak = evidence.leakage
    if leak is None:
        return no_leakage_stage()
    facts = tuple(_fact(probe) for probe in leak.shortcuts)
    guilty = [p for p in leak.shortcuts if _tells(p, _TELLS if p.kind == "artefact" else _NEARLY_PERFECT)]
    artefacts = [p for p in guilty if p.name == "corner pixels"]
    if guilty:
        worst = max(artefacts or guilty, key=lambda p: p.balanced_accuracy.value or 0.0)
        return Judgement(
            Outcome.FAILED,
            f"{worst.name.capitalize()} alone tell {worst.class_name!r} from the rest with a balanced accuracy of "
            f"{percent(worst.balanced_accuracy.value)}; chance is 50 %.",
            facts,
            f"Data in which the {worst.name} do not tell the class.",
            Severity.MAJOR if artefacts else Severity.MINOR,
            _subjects(guilty),
        )
    tried = [p for p in leak.shortcuts if p.balanced_accuracy.value is not None and p.kind != "order"]
    if not tried:
        reason = next((p.reason for p in leak.shortcuts if p.reason), "nothing could be tried")
        return Judgement(Outcome.SKIPPED, f"Shortcuts were not assessed: {reason}.")
    unclear = [
        p
        for p in tried
        if p.kind == "artefact"
        and (p.balanced_accuracy.high or 0.0) >= _TELLS
        and (p.balanced_accuracy.value or 0.0) >= _MAY_TELL
        and (p.p_value or 0.0) < 0.05
    ]
    if unclear:
        return Judgement(
            Outcome.UNDECIDED,
            f"{unclear[0].name.capitalize()} may tell {unclear[0].class_name!r} from the rest; "
            f"{unclear[0].balanced_accuracy.n:,} items are too few to be sure.",
            facts,
            "More test items.",
            Severity.MINOR,
            _subjects(unclear, is_shown=False),
        )
    names = ", ".join(p.name for p in tried)
    return Judgement(Outcome.PASSED, f"No class is given away by {names}.", facts)


@detector("PA407", Severity.MAJOR)
def preprocessing_was_not_fitted_on_the_test_split(evidence: Evidence, policy: Policy) -> Judgement:
    """Preprocessing was not fitted on the test split.

    Why: Constants that were fitted on the test split carry what should be unknown, and in use they are not to be had.
    How: Inputs standardised to mean 0 and deviation 1 show on which items the constants were fitted: only there do they
        come out to the last digits. Constants that leave no such trace cannot be checked this way. Splits whose spreads
        differ more than twentyfold, as bytes and shares of the same pictures do, were scaled by different rules.
    Do: Fit on the training split alone, and apply the same constants to all others.
    False alarm: Items standardised each by itself, where every split comes out at 0 and 1.
    """
    leak = evidence.leakage
    if leak is None:
        return no_leakage_stage()
    found = leak.standardisation
    facts = (Fact("Moments of the inputs", found.detail),)
    if found.fitted_on == "train":
        return Judgement(Outcome.PASSED, "The inputs are standardised by constants of the training split.", facts)
    if found.fitted_on == "each item by itself":
        return Judgement(Outcome.PASSED, "Each item is standardised by itself, so nothing was fitted on others.", facts)
    if found.fitted_on == "different scales":
        return Judgement(
            Outcome.FAILED,
            f"The splits are scaled by different rules: {found.detail}.",
            facts,
            "Training and test data on one scale.",
            subjects=(Subject(found.fitted_on),),
        )
    if found.fitted_on == "not standardised":
        return Judgement(Outcome.SKIPPED, f"The data do not show how they were scaled: {found.detail}.", facts)
    return Judgement(
        Outcome.FAILED,
        f"The inputs were standardised by constants fitted on {found.fitted_on}.",
        facts,
        "Constants of the training split alone.",
        Severity.MINOR,
        (Subject(f"fitted on {found.fitted_on}"),),
    )


def _tells(probe: ShortcutProbe, bar: float) -> bool:
    low = probe.balanced_accuracy.low
    return (
        probe.kind != "order"
        and low is not None
        and low >= bar - 0.05
        and (probe.balanced_accuracy.value or 0.0) >= bar
        and probe.p_value is not None
        and probe.p_value < _SIGNIFICANT
    )


def _subjects(probes: Sequence[ShortcutProbe], *, is_shown: bool = True) -> tuple[Subject, ...]:
    return tuple(
        Subject(f"{p.name} for {p.class_name}", is_shown, extent=(p.balanced_accuracy.low, p.balanced_accuracy.high))
        for p in probes
        if p.balanced_accuracy.low is not None and p.balanced_accuracy.high is not None
    )


def _fact(probe: ShortcutProbe) -> Fact:
    if probe.balanced_accuracy.value is None:
        return Fact(probe.name, f"not tried: {probe.reason}")
    test = "" if probe.p_value is None else f"; {p_value(probe.p_value)}"
    return Fact(f"{probe.name}, for {probe.class_name!r}", with_interval(probe.balanced_accuracy) + test)
