"""Pictures of the evaluation: confusion matrix, precision-recall curve, recall by class, reliability."""

from __future__ import annotations

import json
from typing import Any

from poolaudit.evidence.evaluation import Calibration, EvaluationEvidence, OperatingPoint, PrecisionRecallCurve
from poolaudit.evidence.wording import interval, number, percent
from poolaudit.policy import Policy
from poolaudit.report.charts.chart import BLUE, GREY, INK, MUTED, ORANGE, RED, Chart, legible, render_svg

# Beyond this many classes cells become unreadable and the file large; the worst confusions are listed instead.
_MATRIX_LIMIT = 24
_CLASS_LIMIT = 40


# At this share dark and white writing are read equally well, 3.9 to 1.
_WHITE_READS_BETTER_ABOVE = 0.72


def confusion_matrix(evaluation: EvaluationEvidence) -> Chart | None:
    """Rows are true classes, columns predicted ones; None for more classes than can be read."""
    names = evaluation.class_names
    if len(names) > _MATRIX_LIMIT:
        return None
    import altair as alt

    cells = [
        {
            "truth": index,
            "prediction": column,
            "count": count,
            "share": count / max(sum(row), 1),
            "text": f"{count:,}",
            "dark": count / max(sum(row), 1) > _WHITE_READS_BETTER_ABOVE,
            "hover": f"{count:,} of {sum(row):,} {names[index][:60]!r} are predicted as {names[column][:60]!r}",
        }
        for index, row in enumerate(evaluation.confusion)
        for column, count in enumerate(row)
    ]
    labels = {"labelExpr": _label_expression(names), "labelAngle": 0 if len(names) <= 3 else -40}
    base = alt.Chart(alt.InlineData(values=cells)).encode(
        x=alt.X("prediction:O", title="Predicted class", axis=alt.Axis(orient="bottom", **labels)),
        y=alt.Y("truth:O", title="True class", axis=alt.Axis(labelExpr=labels["labelExpr"])),
    )
    heat = base.mark_rect(stroke="white", aria=True).encode(
        description="hover:N",
        color=alt.Color(
            "share:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=["#f1f5f9", "#9dbfe3", "#123f73"])
        ),
    )
    text = base.mark_text(fontSize=12).encode(
        text="text:N", color=alt.condition("datum.dark", alt.value("white"), alt.value(INK))
    )
    step = 72 if len(names) <= 4 else 40 if len(names) <= 12 else 28
    wrong = evaluation.n - sum(row[i] for i, row in enumerate(evaluation.confusion))
    return Chart(
        "confusion-matrix",
        "Confusion matrix",
        f"Counts of test items (n = {evaluation.n:,}). Darker means a larger share of the true class; what stands off "
        "the diagonal is wrong.",
        f"Confusion matrix over {len(names)} classes: {wrong:,} of {evaluation.n:,} test items are predicted wrongly.",
        render_svg((heat + text).properties(width=step * len(names), height=step * len(names))),
        ("True class", *(f"predicted {name}" for name in names)),
        tuple((name, *(f"{c:,}" for c in row)) for name, row in zip(names, evaluation.confusion, strict=True)),
    )


def precision_recall(curve: PrecisionRecallCurve, policy: Policy, position: int) -> Chart:
    """Precision against recall over all thresholds, with the shipped operating point and the policy's bars."""
    import altair as alt

    points = [
        {"recall": p.recall, "precision": p.precision, "order": i}
        for i, p in enumerate(curve.points)
        if p.precision is not None
    ]
    x = alt.X("recall:Q", title="Recall", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    y = alt.Y("precision:Q", title="Precision", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    line = alt.Chart(alt.InlineData(values=points)).mark_line(color=BLUE, strokeWidth=2, interpolate="step-before")
    layers: list[Any] = [
        line.encode(x=x, y=y, order="order:Q"),
        _rule("y", curve.prevalence, GREY, [2, 3]),
        _rule("y", policy.good_precision, ORANGE, [6, 4]),
        _rule("x", policy.good_recall, ORANGE, [6, 4]),
        _targets([p for p in _thin(curve.points, 60) if p.precision is not None]).encode(x=x, y=y),
    ]
    shipped = ""
    if curve.shipped_precision is not None and curve.shipped_recall is not None:
        here = [{"recall": curve.shipped_recall, "precision": curve.shipped_precision, "text": "as shipped"}]
        dot = alt.Chart(alt.InlineData(values=here)).encode(x=x, y=y)
        near_edge = curve.shipped_recall > 0.75
        layers += [
            dot.mark_point(size=90, filled=True, color=RED, opacity=1),
            dot.mark_text(align="right" if near_edge else "left", dx=-9 if near_edge else 9, dy=14, color=RED).encode(
                text="text:N"
            ),
        ]
        shipped = f" As shipped: recall {percent(curve.shipped_recall)}, precision {percent(curve.shipped_precision)}."
    return Chart(
        f"precision-recall-{position}",
        f"Precision and recall of {curve.class_name!r} over all thresholds",
        f"Red: the operating point as shipped. Orange, dashed: what the policy demands (recall "
        f"{percent(policy.good_recall)}, precision {percent(policy.good_precision)}). Grey, dotted: a random ranking "
        f"({percent(curve.prevalence)}, the share of the class).",
        f"Precision-recall curve of class {curve.class_name}.{shipped}",
        render_svg(alt.layer(*layers).properties(width=340, height=280)),
        ("Threshold", "Recall", "Precision", "Found", "False alarms"),
        tuple(
            (
                number(p.threshold, 4),
                percent(p.recall),
                percent(p.precision),
                f"{p.true_positives:,}",
                f"{p.false_positives:,}",
            )
            for p in _thin(curve.points, 25)
        ),
    )


def recall_by_class(evaluation: EvaluationEvidence, policy: Policy) -> Chart | None:
    """Recall of each class with its interval, lowest first."""
    import altair as alt

    known = sorted(
        (c for c in evaluation.per_class if c.recall.value is not None and c.recall.low is not None),
        key=lambda c: (c.recall.value or 0.0, c.name),
    )
    if not known:
        return None
    shown = known[:_CLASS_LIMIT]
    rows = [
        {
            "class": f"{c.name} (n = {c.support:,})",
            "value": c.recall.value,
            "low": c.recall.low,
            "high": c.recall.high,
            "hover": f"{c.name[:60]}: recall {percent(c.recall.value)} ({interval(c.recall, as_percent=True)})",
        }
        for c in shown
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        y=alt.Y("class:N", sort=None, title=None, axis=alt.Axis(labelLimit=220))
    )
    x = alt.X("low:Q", title="Recall", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    spans = base.mark_rule(color=BLUE, strokeWidth=2).encode(x=x, x2="high:Q")
    dots = base.mark_point(filled=True, size=55, color=BLUE, opacity=1, aria=True).encode(
        x="value:Q", description="hover:N"
    )
    chart = alt.layer(spans, dots, _rule("x", policy.good_recall, ORANGE, [6, 4])).properties(
        width=360, height=max(60, 20 * len(shown))
    )
    left_out = (
        f" The {len(known) - len(shown)} classes with the highest recall are left out." if known[len(shown) :] else ""
    )
    return Chart(
        "recall-by-class",
        "Recall by class",
        f"Dot: recall; line: {100 * shown[0].recall.confidence:g} % interval ({shown[0].recall.method}). Orange, "
        f"dashed: the policy's bar, {percent(policy.good_recall)}.{left_out}",
        f"Recall by class; lowest is {shown[0].name} with {percent(shown[0].recall.value)}.",
        render_svg(chart),
        ("Class", "Recall", "Interval", "n"),
        tuple((c.name, percent(c.recall.value), interval(c.recall, as_percent=True), f"{c.support:,}") for c in shown),
    )


def reliability(calibration: Calibration) -> Chart:
    """Observed accuracy against mean confidence, by bins of the top probability."""
    import altair as alt

    rows = [
        {
            "confidence": b.mean_confidence,
            "accuracy": b.accuracy.value,
            "low": b.accuracy.low,
            "high": b.accuracy.high,
            "hover": f"mean confidence {percent(b.mean_confidence)}, accuracy {percent(b.accuracy.value)}, n = {b.n:,}",
        }
        for b in calibration.bins
    ]
    x = alt.X("confidence:Q", title="Mean confidence", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    y = alt.Y("accuracy:Q", title="Accuracy", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x)
    diagonal = (
        alt.Chart(alt.InlineData(values=[{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}]))
        .mark_line(color=GREY, strokeDash=[2, 3])
        .encode(x=x, y=y)
    )
    spans = base.mark_rule(color=MUTED).encode(y=alt.Y("low:Q", title="Accuracy"), y2="high:Q")
    dots = base.mark_point(filled=True, color=BLUE, size=55, opacity=1, aria=True).encode(y=y, description="hover:N")
    error = calibration.expected_calibration_error
    return Chart(
        "reliability",
        "Do the probabilities mean what they say?",
        "Below the dotted diagonal the model is over-confident, above it too modest. Lines: intervals of the accuracy "
        f"in each bin. Expected calibration error: {number(error.value)} (n = {error.n:,}).",
        f"Reliability diagram over {len(rows)} bins; expected calibration error {number(error.value)}.",
        render_svg(alt.layer(diagonal, spans, dots).properties(width=280, height=280)),
        ("Confidence from", "to", "Items", "Mean confidence", "Accuracy", "Interval"),
        tuple(
            (
                percent(b.low),
                percent(b.high),
                f"{b.n:,}",
                percent(b.mean_confidence),
                percent(b.accuracy.value),
                interval(b.accuracy, as_percent=True),
            )
            for b in calibration.bins
        ),
    )


def _targets(points: list[OperatingPoint]) -> Any:
    """Invisible marks along a curve that show threshold, recall and precision when pointed at."""
    import altair as alt

    rows = [
        {
            "recall": p.recall,
            "precision": p.precision,
            "hover": f"threshold {number(p.threshold, 4)}: recall {percent(p.recall)}, "
            f"precision {percent(p.precision)}",
        }
        for p in points
    ]
    marks = alt.Chart(alt.InlineData(values=rows)).mark_point(size=120, filled=True, opacity=0, aria=True)
    return marks.encode(description="hover:N")


def _rule(channel: str, value: float, color: str, dash: list[int]) -> Any:
    import altair as alt

    encoding = {channel: alt.X("at:Q") if channel == "x" else alt.Y("at:Q")}
    return alt.Chart(alt.InlineData(values=[{"at": value}])).mark_rule(color=color, strokeDash=dash).encode(**encoding)


def _label_expression(names: tuple[str, ...]) -> str:
    """A Vega expression from an index to a class name; names enter it as JSON strings, never as code."""
    return f"{json.dumps([legible(name[:24]) for name in names])}[datum.value]"


def _thin(points: tuple[Any, ...], limit: int) -> list[Any]:
    if len(points) <= limit:
        return list(points)
    step = (len(points) - 1) / (limit - 1)
    return [points[round(index * step)] for index in range(limit)]
