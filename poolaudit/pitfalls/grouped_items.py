"""Test items that come in groups: many items of few patients are few patients."""

from __future__ import annotations

from poolaudit.evidence.evaluation import ClassMetrics, GroupedRecall
from poolaudit.evidence.wording import percent, with_interval
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.low_rates import not_evaluated
from poolaudit.pitfalls.rates import judged_classes
from poolaudit.policy import Policy
from poolaudit.results import Evidence


@detector("PA213", Severity.MAJOR)
def recall_is_decided_by_groups_too(evidence: Evidence, policy: Policy) -> Judgement:
    """What the test items decide about recall, their groups decide too.

    Why: 120 pictures of 5 patients say how the model does on 5 patients. Intervals that count 120 independent items are
        far too narrow where the pictures of one patient are alike.
    How: Where the test data name groups (column `group`), the recall of each judged class gets a second interval, in
        which the answers within a group may be alike (beta-binomial, profile likelihood); how alike they are is learned
        from the groups. Where the interval by items lies on one side of `good_recall` and that by groups on both, the
        check is undecided. Where no groups are named, items of equal content are one. Precision and the other metrics
        keep their intervals by items.
    Do: Test on further groups; further items of the same groups say little.
    False alarm: Groups that have nothing to do with the answers, such as batches of upload: leave out the column. Items
        that are equal by nature, such as signals of few discrete values: a column `group` with a name for each says so.
    """
    evaluation = evidence.evaluation
    if evaluation is None:
        return not_evaluated()
    if evaluation.grouped is None:
        return Judgement(
            Outcome.SKIPPED,
            "The test data name no groups (column `group`): every interval takes the items as independent.",
        )
    by_name = {grouped.class_name: grouped for grouped in evaluation.grouped}
    pairs = [(c, by_name[c.name]) for c in judged_classes(evaluation) if c.name in by_name]
    if not pairs:
        return Judgement(Outcome.PASSED, "No group holds several test items of a judged class.")
    lost = [(c, g) for c, g in pairs if _is_lost(c, g, policy.good_recall)]
    facts = tuple(
        Fact(f"Recall of {c.name!r}", f"by items {with_interval(c.recall)}; by groups {with_interval(g.recall)}")
        for c, g in (lost or pairs)[:12]
    )
    if not lost:
        return Judgement(
            Outcome.PASSED,
            "Counted by groups, the intervals decide about recall as they do by items."
            if pairs[0][1].by == "group"
            else "Some test items occur several times; counted once, they decide about recall as before.",
            facts,
        )
    metrics, grouped = min(lost, key=lambda pair: (pair[1].recall.n, pair[0].name))
    number = f"{grouped.recall.n:,}"
    if grouped.by == "group":
        whole, one = f"come from {number} group{'s' if grouped.recall.n != 1 else ''}", "group"
    else:
        whole, one = f"are {number} different one{'s' if grouped.recall.n != 1 else ''}, repeated", "different item"
    low, high = grouped.recall.low, grouped.recall.high
    by_groups = (
        f"one {one} tells nothing of others"
        if low is None or high is None
        else f"by {one}s it may lie anywhere from {percent(low)} to {percent(high)}"
    )
    return Judgement(
        Outcome.UNDECIDED,
        f"The {grouped.items:,} test items of {metrics.name!r} {whole}: its recall of "
        f"{percent(metrics.recall.value)} seems decided by items, and {by_groups}.",
        facts,
        f"Test items of {metrics.name!r} from further groups."
        if grouped.by == "group"
        else f"Further test items of {metrics.name!r}, each once.",
        subjects=tuple(Subject(c.name, False) for c, _ in lost),
    )


def _is_lost(metrics: ClassMetrics, grouped: GroupedRecall, bar: float) -> bool:
    """Whether items decide against the bar, and groups do not."""
    low, high = metrics.recall.low, metrics.recall.high
    if low is None or high is None or low < bar <= high:
        return False
    if grouped.recall.low is None or grouped.recall.high is None:
        return True
    return grouped.recall.low < bar if low >= bar else grouped.recall.high >= bar
