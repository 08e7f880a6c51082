"""How an example can end other than well."""

from __future__ import annotations

LOWEST_FOR_INFINITY = "the lowest finite number stands for -inf"
"""What is said of a layer that pads, or starts its maximum, as TensorFlow's kernels do."""


class Violation(Exception):
    """The property does not hold.

    Args:
        observed: What the layer did, ready to show.
        expected: What the property demands, ready to show.
        what: One sentence that says what differs.
    """

    def __init__(self, observed: str, expected: str, what: str = "") -> None:
        super().__init__(what or f"observed {observed}, expected {expected}")
        self.observed, self.expected, self.what = observed, expected, what


class Refused(Exception):
    """The layer raised where it was given a valid case; not a violation by itself.

    Args:
        stage: "construction", "call", "gradient", "shape", ...
        error: What it raised.
        deliberate: Whether it is an exception with which a layer says no.
    """

    def __init__(self, stage: str, error: BaseException, deliberate: bool) -> None:
        self.stage, self.error, self.deliberate = stage, error, deliberate
        self.error_name = type(error).__name__
        self.detail = _first_telling_line(str(error))[:200]
        super().__init__(f"{self.error_name} at {stage}: {self.detail}")


def _first_telling_line(text: str) -> str:
    """The first line, or, of an error while tracing, the one that names what happened."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()] or [""]
    if lines[0].startswith("in user code"):
        return next((line for line in lines[1:] if "Error: " in line), lines[0])
    return lines[0]


class NotApplicable(Exception):
    """The case says nothing about the property; another one must be drawn."""


class Unjudged(NotApplicable):
    """The property does not hold for a reason of the layer's construction, so it is reported as not judged."""
