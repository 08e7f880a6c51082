"""How an example can end other than well."""

from __future__ import annotations


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
        text = str(error).strip().splitlines() or [""]
        self.stage, self.deliberate = stage, deliberate
        self.error_name = type(error).__name__
        self.detail = text[0][:200]
        super().__init__(f"{self.error_name} at {stage}: {self.detail}")


class NotApplicable(Exception):
    """The case says nothing about the property; another one must be drawn."""


class Unjudged(NotApplicable):
    """The property does not hold for a reason of the layer's construction, so it is reported as not judged."""
