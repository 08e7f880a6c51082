"""The fork server: a process that imports TensorFlow once and forks workers on demand.

A fork after the import and before the first operation costs about 30 ms, so a worker that a signal killed is replaced
at once.
"""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Client

from poolaudit.conformance.property import all_properties
from poolaudit.conformance.worker import fork_worker


def main() -> None:
    """Imports what is heavy, then forks on demand; ends when its parent closes the line."""
    # Ctrl-C goes to the whole group: the parent ends this process and its workers in order, and none dies of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    address, key = sys.stdin.readline().strip(), bytes.fromhex(sys.stdin.readline().strip())
    import keras  # noqa: F401
    import tensorflow as tf  # noqa: F401

    all_properties()
    control = Client(address, authkey=key)
    control.send("ready")
    while True:
        try:
            request, argument = control.recv()
        except (EOFError, OSError):
            return
        if request == "fork":
            control.send(fork_worker(address, key))
        elif request == "reap":
            control.send(os.waitpid(argument, 0)[1])


if __name__ == "__main__":
    main()
