"""The section on predictions: charts, metrics over all classes and by class, thresholds."""

from __future__ import annotations

import json

from poolaudit.evidence.evaluation import EvaluationEvidence, PrecisionRecallCurve
from poolaudit.evidence.wording import number, p_value, percent
from poolaudit.report.blocks import (
    Block,
    Exhibit,
    Gallery,
    Picture,
    Section,
    Slider,
    Table,
    draw_all,
    estimate_cell,
    estimate_row,
)
from poolaudit.report.charts import metrics as charts
from poolaudit.results import AuditResult

_CURVES_SHOWN = 4


def section(result: AuditResult) -> Section | None:
    evaluation = result.evidence.evaluation
    if evaluation is None:
        return None
    thresholds = _thresholds(evaluation)
    return Section(
        "metrics",
        "Metrics",
        (
            *_charts(result, evaluation),
            *_sliders(evaluation),
            _metrics(evaluation),
            _classes(evaluation),
            *([thresholds] if thresholds else []),
            *_missed(evaluation),
        ),
    )


def _missed(evaluation: EvaluationEvidence) -> tuple[Block, ...]:
    missed = evaluation.missed
    if missed is None:
        return ()
    title = f"Missed items of {missed.class_name!r}"
    shown = "all of them" if missed.total == len(missed.items) else f"the worst {len(missed.items)} of them"
    order = "lowest score of the true class first" if missed.items[0].score is not None else "in the data's order"
    note = f"{missed.total:,} are missed; here {shown}, {order}. Look at them before anything else."
    if any(item.picture for item in missed.items):
        exhibits = tuple(
            Exhibit(
                (Picture(item.picture, f"Test item {item.index}, of {missed.class_name!r}", ""),)
                if item.picture
                else (),
                (
                    f"taken for {item.predicted!r}" + ("" if item.score is None else f", score {number(item.score)}"),
                    f"test item {item.index}" + (f", {item.path}" if item.path else ""),
                ),
            )
            for item in missed.items
        )
        return (Gallery(title, note, exhibits),)
    rows = tuple(
        (str(item.index), item.predicted, "" if item.score is None else number(item.score), item.path or "")
        for item in missed.items
    )
    return (Table(title, note, ("Test item", "Taken for", "Score of its class", "File"), rows, "numbers"),)


_NO_THRESHOLD_SHIPPED = (
    " As shipped, the class is not decided by a threshold on this score: the slider begins in the middle of the curve, "
    "not at the model as shipped."
)


def _sliders(evaluation: EvaluationEvidence) -> tuple[Slider, ...]:
    """The class of interest's threshold; of two classes the second's, of more the weakest ones'."""
    sliders = []
    for curve in _curves(evaluation)[: 1 if len(evaluation.class_names) == 2 else _CURVES_SHOWN]:
        shipped = next(c for c in evaluation.per_class if c.name == curve.class_name)
        points = {p.threshold: (p.true_positives, p.false_positives) for p in curve.points}
        if curve.shipped_threshold is not None:
            # Thinning may have dropped the operating point itself; its counts are known.
            points[curve.shipped_threshold] = (shipped.true_positives, shipped.false_positives)
        falling = sorted(points, reverse=True)
        start = falling.index(curve.shipped_threshold) if curve.shipped_threshold is not None else len(falling) // 2
        sliders.append(
            Slider(
                f"Move the threshold of {curve.class_name!r}",
                "Counts on the test items. A threshold chosen here is tuned to the test data: choose on validation "
                "data, and use this to see what a choice costs."
                + (_NO_THRESHOLD_SHIPPED if curve.shipped_threshold is None else ""),
                repr(curve.class_name),
                json.dumps([[t, *points[t]] for t in falling], separators=(",", ":"), allow_nan=False),
                start,
                shipped.support,
                evaluation.n - shipped.support,
            )
        )
    return tuple(sliders)


def _charts(result: AuditResult, evaluation: EvaluationEvidence) -> tuple[Block, ...]:
    calibration = evaluation.calibration
    return draw_all(
        [
            ("Confusion matrix", lambda: charts.confusion_matrix(evaluation)),
            *(
                (
                    f"Precision-recall curve of {curve.class_name!r}",
                    lambda c=curve, i=index: charts.precision_recall(c, result.policy, i),
                )
                for index, curve in enumerate(_curves(evaluation))
            ),
            ("Recall by class", lambda: charts.recall_by_class(evaluation, result.policy)),
            ("Reliability", lambda: charts.reliability(calibration) if calibration else None),
        ]
    )


def _curves(evaluation: EvaluationEvidence) -> list[PrecisionRecallCurve]:
    """The class of interest's curve; else the weakest classes' by average precision. Two classes mirror each other."""
    curves = list(evaluation.curves)
    if evaluation.positive is not None:
        curves = [c for c in curves if c.class_name == evaluation.positive]
    ranking = {c.name: c.average_precision.value for c in evaluation.per_class}
    curves.sort(key=lambda c: (ranking.get(c.class_name) or 0.0, c.class_name))
    return curves[:_CURVES_SHOWN]


def _metrics(evaluation: EvaluationEvidence) -> Table:
    rows = [
        estimate_row("Accuracy", evaluation.accuracy),
        estimate_row("Balanced accuracy", evaluation.balanced_accuracy),
        estimate_row("Matthews correlation coefficient", evaluation.matthews_correlation, as_percent=False),
        estimate_row("Cohen's kappa", evaluation.cohens_kappa, as_percent=False),
    ]
    for averaged in evaluation.averages:
        rows += [
            estimate_row(f"Precision, {averaged.average}", averaged.precision),
            estimate_row(f"Recall, {averaged.average}", averaged.recall),
            estimate_row(f"F1, {averaged.average}", averaged.f1, as_percent=False),
        ]
    rows += [
        estimate_row("Log loss", evaluation.log_loss, as_percent=False),
        estimate_row("Loss the model was compiled with", evaluation.loss, as_percent=False),
    ]
    if evaluation.calibration:
        rows += [
            estimate_row("Brier score", evaluation.calibration.brier_score, as_percent=False),
            estimate_row(
                "Expected calibration error", evaluation.calibration.expected_calibration_error, as_percent=False
            ),
        ]
    test = evaluation.no_information
    note = (
        f"n = {evaluation.n:,} test items. Always answering {test.majority_class!r} would reach an accuracy of "
        f"{percent(test.rate)} ({p_value(test.p_value)} if the model were no better). {evaluation.head}"
    )
    return Table(
        "Metrics over all classes", note, ("Metric", "Value", "Interval", "n", "Method"), tuple(rows), "numbers"
    )


def _classes(evaluation: EvaluationEvidence) -> Table:
    rows = []
    for c in evaluation.per_class:
        marker = " (class of interest)" if c.name == evaluation.positive else ""
        rows.append(
            (
                c.name + marker,
                f"{c.support:,}",
                estimate_cell(c.recall),
                estimate_cell(c.precision),
                estimate_cell(c.specificity),
                estimate_cell(c.f1, as_percent=False),
                estimate_cell(c.average_precision, as_percent=False),
                estimate_cell(c.roc_auc, as_percent=False),
            )
        )
    first = evaluation.per_class[0]
    return Table(
        "Metrics by class",
        f"In brackets: {100 * first.recall.confidence:g} % intervals. Rates: {first.recall.method}; F1: "
        f"{first.f1.method}; average precision: {first.average_precision.method}; ROC AUC: {first.roc_auc.method}.",
        ("Class", "n", "Recall", "Precision", "Specificity", "F1", "Average precision", "ROC AUC"),
        tuple(rows),
        "numbers",
    )


def _thresholds(evaluation: EvaluationEvidence) -> Table | None:
    if not evaluation.thresholds:
        return None
    rows = []
    for advice in evaluation.thresholds:
        if advice.threshold is None:
            rows.append((advice.class_name, "none recommended", "", "", advice.reason or ""))
        else:
            rows.append(
                (
                    advice.class_name,
                    number(advice.threshold, 4),
                    estimate_cell(advice.recall) if advice.recall else "",
                    estimate_cell(advice.precision) if advice.precision else "",
                    f"chosen on the {advice.chosen_on}",
                )
            )
    return Table(
        "Threshold",
        "A threshold is only recommended from data other than the test split it is judged on.",
        ("Class", "Threshold", "Recall on the test split", "Precision on the test split", "Where it comes from"),
        tuple(rows),
        "numbers",
    )
