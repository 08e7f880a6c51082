"""A head that contradicts the loss it was trained with."""

from __future__ import annotations

from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.policy import Policy
from poolaudit.results import Evidence


@detector("PA212", Severity.MAJOR)
def head_and_loss_agree(evidence: Evidence, policy: Policy) -> Judgement:
    """The model's head and its loss agree.

    Why: A loss that takes logits for probabilities, or applies the softmax a second time, trains badly without a
        word, and leaves open at which output the model means to decide.
    How: The final activation, read from the model's graph, is held against `from_logits` of the compiled loss.
        Minor where the decisions of the model are clear all the same.
    Do: Make them agree: no activation with `from_logits=True`, or sigmoid/softmax with `from_logits=False`; then
        train again.
    False alarm: The model was compiled anew after training, with a loss that it was not trained with.
    """
    evaluation = evidence.evaluation
    if evaluation is None or evaluation.input_scaling is None:
        return Judgement(Outcome.SKIPPED, "There is no model, only predictions: its loss is not known.")
    facts = (Fact("Head", evaluation.head),)
    if evaluation.head_problem is not None:
        return Judgement(
            Outcome.FAILED,
            f"The model's head and its loss contradict each other: {evaluation.head_problem}.",
            facts,
            "A model whose head and loss agree.",
            Severity.MINOR if evaluation.decides_where_known else None,
            (Subject(evaluation.head_problem),),
        )
    return Judgement(Outcome.PASSED, "Nothing the model carries contradicts how its outputs were read.", facts)
