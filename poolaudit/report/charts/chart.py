"""A chart as the page needs it, and its rendering by Vega-Lite without a browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import markupsafe

from poolaudit.evidence.wording import joined
from poolaudit.report.charts.renderer import to_svg

INK, MUTED, GRID = "#1b2733", "#5b6b7b", "#dfe5ea"
BLUE, ORANGE, RED, GREY = "#1f5fa8", "#b45309", "#b3261e", "#8896a3"

_CONFIG: dict[str, Any] = {
    # Only marks that ask for it (aria=True, with a description) get the text that becomes their tooltip.
    "aria": False,
    "background": "transparent",
    "font": "Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": INK,
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 11,
        "gridColor": GRID,
        "domainColor": GREY,
        "tickColor": GREY,
        "labelLimit": 160,
    },
    "legend": {"labelColor": INK, "titleColor": INK, "titleFontWeight": "normal"},
}
_ACTIVE = re.compile(
    r"<(script|foreignObject|iframe|image|a|use|style|set|animate\w*|link|object|embed)\b|\son\w+=|\s(\w+:)?href=",
    re.IGNORECASE,
)

_DESCRIBED = re.compile(
    r'<(path|rect|line|circle) ((?:[a-z-]+="[^"]*" )*)aria-label="([^"]*)" role="graphics-symbol"([^>]*?)/?>(?:</\1>)?'
)
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture with everything that stands around it.

    Attributes:
        identifier: Anchor in the page.
        title: What is shown, as a statement or a name.
        caption: How to read it, with n and method.
        alt: The message of the picture in words, for those who do not see it.
        svg: The picture, safe to embed.
        columns: Header of the table behind the picture.
        rows: Cells of that table, ready to show.
    """

    identifier: str
    title: str
    caption: str
    alt: str
    svg: markupsafe.Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def render_svg(chart: Any) -> markupsafe.Markup:
    """SVG of an Altair chart; deterministic for the same chart and versions.

    Raises:
        ValueError: The SVG holds anything that could act. Vega escapes text, so this means a changed renderer.
    """
    svg = to_svg(_legible(chart.configure(**_CONFIG).to_dict(validate=False)))
    require_inert(svg)
    # A described mark shows its description as a tooltip, which needs no script. The page gives the picture one text
    # alternative; Vega's own roles would be read out mark by mark.
    svg = _DESCRIBED.sub(r"<\1 \2\4><title>\3</title></\1>", svg)
    svg = re.sub(r' (aria-[a-z]+|role)="[^"]*"', "", svg)
    svg = re.sub(
        r'^<svg ([^>]*?)width="(\d+)" height="(\d+)"', r'<svg \1width="\2" height="\3" aria-hidden="true"', svg
    )
    return markupsafe.Markup(svg)


def legible(text: str) -> str:
    """The text as it can be shown.

    Every character that XML 1.0 forbids is U+FFFD: one of them aborts the renderer's process. Joiners, which Python
    quotes as escapes, are themselves again: Persian, Indic scripts and emoji are written with them.
    """
    return joined(_FORBIDDEN.sub("\ufffd", text))


def _legible(part: Any) -> Any:
    if isinstance(part, str):
        return legible(part)
    if isinstance(part, dict):
        return {key: _legible(value) for key, value in part.items()}
    return [_legible(value) for value in part] if isinstance(part, list) else part


def require_inert(svg: str) -> None:
    """Raises ValueError where the SVG holds an element or attribute that could run, load or link anything."""
    if _ACTIVE.search(re.sub(r">[^<]*<|\"[^\"]*\"", _keep_structure, svg)):
        raise ValueError("the rendered chart holds active content")


def _keep_structure(match: re.Match[str]) -> str:
    """Blanks text and attribute values: what remains is what a browser would act on."""
    return "><" if match.group().startswith(">") else '""'
