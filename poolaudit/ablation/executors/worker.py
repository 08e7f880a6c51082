"""A worker process: reads trials from one pipe, tells of them on another, and lives for many trials.

Started with `python -m`, so nothing is forked and the user's main module is not run again. When the parent dies, the
pipe closes and the worker ends at once.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any


def main(commands: int, answers: int, store_folder: str) -> None:
    """Runs until the command pipe closes.

    Args:
        commands: File descriptor to read specs from, one JSON object a line.
        answers: File descriptor to write events to, likewise.
        store_folder: Of the trial store.
    """
    queue: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(commands, queue), daemon=True).start()
    out = os.fdopen(answers, "w", buffering=1)

    def say(**event: Any) -> None:
        out.write(json.dumps(event) + "\n")

    from poolaudit.ablation.trial import TrialSpec
    from poolaudit.store.trials import NoSpaceError, TrialStore

    store = TrialStore(Path(store_folder))
    _prepare_tensorflow()
    say(event="ready")
    while (command := queue.get()) is not None:
        spec = TrialSpec.from_plain(command)
        try:
            _run(spec, store, lambda done, total: say(event="epoch", done=done, total=total))
            say(event="stored", memory_bytes=_memory())
        except NoSpaceError as error:
            say(event="no_space", reason=str(error))


def _run(spec: Any, store: Any, tell: Any) -> None:
    from poolaudit.ablation.training import failed_trial, run_trial
    from poolaudit.errors import is_out_of_space
    from poolaudit.store.trials import NoSpaceError

    try:
        trial = run_trial(spec, load_materials(spec, store), FileCheckpoint(store.checkpoint_path(spec.key)), tell)
    except NoSpaceError:
        raise
    except (Exception, SystemExit) as error:
        told = " ".join(str(error).split())[:500]
        if is_out_of_space(error):  # says nothing about the variant
            raise NoSpaceError(f"A training cannot go on for want of space: {told}") from error
        trial = failed_trial(spec, f"{type(error).__name__}: {told}")
    store.write(trial)


class FileCheckpoint:
    """An unfinished trial's state in a file beside the trials."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def save(self, content: bytes) -> None:
        from poolaudit.store.trials import store_checkpoint

        store_checkpoint(self._path, content)


def load_materials(spec: Any, store: Any) -> Any:
    """The data by content hash, mapped into memory and shared by the workers."""
    import numpy as np

    from poolaudit.ablation.training import Materials

    def array(split: str, part: str) -> Any:
        return np.load(store.folder / "data" / f"{part}-{spec.data[split]}.npy", mmap_mode="r", allow_pickle=False)

    return Materials(
        train=(array("train", "x"), np.asarray(array("train", "y"))),
        test=array("test", "x"),
        validation=array("validation", "x") if "validation" in spec.data else None,
        classes=int(spec.data["classes"]),
    )


def _prepare_tensorflow() -> None:
    import tensorflow as tf

    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _memory() -> int:
    """Largest resident size so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _listen(commands: int, queue: Any) -> None:
    with os.fdopen(commands) as lines:
        for line in lines:
            queue.put(json.loads(line))
    # The parent is gone or wants no more; a training under way is not worth finishing for nobody.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
