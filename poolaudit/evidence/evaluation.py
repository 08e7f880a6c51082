"""What the predictions on the test split are worth: counts, estimates, curves."""

from __future__ import annotations

from dataclasses import dataclass

from poolaudit.evidence.estimates import Estimate


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class against all others, at the operating point the model ships with.

    The four counts sum to the number of test items. Ranking metrics need scores; without them they are not
    estimable and say so.
    """

    name: str
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    precision: Estimate
    recall: Estimate
    precision_minus_recall: Estimate
    specificity: Estimate
    f1: Estimate
    average_precision: Estimate
    roc_auc: Estimate

    @property
    def support(self) -> int:
        """Test items of this class."""
        return self.true_positives + self.false_negatives


@dataclass(frozen=True, slots=True)
class AveragedMetrics:
    """Precision, recall and F1 averaged over the classes.

    Attributes:
        average: "macro" (each class counts the same), "micro" (each item) or "weighted" (by support).
    """

    average: str
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True, slots=True)
class NoInformationTest:
    """Is accuracy above what always predicting the most frequent class would reach?

    Attributes:
        majority_class: The most frequent class of the test split.
        rate: Its share, in [0, 1]: the no-information rate.
        p_value: One-sided exact binomial test of accuracy > rate.
    """

    majority_class: str
    rate: float
    p_value: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Counts and rates of one class at one threshold on its score."""

    threshold: float
    true_positives: int
    false_positives: int
    precision: float | None
    recall: float


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """Precision against recall over all thresholds, thinned to at most a few hundred points.

    Attributes:
        class_name: The class whose score is thresholded.
        prevalence: Share of the class among the test items, in [0, 1]: the precision of a random ranking.
        points: By falling threshold, so recall never falls.
        shipped_precision: Precision of the predictions as they are; None where the class is never predicted.
        shipped_recall: Recall of the predictions as they are; None where no item is of this class.
        shipped_threshold: 0.5 where exactly the scores of at least (or above) 0.5 are predicted as this class;
            None where the class is predicted by arg max over several or in some other way.
    """

    class_name: str
    prevalence: float
    points: tuple[OperatingPoint, ...]
    shipped_precision: float | None
    shipped_recall: float | None
    shipped_threshold: float | None


@dataclass(frozen=True, slots=True)
class ThresholdAdvice:
    """A threshold chosen on one split and judged on another, or the reason why there is none.

    Attributes:
        class_name: The class whose score is thresholded.
        threshold: None where none is recommended; then `reason` says why.
        chosen_on: Where the threshold comes from, for example "validation split, 500 items"; never the test split.
        precision: On the test split at this threshold.
        recall: On the test split at this threshold.
        reason: Why no threshold is recommended.
        wanted_precision: The precision the threshold had to reach where it was chosen.
        wanted_recall: The recall the threshold had to reach where it was chosen.
    """

    class_name: str
    threshold: float | None
    chosen_on: str | None
    precision: Estimate | None
    recall: Estimate | None
    reason: str | None = None
    wanted_precision: float | None = None
    wanted_recall: float | None = None


@dataclass(frozen=True, slots=True)
class RecoverableRecall:
    """Could another threshold reach the wanted recall at the wanted precision? A diagnosis, not a recommendation.

    Estimated by cross-fitting: the threshold is chosen on one half of the items and judged on the other, so no item
    is judged by a threshold it helped to choose; medians over many divisions, which no seed draws. Measured at several
    wanted precisions, because the policy that asks may change after the measurement.

    Attributes:
        class_name: The class whose score is thresholded.
        wanted_precision: The precision to keep, in (0, 1).
        recall: Cross-fitted recall at the highest-recall threshold that keeps this precision.
        precision: The precision reached there on the held-out halves.
    """

    class_name: str
    wanted_precision: float
    recall: Estimate
    precision: Estimate


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Items whose top predicted probability lies in [low, high): mean confidence against observed accuracy.

    The last bin includes 1. Accuracy here is that of the most probable class.
    """

    low: float
    high: float
    n: int
    mean_confidence: float
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class Calibration:
    """Do the probabilities mean what they say?

    Attributes:
        brier_score: Mean squared distance between probabilities and the one-hot truth, summed over classes
            (Brier 1950; 0 best, 2 worst); for two classes the usual half of it (0 best, 1 worst).
        expected_calibration_error: Mean gap between confidence and accuracy over the bins, weighted by items;
            it errs upwards on few items, because chance alone opens gaps.
        bins: Equal-width bins that hold at least one item.
    """

    brier_score: Estimate
    expected_calibration_error: Estimate
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class ScalingTrial:
    """The model's answers when the inputs are rescaled before prediction.

    Attributes:
        transform: "x", "x / 255", "x * 255", ...
        balanced_accuracy: Mean recall over the classes present, in [0, 1].
        only_this_correct: Items right under this transform and wrong as given.
        only_given_correct: Items right as given and wrong under this transform.
        p_value: Exact McNemar test, one-sided: is this transform better than the data as given? None for "x".
        log_loss: Mean log loss in nats at the temperature that suits the answers best (Guo et al. 2017); None where the
            answers are no probabilities that sum to 1, or most of them are rounded to 0 and 1.
        log_loss_p_value: Wilcoxon's signed-rank test, one-sided: is that lower than on the data as given? None for "x"
            and where either log loss is None.
    """

    transform: str
    balanced_accuracy: float
    only_this_correct: int
    only_given_correct: int
    p_value: float | None
    log_loss: float | None = None
    log_loss_p_value: float | None = None


@dataclass(frozen=True, slots=True)
class InputScaling:
    """Are the data scaled as the model expects?

    Attributes:
        n: Items tried.
        input_low: Smallest input value.
        input_high: Largest input value.
        trials: As given first, then each other scaling.
    """

    n: int
    input_low: float
    input_high: float
    trials: tuple[ScalingTrial, ...]


@dataclass(frozen=True, slots=True)
class NotAssessed:
    """Something a reader would expect and that was not looked at, with the reason."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class MissedItem:
    """An item that the model gave to another class.

    Attributes:
        index: Position in the test split, from 0.
        score: Of its true class, in [0, 1]; None where only decisions are known.
        path: The file it comes from, relative to its source; None where not given.
        picture: Base64 text of a small PNG; None where there is nothing to show.
    """

    index: int
    predicted: str
    score: float | None
    path: str | None
    picture: str | None


@dataclass(frozen=True, slots=True)
class MissedItems:
    """The missed items of one class, worst first; `items` holds the first of `total`."""

    class_name: str
    total: int
    items: tuple[MissedItem, ...]


@dataclass(frozen=True, slots=True)
class GroupedRecall:
    """Recall of a class whose test items come in groups, such as several recordings of one patient.

    Attributes:
        by: "group" where the test data name them; "content" where none are named and items of equal content are one.
        items: Test items of the class.
        recall: The same share as the class's recall; its interval lets the answers within a group be alike, and n
            counts the groups.
    """

    class_name: str
    items: int
    recall: Estimate
    by: str = "group"


@dataclass(frozen=True, slots=True)
class EvaluationEvidence:
    """All that is measured on the predictions for the test split.

    Attributes:
        n: Test items.
        class_names: In the order of the confusion matrix.
        positive: The class of interest, or None where each class is judged.
        confusion: Rows are true classes, columns predicted ones.
        head: How the model's raw output was read, in words; for prediction files, what the file held.
        head_problem: How the model's compiled loss contradicts its head; None where it does not, or is not known.
        decides_where_known: False where that leaves open at which output a single unit decides.
        loss: The compiled loss where the model carries one; otherwise not estimable, with the reason.
        looked_into_below: The recall that classes were not shown to reach whose other thresholds were looked into; None
            in results of earlier versions.
        grouped: Of each class of which some group holds several test items; empty where there is none. None where the
            test data name no groups and no item occurs twice.
    """

    n: int
    class_names: tuple[str, ...]
    positive: str | None
    confusion: tuple[tuple[int, ...], ...]
    head: str
    accuracy: Estimate
    balanced_accuracy: Estimate
    matthews_correlation: Estimate
    cohens_kappa: Estimate
    log_loss: Estimate
    loss: Estimate
    per_class: tuple[ClassMetrics, ...]
    averages: tuple[AveragedMetrics, ...]
    no_information: NoInformationTest
    curves: tuple[PrecisionRecallCurve, ...]
    calibration: Calibration | None
    recoverable_recall: tuple[RecoverableRecall, ...]
    thresholds: tuple[ThresholdAdvice, ...]
    input_scaling: InputScaling | None
    not_assessed: tuple[NotAssessed, ...] = ()
    head_problem: str | None = None
    decides_where_known: bool = True
    missed: MissedItems | None = None
    looked_into_below: float | None = None
    grouped: tuple[GroupedRecall, ...] | None = None
