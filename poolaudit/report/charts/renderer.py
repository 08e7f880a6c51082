"""Vega-Lite to SVG without a browser, in a process of its own.

The renderer holds a whole JavaScript engine, which ends its process where memory is short. In a process of its own that
costs a picture; the numbers, and the audit behind them, are kept. It is started by the first picture, or ahead of it by
`start_renderer`, and serves until this process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from typing import IO, Any

# A machine on which it dies again and again has too little memory for any picture, and each start takes a second.
_MOST_DEATHS = 3


class RendererEnded(RuntimeError):
    """The process that draws the charts has ended before it answered."""


class _Renderer:
    """The process, started when it is needed and again where it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._deaths = 0
        self._owner = 0

    def start(self) -> None:
        with self._lock:
            self._running()

    def svg(self, specification: dict[str, Any]) -> str:
        with self._lock:
            if self._deaths >= _MOST_DEATHS:
                raise RendererEnded(f"the chart renderer ended {_MOST_DEATHS} times; there may be too little memory")
            process = self._running()
            try:
                _pipe(process.stdin).write(json.dumps(specification) + "\n")
                _pipe(process.stdin).flush()
                answer = _pipe(process.stdout).readline()
            except OSError:
                answer = ""
            except BaseException:  # Ctrl-C: the answer that is on its way would be taken for that to the next picture
                self.stop()
                raise
            if not answer:
                self._deaths += 1
                raise RendererEnded(f"the chart renderer ended with {self.stop()}; there may be too little memory")
        told = json.loads(answer)
        if "error" in told:
            raise ValueError(told["error"])
        return str(told["svg"])

    def stop(self) -> int | None:
        """Ends the process; its exit status, None where there was none."""
        process, self._process = self._process, None
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # the other end may be gone
                _pipe(pipe).close()
        return process.wait()

    def _running(self) -> subprocess.Popen[str]:
        # A forked child must not talk into its parent's pipe.
        if self._process is None or self._owner != os.getpid():
            self._owner = os.getpid()
            search = os.pathsep.join(dict.fromkeys(entry or os.getcwd() for entry in sys.path))
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a dying engine prints its stack
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": search},
            )
        return self._process


_renderer = _Renderer()
atexit.register(_renderer.stop)


def to_svg(specification: dict[str, Any]) -> str:
    """SVG of a Vega-Lite specification.

    Raises:
        RendererEnded: The process that draws died, as for want of memory.
        ValueError: The specification is none.
    """
    return _renderer.svg(specification)


def start_renderer() -> None:
    """Starts the process ahead of its first picture: that takes as long as reading a million predictions."""
    _renderer.start()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _serve() -> None:
    """Answers each line of JSON by one."""
    # Ctrl-C goes to the whole group: the parent ends this process in order, by closing its pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import vl_convert

    vl_convert.vegalite_to_svg({"data": {"values": []}, "mark": "point"})
    for line in sys.stdin:
        try:
            told = {"svg": vl_convert.vegalite_to_svg(json.loads(line))}
        except ValueError as error:
            told = {"error": str(error)}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
