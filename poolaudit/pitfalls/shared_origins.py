"""Groups and times shared by the splits, repeats within the test split, labels that contradict each other."""

from __future__ import annotations

from poolaudit.evidence.wording import percent
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.leaked_copies import by_chance, no_leakage_stage
from poolaudit.policy import Policy
from poolaudit.results import Evidence

_LARGE_SHARE = 0.01
_MANY_REPEATS = 0.05


@detector("PA402", Severity.MAJOR)
def no_group_stands_in_both_splits(evidence: Evidence, policy: Policy) -> Judgement:
    """No patient, recording or user stands in both splits.

    Why: Items of one origin share what has nothing to do with the class; a model recognises the origin and looks better
        on the test than on anyone new. Not one pixel needs to be repeated.
    How: The column `group` where there is one. Else the first part of the file names that looks like an identity:
        many values with a few items each, neither a counter nor a class nor a date. It counts where a word such as
        "patient" says so or where items that share it look more alike across the splits than chance allows;
        otherwise the check says that it cannot tell.
    Do: Split by group (scikit-learn's GroupShuffleSplit), and give the group as a column.
    False alarm: Groups that the model will meet again in use, such as fixed cameras.
    """
    leak = evidence.leakage
    if leak is None:
        return no_leakage_stage()
    groups = leak.groups
    if groups is None:
        return Judgement(Outcome.SKIPPED, f"Groups were not assessed: {leak.groups_reason}.")
    facts = (
        Fact("Where the groups come from", groups.source),
        Fact("Groups in the test split", f"{groups.groups:,}"),
        Fact("Of these in the training split too", f"{groups.shared:,}"),
        Fact("Test items in shared groups", f"{groups.test_items:,}"),
        Fact("Examples", ", ".join(groups.examples) or "none"),
    )
    if not groups.shared:
        return Judgement(
            Outcome.PASSED,
            f"None of the {groups.groups:,} groups of the test split ({groups.source}) was trained on.",
            facts,
        )
    said = (
        f"{groups.shared:,} of {groups.groups:,} groups in the test split stand in the training split too "
        f"({groups.source}, for example {groups.examples[0]!r}); {groups.test_items:,} test items are theirs"
    )
    if not groups.is_certain:
        return Judgement(
            Outcome.UNDECIDED,
            f"{said}, if this part of the names is an identity.",
            facts,
            "A column group that says which items belong together.",
            Severity.MINOR,
            (_share("test items of shared groups", groups.test_items / leak.test_items, is_shown=False),),
        )
    small = groups.test_items < _LARGE_SHARE * leak.test_items
    return Judgement(
        Outcome.FAILED,
        f"{said}.",
        facts,
        "Splits that share no group.",
        Severity.MINOR if small else Severity.MAJOR,
        (_share("test items of shared groups", groups.test_items / leak.test_items),),
    )


@detector("PA403", Severity.MAJOR)
def the_test_split_lies_after_the_training_split(evidence: Evidence, policy: Policy) -> Judgement:
    """The test split lies after the training split in time.

    Why: In use, the model sees only what comes after its training data; a test from before or between them does not
        show how it does when the world has moved on.
    How: The column `time`: which test items are not later than the last training item.
    Do: Split by time, with the newest items as the test.
    False alarm: Items whose order in time does not matter; leave the column out then.
    """
    leak = evidence.leakage
    if leak is None:
        return no_leakage_stage()
    times = leak.times
    if times is None:
        return Judgement(Outcome.SKIPPED, f"Times were not assessed: {leak.times_reason}.")
    facts = (
        Fact("Training items", f"{times.train_low} to {times.train_high}"),
        Fact("Test items", f"{times.test_low} to {times.test_high}"),
    )
    if times.test_items_before == 0:
        return Judgement(Outcome.PASSED, "Every test item is later than the last training item.", facts)
    share = times.test_items_before / times.test_items
    return Judgement(
        Outcome.FAILED,
        f"{times.test_items_before:,} of {times.test_items:,} test items ({percent(share)}) are not later than the "
        "last training item.",
        facts,
        "A test split that lies after the training split.",
        Severity.MAJOR if share >= _LARGE_SHARE else Severity.MINOR,
        (_share("test items before the end of training", share),),
    )


@detector("PA404", Severity.MINOR)
def the_same_content_has_one_label(evidence: Evidence, policy: Policy) -> Judgement:
    """The same content has one label.

    Why: Where one image bears two labels, one of them is wrong: no model can be right on both, and the metrics count a
        right answer as a mistake.
    How: Items of the same content, in all splits, whose labels differ.
    Do: Look at the pairs and correct the labels, or drop the items.
    False alarm: Tasks with several right answers for one item.
    """
    leak = evidence.leakage
    if leak is None:
        return no_leakage_stage()
    if not leak.conflicting_items:
        return Judgement(Outcome.PASSED, "No two items of the same content bear different labels.")
    share = leak.conflicting_items / (leak.test_items + leak.train_items)
    return Judgement(
        Outcome.FAILED,
        f"{leak.conflicting_items:,} items share their content with an item of another label.",
        tuple(Fact(p.first_name, f"{p.first_label}; {p.second_name} is {p.second_label}") for p in leak.conflicts[:8]),
        "One label for one content.",
        Severity.MAJOR if share >= _LARGE_SHARE else Severity.MINOR,
        (_share("items with two labels", share),),
    )


@detector("PA405", Severity.MINOR)
def test_items_do_not_repeat_each_other(evidence: Evidence, policy: Policy) -> Judgement:
    """Test items do not repeat each other.

    Why: An item that stands in the test several times counts several times, and every interval is narrower than it may
        be: the effective number of items is smaller.
    How: Items of the same content and changed copies within the test split, each against an item that is kept, so a
        burst of copies counts as one item; changed copies may be more than are found. Among more than 3,000 items,
        copies that were shifted, cropped or rotated a little are not looked for here, and the report says so. Undecided
        where there are no more changed copies than the threshold lets through by chance.
    Do: Keep one of each; judge by the effective number of items.
    False alarm: Blank items that are meant to be many.
    """
    leak = evidence.leakage
    if leak is None:
        return no_leakage_stage()
    own = next((c for c in leak.comparisons if c.first == c.second == "test"), None)
    repeats = leak.test_items - leak.effective_test_items
    facts = (Fact("Effective test items", f"{leak.effective_test_items:,} of {leak.test_items:,}"),)
    if not repeats:
        return Judgement(Outcome.PASSED, f"The {leak.test_items:,} test items are all different.", facts)
    rate = leak.false_match_rate or 0.0
    if own is not None and not own.exact and own.near and by_chance(own.near, own.looked_at, rate):
        return Judgement(
            Outcome.UNDECIDED,
            f"{own.near:,} of {own.looked_at:,} test items look like changed copies of another one; about "
            f"{rate * own.looked_at:.2g} would by chance, so these may be items that merely look alike.",
            facts,
            "A look at the pairs in the report.",
            subjects=(_share("repeated test items", repeats / leak.test_items, is_shown=False),),
        )
    flat = f", {own.flat:,} of them without any structure" if own is not None and own.flat else ""
    # The same content is counted; of changed copies the search may miss some.
    at_least, at_most = ("At least ", "at most ") if own is not None and own.near else ("", "")
    return Judgement(
        Outcome.FAILED,
        f"{at_least}{repeats:,} of {leak.test_items:,} test items repeat another one{flat}: the metrics rest on "
        f"{at_most}{leak.effective_test_items:,}.",
        facts,
        "Each item once.",
        Severity.MAJOR if repeats > _MANY_REPEATS * leak.test_items else Severity.MINOR,
        (_share("repeated test items", repeats / leak.test_items),),
    )


def _share(name: str, share: float, *, is_shown: bool = True) -> Subject:
    return Subject(name, is_shown, extent=(share, share))
