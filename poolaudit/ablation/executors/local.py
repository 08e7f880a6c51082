"""Trials in worker processes on this machine.

Workers are started afresh (never forked: TensorFlow does not survive it), each with its share of the cores. One that
dies is replaced and its trial goes on from its last epoch; one that has grown beyond its share of the memory is
replaced between trials.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from poolaudit.ablation.executors.executor import EpochDone, OnEvent, TrialDone
from poolaudit.ablation.trial import TrialSpec, search_path
from poolaudit.errors import PoolauditError
from poolaudit.store.trials import NoSpaceError, TrialStore

MOST_DEATHS = 3
# A worker hangs where it says nothing for so many times the longest epoch so far: removing pooling can make an epoch
# dozens of times longer, hardly more. Before any epoch has ended, nothing tells a long one from a hanging one.
_EPOCHS_OF_SILENCE = 50
_LAST_WORDS = 2_000


class WorkerError(PoolauditError):
    """Workers cannot be started on this machine."""


@dataclass(slots=True, eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    commands: IO[str]
    answers: int
    log: IO[bytes]
    spec: TrialSpec | None = None
    is_ready: bool = False
    unread: bytes = b""
    heard: float = field(default_factory=time.monotonic)
    is_silent: bool = False


@dataclass(slots=True)
class LocalExecutor:
    """Runs trials in processes of their own.

    Attributes:
        store: Where trials, data and checkpoints are.
        workers: Processes; by default one a core.
        memory_bytes: A worker that has been larger than this is replaced after its trial; by default its share of three
            quarters of the machine's memory.
        patience_seconds: A worker that says nothing for this long, and for 50 times the longest epoch so far, hangs: it
            is ended, and its trial goes on from its last epoch in another.
    """

    store: TrialStore
    workers: int = field(default_factory=lambda: default_workers())
    memory_bytes: int | None = None
    patience_seconds: float = 1800.0
    _longest_epoch: float | None = None
    _pool: list[_Worker] = field(default_factory=list)
    _deaths: dict[str, int] = field(default_factory=dict)
    _stillborn: int = 0
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        """Ends the workers. A trial under way is cut off; its last epoch is kept."""
        for worker in self._pool:
            self._end(worker)
        self._pool.clear()

    @property
    def process_ids(self) -> tuple[int, ...]:
        return tuple(worker.process.pid for worker in self._pool)

    def run(self, specs: Sequence[TrialSpec], on_event: OnEvent) -> None:
        """Returns when all trials are in the store; those that are there already are only read.

        Raises:
            NoSpaceError: The disk is full; what was stored before is whole.
            WorkerError: Worker processes die before they can take a trial.
        """
        waiting: deque[TrialSpec] = deque()
        for spec in specs:
            known = self.store.read(spec.key)
            if known is not None:
                on_event(TrialDone(spec, known))
            else:
                waiting.append(spec)
        while waiting or any(worker.spec for worker in self._pool):
            self._staff(waiting)
            for key, _ in self._selector.select(timeout=1.0):
                self._hear(key.data, waiting, on_event)
            self._end_hanging()

    def _staff(self, waiting: deque[TrialSpec]) -> None:
        busy = sum(worker.spec is not None for worker in self._pool)
        for _ in range(min(self.workers, busy + len(waiting)) - len(self._pool)):
            self._pool.append(self._start())
        for worker in list(self._pool):
            if waiting and worker.spec is None and worker.is_ready:
                worker.spec, worker.heard = waiting.popleft(), time.monotonic()
                try:
                    worker.commands.write(json.dumps(worker.spec.to_plain()) + "\n")
                    worker.commands.flush()
                except OSError:  # it died just now; its end is heard as the closing of its pipe
                    continue

    def _start(self) -> _Worker:
        command_read, command_write = os.pipe()
        answer_read, answer_write = os.pipe()
        threads = str(max(1, available_cores() // self.workers))
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "TF_NUM_INTRAOP_THREADS": threads,
            "TF_NUM_INTEROP_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(search_path()),
        }
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the worker ends
        module = "poolaudit.ablation.executors.worker"
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(command_read), str(answer_write), str(self.store.folder.resolve())],
            pass_fds=(command_read, answer_write),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C goes to the parent alone, which then ends its workers in order.
            start_new_session=True,
        )
        os.close(command_read)
        os.close(answer_write)
        worker = _Worker(process, os.fdopen(command_write, "w"), answer_read, log)
        self._selector.register(answer_read, selectors.EVENT_READ, worker)
        return worker

    def _hear(self, worker: _Worker, waiting: deque[TrialSpec], on_event: OnEvent) -> None:
        heard = os.read(worker.answers, 65_536)
        since, worker.heard = worker.heard, time.monotonic()
        if not heard:
            self._bury(worker, waiting, on_event)
            return
        *lines, worker.unread = (worker.unread + heard).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event["event"] == "epoch":
                self._longest_epoch = max(self._longest_epoch or 0.0, worker.heard - since)
            self._act(worker, event, on_event)

    def _end_hanging(self) -> None:
        """Ends workers that have a trial and say nothing any more; their end is heard as that of any other."""
        if self._longest_epoch is None:
            return
        limit = max(self.patience_seconds, _EPOCHS_OF_SILENCE * self._longest_epoch)
        for worker in self._pool:
            if worker.spec is not None and time.monotonic() - worker.heard > limit:
                worker.is_silent = True
                worker.process.kill()

    def _act(self, worker: _Worker, event: dict[str, Any], on_event: OnEvent) -> None:
        spec = worker.spec
        if event["event"] == "ready":
            worker.is_ready, self._stillborn = True, 0
        elif event["event"] == "no_space":
            raise NoSpaceError(event["reason"])
        elif event["event"] == "epoch" and spec is not None:
            on_event(EpochDone(spec.arm, spec.seed, event["done"], event["total"]))
        elif event["event"] == "stored" and spec is not None:
            worker.spec = None
            trial = self.store.read(spec.key)
            if trial is None:
                raise NoSpaceError(f"The trial {spec.arm}, seed {spec.seed}, vanished from the store.")
            if event["memory_bytes"] > self._memory_limit():
                self._pool.remove(worker)
                self._end(worker)
            on_event(TrialDone(spec, trial))

    def _bury(self, worker: _Worker, waiting: deque[TrialSpec], on_event: OnEvent) -> None:
        """A worker died: its trial waits again, or fails where it has killed too many."""
        self._pool.remove(worker)
        spec, last_words = worker.spec, _last_words(worker)
        self._end(worker)
        if spec is None or not worker.is_ready:
            self._stillborn += 1
            if self._stillborn >= MOST_DEATHS:
                raise WorkerError(f"Worker processes die at once. The last one said: {last_words or 'nothing'}")
        if spec is None:
            return
        stored = self.store.read(spec.key)
        if stored is not None:  # it died after storing and before saying so
            on_event(TrialDone(spec, stored))
            return
        self._deaths[spec.key] = self._deaths.get(spec.key, 0) + 1
        if self._deaths[spec.key] < MOST_DEATHS:
            waiting.appendleft(spec)
            return
        from poolaudit.ablation.training import failed_trial

        trial = failed_trial(
            spec, f"its worker process died {MOST_DEATHS} times ({_how(worker)}); {last_words or 'it said nothing'}"
        )
        self.store.write(trial)
        on_event(TrialDone(spec, trial))

    def _end(self, worker: _Worker) -> None:
        if worker.answers in self._selector.get_map():
            self._selector.unregister(worker.answers)
        if worker.process.poll() is None:
            worker.process.kill()
        worker.process.wait()
        with contextlib.suppress(OSError):
            worker.commands.close()
        if worker.answers >= 0:
            os.close(worker.answers)
            worker.answers = -1
        worker.log.close()

    def _memory_limit(self) -> int:
        return self.memory_bytes or int(0.75 * machine_memory() / self.workers)


def available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers() -> int:
    return available_cores()


def machine_memory() -> int:
    """Bytes of physical memory, or of the control group where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        return total
    return min(total, limit)


def _how(worker: _Worker) -> str:
    if worker.is_silent:
        return "it hung and was ended"
    code = worker.process.returncode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _last_words(worker: _Worker) -> str:
    worker.process.wait()
    worker.log.seek(0, os.SEEK_END)
    worker.log.seek(max(0, worker.log.tell() - _LAST_WORDS))
    lines = worker.log.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""
