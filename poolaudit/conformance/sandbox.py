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
        self._added: frozenset[str] | None = None
        self._living: set[int] = set()
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
        if self.factory is not None or self._added is not None:
            return
        assert self._control is not None
        try:
            self._added = frozenset(self._control.recv())
        except (EOFError, OSError):
            raise PoolauditError("The worker process could not import TensorFlow and Keras.") from None

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
        self._living.add(process)
        return Worker(self, process, ours)

    def reap(self, process: int) -> int:
        """The exit status of a worker that ended."""
        with self._lock:
            self._living.discard(process)
            if self._control is None:
                return os.waitpid(process, 0)[1]
            self._control.send(("reap", process))
            return int(self._control.recv())

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether a new one in this environment would be the same, but for variables that importing TensorFlow sets."""
        changed = {name for name, _ in self.environment.items() ^ environment.items()}
        added = changed - self.environment.keys() if self._added is None else self._added
        return changed - _UNSEEN <= added

    def end_workers(self) -> bool:
        """Ends every worker, whatever it does; whether this server can make others."""
        with contextlib.suppress(EOFError, OSError):
            for process in list(self._living):
                os.kill(process, signal.SIGKILL)
                self.reap(process)
        return self._process is not None and self._process.poll() is None and not self._living

    def close(self) -> None:
        """Ends the server and its workers."""
        self.end_workers()
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


class _Shelf:
    """Servers that nobody uses just now, kept for who asks next."""

    def __init__(self) -> None:
        self.forget()
        if hasattr(os, "register_at_fork"):
            # They are this process's alone: two that talk to one server would take each other's answers.
            os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._servers: list[ForkServer] = []
        self._keepers = 0
        self._lock = threading.Lock()

    def open(self) -> None:
        with self._lock:
            self._keepers += 1

    def close(self) -> None:
        with self._lock:
            self._keepers = max(self._keepers - 1, 0)
            ended = [] if self._keepers else self._servers
            self._servers = self._servers if self._keepers else []
        for server in ended:
            server.close()

    def put(self, server: ForkServer) -> None:
        """Keeps the server, in the place of one with the same kernels; ends it where nobody keeps any."""
        with self._lock:
            ended = [kept for kept in self._servers if kept.kernels == server.kernels] if self._keepers else [server]
            if self._keepers:
                self._servers = [server, *(kept for kept in self._servers if kept not in ended)]
        for one in ended:
            one.close()

    def take(self, kernels: tuple[bool, bool], environment: Mapping[str, str]) -> ForkServer | None:
        with self._lock:
            for server in self._servers:
                if server.kernels == kernels and server.suits(environment):
                    self._servers.remove(server)
                    return server
        return None


_SHELF = _Shelf()


@contextlib.contextmanager
def servers_kept() -> Iterator[None]:
    """Within, a server is kept for the next check in the same environment, so that TensorFlow is imported once."""
    _SHELF.open()
    try:
        yield
    finally:
        _SHELF.close()


@contextlib.contextmanager
def started_ahead(*, with_other_kernels: bool = False) -> Iterator[None]:
    """Starts what `fork_server` gives out within, so that it imports TensorFlow while this process does.

    Args:
        with_other_kernels: Also the one for the other setting of `TF_ENABLE_ONEDNN_OPTS`.
    """
    with servers_kept():
        for toggled in (False, True)[: 1 + with_other_kernels]:
            _SHELF.put(ForkServer(toggle_onednn=toggled))
        yield


def fork_server(*, toggle_onednn: bool = False, use_gpu: bool = False) -> ForkServer:
    """One that is kept or was started ahead in the same environment, or a new one; `release` takes it back."""
    kept = _SHELF.take((toggle_onednn, use_gpu), _environment(toggle_onednn, use_gpu))
    return kept or ForkServer(toggle_onednn=toggle_onednn, use_gpu=use_gpu)


def release(server: ForkServer) -> None:
    """Ends the server's workers, and the server itself unless it is to be kept."""
    if server.end_workers():
        _SHELF.put(server)
    else:
        server.close()


# pytest tells the test that runs; what a check is about does not depend on it.
_UNSEEN = frozenset({"PYTEST_CURRENT_TEST"})


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
    with contextlib.suppress(OSError):
        environment["PWD"] = os.getcwd()
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
