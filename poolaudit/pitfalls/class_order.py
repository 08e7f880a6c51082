"""Classes in another order than the model's: every metric is wrong in a way that renaming the classes cures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from poolaudit.evidence.evaluation import EvaluationEvidence
from poolaudit.evidence.wording import percent, with_interval
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.low_rates import not_evaluated
from poolaudit.policy import Policy
from poolaudit.results import Evidence

# A model that mixes up its classes gains little by renaming them; one whose classes were permuted gains nearly all.
_GAIN_THAT_TELLS, _GOOD_AFTERWARDS, _ITEMS_A_CLASS = 0.30, 0.70, 5


@dataclass(frozen=True, slots=True)
class OtherOrder:
    """The renaming of predicted classes that fits the truth best.

    Attributes:
        truth_of: For each predicted class, the true class it should stand for.
        balanced_accuracy: Mean recall under the renaming, in [0, 1].
        given: Mean recall as the classes are, in [0, 1].
    """

    truth_of: tuple[int, ...]
    balanced_accuracy: float
    given: float

    @property
    def tells(self) -> bool:
        """Whether the classes are so much better renamed that their order must be wrong."""
        return self.balanced_accuracy >= _GOOD_AFTERWARDS and self.balanced_accuracy - self.given >= _GAIN_THAT_TELLS


@detector("PA211", Severity.CRITICAL)
def classes_are_in_the_models_order(evidence: Evidence, policy: Policy) -> Judgement:
    """The classes are in the model's order.

    Why: A model knows its classes by position. Where labels were sorted another way than in training, a good model
        looks useless, and every metric of the audit describes the mix-up.
    How: The predicted classes are renamed in the way that fits the true ones best (assignment on the shares of the
        confusion matrix, so that frequent classes do not decide). If that lifts the mean recall by 30 points or more,
        to 70 % or more, the order is wrong. Classes with fewer than 5 test items leave it undecided. With two classes,
        scores whose ROC AUC lies below 30 % with its whole interval tell the same, even where one class is predicted
        throughout.
    Do: Pass the class names in the order of the model's outputs (`--classes`), and check the sign of a single score.
    False alarm: A model trained on swapped labels: then the labels of the training data are wrong, not the order.
    """
    if evidence.evaluation is None:
        return not_evaluated()
    order = other_order(evidence.evaluation)
    names = evidence.evaluation.class_names
    backwards = _backwards(evidence.evaluation)
    if backwards is not None and (order is None or not order.tells):
        return backwards
    if order is None or not order.tells:
        return Judgement(Outcome.PASSED, "No renaming of the classes would make the model markedly better.")
    moved = [(names[p], names[t]) for p, t in enumerate(order.truth_of) if p != t]
    facts = (
        Fact("Mean recall as given", percent(order.given)),
        Fact("Mean recall with the classes renamed", percent(order.balanced_accuracy)),
        *(Fact(f"Predicted as {predicted!r}", f"is {truth!r} in truth") for predicted, truth in moved[:12]),
    )
    counts = [sum(row) for row in evidence.evaluation.confusion if sum(row)]
    enough = min(counts) >= _ITEMS_A_CLASS
    return Judgement(
        Outcome.FAILED if enough else Outcome.UNDECIDED,
        f"The classes {'are' if enough else 'may be'} in another order than the model's: what it calls "
        f"{moved[0][0]!r} is {moved[0][1]!r} in the data. Renamed, its mean recall is "
        f"{percent(order.balanced_accuracy)} instead of {percent(order.given)}.",
        facts,
        "The same audit with the classes in the model's order.",
        None if enough else Severity.MAJOR,
        tuple(Subject(f"{predicted!r} for {truth!r}", enough) for predicted, truth in moved),
    )


def order_is_wrong(evaluation: EvaluationEvidence) -> bool:
    """Whether PA211 has something against the order of the classes."""
    order = other_order(evaluation)
    return (order is not None and order.tells) or _backwards(evaluation) is not None


def _backwards(evaluation: EvaluationEvidence) -> Judgement | None:
    """Two classes whose scores rank them well, but the other way round."""
    if len(evaluation.class_names) != 2:
        return None
    metrics = min(evaluation.per_class, key=lambda m: m.roc_auc.high if m.roc_auc.high is not None else 1.0)
    auc = metrics.roc_auc
    if auc.value is None or auc.high is None or auc.high > 1.0 - _GOOD_AFTERWARDS:
        return None
    first, second = evaluation.class_names
    return Judgement(
        Outcome.FAILED,
        f"The two classes are in another order than the model's: its scores rank {first!r} and {second!r} backwards "
        f"(ROC AUC {percent(auc.value)}; with the classes exchanged {percent(1.0 - auc.value)}).",
        (Fact(f"ROC AUC of {metrics.name!r}", with_interval(auc)),),
        "The same audit with the classes in the model's order (`--classes`).",
    )


def other_order(evaluation: EvaluationEvidence) -> OtherOrder | None:
    """The best renaming of the predicted classes; None where the classes as they are fit best."""
    counts = np.array(evaluation.confusion, dtype=np.float64)
    present = counts.sum(axis=1) > 0
    shares = np.divide(counts, counts.sum(axis=1, keepdims=True), out=np.zeros_like(counts), where=present[:, None])
    if np.trace(shares) / present.sum() >= 1.0 - _GAIN_THAT_TELLS:
        return None
    # Imported here: it costs a good model, which never comes this far, a quarter of a second.
    from scipy.optimize import linear_sum_assignment

    predicted, truth = linear_sum_assignment(-shares.T)
    if (predicted == truth).all():
        return None
    return OtherOrder(
        tuple(int(t) for t in truth),
        float(shares[truth, predicted].sum() / present.sum()),
        float(np.trace(shares) / present.sum()),
    )
