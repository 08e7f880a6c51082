"""What a stored result cannot say, because no audit could have measured it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from poolaudit.errors import InvalidInputError
from poolaudit.evidence.ablation import AblationEvidence
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import ClassMetrics, EvaluationEvidence
from poolaudit.evidence.leakage import LeakageEvidence
from poolaudit.outcomes import Outcome
from poolaudit.results import AuditResult

# Estimates that lie in [0, 1], by the name of the field that holds them.
_RATES = {
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "average_precision", "roc_auc"),
    *("expected_calibration_error", "found", "consistency", "all", "clean", "leaked", "unshifted", "shifted"),
}
_ROUNDING = 1e-9
# Larger counts are no counts of items, and overflow where they are multiplied.
MOST_ITEMS = 10**15


def contradiction_in(result: AuditResult) -> str:
    """The first thing in the result that contradicts itself; an empty string where there is none."""
    return next(_contradictions(result), "")


def require_coherent(contradiction: str, origin: str) -> None:
    """Raises InvalidInputError where there is a contradiction in the stored result called `origin`."""
    if contradiction:
        raise InvalidInputError(
            f"{origin!r} contradicts itself: {contradiction}",
            "a result.json as poolaudit wrote it",
            "Run the audit again; a result is not meant to be edited",
        )


def _contradictions(result: AuditResult) -> Iterator[str]:
    yield from _in_stages(result)
    yield from _in_numbers(result.evidence, "evidence")
    if result.evidence.evaluation is not None:
        yield from _in_evaluation(result.evidence.evaluation)
    if result.evidence.leakage is not None:
        yield from _in_leakage(result.evidence.leakage)
        if result.evidence.leakage.impact.evaluation is not None:
            yield from _in_evaluation(result.evidence.leakage.impact.evaluation)
        yield from _in_ablation_without_leak(result.evidence.ablation, result.evidence.leakage)
    for found in result.evidence.conformance or ():
        if (found.outcome is Outcome.FAILED) != (found.counterexample is not None):
            yield f"{found.property!r} of {found.layer!r} is {found.outcome} and its counterexample says otherwise"


def _in_stages(result: AuditResult) -> Iterator[str]:
    names = [stage.name for stage in result.stages]
    if len(set(names)) != len(names):
        yield "a stage is listed twice"
    for stage in result.stages:
        if stage.outcome not in (Outcome.PASSED, Outcome.SKIPPED, Outcome.CRASHED):
            yield f"the stage {stage.name!r} is {stage.outcome}, which a stage cannot be"
        elif stage.outcome is Outcome.PASSED and getattr(result.evidence, stage.name, None) is None:
            yield f"the stage {stage.name!r} is said to have run and there is no evidence of it"
        elif stage.outcome is not Outcome.PASSED and getattr(result.evidence, stage.name, None) is not None:
            yield f"the stage {stage.name!r} is said not to have run and there is evidence of it"
    for field in dataclasses.fields(result.evidence):
        unnamed = getattr(result.evidence, field.name) is not None and field.name not in names
        if unnamed and result.scope == "audit":
            yield f"there is evidence of the stage {field.name!r}, which is not among the stages"
    if result.scope != "audit" and names != [result.scope]:
        yield f"it is said to be of {result.scope} alone, and its stages are {', '.join(names) or 'none'}"


def _in_numbers(part: object, name: str) -> Iterator[str]:
    """Of every number below `part`; `name` is the field that holds it."""
    if isinstance(part, Estimate):
        yield from _in_estimate(part, name)
    elif dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            yield from _in_numbers(getattr(part, field.name), field.name)
    elif isinstance(part, tuple):
        for entry in part:
            yield from _in_numbers(entry, name)
    elif isinstance(part, float) and not math.isfinite(part):
        yield f"{name} is {part}"
    elif name in ("p_value", "rate", "prevalence") and isinstance(part, float) and not 0.0 <= part <= 1.0:
        yield f"{name} is {part}, outside 0 to 1"


def _in_estimate(estimate: Estimate, name: str) -> Iterator[str]:
    numbers = [x for x in (estimate.value, estimate.low, estimate.high) if x is not None]
    if estimate.n < 0:
        yield f"{name} rests on {estimate.n} items"
    if not 0.0 < estimate.confidence < 1.0:
        yield f"{name} has a confidence of {estimate.confidence:g}"
    if estimate.low is not None and estimate.high is not None and estimate.low > estimate.high:
        yield f"the interval of {name} runs from {estimate.low:g} down to {estimate.high:g}"
    if name in _RATES and any(not -_ROUNDING <= x <= 1.0 + _ROUNDING for x in numbers):
        yield f"{name} is outside 0 to 1 ({', '.join(f'{x:g}' for x in numbers)})"


def _in_evaluation(evaluation: EvaluationEvidence) -> Iterator[str]:
    names, counts = evaluation.class_names, evaluation.confusion
    if len(names) < 2 or len(set(names)) != len(names):
        yield "the class names are fewer than two, or one occurs twice"
    if tuple(metrics.name for metrics in evaluation.per_class) != names:
        yield "the metrics by class are not those of the classes"
    if [len(row) for row in counts] != [len(names)] * len(names) or min(map(min, counts)) < 0:
        yield "the confusion matrix does not fit the classes"
        return
    if max(map(max, counts)) > MOST_ITEMS:
        yield "the confusion matrix counts more items than there can be"
        return
    if sum(map(sum, counts)) != evaluation.n or evaluation.n < 1:
        yield "the confusion matrix does not sum to the number of items"
        return
    if evaluation.positive is not None and evaluation.positive not in names:
        yield "the class of interest is no class"
    right = sum(row[index] for index, row in enumerate(counts))
    yield from _is_rate("accuracy", evaluation.accuracy, right, evaluation.n)
    if evaluation.no_information.majority_class not in names:
        yield "the most frequent class is no class"
    for index, metrics in enumerate(evaluation.per_class):
        yield from _in_class(metrics, index, evaluation)


def _in_class(metrics: ClassMetrics, index: int, evaluation: EvaluationEvidence) -> Iterator[str]:
    counts = evaluation.confusion
    hits, support = counts[index][index], sum(counts[index])
    called = sum(row[index] for row in counts)
    expected = (hits, called - hits, support - hits, evaluation.n - called - support + hits)
    given = (metrics.true_positives, metrics.false_positives, metrics.false_negatives, metrics.true_negatives)
    if given != expected:
        yield f"the counts of {metrics.name!r} are not those of the confusion matrix"
    yield from _is_rate(f"recall of {metrics.name!r}", metrics.recall, hits, support)
    yield from _is_rate(f"precision of {metrics.name!r}", metrics.precision, hits, called)
    yield from _is_rate(f"specificity of {metrics.name!r}", metrics.specificity, expected[3], evaluation.n - support)


def _is_rate(name: str, estimate: Estimate, hits: int, items: int) -> Iterator[str]:
    if not items:
        if estimate.value is not None:
            yield f"the {name} is given and rests on no item"
    elif estimate.value is None or estimate.n != items or abs(estimate.value - hits / items) > _ROUNDING:
        yield f"the {name} is not what the confusion matrix says ({hits} of {items})"
    elif estimate.low is None or estimate.high is None or not estimate.low <= estimate.value <= estimate.high:
        yield f"the {name} lies outside its interval"


def _in_leakage(leak: LeakageEvidence) -> Iterator[str]:
    if leak.test_items_exact + leak.test_items_near != leak.test_items_leaked:
        yield "the leaked items are not the exact and the changed copies together"
    if not 0 <= leak.test_items_leaked <= leak.test_items or not 0 <= leak.effective_test_items <= leak.test_items:
        yield "more test items are leaked or repeated than there are"
    across = [c for c in leak.comparisons if (c.first, c.second) == ("test", "train")]
    if len(across) != 1:
        yield "the comparison of test and training items is missing"
    elif (across[0].exact, across[0].near) != (leak.test_items_exact, leak.test_items_near):
        yield "the leaked items are not those of the comparison of test and training items"
    elif across[0].looked_at < 1 or across[0].looked_at + across[0].left_out != leak.test_items:
        yield "the test items that were looked at and those left out are not all test items"


def _in_ablation_without_leak(before: AblationEvidence | None, leak: LeakageEvidence) -> Iterator[str]:
    """The same trainings and comparisons as on all items, on the items that are not leaked."""
    after = leak.impact.ablation
    leaked = () if leak.impact.ranking is None else leak.impact.ranking.leaked
    if after is None:
        if leaked:
            yield "trained variants are given on the leaked items and not on the clean ones"
        return
    if before is None:
        yield "the ablation is given without the leak and not on all test items"
        return
    if after.test_items != leak.test_items - leak.test_items_leaked:
        yield "the ablation without the leak is not of the test items that are no copies"
    stated = [(a.depth, a.primary, a.targets, a.matched_precision, a.planned_seeds) for a in (before, after)]
    arms = [[(arm.name, arm.comparison is None) for arm in a.arms] for a in (before, after)]
    trials = [[(row.arm, row.seed) for row in a.trials] for a in (before, after)]
    if any(first != second for first, second in (stated, arms, trials)):
        yield "the ablation without the leak is of other trainings than that on all test items"
    trained = {arm.name for arm in after.variants if arm.comparison is not None}
    if {found.name for found in leaked} != trained:
        yield "the variants given on the leaked items are not those that were trained"
    ranking = leak.impact.ranking
    compared = set() if ranking is None else {ranking.leader, *(found.name for found in ranking.against_leader)} - {""}
    if compared and compared != trained:
        yield "the variants compared with the best one are not those that were trained"
