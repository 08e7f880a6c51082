"""What the commands that run an audit share: options, progress, writing, the summary on the screen."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poolaudit.baseline import apply_baseline, load_baseline
from poolaudit.cli.printing import printable, say, say_data
from poolaudit.cli.quiet import import_tensorflow
from poolaudit.errors import InvalidInputError, listed
from poolaudit.events import Event, Listener, StageFinished, StageNews, StageProgress, StageStarted, silent
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.verdict import fails_release
from poolaudit.policy import Policy, load_policy
from poolaudit.results import AuditResult

if TYPE_CHECKING:
    from poolaudit.audit import AuditPlan


def _folder(text: str | Path) -> Path:
    if not str(text).strip():
        # pathlib reads it as the working folder; it is a variable that was not set.
        raise typer.BadParameter("it is empty; name a folder, for example poolaudit-report")
    return Path(text)


Out = Annotated[
    Path,
    typer.Option("--out", parser=_folder, metavar="DIR", help="Folder for the report and the files beside it."),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="TOML file with thresholds. [default: poolaudit.toml or pyproject.toml here]"),
]
FailLevel = Annotated[
    str | None, typer.Option("--fail-level", help="Exit with 1 from this severity on: critical, major, minor or info.")
]


def _readable_baseline(file: Path | None) -> Path | None:
    """Reads the baseline before any work begins: one that cannot be read must not cost the result of an hour."""
    if file is not None:
        load_baseline(file)
    return file


Baseline = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        help="TOML file of accepted findings (see poolaudit accept): fail only on new ones.",
        callback=_readable_baseline,
    ),
]
Positive = Annotated[str | None, typer.Option("--positive", help="The class of interest. [default: judge each class]")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output, nothing else.")]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes", min=0.01, help="Begin no new seeds after this time. [default: none; 10 in a standard audit]"
    ),
]
Seeds = Annotated[int | None, typer.Option("--seeds", min=3, help="Seeds a variant gets at most. [default: 12]")]
Epochs = Annotated[
    int | None, typer.Option("--epochs", min=1, help="Epochs of a trial. [default: the recipe's, or 20]")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Title = Annotated[str | None, typer.Option("--title", help="Title of the report.")]

DEFAULT_OUT = Path("poolaudit-report")
_SECONDS_BETWEEN_LINES = 15.0
_LARGEST_FILE_LOOKED_INTO = 2**26


def chosen_policy(file: Path | None, fail_level: str | None) -> Policy:
    """The policy from file or defaults, with the fail level of the command line on top."""
    policy = load_policy(file)
    if fail_level is None:
        return policy
    levels = [level.value for level in Severity]
    if fail_level not in levels:
        raise InvalidInputError(f"--fail-level is {fail_level!r}", listed(levels))
    return replace(policy, fail_level=Severity(fail_level))


def command_line() -> str:
    """The command as typed, without absolute paths: the report may be shown to others."""
    return shlex.join(["poolaudit", *(_without_folder(word) for word in sys.argv[1:])])


def write_result(result: AuditResult, out: Path) -> Path:
    """Writes the report and everything beside it into `out`, all whole or not at all; returns the report's path."""
    from poolaudit.report.files import MODEL_INDEX, render_all
    from poolaudit.store.atomic import write_together

    # The model index of an earlier run would stand beside a result it does not belong to.
    files: dict[str, bytes | None] = {MODEL_INDEX: None, **render_all(result)}
    write_together({out / name: content for name, content in files.items()})
    return out / "report.html"


def replaced_report(result: AuditResult, out: Path) -> str | None:
    """One line on the report of something else that `result` is about to replace; None where there is none.

    What lies there may come from anybody, so it is read for its title alone and shown as text.
    """
    try:
        file = out / "result.json"
        if not file.is_file() or file.stat().st_size > _LARGEST_FILE_LOOKED_INTO:
            return None
        old = json.loads(file.read_bytes())
        title, scope, command = old["title"], old["scope"], old["provenance"]["command"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not (isinstance(title, str) and isinstance(command, str)):
        return None
    if (title, scope, _verb(command)) == (result.title, result.scope, _verb(result.provenance.command)):
        return None
    return (
        f"Replaced the report of '{_one_line(title)}' ({_one_line(_verb(command))}) that lay there; --out names "
        "another folder."
    )


def _verb(command: str) -> str:
    return " ".join(command.split(maxsplit=2)[:2])


def _one_line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 80 else f"{flat[:79]}…"


def with_baseline(result: AuditResult, file: Path | None) -> AuditResult:
    """The result with what the baseline accepts marked."""
    return result if file is None else apply_baseline(result, file)


def stored_result(path: Path) -> AuditResult:
    """A stored result, checked and judged again: what its file says of verdict and findings is not believed.

    Raises:
        InvalidInputError: The file is missing, is no result, or contradicts itself.
    """
    from poolaudit.audit import judge_stored
    from poolaudit.store.results import load_result

    return judge_stored(load_result(path), path.name)


def run(plan: AuditPlan, *, quiet: bool) -> AuditResult:
    """Runs the plan with progress on the screen, which is taken off again whatever happens."""
    from poolaudit.audit import run_audit

    listener = progress_listener(quiet=quiet)
    try:
        if plan.model is None:
            return run_audit(plan, listener)
        with _processes_ahead(plan):
            import_tensorflow()
            return run_audit(plan, listener)
    finally:
        close(listener)


def _processes_ahead(plan: AuditPlan) -> contextlib.AbstractContextManager[None]:
    """The conformance stage's processes import TensorFlow while this one does."""
    if "conformance" not in plan.stages_to_run:
        return contextlib.nullcontext()
    from poolaudit.conformance.profiles import profile_named
    from poolaudit.conformance.sandbox import started_ahead

    return started_ahead(with_other_kernels=profile_named(plan.budget).second_process)


def finish(
    result: AuditResult,
    out: Path,
    *,
    as_json: bool,
    quiet: bool,
    baseline: Path | None = None,
    told: Callable[[AuditResult], str] | None = None,
) -> int:
    """Writes the result, tells the user (in the words of `told`, by default a summary), and returns the exit code."""
    result = with_baseline(result, baseline)
    replaced = replaced_report(result, out)
    report = write_result(result, out)
    if as_json:
        print_json(result)
    elif not quiet:
        say((told or summary)(result))
        say(f"\nReport: {report}\nResult: {out / 'result.json'}")
    if replaced is not None and not quiet:
        say(replaced, err=as_json)
    return exit_code(result)


def print_json(result: AuditResult) -> None:
    """The result as it stands in result.json, on standard output."""
    from poolaudit.store.results import encode_result

    say_data(encode_result(result).decode())


def exit_code(result: AuditResult) -> int:
    """1 where an open finding is at or above the fail level, a stage crashed or nothing could be checked, else 0."""
    return int(fails_release(result))


def step_listener(listener: Listener) -> Callable[[int, int, str], None]:
    """A listener for work that counts steps and is one stage in itself."""
    listener(StageStarted("conformance", 1, 1))
    return lambda done, total, what: listener(StageProgress("conformance", done, total, what))


def summary(result: AuditResult) -> str:
    """The verdict, what decided it, and the checks, as a few lines of plain text."""
    from poolaudit.report.machine import void_acceptances

    symbols = {
        Outcome.PASSED: "ok  ",
        Outcome.FAILED: "FAIL",
        Outcome.UNDECIDED: "?   ",
        Outcome.SKIPPED: "-   ",
        Outcome.CRASHED: "!!  ",
    }
    lines = ["", f"{result.verdict.value.replace('_', ' ')}: {result.title}", ""]
    if result.stages_not_run:
        lines[1] += f" (as far as it was looked at; not run: {', '.join(result.stages_not_run)})"
    lines += [f"  Note: {note}" for note in (*result.notes, *void_acceptances(result))]
    lines += [f"  {number}. {reason}" for number, reason in enumerate(result.decision.reasons[:3], start=1)]
    more = len(result.decision.reasons) - 3
    lines += [f"     and {more} more, in the report"] if more > 0 else []
    lines += ["", "Checks"]
    for f in result.findings:
        if f.outcome is Outcome.SKIPPED:
            continue
        accepted = result.acceptance_of(f)
        note = "" if accepted is None else f"  (accepted until {accepted.expires}: {accepted.reason})"
        lines.append(f"  {symbols[f.outcome]}  {f.code}  {f.severity.value:<8}  {f.title}{note}")
    skipped = [f.code for f in result.findings if f.outcome is Outcome.SKIPPED]
    lines += [f"  {symbols[Outcome.SKIPPED]}  skipped: {', '.join(skipped)}"] if skipped else []
    if result.not_assessed:
        lines += ["", f"Not assessed ({len(result.not_assessed)})"]
        lines += [f"  {item.what}: {item.reason}" for item in result.not_assessed[:8]]
        more = len(result.not_assessed) - 8
        lines += [f"  and {more} more, in the report"] if more > 0 else []
    return "\n".join(lines)


def progress_listener(*, quiet: bool) -> Listener:
    """Progress on standard error: a live bar on a terminal, a line a stage elsewhere, nothing when quiet."""
    if quiet:
        return silent
    terminal = sys.stderr is not None and sys.stderr.isatty()  # None where it was closed
    return _Bar() if terminal and os.environ.get("TERM") != "dumb" else _Lines()


def close(listener: Listener) -> None:
    """Takes the live bar off the screen, whatever happened."""
    if isinstance(listener, _Bar):
        listener.stop()


class _Bar:
    """A Rich progress bar that listens to events."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[what]}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("loading", total=None, what="")
        self._progress.start()

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._progress.update(
                self._task, description=f"{event.stage} ({event.position} of {event.total})", what="", completed=0
            )
        elif isinstance(event, StageProgress):
            self._progress.update(self._task, completed=event.done, total=event.total, what=printable(event.what))
        elif isinstance(event, StageNews):
            self._progress.console.print(printable(event.text), markup=False, highlight=False)

    def stop(self) -> None:
        self._progress.stop()


class _Lines:
    """A line a stage, and one now and then where a stage takes long."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageProgress) and time.monotonic() - self._told > _SECONDS_BETWEEN_LINES:
            self._told = time.monotonic()
            say(f"  {event.done} of {event.total}  {event.what}", err=True)
        _lines(event)


def _lines(event: Event) -> None:
    if isinstance(event, StageStarted):
        say(f"{event.stage} ({event.position} of {event.total}) ...", err=True)
    elif isinstance(event, StageNews):
        say(event.text, err=True)
    elif isinstance(event, StageFinished):
        reason = f": {event.reason}" if event.reason else ""
        how = "done" if event.outcome is Outcome.PASSED else event.outcome.value.lower()
        say(f"{event.stage} {how} in {event.duration_seconds:.1f} s{reason}", err=True)


def _without_folder(word: str) -> str:
    option, equals, value = word.partition("=")
    if equals and option.startswith("--"):
        return f"{option}={_without_folder(value)}"
    return Path(word).name if os.path.isabs(word) else word


def parse_size(text: str | None) -> tuple[int, int] | None:
    """ "224x224" as (224, 224)."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and 0 < int(part) <= 16_384 for part in parts):
        raise InvalidInputError(f"--resize is {text!r}", "HEIGHTxWIDTH in pixels, for example 224x224")
    return int(parts[0]), int(parts[1])


def parse_names(text: str | None) -> tuple[str, ...] | None:
    """ "cat,dog" as ("cat", "dog")."""
    if text is None:
        return None
    names: Sequence[str] = [name.strip() for name in text.split(",")]
    if any(not name for name in names):
        raise InvalidInputError(f"--classes is {text!r}", "names with commas between them, for example cat,dog")
    return tuple(names)
