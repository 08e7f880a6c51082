"""Worker processes, their deaths and their delays."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import Any

from poolaudit.conformance.case import Case
from poolaudit.conformance.kernel_sets import VARIABLE, other_setting
from poolaudit.conformance.worker import Job, fork_worker
from poolaudit.errors import PoolauditError


class ForkServer:
    """Makes workers: by a process of its own that imported TensorFlow, or by forking this one.

    Args:
        factory: A layer factory that no other process can import; then this process is forked, so that the
            worker inherits it. TensorFlow must not have run an operation here.
        toggle_onednn: Start with the other setting of `TF_ENABLE_ONEDNN_OPTS`.
        use_gpu: Leave the GPU visible.
    """

    def __init__(
        self, factory: Callable[..., Any] | None = None, toggle_onednn: bool = False, use_gpu: bool = False
    ) -> None:
        self.factory = factory
        self._folder = Path(tempfile.mkdtemp(prefix="poolaudit-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Connection | None = None
        self._is_ready = factory is not None
        self._lock = threading.Lock()
        self.kernels = toggle_onednn, use_gpu
        self.environment = _environment(toggle_onednn, use_gpu)
        if factory is None:
            self._start(self.environment)

    def _start(self, environment: Mapping[str, str]) -> None:
        self._control, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-W", "ignore", "-m", "poolaudit.conformance.fork_server"),
                    *(str(theirs.fileno()), str(self._folder)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs.fileno()],
            )

    def ready(self) -> None:
        """Waits for the import of TensorFlow. Raises PoolauditError where the process ends instead."""
        if self._is_ready:
            return
        assert self._control is not None
        try:
            self._control.recv()
        except (EOFError, OSError):
            raise PoolauditError("The worker process could not import TensorFlow and Keras.") from None
        self._is_ready = True

    def fork(self) -> Worker:
        """A fresh worker; any thread may ask."""
        with self._lock:
            return self._fork()

    def _fork(self) -> Worker:
        self.ready()
        ours, line = Pipe()
        with line:
            if self._control is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # threads and fork: the child runs nothing that they hold
                    process = fork_worker(line, ours, str(self._folder), self.factory)
            else:
                assert self._process is not None
                self._control.send(("fork", None))
                send_handle(self._control, line.fileno(), self._process.pid)
                process = int(self._control.recv())
        return Worker(self, process, ours)

    def reap(self, process: int) -> int:
        """The exit status of a worker that ended."""
        if self._control is None:
            return os.waitpid(process, 0)[1]
        with self._lock:
            self._control.send(("reap", process))
            return int(self._control.recv())

    def close(self) -> None:
        """Ends the server; workers end by themselves when their lines close."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()  # it holds nothing, and TensorFlow takes a second to end by itself
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_ahead: list[ForkServer] = []


@contextlib.contextmanager
def started_ahead(*, with_other_kernels: bool = False) -> Iterator[None]:
    """Starts what `fork_server` gives out within, so that it imports TensorFlow while this process does.

    What nobody takes is ended.

    Args:
        with_other_kernels: Also the one for the other setting of `TF_ENABLE_ONEDNN_OPTS`.
    """
    try:
        for toggled in (False, True)[: 1 + with_other_kernels]:
            _ahead.append(ForkServer(toggle_onednn=toggled))
        yield
    finally:
        while _ahead:
            _ahead.pop().close()


def fork_server(*, toggle_onednn: bool = False, use_gpu: bool = False) -> ForkServer:
    """One that was started ahead in the same environment, or a new one."""
    environment = _environment(toggle_onednn, use_gpu)
    for server in _ahead:
        # The import of TensorFlow adds variables.
        if server.kernels == (toggle_onednn, use_gpu) and server.environment.items() <= environment.items():
            _ahead.remove(server)
            return server
    return ForkServer(toggle_onednn=toggle_onednn, use_gpu=use_gpu)


def _environment(toggle_onednn: bool, use_gpu: bool) -> dict[str, str]:
    environment = dict(os.environ)
    environment |= {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
        "PYTHONHASHSEED": "0",
    }
    if not use_gpu:
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    if toggle_onednn:
        environment[VARIABLE] = other_setting()
    return environment


class Worker:
    """One forked process and the line to it."""

    def __init__(self, server: ForkServer, process: int, connection: Connection) -> None:
        self.server, self.process, self.connection = server, process, connection
        self.job: Job | None = None
        self.last_case: Case | None = None
        self.heard = time.monotonic()
        self._ended = False
        self._mark = (self.heard, 0.0)

    def start(self, job: Job) -> None:
        """Sends a job."""
        self.job, self.last_case, self.heard = job, None, time.monotonic()
        self.connection.send(job)

    def starved(self, limit: float) -> bool:
        """Whether it works, but on a machine so busy that it has not had its time yet; at most for five times as long.

        A call that hangs either sleeps or has used the whole limit by itself.
        """
        waited = time.monotonic() - self.heard
        if waited > 5 * limit:
            return False
        if self._mark[0] != self.heard:
            self._mark = (self.heard, _processor_seconds(self.process))
            return waited < limit + 1.0
        used = _processor_seconds(self.process) - self._mark[1]
        beyond = waited - limit
        return used < limit / 2 and used > 0.02 * beyond

    def end(self, kill: bool = False) -> int:
        """Closes the line and waits; the exit status."""
        if self._ended:
            return 0
        self._ended = True
        self.connection.close()
        if kill:
            os.kill(self.process, signal.SIGKILL)
        return self.server.reap(self.process)


def _processor_seconds(process: int) -> float:
    """User and system time of a process; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def signal_name(status: int) -> str | None:
    """The name of the signal in an exit status; None where the process ended by itself."""
    if not os.WIFSIGNALED(status):
        return None
    return signal.Signals(os.WTERMSIG(status)).name
