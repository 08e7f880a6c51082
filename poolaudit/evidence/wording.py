"""Numbers as a reader sees them: in findings, in the report and on the command line alike."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from poolaudit.evidence.estimates import Estimate

# Not behind another backslash: that is how `repr` writes a backslash of the text itself.
_ESCAPED_JOINER = re.compile(r"(?<!\\)\\u200([cd])")


def percent(value: float | None) -> str:
    """A rate for a reader: one decimal, never rounded up to a certainty it is not."""
    if value is None:
        return "not known"
    if 0.999 < value < 1.0:
        return f"{math.floor(value * 10_000) / 100:.2f} %"
    if 0.0 < value < 0.001:
        return f"{math.ceil(value * 10_000) / 100:.2f} %"
    return f"{100 * value:.1f} %"


def with_interval(estimate: Estimate) -> str:
    """The estimate with interval, n and method as one line of text, or the reason why there is none."""
    return _with_interval(estimate, percent, percent)


def difference_with_interval(estimate: Estimate) -> str:
    """A difference of two rates in percentage points, with interval, n and method, or why there is none."""
    return _with_interval(estimate, points, signed)


def _with_interval(estimate: Estimate, value: Callable[[float], str], end: Callable[[float], str]) -> str:
    if estimate.value is None:
        return f"not estimable: {estimate.reason}"
    if estimate.low is None or estimate.high is None:
        return f"{value(estimate.value)} (n = {estimate.n:,}; no interval: {estimate.reason})"
    return (
        f"{value(estimate.value)} ({end(estimate.low)} to {end(estimate.high)}, {100 * estimate.confidence:g} % "
        f"interval, n = {estimate.n:,}, {estimate.method})"
    )


def percentage_points(value: float | None) -> str:
    """A difference of two rates for a reader: a loss of 0.048 is no share of anything."""
    return "not known" if value is None else f"{100 * value:.1f} percentage points"


def more_seeds(count: int) -> str:
    return counted(count, "more seed")


def points(difference: float) -> str:
    """A difference of two rates, "+4.8 points"; never % of either rate."""
    return f"{signed(difference)} points"


def signed(difference: float) -> str:
    """A difference of two rates in percentage points with its sign and without its unit; no sign at zero."""
    text = f"{100 * difference:+.1f}"
    return "0.0" if float(text) == 0 else text


def counted(count: float, noun: str) -> str:
    """ "1 cell", "8 cells"."""
    return f"{count:,g} {noun}" if count == 1 else f"{count:,g} {noun}s"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number with `digits` decimals, for scores that are no shares."""
    return "not known" if value is None else f"{value:.{digits}f}"


def p_value(value: float) -> str:
    """ "p = 0.012", or a bound where more digits would tell nothing."""
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.2g}"


def interval(estimate: Estimate, *, as_percent: bool) -> str:
    """ "low to high", or an empty string where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    if as_percent:
        return f"{percent(estimate.low)} to {percent(estimate.high)}"
    return f"{number(estimate.low)} to {number(estimate.high)}"


def duration(seconds: float | None) -> str:
    """A short time with its unit, three digits: "12.3 µs", "4.56 ms", "1.20 s"."""
    if seconds is None:
        return "not known"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError


def times(ratio: Estimate) -> str:
    """A ratio with its interval, "1.03 (0.98 to 1.09)", or the reason why there is none."""
    if ratio.value is None:
        return f"not comparable: {ratio.reason}"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2f} (no interval: {ratio.reason})"
    return f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def joined(text: str) -> str:
    """The text with the joiners that `repr` wrote as escapes as characters again."""
    return _ESCAPED_JOINER.sub(lambda match: "\u200c" if match[1] == "c" else "\u200d", text)
