"""Inputs scaled otherwise than the model expects: 0 to 255 where it learnt 0 to 1, or the reverse."""

from __future__ import annotations

from collections.abc import Sequence

from poolaudit.evidence.evaluation import ScalingTrial
from poolaudit.evidence.wording import percent
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.class_order import order_is_wrong
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.policy import Policy
from poolaudit.results import Evidence
from poolaudit.statistics.binomial import holm

# Below this gain in balanced accuracy the scaling is not what decides the release, however significant it is.
_GAIN_THAT_MATTERS = 0.05
_SAME_BALANCED = 0.02
# So much less log loss, whatever the confidence, is more than a lucky temperature.
_SHARE_THAT_MATTERS = 0.2
_NATS_THAT_MATTER = 0.02


@detector("PA210", Severity.CRITICAL)
def inputs_are_scaled_as_the_model_expects(evidence: Evidence, policy: Policy) -> Judgement:
    """The inputs are scaled as the model expects.

    Why: Nothing in a model file says whether it expects 0 to 255 or 0 to 1. On wrongly scaled inputs every metric is
        true and worthless.
    How: A stratified sample is predicted as given and under other common scalings. Another scaling that is better by
        more than 5 points of balanced accuracy, or of accuracy at a balanced accuracy that is no lower, with an exact
        McNemar test per scaling and Holm's correction, fails; one that is better by as much without significance leaves
        it undecided. So does one that is as often right and whose probabilities say a fifth more about the classes: log
        loss at the temperature that suits each best, with Wilcoxon's signed-rank test.
    Do: Scale the data as in training, or put a `Rescaling` layer into the model; then audit again.
    False alarm: A model that happens to do better on shifted inputs because it was trained on brighter data; check
        the training code.
    """
    if evidence.evaluation is None or evidence.evaluation.input_scaling is None:
        return Judgement(Outcome.SKIPPED, "The model itself was not run, so the scaling of its inputs is not known.")
    scaling = evidence.evaluation.input_scaling
    if order_is_wrong(evidence.evaluation):
        return Judgement(
            Outcome.SKIPPED,
            "The classes seem to be in another order than the model's (PA211); until that is cured, no scaling can be "
            "told from another.",
        )
    given, others = scaling.trials[0], scaling.trials[1:]
    if not others:
        return Judgement(
            Outcome.SKIPPED,
            f"The inputs (from {scaling.input_low:g} to {scaling.input_high:g}) are neither bytes nor shares; there is "
            "no other common scaling to compare with, so whether this one is right is not known.",
        )
    facts = (
        Fact("Input values", f"{scaling.input_low:g} to {scaling.input_high:g}"),
        *(
            Fact(f"Balanced accuracy on {trial.transform}", f"{percent(trial.balanced_accuracy)} (n = {scaling.n:,})")
            for trial in scaling.trials
        ),
        *(
            Fact(f"Log loss on {trial.transform}, at its best temperature", f"{trial.log_loss:.3f} nats")
            for trial in scaling.trials
            if trial.log_loss is not None
        ),
    )
    adjusted = holm([1.0 if trial.p_value is None else trial.p_value for trial in others])
    better = [
        trial
        for trial, p_value in zip(others, adjusted, strict=True)
        if p_value < policy.family_wise_error and _gain(trial, given, scaling.n) > _GAIN_THAT_MATTERS
    ]
    if better:
        best = max(better, key=lambda trial: _gain(trial, given, scaling.n))
        return Judgement(
            Outcome.FAILED,
            f"The data are scaled otherwise than the model expects: on {best.transform} it gets "
            f"{best.only_this_correct:,} of {scaling.n:,} items right that it gets wrong as given, and "
            f"{best.only_given_correct:,} the other way round. All metrics of this audit describe wrongly scaled data.",
            facts,
            f"The same audit on {best.transform}.",
            subjects=tuple(Subject(trial.transform) for trial in better),
        )
    ahead = [trial for trial in others if _gain(trial, given, scaling.n) > _GAIN_THAT_MATTERS]
    if ahead:
        best = max(ahead, key=lambda trial: trial.balanced_accuracy)
        return Judgement(
            Outcome.UNDECIDED,
            f"On {best.transform} the balanced accuracy is {percent(best.balanced_accuracy)}, on the data as given "
            f"{percent(given.balanced_accuracy)}; {scaling.n:,} items cannot tell this from luck.",
            facts,
            "More test items, or a look at how the training data were scaled.",
            subjects=tuple(Subject(trial.transform, is_shown=False) for trial in ahead),
        )
    telling = _more_telling(others, given, policy.family_wise_error)
    if telling:
        best = min(telling, key=lambda trial: trial.log_loss or 0.0)
        return Judgement(
            Outcome.UNDECIDED,
            f"On {best.transform} the model is right as often ({percent(best.balanced_accuracy)} balanced accuracy, "
            f"{percent(given.balanced_accuracy)} as given), and its probabilities say much more about the classes: a "
            f"log loss of {best.log_loss:.2f} against {given.log_loss:.2f}, each at its best temperature. It was "
            "probably trained on inputs of that scale.",
            facts,
            "A look at how the training data were scaled.",
            subjects=tuple(Subject(trial.transform, is_shown=False) for trial in telling),
        )
    alike = [t for t in others if abs(t.balanced_accuracy - given.balanced_accuracy) <= _GAIN_THAT_MATTERS]
    which = "; ".join(f"{percent(t.balanced_accuracy)} on {t.transform}" for t in alike)
    return Judgement(
        Outcome.PASSED,
        f"No other common scaling of the inputs (as given {scaling.input_low:g} to {scaling.input_high:g}) makes the "
        "model significantly better."
        + (
            f" Which one the training used cannot be told from its answers: a balanced accuracy of "
            f"{percent(given.balanced_accuracy)} as given, {which}."
            if alike
            else ""
        ),
        facts,
    )


def _more_telling(others: Sequence[ScalingTrial], given: ScalingTrial, error: float) -> list[ScalingTrial]:
    """Those that are right as often, and whose probabilities say clearly more about the classes."""
    adjusted = holm([1.0 if trial.log_loss_p_value is None else trial.log_loss_p_value for trial in others])
    return [
        trial
        for trial, p_value in zip(others, adjusted, strict=True)
        if trial.log_loss is not None and given.log_loss is not None and p_value < error
        if trial.balanced_accuracy >= given.balanced_accuracy - _SAME_BALANCED
        if given.log_loss - trial.log_loss > max(_NATS_THAT_MATTER, _SHARE_THAT_MATTERS * given.log_loss)
    ]


def _gain(trial: ScalingTrial, given: ScalingTrial, n: int) -> float:
    """Of balanced accuracy; or of accuracy where balanced accuracy does not pay for it, as it does where wrongly scaled
    inputs are merely called the most frequent class."""
    balanced = trial.balanced_accuracy - given.balanced_accuracy
    accuracy = (trial.only_this_correct - trial.only_given_correct) / n if n else 0.0
    return max(balanced, accuracy) if balanced >= -_SAME_BALANCED else balanced
