"""What the property-based tests of the layers found."""

from __future__ import annotations

from dataclasses import dataclass

from poolaudit.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Counterexample:
    """The smallest case found that breaks a property.

    Attributes:
        configuration: The layer's configuration and the input, ready to show.
        snippet: A script of a few lines that replays the case with TensorFlow alone.
        observed: What the layer did.
        expected: What the property demands.
    """

    configuration: str
    snippet: str
    observed: str
    expected: str


@dataclass(frozen=True, slots=True)
class PropertyResult:
    """One property, tried on one layer in one mode and dtype.

    Attributes:
        layer: The layer's name.
        property: The property's name.
        outcome: PASSED where no counterexample was found in `examples` tries.
        mode: "eager", "graph", "graph_unknown_sizes", "xla", ... or "all" for properties that compare modes.
        dtype: "float32", ... or a policy such as "mixed_float16".
        known_divergence: Identifier of the framework's own defect that explains a failure; None where it is new.
        counterexample: Present where the outcome is FAILED.
        reason: Present where the outcome is UNDECIDED, SKIPPED or CRASHED.
        examples: How many cases were tried.
    """

    layer: str
    property: str
    outcome: Outcome
    mode: str
    dtype: str
    known_divergence: str | None = None
    counterexample: Counterexample | None = None
    reason: str | None = None
    examples: int = 0
