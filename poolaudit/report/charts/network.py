"""The network's pooling as a picture: how the map shrinks and the receptive field grows from layer to layer."""

from __future__ import annotations

from typing import Any

from poolaudit.evidence.geometry import GeometryEvidence, LayerField
from poolaudit.evidence.wording import percent
from poolaudit.report.charts.chart import BLUE, GREY, INK, ORANGE, Chart, render_svg

_MOST_LAYERS = 40


def network(geometry: GeometryEvidence) -> Chart | None:
    """Windowed layers in order of execution: size of the output map as bars, receptive field as a line.

    None where no windowed layer with a known map was found.
    """
    sites = {site.name: site for site in geometry.sites}
    layers = [layer for layer in geometry.layers if _is_shown(layer, sites) and _sizes(layer)]
    if not layers:
        return None
    import altair as alt

    shown, left_out = _thinned(layers)
    rows = [_row(position, layer, sites) for position, layer in enumerate(shown)]
    # A size is written where it changes; on every bar the texts would run into each other.
    for before, row in zip([None, *rows], rows, strict=False):
        row["change"] = "" if before is not None and before["size"] == row["size"] else row["size"]
    # In the order of the rows: names listed in the specification would become part of an expression.
    x = alt.X("label:N", sort=None, title=None, axis=alt.Axis(labelAngle=-50, labelLimit=110))
    without_names = alt.X("label:N", sort=None, title=None, axis=alt.Axis(labels=False, ticks=False))
    base = alt.Chart(alt.InlineData(values=rows))
    bars = base.mark_bar(aria=True).encode(
        x=without_names,
        y=alt.Y("map:Q", title="Cells along the widest axis of the map"),
        color=alt.Color(
            "what:N",
            scale=alt.Scale(domain=["pooling", "convolution"], range=[ORANGE, BLUE]),
            legend=alt.Legend(title=None, orient="top"),
        ),
        description="hover:N",
    )
    sizes = base.mark_text(dy=-6, fontSize=10, color=INK).encode(x=without_names, y="map:Q", text="change:N")
    width = max(240, min(30 * len(rows), 900))
    picture: Any = alt.layer(bars, sizes).properties(width=width, height=150)
    if any(row["field"] is not None for row in rows):
        fields = alt.Chart(alt.InlineData(values=[row for row in rows if row["field"] is not None]))
        y = alt.Y("field:Q", title="Receptive field, input cells")
        line = fields.mark_line(color=GREY).encode(x=x, y=y, order="position:Q")
        dots = fields.mark_point(filled=True, size=45, color=INK, opacity=1, aria=True).encode(
            x=x, y=y, description="hover:N"
        )
        picture = alt.vconcat(picture, alt.layer(line, dots).properties(width=width, height=110))
    pooled = sum(row["what"] == "pooling" for row in rows)
    unseen = "; ".join(f"{percent(c.blind_share)} of {c.name!r} cannot change the output" for c in geometry.coverage)
    ends = f"from {rows[0]['size']} to {rows[-1]['size']} cells"
    return Chart(
        "network",
        "How the map shrinks and the receptive field grows",
        "Layers with a window, in order of execution; orange: pooling. Above: the map each leaves; below: how many "
        "input cells along an axis one of its values sees (global layers aside)."
        + (f" {left_out} further layers are left out." if left_out else "")
        + (f" {unseen}." if unseen else ""),
        f"{len(rows)} layers, {pooled} of them pooling: the map goes {ends}.",
        render_svg(picture),
        ("Layer", "What", "Map", "Receptive field", "Effective stride"),
        tuple((str(r["name"]), str(r["what"]), str(r["size"]), _text(r["field"]), _text(r["stride"])) for r in rows),
    )


def _is_shown(layer: LayerField, sites: dict[str, Any]) -> bool:
    return layer.kind in ("convolution", "pooling") or layer.name in sites


def _sizes(layer: LayerField) -> tuple[int, ...]:
    inner = layer.output_shape[2:] if layer.channels_first else layer.output_shape[1:-1]
    return tuple(inner)


def _thinned(layers: list[LayerField]) -> tuple[list[LayerField], int]:
    """All pooling and every layer that changes the map's size, then others evenly, up to the limit."""
    if len(layers) <= _MOST_LAYERS:
        return layers, 0
    kept = {
        i
        for i, layer in enumerate(layers)
        if i in (0, len(layers) - 1) or layer.kind == "pooling" or _sizes(layer) != _sizes(layers[i - 1])
    }
    if len(kept) > _MOST_LAYERS:
        ordered = sorted(kept)
        step = (len(ordered) - 1) / (_MOST_LAYERS - 1)
        kept = {ordered[round(k * step)] for k in range(_MOST_LAYERS)}
    return [layers[i] for i in sorted(kept)], len(layers) - len(kept)


def _row(position: int, layer: LayerField, sites: dict[str, Any]) -> dict[str, Any]:
    sizes = _sizes(layer)
    fields = [f.size for f in layer.fields if f.size is not None]
    strides = [f.stride for f in layer.fields if f.stride is not None]
    what = "pooling" if layer.kind == "pooling" or layer.name in sites else "convolution"
    size = " × ".join(map(str, sizes))
    field = max(fields) if fields else None
    name = layer.name[:60]
    return {
        "position": position,
        "name": name,
        # Two layers of one name must not share a place on the axis.
        "label": f"{position + 1}. {name.rpartition('/')[2][:18]}",
        "what": what,
        "map": max(sizes),
        "size": size,
        "field": field,
        "stride": max(strides) if strides else None,
        "hover": f"{name} ({what}): map {size}, receptive field {'not known' if field is None else field}",
    }


def _text(value: Any) -> str:
    return "not known" if value is None else f"{value:g}"
