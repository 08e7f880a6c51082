"""The framework's own defects, from the data file that ships with the package."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from poolaudit.evidence.conformance import PropertyResult
from poolaudit.outcomes import Outcome

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class KnownDivergence:
    """One defect of TensorFlow or Keras.

    Attributes:
        identifier: Stable name.
        layer: Pattern of layer names, `*` and `?` allowed.
        property, mode, dtype: Patterns likewise.
        kernels: "any", "onednn" or "plain".
        package: The package whose version counts: "tensorflow" or "keras".
        since, until: First and last affected version; empty where it is open.
        reason: One line.
        link: Where it is public; empty else.
        reproduction: A script of a few lines.
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

    def covers(self, result: PropertyResult) -> bool:
        """Whether a failure is this defect."""
        observed = result.counterexample.observed if result.counterexample else ""
        return (
            fnmatch.fnmatchcase(result.layer, self.layer)
            and fnmatch.fnmatchcase(result.property, self.property)
            and fnmatch.fnmatchcase(result.mode, self.mode)
            and fnmatch.fnmatchcase(result.dtype, self.dtype)
            and fnmatch.fnmatchcase(observed, self.observed)
            and self.concerns_installed()
        )

    def concerns_installed(self) -> bool:
        """Whether the installed version is in the affected range, and the kernels in use are."""
        installed = _version_numbers(_installed(self.package))
        if self.since and installed < _version_numbers(self.since):
            return False
        if self.until and installed > _version_numbers(self.until):
            return False
        return self.kernels in ("any", _kernels())


@cache
def known_divergences() -> tuple[KnownDivergence, ...]:
    """All entries of the data file."""
    text = files("poolaudit.conformance").joinpath("known_divergences.toml").read_text(encoding="utf-8")
    return tuple(KnownDivergence(**entry) for entry in tomllib.loads(text).get("divergence", ()))


def explanation(result: PropertyResult) -> str | None:
    """Identifier of the defect that explains a failure of a layer of the framework."""
    if result.outcome is not Outcome.FAILED:
        return None
    return next((entry.identifier for entry in known_divergences() if entry.covers(result)), None)


def stale_entries(results: Sequence[PropertyResult]) -> tuple[str, ...]:
    """Entries for the installed version that were tried in these results and did not show."""
    stale = []
    for entry in known_divergences():
        if not entry.concerns_installed():
            continue
        tried = [
            result
            for result in results
            if result.outcome in (Outcome.PASSED, Outcome.FAILED)
            and fnmatch.fnmatchcase(result.layer, entry.layer)
            and fnmatch.fnmatchcase(result.property, entry.property)
            and fnmatch.fnmatchcase(result.mode, entry.mode)
            and fnmatch.fnmatchcase(result.dtype, entry.dtype)
        ]
        if tried and not any(entry.covers(result) for result in tried if result.outcome is Outcome.FAILED):
            stale.append(entry.identifier)
    return tuple(stale)


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


def _kernels() -> str:
    import os

    return "plain" if os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") in ("0", "false", "False") else "onednn"
