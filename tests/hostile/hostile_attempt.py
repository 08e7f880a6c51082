"""Runs one command on one bad input and says what it did to the machine."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from poolaudit.cli.main import main

SECONDS_ALLOWED = 60
OUT, TEMPORARY = "out", "temporary"


@dataclass(slots=True)
class Tally:
    """What all attempts of a run came to, by door."""

    tried: Counter[str] = field(default_factory=Counter)
    tracebacks: int = 0
    hangs: int = 0
    written_outside: int = 0
    slowest: tuple[float, str] = (0.0, "")

    def line(self) -> str:
        doors = ", ".join(f"{door} {count}" for door, count in sorted(self.tried.items()))
        return (
            f"hostile input: {sum(self.tried.values())} tried ({doors}); {self.tracebacks} tracebacks, {self.hangs} "
            f"hangs, {self.written_outside} files written outside the output folder; slowest refusal "
            f"{self.slowest[0]:.1f} s ({self.slowest[1]})"
        )


TALLY = Tally()


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one command did.

    Attributes:
        messages: Lines on standard error that begin with "poolaudit: ".
        touched: Files changed, made or removed around the command, and what the interpreter opened for writing,
            started or unpickled elsewhere.
    """

    code: int
    out: str
    err: str
    messages: tuple[str, ...]
    touched: tuple[str, ...]
    seconds: float


class Hung(BaseException):
    """No Exception: nothing on the way may catch it."""


def attempt(arguments: Sequence[str], folder: Path) -> Attempt:
    """Runs the command line in this process, in `folder`, and watches the folder and the interpreter.

    The command may write below `folder`/out and into a folder of temporary files of its own, which must be empty after.
    """
    before = _contents(folder)
    out, err, here = io.StringIO(), io.StringIO(), Path.cwd()
    start = time.perf_counter()
    try:
        os.chdir(folder)
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            _temporary_files(folder / TEMPORARY),
            _watched(folder) as seen,
        ):
            code = _code(arguments)
    finally:
        os.chdir(here)
    seconds = time.perf_counter() - start
    after = _contents(folder)
    touched = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    touched += [f"left behind: {path}" for path in sorted((folder / TEMPORARY).iterdir())]
    said = err.getvalue()
    done = Attempt(
        code,
        out.getvalue(),
        said,
        tuple(line for line in said.splitlines() if line.startswith("poolaudit: ")),
        (*touched, *seen),
        seconds,
    )
    _count(arguments[0], done, " ".join(arguments)[:120])
    return done


def _count(door: str, done: Attempt, what: str) -> None:
    TALLY.tried[door] += 1
    TALLY.tracebacks += "Traceback" in done.err
    TALLY.hangs += done.code == -1
    TALLY.written_outside += len(done.touched)
    TALLY.slowest = max(TALLY.slowest, (done.seconds, what))


def _contents(folder: Path) -> dict[str, str]:
    """Every file, link and pipe around the command but those in the output folder, with a digest."""
    found = {}
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(at) / name
            if path.is_symlink():
                found[str(path)] = f"link {os.readlink(path)}"
            elif path.is_file():
                found[str(path)] = f"{path.stat().st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            elif path not in (folder / OUT, folder / TEMPORARY):
                found[str(path)] = "folder or pipe"
    return found


def _code(arguments: Sequence[str]) -> int:
    """The exit code; -1 where the command did not end in time."""
    try:
        with _alarm():
            main(list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Hung:
        return -1
    return 0


@contextlib.contextmanager
def _temporary_files(folder: Path) -> Iterator[None]:
    """A folder of temporary files that no other program uses."""
    folder.mkdir()
    old, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = old
        if variable is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = variable


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def late(*_: object) -> None:
        raise Hung(f"not done after {SECONDS_ALLOWED} s")

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS_ALLOWED)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


_watching: list[tuple[Path, list[str]]] = []
# What poolaudit's own processes send back.
_OF_PROCESSES = ("concurrent.futures.process", "poolaudit.conformance.")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _is_byte_code(path: Path) -> bool:
    """What Python, and pytest, keep of a module of ours that is imported for the first time."""
    return path.parent.name == "__pycache__" and (path.parent.parent / f"{path.name.split('.')[0]}.py").is_file()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    folder, seen = _watching[-1]
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, (str, bytes)) and isinstance(flags, int) and flags & _WRITES:
            full = os.path.abspath(os.fsdecode(path))
            if _is_byte_code(Path(full)):
                return
            if not f"{full}{os.sep}".startswith((f"{folder / OUT}{os.sep}", f"{folder / TEMPORARY}{os.sep}", "/dev/")):
                seen.append(f"opened for writing: {full}")
    elif event == "pickle.find_class" and arguments[0].startswith(_OF_PROCESSES):
        return
    elif event in ("os.system", "os.exec", "pickle.find_class", "socket.connect"):
        seen.append(f"{event} {arguments!r}"[:200])
    elif event in ("subprocess.Popen", "os.posix_spawn") and arguments[0] != sys.executable:
        seen.append(f"started {arguments[0]}")


sys.addaudithook(_hook)


@contextlib.contextmanager
def _watched(folder: Path) -> Iterator[list[str]]:
    seen: list[str] = []
    _watching.append((folder, seen))
    try:
        yield seen
    finally:
        _watching.pop()
