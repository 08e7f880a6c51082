"""What a worker process does: describes subjects and runs jobs.

Messages are pickled by `multiprocessing.connection` between processes of our own, over pairs of sockets that have no
name and that nobody else can reach.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from poolaudit.conformance.case import Case
from poolaudit.conformance.drawing import flaws_for
from poolaudit.conformance.falsify import Verdict, falsify
from poolaudit.conformance.loading import LoadedSubject, load
from poolaudit.conformance.profiles import Profile
from poolaudit.conformance.property import all_properties
from poolaudit.conformance.subjects import Subject, resolve
from poolaudit.errors import PoolauditError

_SET_SIGNAL_AT_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


@dataclass(frozen=True, slots=True)
class Job:
    """One property on one subject in one mode and dtype; `property` is "" to have the subject described.

    `flaw` narrows the property that demands refusals to one flaw, so that none hides another;
    `avoid` names triggers of known divergences, cases with which are left out. `script` is a reproduction to run
    instead of all this.
    """

    subject: Subject
    property: str = ""
    mode: str = "eager"
    dtype: str = "float32"
    profile: Profile | None = None
    seed: int = 0
    cases: tuple[Case, ...] | None = None
    flaw: str | None = None
    avoid: tuple[str, ...] = ()
    script: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """What a worker found out about a subject; `problem` where it cannot be tried at all.

    `fatal` says that a signal or a time limit ended the process that tried; `unusable` that what was named is no layer.
    """

    like: str = "unknown"
    dims: int = 2
    layout: str = "any"
    taken: tuple[str, ...] = ()
    is_layer: bool = True
    takes_mask: bool = False
    delegates: bool = False
    announces_dtype: bool = True
    operations: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str | None = None
    fatal: bool = False
    unusable: bool = False


class Bench:
    """Runs jobs, with loaded subjects kept; the factory of a subject that cannot be imported is handed in."""

    def __init__(self, factory: Callable[..., Any] | None = None) -> None:
        self.factory = factory
        self._loaded: dict[Subject, LoadedSubject] = {}

    def loaded(self, subject: Subject) -> LoadedSubject:
        if subject not in self._loaded:
            import keras

            keras.config.disable_traceback_filtering()
            factory = self.factory
            if subject.reference is not None:
                factory = resolve(subject.reference)
            if factory is None:
                raise RuntimeError(f"{subject.name} has no factory here")
            self._loaded[subject] = load(subject, factory)
        return self._loaded[subject]

    def describe(self, subject: Subject) -> Description:
        """Kind, rank and what can be given."""
        from poolaudit.conformance.traits_of_layer import (
            announces_dtype,
            delegates_to_pooling,
            is_keras_layer,
            operations_of,
            takes_mask,
        )

        try:
            loaded = self.loaded(subject)
        except PoolauditError as error:
            return Description(problem=str(error), unusable=True)
        except Exception as error:
            return Description(problem=f"it cannot be loaded ({type(error).__name__}: {str(error)[:200]})")
        return Description(
            loaded.like,
            loaded.dims,
            loaded.layout,
            tuple(loaded.taken),
            is_keras_layer(loaded),
            takes_mask(loaded),
            delegates_to_pooling(loaded),
            announces_dtype(loaded),
            () if subject.builtin else tuple(sorted(operations_of(loaded))),
            flaws_for(loaded),
            loaded.notes,
        )

    def run(self, job: Job, announce: Callable[[Case], None]) -> Verdict:
        """The verdict on one job."""
        prop = all_properties().get(job.property)
        assert job.profile is not None
        loaded = self.loaded(job.subject)
        return falsify(
            loaded, prop, job.mode, job.dtype, job.profile, job.seed, announce, job.cases, job.flaw, job.avoid
        )


def serve_jobs(connection: Connection, bench: Bench) -> None:
    """The loop of a worker: a job in, examples and a verdict out, until the other side closes."""
    while True:
        try:
            job: Job = connection.recv()
        except (EOFError, OSError):
            return
        try:
            if job.script:
                answer: object = _raised_by(job.script)
            elif not job.property:
                answer = bench.describe(job.subject)
            else:
                answer = bench.run(job, lambda case: connection.send(("example", case)))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            answer = f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"
        connection.send(("done", answer))


def _raised_by(script: str) -> str:
    """Name of the exception with which a script of our own list ends; empty where it runs through."""
    try:
        exec(compile(script, "reproduction", "exec"), {"__name__": "__main__"})  # noqa: S102 - the list ships with us
    except Exception as error:  # the name is the answer
        return type(error).__name__
    return ""


def fork_worker(
    line: Connection,
    other: Connection,
    folder: str,
    factory: Callable[..., Any] | None = None,
    *,
    ends_with_parent: bool = False,
) -> int:
    """Forks a worker that serves the line; returns its process id in the parent.

    Args:
        other: What the worker must not hold open: whoever waits for its end would not see it.
        folder: For temporary files, which a process that is killed cannot remove.
        ends_with_parent: On Linux the worker is killed when the thread that forks it ends, even amid a call.
    """
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's affair
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        other.close()
        if ends_with_parent and sys.platform == "linux":
            ctypes.CDLL(None).prctl(_SET_SIGNAL_AT_PARENTS_DEATH, signal.SIGKILL)
        _keep_files_in(folder)
        serve_jobs(line, Bench(factory))
        status = 0
    finally:
        os._exit(status)


def _keep_files_in(folder: str) -> None:
    """TensorFlow writes code it made among the temporary files, and Hypothesis what it knows to the working folder."""
    from hypothesis.configuration import set_hypothesis_home_dir

    os.environ["TMPDIR"] = tempfile.tempdir = folder
    set_hypothesis_home_dir(os.path.join(folder, "hypothesis"))
