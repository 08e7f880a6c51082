"""Pictures of the ablation: effects with their intervals, every seed, recall against precision, dose and response."""

from __future__ import annotations

from typing import Any

from poolaudit.evidence.ablation import AblationEvidence, ArmEvidence
from poolaudit.report.charts.chart import BLUE, GREY, INK, MUTED, ORANGE, RED, Chart, legible, render_svg

METRIC_NAMES = {
    "recall_at_matched_precision": "Recall at matched precision",
    "average_precision": "Average precision",
    "recall": "Recall at the shipped threshold",
    "precision": "Precision",
    "f1": "F1",
    "accuracy": "Accuracy",
    "matthews_correlation": "Matthews correlation",
    "log_loss": "Log loss",
}
_COLOURS = {"better": BLUE, "worse": RED, "equivalent": GREY, "undecided": ORANGE}
# Narrower axes of rates would repeat their ticks; so many labels fit along one.
_NARROWEST, _LABELS = 0.1, 20
_MOST_ARMS = 30
_ROW = 26


def forest(ablation: AblationEvidence) -> Chart | None:
    """Each arm's change of the deciding metric, with its own and its corrected interval; None without any."""
    rows = [row for arm in ablation.arms if (row := _forest_row(ablation, arm)) is not None][:_MOST_ARMS]
    if not rows:
        return None
    import altair as alt

    trained = ablation.depth == "retrained"
    margin = ablation.smallest_effect
    y = alt.Y("arm:N", title=None, sort=None, axis=alt.Axis(labelLimit=220))
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=y)
    decisions = alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values()))
    legend = alt.Legend(orient="bottom")
    # Without training there is no decision, and a colour outside of the scale would be none at all.
    colour = alt.Color("decision:N", title="Decision", scale=decisions, legend=legend) if trained else alt.value(BLUE)
    title = f"Change of {METRIC_NAMES[_shown_metric(ablation)].lower()}"
    x = alt.X("value:Q", title=title, axis=alt.Axis(format="+.2f"))
    band = alt.Chart(alt.InlineData(values=[{"low": -margin, "high": margin}])).mark_rect(color=GREY, opacity=0.15)
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(color=INK).encode(x="zero:Q")
    layers = [
        band.encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        zero,
        base.mark_rule(strokeWidth=1).encode(x=alt.X("wide_low:Q", title=title), x2="wide_high:Q", color=colour),
        base.mark_rule(strokeWidth=4).encode(x=alt.X("low:Q", title=title), x2="high:Q", color=colour),
        base.mark_point(filled=True, size=70, opacity=1).encode(x=x, color=colour),
    ]
    decided = [row for row in rows if row["decision"] not in ("undecided", "")]
    return Chart(
        "ablation-effects",
        "What other pooling does to recall",
        (
            f"Variant minus baseline, paired by seed and test item (n = {ablation.support:,} of the class). Thick: "
            f"95 % interval of the one comparison. Thin: corrected for {ablation.hypotheses} comparisons and looks: "
            f"it decides. Grey band: differences below {margin:g}, which do not matter."
            if trained
            else "Variant minus baseline with the trained weights, nothing retrained: sensitivity. The interval covers "
            "test items only."
        ),
        f"{len(rows)} variants; {len(decided)} decided: "
        + "; ".join(f"{row['arm']} {row['decision'] or ''} {row['value']:+.2f}" for row in rows[:8]),
        render_svg(alt.layer(*layers).properties(width=360, height=_ROW * len(rows))),
        ("Variant", "Change", "95 % interval", "Corrected interval", "Decision"),
        tuple(
            (
                row["arm"],
                f"{row['value']:+.3f}",
                f"{row['low']:+.3f} to {row['high']:+.3f}",
                f"{row['wide_low']:+.3f} to {row['wide_high']:+.3f}" if trained else "",
                row["decision"] or "not trained",
            )
            for row in rows
        ),
    )


def seeds(ablation: AblationEvidence) -> Chart | None:
    """One dot a trial, so that the seeds' spread stands beside the variants' differences; None without trials."""
    metric = _shown_metric(ablation)
    rows = [
        {
            "arm": legible(trial.arm),
            "value": dict(trial.metrics).get(metric),
            "state": trial.state if trial.state == "learned" else "never learned",
        }
        for trial in ablation.trials
    ]
    shown = [row for row in rows if row["value"] is not None]
    if not shown:
        return None
    import altair as alt

    names = list(dict.fromkeys(row["arm"] for row in rows))[:_MOST_ARMS]
    lost = sum(row["state"] != "learned" for row in rows)
    dots = (
        alt.Chart(alt.InlineData(values=[row for row in shown if row["arm"] in names]))
        .mark_point(size=45, opacity=0.8)
        .encode(
            x=alt.X("value:Q", title=METRIC_NAMES[metric], scale=alt.Scale(zero=False), axis=alt.Axis(format=".2f")),
            y=alt.Y("arm:N", title=None, sort=None, axis=alt.Axis(labelLimit=220)),
            color=alt.Color(
                "state:N", title=None, scale=alt.Scale(domain=["learned", "never learned"], range=[BLUE, RED])
            ),
            shape=alt.Shape("state:N", scale=alt.Scale(domain=["learned", "never learned"], range=["circle", "cross"])),
        )
    )
    return Chart(
        "ablation-seeds",
        "Every trial",
        f"One mark a training ({len(rows)} in all). Red crosses never learned: {lost}; they are left out of every "
        "effect.",
        f"{METRIC_NAMES[metric]} of {len(shown)} trials over {len(names)} arms; {lost} never learned.",
        render_svg(dots.properties(width=360, height=_ROW * len(names))),
        ("Arm", METRIC_NAMES[metric], "State"),
        tuple(
            (str(row["arm"]), "" if row["value"] is None else f"{row['value']:.3f}", str(row["state"])) for row in rows
        ),
    )


def plane(ablation: AblationEvidence) -> Chart | None:
    """Where each arm stands in recall and precision at the shipped threshold, with an arrow from the baseline."""
    spots: list[dict[str, Any]] = []
    for name in dict.fromkeys(trial.arm for trial in ablation.trials):
        learned = [dict(t.metrics) for t in ablation.trials if t.arm == name and t.state == "learned"]
        points = [(m["recall"], m["precision"]) for m in learned if m.get("recall") is not None and m.get("precision")]
        if points:
            recall = sum(p[0] or 0.0 for p in points) / len(points)
            precision = sum(p[1] or 0.0 for p in points) / len(points)
            spots.append({"arm": legible(name), "recall": recall, "precision": precision})
    start = next((spot for spot in spots if spot["arm"] == "baseline"), None)
    if start is None or len(spots) < 2 or len(spots) > _MOST_ARMS:
        return None
    import altair as alt

    arrows = [
        {**s, "from_recall": start["recall"], "from_precision": start["precision"]} for s in spots if s is not start
    ]
    spans = {what: _at_least([float(spot[what]) for spot in spots], _NARROWEST) for what in ("recall", "precision")}
    scales = {what: alt.Scale(domain=span) for what, span in spans.items()}
    x = alt.X("recall:Q", title="Recall", scale=scales["recall"], axis=alt.Axis(format=".0%"))
    y = alt.Y("precision:Q", title="Precision", scale=scales["precision"], axis=alt.Axis(format=".0%"))
    lines = (
        alt.Chart(alt.InlineData(values=arrows))
        .mark_rule(color=MUTED)
        .encode(
            x=alt.X("from_recall:Q", title="Recall", scale=scales["recall"]),
            y=alt.Y("from_precision:Q", title="Precision", scale=scales["precision"]),
            x2="recall:Q",
            y2="precision:Q",
        )
    )
    ends = alt.Chart(alt.InlineData(values=spots)).encode(x=x, y=y)
    marks = ends.mark_point(filled=True, size=60, color=BLUE, opacity=1)
    middle = sum(spans["recall"]) / 2
    words = []
    # Labels run towards the middle, above the line on the left and below it on the right, and so past each other.
    for on_the_right, align, dx, dy in ((False, "left", 8, -7), (True, "right", -8, 9)):
        named = [label for label in _labels(spots, spans) if (label["recall"] > middle) == on_the_right]
        chart = alt.Chart(alt.InlineData(values=named)).encode(x=x, y=y, text="arm:N")
        words.append(chart.mark_text(align=align, dx=dx, dy=dy, color=INK, fontSize=10))
    return Chart(
        "ablation-plane",
        "Recall against precision",
        "Means over the seeds that learned, at the shipped threshold; lines lead from the baseline to its variants.",
        "; ".join(f"{s['arm']}: recall {s['recall']:.0%}, precision {s['precision']:.0%}" for s in spots[:8]),
        render_svg(alt.layer(lines, marks, *words).properties(width=340, height=280)),
        ("Arm", "Recall", "Precision"),
        tuple((str(s["arm"]), f"{s['recall']:.3f}", f"{s['precision']:.3f}") for s in spots),
    )


def _at_least(values: list[float], width: float) -> list[float]:
    """The range of rates, widened within [0, 1] where it is so narrow that its ticks would all read alike."""
    low, high = min(values), max(values)
    missing = max(0.0, width - (high - low)) / 2
    low, high = low - missing, high + missing
    return [max(0.0, low - max(0.0, high - 1.0)), min(1.0, high + max(0.0, -low))]


def _labels(spots: list[dict[str, Any]], spans: dict[str, list[float]]) -> list[dict[str, Any]]:
    """One label for arms so close to each other that theirs would lie on top of each other."""
    near: dict[tuple[int, ...], list[dict[str, Any]]] = {}
    for spot in spots:
        place = tuple(round(_LABELS * (spot[w] - low) / (high - low)) for w, (low, high) in spans.items())
        near.setdefault(place, []).append(spot)
    labels = []
    for first, *others in near.values():
        more = f" and {len(others)} more" if len(others) > 1 else f", {others[0]['arm']}" if others else ""
        labels.append({**first, "arm": f"{first['arm']}{more}"})
    return labels


def dose(ablation: AblationEvidence) -> Chart | None:
    """Change of the deciding metric against total downsampling; None with fewer than three doses."""
    metric = _shown_metric(ablation)
    rows: list[dict[str, Any]] = []
    for arm in ablation.variants:
        effect = arm.effect(metric)
        if arm.downsampling is None or effect is None or effect.estimate.value is None or effect.estimate.low is None:
            continue
        if arm.direction in ("weaker", "stronger"):
            estimate = effect.estimate
            rows.append({"dose": arm.downsampling, "value": estimate.value, "low": estimate.low, "high": estimate.high})
    if ablation.baseline.downsampling is not None:
        rows.append({"dose": ablation.baseline.downsampling, "value": 0.0, "low": 0.0, "high": 0.0})
    if len({row["dose"] for row in rows}) < 3:
        return None
    import altair as alt

    axis = alt.Axis(values=sorted({row["dose"] for row in rows}))
    x = alt.X("dose:Q", title="Total downsampling", scale=alt.Scale(type="log", base=2), axis=axis)
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x)
    bars = base.mark_rule(color=BLUE).encode(y=alt.Y("low:Q", title="Change"), y2="high:Q")
    marks = base.mark_point(filled=True, size=60, color=BLUE, opacity=1).encode(y=alt.Y("value:Q", title="Change"))
    return Chart(
        "ablation-dose",
        "Dose and response",
        f"Change of {METRIC_NAMES[metric].lower()} against the product of all pooling strides, with 95 % intervals.",
        "; ".join(
            f"downsampling {row['dose']:g}: {row['value']:+.2f}" for row in sorted(rows, key=lambda r: -r["dose"])
        ),
        render_svg(alt.layer(bars, marks).properties(width=300, height=240)),
        ("Total downsampling", "Change", "95 % interval"),
        tuple((f"{r['dose']:g}", f"{r['value']:+.3f}", f"{r['low']:+.3f} to {r['high']:+.3f}") for r in rows),
    )


def _shown_metric(ablation: AblationEvidence) -> str:
    if ablation.depth == "retrained":
        return ablation.primary
    has = any(e.metric == "recall_at_matched_precision" for arm in ablation.arms for e in arm.swap)
    return "recall_at_matched_precision" if has else "recall"


def _forest_row(ablation: AblationEvidence, arm: ArmEvidence) -> dict[str, Any] | None:
    metric = _shown_metric(ablation)
    effects = arm.effects if ablation.depth == "retrained" else arm.recalibrated or arm.swap
    effect = next((e for e in effects if e.metric == metric), None)
    if effect is None or effect.estimate.value is None or effect.estimate.low is None or effect.estimate.high is None:
        return None
    comparison = arm.comparison
    low, high = effect.estimate.low, effect.estimate.high
    wide_low = low if comparison is None or comparison.low is None else max(-1.0, comparison.low)
    wide_high = high if comparison is None or comparison.high is None else min(1.0, comparison.high)
    return {
        "arm": legible(arm.name),
        "value": effect.estimate.value,
        "low": low,
        "high": high,
        "wide_low": wide_low,
        "wide_high": wide_high,
        "decision": "undecided"
        if comparison is None and ablation.depth == "retrained"
        else comparison.decision
        if comparison
        else "",
    }
