"""What the test split shares with the data the model was made with, and what that does to the metrics."""

from __future__ import annotations

from dataclasses import dataclass

from poolaudit.evidence.ablation import AblationEvidence
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import EvaluationEvidence, NotAssessed


@dataclass(frozen=True, slots=True)
class LeakPair:
    """Two items that show the same.

    Attributes:
        kind: "exact" (the same content) or "near" (a copy that was changed).
        link: What turns one into the other, in words.
        distance: Share of the variation of the first that the second leaves unexplained after that, in [0, 1].
        score: How sure the match is; 0 is the threshold, None for exact ones.
        first_split, second_split: "test", "train" or "validation".
        first_item, second_item: Positions in their splits, from 0.
        first_name, second_name: Paths where the data have them, else split and position.
        first_label, second_label: Class names.
        first_picture, second_picture: Base64 PNG; None beyond the first few pairs, and for items that are no images.
    """

    kind: str
    link: str
    distance: float
    score: float | None
    first_split: str
    first_item: int
    first_name: str
    first_label: str
    second_split: str
    second_item: int
    second_name: str
    second_label: str
    first_picture: str | None = None
    second_picture: str | None = None


@dataclass(frozen=True, slots=True)
class SplitComparison:
    """Items of one split that stand in another, or again in their own.

    Attributes:
        first, second: Names of the splits; equal where a split was compared with itself.
        looked_at: Items of the first that were looked at.
        left_out: Items of the first that were not, because a sample was asked for.
        exact: Items of the first whose content stands in the second.
        near: Further items that are changed copies.
        flat: Items among `exact` without any structure (one colour), which may agree by accident.
        near_assessed: Whether changed copies were looked for.
        method: How candidates were found.
    """

    first: str
    second: str
    looked_at: int
    left_out: int
    exact: int
    near: int
    flat: int
    near_assessed: bool
    method: str


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Copies planted among these data and found again: what the search can see here.

    Attributes:
        change: What was done to the copies, in words.
        found: Share of them that was matched with its original.
    """

    change: str
    found: Estimate


@dataclass(frozen=True, slots=True)
class GroupOverlap:
    """Groups (patients, recordings, users, scenes) with items in both splits.

    Attributes:
        source: "column group", or which part of the file names.
        groups: Distinct groups in the test split.
        shared: Those that stand in the training split too.
        test_items: Test items of shared groups.
        examples: A few of them.
        p_value: Chance that items of a shared group would look as much alike if the name meant nothing; None for a
            column, and where too few are shared.
        is_certain: False where the part of the names only may be an identity.
    """

    source: str
    groups: int
    shared: int
    test_items: int
    examples: tuple[str, ...]
    p_value: float | None
    is_certain: bool


@dataclass(frozen=True, slots=True)
class TimeOverlap:
    """Order in time of the two splits.

    Attributes:
        train_low, train_high, test_low, test_high: First and last time, as written.
        test_items_before: Test items that are not later than the last training item.
        test_items: Test items with a time.
    """

    train_low: str
    train_high: str
    test_low: str
    test_high: str
    test_items_before: int
    test_items: int


@dataclass(frozen=True, slots=True)
class ShortcutProbe:
    """How well a small classifier does that sees only what should not matter.

    Attributes:
        name: What it sees.
        kind: "artefact" where it should tell nothing at all, "content" where a natural difference is possible, "order"
            where the model cannot see it, but a later split by it would be unfair.
        balanced_accuracy: Cross-validated mean of recall and specificity of the class it tells best; chance is 0.5.
        p_value: Permutation test, corrected for the number of probes.
        class_name: The class it tells best.
        reason: Why it was not tried; None where it was.
    """

    name: str
    kind: str
    balanced_accuracy: Estimate
    p_value: float | None
    class_name: str | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Standardisation:
    """With which constants the inputs were standardised, where they show it.

    Attributes:
        fitted_on: "train", "test itself", "train and test together", "each item by itself", "different scales", or
            "not standardised".
        detail: The means and deviations that show it.
    """

    fitted_on: str
    detail: str


@dataclass(frozen=True, slots=True)
class MetricWithoutLeak:
    """One metric on all test items, on those not leaked and on those leaked.

    Attributes:
        metric: "accuracy", "recall" or "precision".
        class_name: Empty for accuracy.
        difference: Leaked minus clean.
        p_value: Fisher's exact test of leaked against clean; None where one of them has no items.
    """

    metric: str
    class_name: str
    all: Estimate
    clean: Estimate
    leaked: Estimate
    difference: Estimate
    p_value: float | None


@dataclass(frozen=True, slots=True)
class LeakedEffect:
    """What a trained variant gains or loses against the baseline on the leaked items, and whether that differs.

    Attributes:
        name: Of the variant.
        effect: Its difference to the baseline on the leaked items, on the metric that decides.
        shift: That difference minus the one on the clean items.
        p_value: Of no shift, two-sided, paired by seed; None where the shift is not estimable.
    """

    name: str
    effect: Estimate
    shift: Estimate
    p_value: float | None


@dataclass(frozen=True, slots=True)
class AgainstLeader:
    """A trained variant against the one that does best on all test items, on the clean ones.

    Attributes:
        name: Of the variant.
        difference: This variant minus the other, on the metric that decides.
        p_value: Of no difference, two-sided, paired by seed; None where it is not estimable.
    """

    name: str
    difference: Estimate
    p_value: float | None


@dataclass(frozen=True, slots=True)
class RankingWithoutLeak:
    """The variants of the ablation with and without the leaked items.

    What the pooling does under the shipped weights is ranked here, best first; the trained variants stand in
    `LeakImpact.ablation`.

    Attributes:
        metric: That ranks the exchanged pooling.
        all: Pairs of variant and its difference to the baseline on all test items.
        clean: The same on the clean ones.
        reason: Why the exchanged pooling was not measured again; None where it was.
        not_ranked: What was ranked on all items only, and why; empty where all was ranked again.
        leaked: Each trained variant on the leaked items.
        leader: The trained variant that does best on all test items; empty where none does better than the baseline,
            or where none was measured again.
        against_leader: Each other trained variant against it, on the clean items.
    """

    metric: str
    all: tuple[tuple[str, float], ...]
    clean: tuple[tuple[str, float], ...]
    reason: str | None = None
    not_ranked: str = ""
    leaked: tuple[LeakedEffect, ...] = ()
    leader: str = ""
    against_leader: tuple[AgainstLeader, ...] = ()


@dataclass(frozen=True, slots=True)
class LeakImpact:
    """What the leaked test items do to this model's metrics.

    Attributes:
        metrics: Accuracy, then recall and precision by class.
        train_accuracy: On a sample of the training items; not estimable where it was not measured.
        reason: Why nothing was measured; None where it was.
        evaluation: Everything that is measured on predictions, on the clean items only, so that the verdict can be
            given without the leak; None where there was no evaluation or too little is left.
        ranking: None where there was no ablation.
        ablation: The ablation on the clean items only: the same trainings, measured again from their stored predictions
            and decided by the same rules; None where they were not. Only the measurement is without the leak: the
            trainings saw the originals of the leaked items, as the shipped model did.
    """

    metrics: tuple[MetricWithoutLeak, ...]
    train_accuracy: Estimate
    reason: str | None = None
    evaluation: EvaluationEvidence | None = None
    ranking: RankingWithoutLeak | None = None
    ablation: AblationEvidence | None = None


@dataclass(frozen=True, slots=True)
class NewSplit:
    """All items divided anew: copies and groups stay in one split, and classes keep their shares.

    Attributes:
        items: Pairs of split and items in it.
        moved: Items that change their split.
        kept_together: Items that share a unit (copies of one original, a group) with others.
        largest_unit: Items of the largest of these.
        left_out: Items in no split, because they would link two: the ends of chains of copies.
        share_difference: Largest difference between a class's share in one of the splits and in all items, in [0, 1].
    """

    items: tuple[tuple[str, int], ...]
    moved: int
    kept_together: int
    largest_unit: int
    left_out: int
    share_difference: float


@dataclass(frozen=True, slots=True)
class CleanSplit:
    """The test split without copies, shared groups and repeats; the data themselves are never touched.

    Attributes:
        test_items: Test items that are left: what the model as it is may be tested on.
        removed_copies: Test items that are copies of training items.
        removed_groups: Further ones whose group stands in the training split.
        removed_repeats: Further ones that repeat a test item that is kept.
        written: Name of the file it was written to; None where none was asked for.
        anew: A division of all items to train and test again with; None where none was asked for.
    """

    test_items: int
    removed_copies: int
    removed_groups: int
    removed_repeats: int
    written: str | None
    anew: NewSplit | None = None


@dataclass(frozen=True, slots=True)
class LeakageEvidence:
    """All that was found on leakage.

    Attributes:
        test_items: Items of the test split.
        train_items: Items of the training split.
        test_items_exact: Test items whose content stands in the training split.
        test_items_near: Further test items that are changed copies of training items.
        test_items_leaked: Both together.
        effective_test_items: Test items that are left when repeats of each other count once.
        layout: How the items were read, in words.
        threshold: Score above which a pair is a match, calibrated on the data; None where nothing was compared.
        calibrated_on: How, in words.
        comparisons: By pair of splits.
        sensitivity: What the search would have found, by change.
        pairs: The worst first, capped.
        pairs_left_out: Further pairs that were found.
        conflicts: Pairs of the same content with different labels, capped.
        conflicting_items: Items whose content bears more than one label.
        groups: None where there are neither groups nor telling file names.
        groups_reason: Why groups were not assessed.
        times: None where there are no times; then `times_reason` says why.
        low_information_items: Test items too plain to be matched other than exactly.
        leaked_contents: What the leaked test items hold, each as 16 hexadecimal digits that agree where content does.
        false_match_rate: Share of test items that are expected to match an item that is no original of theirs; None
            where nothing was compared.
    """

    test_items: int
    train_items: int
    test_items_exact: int
    test_items_near: int
    test_items_leaked: int
    effective_test_items: int
    layout: str
    threshold: float | None
    calibrated_on: str
    comparisons: tuple[SplitComparison, ...]
    sensitivity: tuple[Sensitivity, ...]
    pairs: tuple[LeakPair, ...]
    pairs_left_out: int
    conflicts: tuple[LeakPair, ...]
    conflicting_items: int
    groups: GroupOverlap | None
    groups_reason: str | None
    times: TimeOverlap | None
    times_reason: str | None
    shortcuts: tuple[ShortcutProbe, ...]
    standardisation: Standardisation
    impact: LeakImpact
    clean_split: CleanSplit
    low_information_items: int
    not_assessed: tuple[NotAssessed, ...] = ()
    false_match_rate: float | None = None
    leaked_contents: tuple[str, ...] = ()
