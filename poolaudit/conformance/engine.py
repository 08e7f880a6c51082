"""Runs jobs on workers: replaces those that die, cuts off those that hang, and makes a fatal case small."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

from poolaudit.conformance.deaths import Deaths, crashed, fatal
from poolaudit.conformance.falsify import Verdict
from poolaudit.conformance.kernel_sets import GPU_MODE, KERNEL_MODE, KERNEL_MODES, kernels_in_use
from poolaudit.conformance.known import KnownDivergence
from poolaudit.conformance.profiles import Profile
from poolaudit.conformance.property import all_properties
from poolaudit.conformance.sandbox import ForkServer, Worker, fork_server, release, signal_name
from poolaudit.conformance.subjects import Subject
from poolaudit.conformance.violations import Violation
from poolaudit.conformance.worker import Bench, Description, Job

Outcomes = dict[Job, Verdict]
Progress = Callable[[int, int, str], None]

_IN_PROCESS = (
    "the layer cannot be imported by another process and TensorFlow has already run here, so it was tried in this "
    "process, without protection against signals and hangs; move it into a module for that"
)


class Engine:
    """Worker processes for one check.

    Args:
        factory: A layer factory that no other process can import, or None.
        profile: The budget.
        workers: Processes at a time.
    """

    def __init__(self, factory: Any, profile: Profile, workers: int) -> None:
        self.profile, self.workers = profile, max(1, workers)
        self.notes: list[str] = []
        self._bench: Bench | None = None
        self._server: ForkServer | None = None
        self._others: dict[str, ForkServer] = {}
        self._idle: dict[int, list[Worker]] = {}
        self._deaths = Deaths(lambda job: self._server_for(job).fork(), profile, self.workers)
        if factory is not None and (_tensorflow_has_run() or not hasattr(__import__("os"), "fork")):
            self._bench = Bench(factory)
            self.notes.append(_IN_PROCESS)
        else:
            self._server = fork_server() if factory is None else ForkServer(factory)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # An interrupt may have struck in the middle of a request.
        done_with = release if kind is None or issubclass(kind, Exception) else ForkServer.close
        for server in (self._server, *self._others.values()):
            if server is not None:
                done_with(server)

    def describe(self, subjects: Sequence[Subject]) -> Iterator[tuple[Subject, Description]]:
        """What each subject is, as many at a time as there are workers."""
        if self._bench is not None:
            yield from ((subject, self._bench.describe(subject)) for subject in subjects)
            return
        for start in range(0, len(subjects), self.workers):
            asked = []
            for subject in subjects[start : start + self.workers]:
                worker = self._take(Job(subject))
                worker.start(Job(subject))
                asked.append((subject, worker))
            yield from [(subject, self._described(worker)) for subject, worker in asked]

    def reproduces(self, entry: KnownDivergence) -> bool:
        """Whether the reproduction of a known defect still fails as the list says; True where it cannot be tried."""
        if self._bench is not None:
            return True
        modes: tuple[str, ...] = ("eager", KERNEL_MODE)
        if entry.kernels != "any":
            modes = modes[:1] if entry.kernels == kernels_in_use() else modes[1:]
        return any(self._reproduces(entry, mode) for mode in modes)

    def _reproduces(self, entry: KnownDivergence, mode: str) -> bool:
        job = Job(Subject(entry.identifier, None), mode=mode, script=entry.reproduction)
        worker = self._server_for(job).fork()
        worker.start(job)
        try:
            if not worker.connection.poll(5.0 if "hang" in entry.shows else self.profile.hang_seconds):
                worker.end(kill=True)
                return True
            raised = str(worker.connection.recv()[1])
        except (EOFError, OSError):
            return (signal_name(worker.end()) or "") in entry.shows.split("|")
        worker.end(kill=True)
        return raised in entry.shows.split("|")

    def _described(self, worker: Worker) -> Description:
        assert worker.job is not None
        try:
            if not worker.connection.poll(4 * self.profile.hang_seconds):
                worker.end(kill=True)
                return Description(problem="building the layer and calling it once did not end", fatal=True)
            _, answer = worker.connection.recv()
        except (EOFError, OSError):
            name = signal_name(worker.end()) or "an exit"
            return Description(
                problem=f"building the layer and calling it once ended the process by {name}", fatal=True
            )
        self._give_back(worker)
        return answer if isinstance(answer, Description) else Description(problem=str(answer))

    def run(self, jobs: Sequence[Job], on_progress: Progress | None) -> Outcomes:
        """A verdict for every job, whatever happens to the processes."""
        if self._bench is not None:
            return self._run_here(jobs, on_progress)
        outcomes: Outcomes = {}
        total = len(jobs)
        for job in jobs:
            if job.mode in KERNEL_MODES:
                self._server_for(job)  # imports TensorFlow while the others are tried
        # One kernel set after the other: each has a server of its own, with TensorFlow loaded.
        for mode in ("", *KERNEL_MODES):
            group = [job for job in jobs if (job.mode if job.mode in KERNEL_MODES else "") == mode]
            self._run_group(list(reversed(group)), outcomes, total, on_progress)
        self._deaths.make_small(jobs, outcomes)
        return outcomes

    def _run_here(self, jobs: Sequence[Job], on_progress: Progress | None) -> Outcomes:
        assert self._bench is not None
        outcomes: Outcomes = {}
        for position, job in enumerate(jobs):
            if on_progress is not None:
                on_progress(position, len(jobs), _what(job))
            try:
                outcomes[job] = self._bench.run(job, lambda case: None)
            except Exception as error:
                outcomes[job] = crashed(job, f"{type(error).__name__}: {error}")
        return outcomes

    def _run_group(self, waiting: list[Job], outcomes: Outcomes, total: int, on_progress: Progress | None) -> None:
        busy: list[Worker] = []
        while waiting or busy:
            while waiting and len(busy) < self.workers:
                job = waiting.pop()
                worker = self._take(job)
                worker.start(job)
                busy.append(worker)
            ready = wait([worker.connection for worker in busy], timeout=0.5)
            for worker in list(busy):
                verdict = self._heard(worker) if worker.connection in ready else self._overdue(worker)
                if verdict is None:
                    continue
                busy.remove(worker)
                assert worker.job is not None
                outcomes[worker.job] = verdict
                if on_progress is not None:
                    on_progress(len(outcomes), total, _what(worker.job))

    def _heard(self, worker: Worker) -> Verdict | None:
        """The verdict, once it is there; the worker goes back or is replaced."""
        assert worker.job is not None
        try:
            while worker.connection.poll():
                kind, content = worker.connection.recv()
                worker.heard = time.monotonic()
                if kind == "example":
                    worker.last_case = content
                    continue
                self._give_back(worker)
                return content if isinstance(content, Verdict) else crashed(worker.job, str(content))
        except (EOFError, OSError):
            return self._deaths.died(worker)
        return None

    def _overdue(self, worker: Worker) -> Verdict | None:
        assert worker.job is not None
        seconds = all_properties().get(worker.job.property).hang_seconds or self.profile.hang_seconds
        limit = seconds if worker.last_case else 4 * self.profile.hang_seconds
        if time.monotonic() - worker.heard < limit or worker.starved(limit):
            return None
        worker.end(kill=True)
        if worker.last_case is None:
            return crashed(worker.job, "the worker did not begin within its time")
        violation = Violation(f"no result after {seconds:g} seconds", "a result or an exception", "the call hangs")
        return fatal(worker.job, worker.last_case, violation)

    def _server_for(self, job: Job) -> ForkServer:
        assert self._server is not None
        if job.mode not in KERNEL_MODES:
            return self._server
        if job.mode not in self._others:
            gpu = job.mode == GPU_MODE
            self._others[job.mode] = fork_server(toggle_onednn=not gpu, use_gpu=gpu)
        return self._others[job.mode]

    def _take(self, job: Job) -> Worker:
        server = self._server_for(job)
        idle = self._idle.setdefault(id(server), [])
        return idle.pop() if idle else server.fork()

    def _give_back(self, worker: Worker) -> None:
        self._idle.setdefault(id(worker.server), []).append(worker)


def _what(job: Job) -> str:
    return f"{job.subject.name}: {job.property} ({job.mode}, {job.dtype})"


def _tensorflow_has_run() -> bool:
    """Whether an operation ran in this process; from then on a fork of it may deadlock."""
    module = sys.modules.get("tensorflow.python.eager.context")
    context = getattr(module, "_context", None)
    return context is not None and bool(getattr(context, "_initialized", True))
