"""Ctrl-C that is not lost in the depths of a library."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def noticed_interrupts() -> Iterator[Callable[[], bool]]:
    """Yields whether an interrupt came since; it is raised as a KeyboardInterrupt as well, as ever.

    That alone is not enough: compiled code under TensorFlow turns a KeyboardInterrupt into a SystemError at times,
    which reads as "this model cannot be traced", and tidying up after one fails where Ctrl-C has ended a worker too.
    What was measured then must neither be shown nor kept. Outside the main thread, or where the caller handles
    interrupts in a way of its own, nothing is noticed.
    """
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        came.append(number)
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
