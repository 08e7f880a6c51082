"""The thresholds that turn estimates into findings, and their file."""

from __future__ import annotations

import math
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.outcomes import Severity

_FILE_LIMIT_BYTES = 1_000_000
_MOST_DOTS = 1000
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Policy:
    """What the team demands of a release. All rates lie in [0, 1].

    Attributes:
        good_accuracy: Accuracy above this is good.
        good_precision: Precision of the class of interest at or above this is good.
        good_recall: Recall of the class of interest at or above this is good.
        bad_accuracy: Accuracy below this stops the release.
        bad_recall: Recall below this stops the release.
        precision_recall_gap: Recall further below precision than this, and below `bad_recall`, stops the release.
        smallest_effect: The smallest change of recall that matters.
        confidence: Coverage of every interval.
        family_wise_error: Chance of any false alarm over a family of comparisons.
        fail_level: Findings of this severity or heavier make the command exit with 1.
    """

    good_accuracy: float = 0.85
    good_precision: float = 0.85
    good_recall: float = 0.85
    bad_accuracy: float = 0.70
    bad_recall: float = 0.70
    precision_recall_gap: float = 0.20
    smallest_effect: float = 0.03
    confidence: float = 0.95
    family_wise_error: float = 0.05
    fail_level: Severity = Severity.MAJOR

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "fail_level":
                continue
            if not math.isfinite(value) or not 0.0 <= value <= 1.0:
                raise InvalidInputError(f"Policy key {field.name!r} is {value!r}", "a number from 0 to 1")
        if not 0.5 <= self.confidence < 1.0:
            raise InvalidInputError(f"Policy key 'confidence' is {self.confidence!r}", "0.5 to below 1")
        if not 0.0 < self.family_wise_error < 1.0:
            raise InvalidInputError(
                f"Policy key 'family_wise_error' is {self.family_wise_error!r}", "above 0 and below 1"
            )
        for bad, good in (("bad_accuracy", "good_accuracy"), ("bad_recall", "good_recall")):
            if getattr(self, bad) > getattr(self, good):
                raise InvalidInputError(
                    f"Policy key {bad!r} ({getattr(self, bad)}) is above {good!r} ({getattr(self, good)})",
                    f"{bad} <= {good}",
                )


def policy_from_mapping(values: Mapping[str, Any], origin: str) -> Policy:
    """Policy with the given keys changed.

    Args:
        values: Policy keys to values, as read from TOML.
        origin: What the values came from, for messages.

    Raises:
        InvalidInputError: A key is unknown or a value is of the wrong type or out of range.
    """
    known = {field.name for field in fields(Policy)}
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise InvalidInputError(
                f"Unknown policy key {key!r} in {origin}", listed(sorted(known), 20), did_you_mean(key, known)
            )
        if key == "fail_level":
            levels = [level.value for level in Severity]
            if value not in levels:
                raise InvalidInputError(f"Policy key 'fail_level' is {value!r} in {origin}", listed(levels))
            changes[key] = Severity(value)
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise InvalidInputError(f"Policy key {key!r} is {value!r} in {origin}", "a number from 0 to 1")
        else:
            changes[key] = float(value)
    return Policy(**changes)


def load_policy(path: Path | None, *, folder: Path | None = None) -> Policy:
    """Policy from `path`, else from `poolaudit.toml` or `[tool.poolaudit]` in `folder`, else the defaults.

    Raises:
        InvalidInputError: The file is missing, is not TOML, or holds a key or value that is not allowed.
    """
    if path is not None:
        values = read_toml(path)
        if path.name != "pyproject.toml":
            return policy_from_mapping(values, path.name)
        table = _own_table(values)
        if table is None:
            raise InvalidInputError("pyproject.toml holds no [tool.poolaudit]", "a table of that name with policy keys")
        return policy_from_mapping(table, "[tool.poolaudit] of pyproject.toml")
    folder = folder or Path()
    if (folder / "poolaudit.toml").is_file():
        return policy_from_mapping(read_toml(folder / "poolaudit.toml"), "poolaudit.toml")
    if (folder / "pyproject.toml").is_file():
        table = _own_table(read_toml(folder / "pyproject.toml"))
        return policy_from_mapping(table or {}, "[tool.poolaudit] of pyproject.toml")
    return Policy()


def read_toml(path: Path, what: str = "Policy file", limit_bytes: int = _FILE_LIMIT_BYTES) -> dict[str, Any]:
    """The table a small TOML file holds.

    Raises:
        InvalidInputError: The file is missing, unreadable, over the limit or not TOML; `what` names it in the message.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device may never end
            raise InvalidInputError(f"{what} {path.name!r} cannot be read: it is no file", "a TOML file")
        if status.st_size > limit_bytes:
            raise InvalidInputError(
                f"{what} {path.name!r} is larger than {limit_bytes // 1_000_000} MB", "a small TOML file"
            )
        text = path.read_text(encoding="utf-8-sig")
        if any(_QUOTED.sub("", line).count(".") > _MOST_DOTS for line in text.splitlines()):
            # A dotted key takes the parser time with the square of its parts: an hour for a file of 1 MB.
            raise InvalidInputError(f"{what} {path.name!r} has a line of over {_MOST_DOTS} dots", "a small TOML file")
        values: dict[str, Any] = tomllib.loads(text)
        return values
    except FileNotFoundError:
        siblings = [entry.name for entry in path.parent.glob("*.toml")]
        raise InvalidInputError(
            f"{what} {str(path)!r} does not exist",
            "a TOML file",
            did_you_mean(path.name, siblings) or "Check the name, or leave the option out",
        ) from None
    except OSError as error:
        raise InvalidInputError(f"{what} {str(path)!r} cannot be read: {error.strerror}") from None
    except InvalidInputError:
        raise
    except (ValueError, RecursionError) as error:  # ValueError: no TOML, no UTF-8, a number of thousands of digits
        raise InvalidInputError(f"{what} {path.name!r} is not valid TOML: {error}") from None


def _own_table(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """[tool.poolaudit] of a pyproject.toml; None where there is none."""
    table: Any = values
    for key in ("tool", "poolaudit"):
        table = table.get(key)
        if table is None:
            return None
        if not isinstance(table, dict):
            raise InvalidInputError(f"{key!r} in pyproject.toml is {table!r}", "a table: [tool.poolaudit]")
    return dict(table)
