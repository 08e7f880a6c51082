"""What a section of the report is made of: plain view data, ready to show; no HTML and no measuring here."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.wording import interval, number, percent
from poolaudit.outcomes import Outcome
from poolaudit.report.charts.chart import Chart

SYMBOLS = {
    Outcome.PASSED: "✓",
    Outcome.FAILED: "✗",
    Outcome.UNDECIDED: "?",
    Outcome.SKIPPED: "–",
    Outcome.CRASHED: "!",
}

_PICTURE_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Badge:
    """An outcome by word, symbol and style name, so never by colour alone."""

    word: str
    symbol: str
    style: str


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table of ready text; `style` is "numbers", "keys", "matrix", "sentences", "numbers sentences" or empty.

    A folded one opens on a click; one of sentences is a list on a phone.
    """

    kind: ClassVar[str] = "table"
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    style: str = ""
    is_folded: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """A counterexample ready to paste and run."""

    kind: ClassVar[str] = "replay"
    heading: str
    badge: Badge
    known: str
    case: str
    observed: str
    expected: str
    script: str


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of the report that could not be rendered, with the reason: never a silent gap."""

    kind: ClassVar[str] = "problem"
    text: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Charts side by side."""

    kind: ClassVar[str] = "figures"
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A small raster image.

    Attributes:
        png: Base64 text of a PNG file.
        alt: What is to be seen, in words.
        caption: A short line below; may be empty.
        width: Pixels across on the screen, a whole multiple of the file's own; None where the text is no PNG file.
    """

    png: str
    alt: str
    caption: str
    width: int | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", _shown_width(self.png))


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Pictures that belong together, such as the two of a pair, and what they show."""

    pictures: tuple[Picture, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Exhibits in a grid."""

    kind: ClassVar[str] = "gallery"
    title: str
    note: str
    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True, slots=True)
class Slider:
    """A threshold to move, for readers with JavaScript; the curve and its table show the same without.

    Attributes:
        points: JSON list of [threshold, true positives, false positives], thresholds falling.
        start: Position of the threshold nearest to the shipped one.
        positives: Test items of the class.
        negatives: Test items of all other classes.
    """

    kind: ClassVar[str] = "slider"
    title: str
    note: str
    class_name: str
    points: str
    start: int
    positives: int
    negatives: int


Block = Table | Replay | Note | Problem | Figures | Gallery | Slider


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the report with its heading.

    Attributes:
        identifier: Anchor in the page.
    """

    identifier: str
    title: str
    blocks: tuple[Block, ...]


def draw_all(drawn: Sequence[tuple[str, Callable[[], Chart | None]]]) -> tuple[Block, ...]:
    """The charts side by side; a chart that cannot be drawn becomes a visible problem."""
    charts: list[Chart] = []
    problems: list[Block] = []
    for name, draw in drawn:
        try:
            chart = draw()
        except Exception as error:
            problems.append(Problem(f"{name} could not be drawn ({type(error).__name__}: {str(error)[:200]})."))
        else:
            if chart is not None:
                charts.append(chart)
    return (*problems, *([Figures(tuple(charts))] if charts else []))


def badge_of(outcome: Outcome) -> Badge:
    """The outcome as a badge."""
    return Badge(outcome.value, SYMBOLS[outcome], outcome.value.lower())


def estimate_row(name: str, estimate: Estimate, *, as_percent: bool = True) -> tuple[str, ...]:
    """Name, value, interval, n and method of an estimate as cells."""
    if estimate.value is None:
        return (name, "not estimable", "", f"{estimate.n:,}", estimate.reason or "")
    value = percent(estimate.value) if as_percent else number(estimate.value)
    span = _unbroken(interval(estimate, as_percent=as_percent))
    method = estimate.method if estimate.low is not None else f"{estimate.method}; no interval: {estimate.reason}"
    return (name, _unbroken(value), span, f"{estimate.n:,}", method)


def estimate_cell(estimate: Estimate, *, as_percent: bool = True) -> str:
    """Value and interval in one cell, or why there is none."""
    if estimate.value is None:
        return f"not estimable: {estimate.reason}"
    value = percent(estimate.value) if as_percent else number(estimate.value)
    span = interval(estimate, as_percent=as_percent)
    return _unbroken(f"{value} ({span})" if span else value)


def _unbroken(text: str) -> str:
    """The text with no line break between a number and its sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def sizes_text(sizes: tuple[int, ...] | None) -> str:
    """ "2 × 2", or nothing."""
    return "" if sizes is None else " × ".join(str(size) for size in sizes)


def shape_text(shape: tuple[int | None, ...] | None) -> str:
    """ "? × 8 × 8 × 1", or "not known"."""
    return "not known" if shape is None else " × ".join("?" if size is None else str(size) for size in shape)


def _shown_width(png: str) -> int | None:
    """A picture of which columns were left out could hide the very thing it shows, so it is never made smaller."""
    try:
        head = base64.b64decode(png[:32], validate=True)
    except ValueError:
        return None
    own = int.from_bytes(head[16:20], "big") if head[12:16] == b"IHDR" else 0
    return own * max(1, _PICTURE_WIDTH // own) if own else None
