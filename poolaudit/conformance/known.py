"""The framework's own defects, from the data file that ships with the package."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

from poolaudit.conformance.case import Case
from poolaudit.conformance.kernel_sets import kernels_of
from poolaudit.conformance.triggers import TRIGGERS
from poolaudit.evidence.conformance import PropertyResult
from poolaudit.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class KnownDivergence:
    """One defect of TensorFlow or Keras.

    Attributes:
        identifier: Stable name.
        layer: Pattern of layer names, `*` and `?` allowed.
        property, mode, dtype: Patterns likewise.
        kernels: "any", "onednn" or "plain": the CPU kernels that have it.
        package: The package whose version counts: "tensorflow" or "keras".
        since, until: First and last affected version; empty where it is open.
        reason: One line.
        link: Where it is public; empty else.
        reproduction: A script of a few lines with TensorFlow alone; prints observed and expected.
        observed: Pattern of what the counterexample observed.
        title: What happens, in a few words; `expected` says what should, in a few words.
        trigger: Key of `triggers.TRIGGERS`: only cases that have it are explained, and the property is tried again
            without such cases, so that nothing hides behind this defect.
        cause: Identifier of the entry with the same root cause, where it is counted there.
        shows: How the reproduction fails while the defect lives: "hang", the name of a signal, or a pattern of the
            exception's name.
        operations: Types of TensorFlow operations: the entry is about custom layers whose graph holds one of them.
        also: Further (layer, property, mode, dtype, observed) patterns of the same defect, one mapping each.
    """

    identifier: str
    layer: str
    property: str
    mode: str = "*"
    dtype: str = "*"
    kernels: str = "any"
    package: str = "tensorflow"
    since: str = ""
    until: str = ""
    reason: str = ""
    link: str = ""
    reproduction: str = ""
    observed: str = "*"
    title: str = ""
    expected: str = ""
    trigger: str = ""
    cause: str = ""
    also: tuple[dict[str, str], ...] = ()
    operations: str = ""
    shows: str = "AssertionError"

    def covers(self, result: PropertyResult, case: Case | None = None) -> bool:
        """Whether a failure is this defect."""
        observed = result.counterexample.observed if result.counterexample else ""
        return (
            self.speaks_of(result, observed)
            and (not self.trigger or case is None or TRIGGERS[self.trigger](case))
            and self.concerns_installed(result.mode)
        )

    def speaks_of(self, result: PropertyResult, observed: str | None = None) -> bool:
        """Whether the patterns fit; what was observed is left aside where it is None."""
        own = {key: getattr(self, key) for key in ("layer", "property", "mode", "dtype", "observed")}
        values = {
            "layer": result.layer,
            "property": result.property,
            "mode": result.mode,
            "dtype": result.dtype,
            "observed": observed,
        }
        return any(
            all(
                value is None or any(fnmatch.fnmatchcase(value, one) for one in patterns[key].split("|"))
                for key, value in values.items()
            )
            for patterns in (own, *(own | more for more in self.also))
        )

    def concerns_installed(self, mode: str = "eager") -> bool:
        """Whether the installed version is in the affected range, and the kernels of this mode are."""
        installed = _version_numbers(_installed(self.package))
        if self.since and installed < _version_numbers(self.since):
            return False
        last = _version_numbers(self.until)
        if self.until and installed[: len(last)] > last:
            return False  # "2.21" stands for all its patch releases
        return self.kernels in ("any", kernels_of(mode))


@cache
def known_divergences() -> tuple[KnownDivergence, ...]:
    """All entries of the data file."""
    text = files("poolaudit.conformance").joinpath("known_divergences.toml").read_text(encoding="utf-8")
    return tuple(_entry(entry) for entry in tomllib.loads(text).get("divergence", ()))


def _entry(fields: dict[str, Any]) -> KnownDivergence:
    return KnownDivergence(**fields | {"also": tuple(fields.get("also", ()))})


def explanation(result: PropertyResult) -> str | None:
    """Identifier of the defect that explains a failure of a layer of the framework."""
    entry = explaining_entry(result)
    return None if entry is None else entry.identifier


def explaining_entry(result: PropertyResult, case: Case | None = None) -> KnownDivergence | None:
    """The defect that explains a failure of a layer of the framework."""
    if result.outcome is not Outcome.FAILED:
        return None
    return next((e for e in known_divergences() if not e.operations and e.covers(result, case)), None)


def explaining_operation(
    result: PropertyResult, case: Case | None, operations: Collection[str]
) -> KnownDivergence | None:
    """The defect of one of the operations that a custom layer calls, where it explains the failure."""
    if result.outcome is not Outcome.FAILED:
        return None
    about = (e for e in known_divergences() if e.operations and _any_of(e, operations))
    return next((entry for entry in about if entry.covers(result, case)), None)


def _any_of(entry: KnownDivergence, operations: Collection[str]) -> bool:
    return not set(entry.operations.split("|")).isdisjoint(operations)


def unshown_entries(results: Sequence[PropertyResult]) -> tuple[KnownDivergence, ...]:
    """Entries for the installed version that were tried in these results and did not show.

    They are stale where their reproduction no longer fails: drawn cases may miss what still lives.
    """
    shown = {result.known_divergence for result in results}
    return tuple(
        entry
        for entry in known_divergences()
        if not entry.operations
        and entry.identifier not in shown
        and any(
            result.outcome in (Outcome.PASSED, Outcome.FAILED)
            and entry.concerns_installed(result.mode)
            and entry.speaks_of(result)
            for result in results
        )
    )


@cache
def _installed(package: str) -> str:
    for name in (package, f"{package}-cpu", f"{package}-intel"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "0"


def _version_numbers(text: str) -> tuple[int, ...]:
    numbers = []
    for part in text.split(".")[:3]:
        digits = "".join(char for char in part if char.isdigit())
        numbers.append(int(digits) if digits else 0)
    return tuple(numbers)
