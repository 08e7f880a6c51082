"""Pictures of the geometry: coverage of the input, consistency under shifts, recall by feature size."""

from __future__ import annotations

import base64
import io
from typing import Any

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.geometry import InputCoverage, RecallBySize, ShiftEvidence
from poolaudit.evidence.wording import interval, percent
from poolaudit.policy import Policy
from poolaudit.report.charts.chart import BLUE, GREY, ORANGE, Chart, render_svg

# A picture of so many cells as vector graphics would weigh more than the rest of the page.
_PICTURE_SIDE = 256
_PALE, _DARK, _BLIND = (238, 243, 249), (18, 63, 115), (179, 38, 30)


def coverage_png(entry: InputCoverage) -> str | None:
    """Base64 text of a PNG: darker reaches more places of the last map, red reaches none; None where not counted."""
    if not entry.reached:
        return None
    from PIL import Image

    most = max(max(row) for row in entry.reached) or 1
    height, width = len(entry.reached), len(entry.reached[0])
    pixels = [
        _BLIND if count == 0 else tuple(round(a + (b - a) * count / most) for a, b in zip(_PALE, _DARK, strict=True))
        for row in entry.reached
        for count in row
    ]
    picture = Image.new("RGB", (width, height))
    picture.putdata(pixels)
    grow = max(1, _PICTURE_SIDE // max(width, height))
    picture = picture.resize((width * grow, max(height * grow, 24 if height == 1 else 1)), Image.Resampling.NEAREST)
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def shift_consistency(shift: ShiftEvidence) -> Chart | None:
    """Agreement by distance, one line a way of shifting; None where only one distance was measured."""
    rows = [
        {"mode": mode.mode, "cells": at.cells, **_ends(at.consistency)}
        for mode in shift.modes
        for at in mode.by_distance
    ]
    if len({row["cells"] for row in rows}) < 2:
        return None
    import altair as alt

    lowest = min(row["low"] for row in rows)
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("cells:O", title="Shift in cells", axis=alt.Axis(labelAngle=0)),
        color=alt.Color("mode:N", title="Shift", scale=alt.Scale(range=[BLUE, ORANGE, GREY])),
        xOffset="mode:N",
    )
    title = "Same class as unshifted"
    y = alt.Y(
        "value:Q",
        title=title,
        scale=alt.Scale(domain=[min(lowest, 0.9), 1]),
        axis=alt.Axis(format="%"),
    )
    chart = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=title), y2="high:Q") + base.mark_point(
        filled=True, size=60, opacity=1
    ).encode(y=y)
    return Chart(
        "shift-consistency",
        "Predictions that survive a shift",
        f"Share of predicted classes that stay the same, by distance; lines are intervals by item (n = {shift.items:,} "
        f"for {shift.chosen} shifts).",
        "; ".join(
            f"{mode.mode} shifts: {percent(mode.consistency.value)} of the predicted classes stay the same"
            for mode in shift.modes
        )
        + ".",
        render_svg(chart.properties(width=340, height=220)),
        ("Shift", "Cells", "Same class", "Interval"),
        tuple(
            (mode.mode, str(at.cells), percent(at.consistency.value), interval(at.consistency, as_percent=True))
            for mode in shift.modes
            for at in mode.by_distance
        ),
    )


def recall_by_size(measured: RecallBySize, policy: Policy) -> Chart:
    """Recall in each bin of size, with intervals and the policy's bar."""
    import altair as alt

    names = [f"{size.low:.3g} to {size.high:.3g}" for size in measured.bins]
    rows = [
        {"bin": name, "place": i, **_ends(size.recall)}
        for i, (name, size) in enumerate(zip(names, measured.bins, strict=True))
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("bin:N", sort=names, title="Feature size in input cells", axis=alt.Axis(labelAngle=-30))
    )
    scale = alt.Scale(domain=[0, 1])
    bar = alt.Chart(alt.InlineData(values=[{"bar": policy.good_recall}])).mark_rule(color=ORANGE, strokeDash=[6, 4])
    chart = (
        base.mark_rule(strokeWidth=2, color=BLUE).encode(
            y=alt.Y("low:Q", title="Recall", scale=scale, axis=alt.Axis(format="%")), y2="high:Q"
        )
        + base.mark_point(filled=True, size=70, color=BLUE, opacity=1).encode(y=alt.Y("value:Q", scale=scale))
        + bar.encode(y=alt.Y("bar:Q", scale=scale))
    )
    return Chart(
        "recall-by-size",
        f"Recall of {measured.of} by feature size",
        f"Points with intervals, n = {measured.items:,} items; sizes from: {measured.source}. Orange, dashed: the "
        f"policy's bar ({percent(policy.good_recall)}).",
        f"Recall of the smallest features ({names[0]} cells) is {percent(measured.bins[0].recall.value)}, of the "
        f"largest ({names[-1]} cells) {percent(measured.bins[-1].recall.value)}.",
        render_svg(chart.properties(width=340, height=240)),
        ("Size", "Recall", "Interval", "n"),
        tuple(
            (name, percent(size.recall.value), interval(size.recall, as_percent=True), f"{size.recall.n:,}")
            for name, size in zip(names, measured.bins, strict=True)
        ),
    )


def _ends(estimate: Estimate) -> dict[str, Any]:
    value = estimate.value or 0.0
    return {
        "value": value,
        "low": value if estimate.low is None else estimate.low,
        "high": value if estimate.high is None else estimate.high,
    }
