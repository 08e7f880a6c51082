"""Recall that falls with the size of the feature."""

from __future__ import annotations

from dataclasses import replace

from poolaudit.evidence.geometry import RecallBySize, SizeBin
from poolaudit.evidence.wording import counted, difference_with_interval, percent, with_interval
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.policy import Policy
from poolaudit.results import Evidence


@detector("PA310", Severity.MAJOR)
def small_features_are_found(evidence: Evidence, policy: Policy) -> Judgement:
    """Small features are found as large ones are.

    Why: Over-pooling drowns small features in their surroundings. The mean recall hides it as long as most features
        are large, and the small ones are often those that matter: the early lesion, the distant pedestrian.
    How: The items are binned by the size of their feature (column `size`, a mask, a box, or an estimated foreground).
        The smallest bin fails where its recall is below the bar and below that of all larger items by more than the
        smallest effect that matters, both with the whole interval. Minor where the sizes are estimated.
    Do: Downsample less before the head, feed larger inputs, add small examples to the training data.
    False alarm: Small items that are of poor quality as well, or labelled wrongly.
    """
    geometry = evidence.geometry
    if geometry is None or geometry.by_size is None:
        reason = "the model was not run in this audit" if geometry is None else geometry.by_size_reason
        return Judgement(
            Outcome.SKIPPED, f"Recall by feature size was not measured: {reason or 'this run only listed the sites'}."
        )
    measured = geometry.by_size
    bar, effect = policy.good_recall, policy.smallest_effect
    smallest, gap = measured.bins[0], measured.smallest_minus_others
    severity = Severity.MINOR if measured.source == "estimated foreground" else None
    facts = _facts(measured, bar)
    low, high = smallest.recall.low, smallest.recall.high
    gap_low, gap_high = gap.low, gap.high
    if low is None or high is None or gap_low is None or gap_high is None:
        return Judgement(Outcome.SKIPPED, "No interval could be given for the smallest features.", facts)
    hits = round((smallest.recall.value or 0.0) * smallest.recall.n)
    charge = Subject("smallest features", metric="recall", hits=hits, items=smallest.recall.n)
    where = f"features of {_cells(smallest)}"
    if high < bar and gap_high < -effect:
        return Judgement(
            Outcome.FAILED,
            f"Of {measured.of}, {percent(smallest.recall.value)} of {where} are found, "
            f"{100 * abs(gap.value or 0.0):.1f} percentage points fewer than of larger ones.",
            facts,
            "A model that finds the smallest features as well.",
            severity,
            (charge,),
        )
    if low >= bar or gap_low > -effect:
        return Judgement(
            Outcome.PASSED,
            f"Of {measured.of}, {percent(smallest.recall.value)} of {where} are found"
            f"{'; size costs no recall that matters' if gap_low > -effect else ', above the bar'}.",
            facts,
        )
    return Judgement(
        Outcome.UNDECIDED,
        f"Of {measured.of}, {percent(smallest.recall.value)} of {where} are found; {smallest.recall.n} items cannot "
        "tell whether size costs recall.",
        facts,
        "More test items with small features.",
        Severity.MINOR,
        (replace(charge, is_shown=False),),
    )


def _facts(measured: RecallBySize, bar: float) -> tuple[Fact, ...]:
    meets = measured.smallest_size_that_meets(bar)
    return (
        Fact("Sizes from", measured.source),
        *(Fact(f"Recall at {_cells(size_bin)}", with_interval(size_bin.recall)) for size_bin in measured.bins),
        Fact("Smallest minus larger", difference_with_interval(measured.smallest_minus_others)),
        Fact(
            f"Smallest size whose recall is shown, with its whole interval, to be at least {percent(bar)}",
            "none" if meets is None else counted(meets, "cell"),
        ),
    )


def _cells(size_bin: SizeBin) -> str:
    if size_bin.low == size_bin.high:
        return counted(size_bin.low, "cell")
    return f"{size_bin.low:.3g} to {size_bin.high:.3g} cells"
