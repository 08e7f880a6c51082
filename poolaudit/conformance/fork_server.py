"""The fork server: a process that imports TensorFlow once and forks workers on demand.

A fork after the import and before the first operation costs about 30 ms, so a worker that a signal killed is replaced
at once.
"""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

from poolaudit.conformance.property import all_properties
from poolaudit.conformance.worker import fork_worker


def main() -> None:
    """Imports what is heavy, tells which variables that set, and forks on demand until its parent closes the line."""
    # Ctrl-C goes to the whole group: the parent ends this process and its workers in order, and none dies of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control, folder = Connection(int(sys.argv[1])), sys.argv[2]
    before = dict(os.environ)
    import keras  # noqa: F401
    import tensorflow as tf  # noqa: F401

    all_properties()
    control.send({name for name, _ in os.environ.items() - before.items()})
    while True:
        try:
            request, argument = control.recv()
            if request == "fork":
                with Connection(recv_handle(control)) as line:
                    control.send(fork_worker(line, control, folder, ends_with_parent=True))
            elif request == "reap":
                control.send(os.waitpid(argument, 0)[1])
        except (EOFError, OSError):
            return


if __name__ == "__main__":
    main()
