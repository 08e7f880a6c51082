"""How much is tried: examples by what one costs, and how long one may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from poolaudit.errors import InvalidInputError, did_you_mean


@dataclass(frozen=True, slots=True)
class Profile:
    """A budget.

    Attributes:
        examples: Cost class of a property to the number of drawn examples.
        classics: Cost class to the number of designed cases that come first.
        dtypes: How many of a property's dtypes are tried.
        modes: Which of a property's modes are tried.
        shrinks: Examples spent on making a counterexample smaller.
        hang_seconds: One example that takes longer is cut off.
        batch_seconds: One property in one mode and dtype starts no further example after this.
        second_process: Whether the other kernel set is tried in a second process.
    """

    name: str
    examples: Mapping[str, int] = field(hash=False)
    classics: Mapping[str, int] = field(hash=False)
    dtypes: int
    modes: tuple[str, ...]
    shrinks: int
    hang_seconds: float
    batch_seconds: float
    second_process: bool


PROFILES: dict[str, Profile] = {
    "quick": Profile(
        "quick",
        {"cheap": 12, "medium": 6, "trace": 2, "compile": 2, "slow": 0},
        {"cheap": 8, "medium": 6, "trace": 2, "compile": 1, "slow": 1},
        2,
        ("eager", "graph_unknown_sizes"),
        60,
        60.0,
        15.0,
        False,
    ),
    "standard": Profile(
        "standard",
        {"cheap": 40, "medium": 20, "trace": 6, "compile": 3, "slow": 1},
        {"cheap": 20, "medium": 12, "trace": 5, "compile": 2, "slow": 2},
        4,
        ("eager", "graph", "graph_unknown_sizes", "xla"),
        150,
        60.0,
        60.0,
        True,
    ),
    "thorough": Profile(
        "thorough",
        {"cheap": 250, "medium": 120, "trace": 40, "compile": 15, "slow": 12},
        {"cheap": 20, "medium": 20, "trace": 10, "compile": 6, "slow": 4},
        4,
        ("eager", "graph", "graph_unknown_sizes", "xla"),
        400,
        120.0,
        240.0,
        True,
    ),
}


def profile_named(name: str) -> Profile:
    """Raises InvalidInputError for a name that does not exist."""
    if name not in PROFILES:
        raise InvalidInputError(f"There is no profile {name!r}", ", ".join(PROFILES), did_you_mean(name, PROFILES))
    return PROFILES[name]
