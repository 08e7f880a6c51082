"""Cases that end their process: told as findings, and made small with one fresh process a try."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from poolaudit.conformance.case import Case
from poolaudit.conformance.falsify import Verdict, counterexample
from poolaudit.conformance.fatal_scripts import fatal_script
from poolaudit.conformance.known import explaining_entry
from poolaudit.conformance.layer_under_test import Record
from poolaudit.conformance.profiles import Profile
from poolaudit.conformance.property import all_properties
from poolaudit.conformance.sandbox import Worker, signal_name
from poolaudit.conformance.shrinking import shrink
from poolaudit.conformance.violations import Violation
from poolaudit.conformance.worker import Job
from poolaudit.evidence.conformance import PropertyResult
from poolaudit.outcomes import Outcome


class Deaths:
    """Remembers which jobs a signal ended.

    Args:
        fork: Makes a fresh worker for a job.
        profile: The budget.
        workers: Processes at a time.
    """

    def __init__(self, fork: Callable[[Job], Worker], profile: Profile, workers: int) -> None:
        self.fork, self.profile, self.workers = fork, profile, workers
        self._signals: dict[Job, str] = {}
        self._shrunk: set[str] = set()

    def died(self, worker: Worker) -> Verdict:
        """The verdict on the job of a worker that ended, with the case as it was."""
        assert worker.job is not None
        job = worker.job
        name = signal_name(worker.end())
        if worker.last_case is None or name is None:
            return crashed(job, f"the worker process ended ({name or 'without a signal'}) before the first example")
        case = worker.last_case
        if name == "SIGKILL":
            told = f"the process was killed, perhaps for memory, at {case.describe()}"
            if case.flaw is not None:
                return Verdict(replace(crashed(job, told).result, outcome=Outcome.SKIPPED))
            return crashed(job, told)
        self._signals[job] = name
        return fatal(job, case, _killed(name))

    def make_small(self, jobs: Sequence[Job], outcomes: dict[Job, Verdict]) -> None:
        """Makes fatal cases small: in the order of the jobs, so that the same seed gives the same cases.

        Of a defect of the framework that is known already, the first case is enough; of a custom layer, the first case
        of each signal is made smallest.
        """
        chosen: dict[Job, int] = {}
        for job in jobs:
            if job not in self._signals or job.cases is not None or all_properties().get(job.property).corners:
                continue
            entry = explaining_entry(outcomes[job].result, outcomes[job].case) if job.subject.builtin else None
            cause = f"{job.subject.name}: {self._signals[job]}" if entry is None else entry.identifier
            if entry is None or cause not in self._shrunk:
                chosen[job] = 15 if job.subject.builtin else 6 if cause in self._shrunk else 60
            self._shrunk.add(cause)
        with ThreadPoolExecutor(self.workers) as pool:
            smaller = list(pool.map(lambda job: self._smaller(job, outcomes[job], chosen[job]), chosen))
        outcomes.update(zip(chosen, smaller, strict=True))

    def _smaller(self, job: Job, verdict: Verdict, tries: int) -> Verdict:
        name, case = self._signals[job], verdict.case
        assert case is not None
        seconds = 20.0 + self.profile.batch_seconds
        smallest = shrink(case, lambda candidate: self._dies(job, candidate, name), seconds, tries)
        return verdict if smallest == case else fatal(job, smallest, _killed(name))

    def _dies(self, job: Job, case: Case, name: str) -> bool:
        worker = self.fork(job)
        worker.start(Job(job.subject, job.property, job.mode, job.dtype, job.profile, job.seed, (case,), job.flaw))
        ends = time.monotonic() + self.profile.hang_seconds
        try:
            while time.monotonic() < ends:
                if worker.connection.poll(0.5) and worker.connection.recv()[0] == "done":
                    worker.end(kill=True)
                    return False
        except (EOFError, OSError):
            return signal_name(worker.end()) == name
        worker.end(kill=True)
        return False


def fatal(job: Job, case: Case, violation: Violation) -> Verdict:
    """The failure of a job whose process ended, or was ended, on a case."""
    prop = all_properties().get(job.property)
    found = counterexample(prop, case, job.mode, violation, Record())
    snippet = fatal_script(job, case, violation, prop.doc.title)
    found = type(found)(found.configuration, snippet, found.observed, found.expected)
    result = PropertyResult(
        job.subject.name, job.property, Outcome.FAILED, job.mode, job.dtype, counterexample=found, examples=1
    )
    return Verdict(result, case)


def _killed(name: str) -> Violation:
    return Violation(f"the process dies by {name}", "a result or an exception", f"killed by {name}")


def crashed(job: Job, reason: str) -> Verdict:
    """The verdict on a job that came to no result."""
    return Verdict(PropertyResult(job.subject.name, job.property, Outcome.CRASHED, job.mode, job.dtype, reason=reason))
