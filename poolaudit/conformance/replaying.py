"""Runs the script of a counterexample again, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from poolaudit.conformance.sandbox import signal_name
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.conformance import Counterexample


def replay(source: str | Path | Counterexample | dict[str, Any], timeout_seconds: float = 120.0) -> str:
    """Runs the script of a counterexample in a process of its own and returns what it printed.

    Where a signal ends it, the text says which. The script comes from a result of your own: it is code, so replay no
    file that you would not run.

    Args:
        source: A counterexample, its script, or a JSON file with a list of results (each failing one is replayed).
        timeout_seconds: After which a script is ended.
    """
    return "\n\n".join(_told(script, timeout_seconds) for script in scripts_of(source))


def _told(script: str, timeout_seconds: float) -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=timeout_seconds
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {timeout_seconds:g} seconds"
    name = signal_name(-done.returncode) if done.returncode < 0 else None
    error = done.stderr.strip().splitlines()[-1:] if done.returncode > 0 else []
    return "\n".join([done.stdout.strip(), *error, *([f"ended by {name}"] if name else [])]).strip()


def scripts_of(source: str | Path | Counterexample | dict[str, Any]) -> list[str]:
    """The scripts that `replay` runs for a source; none where a file holds no counterexample."""
    if isinstance(source, Counterexample):
        return [source.snippet]
    if isinstance(source, dict):
        return [str(source["snippet"])]
    path = Path(source)
    if path.suffix == ".py":
        return [path.read_text(encoding="utf-8")]
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [entry["counterexample"]["snippet"] for entry in entries if entry.get("counterexample")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"{path} cannot be replayed ({error})", "a .py script, or the JSON file that `--json` wrote"
        ) from error
