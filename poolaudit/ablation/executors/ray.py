"""Trials on a Ray cluster: a task each, retried where its node dies; results return to the one store.

The cluster is the one that RAY_ADDRESS names or this machine belongs to; without any, Ray starts one here. Nodes need
poolaudit installed and, for a recipe, its module. Data and model travel once into Ray's object store.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.ablation.executors.executor import OnEvent, TrialDone
from poolaudit.ablation.trial import TrialSpec
from poolaudit.errors import MissingExtraError
from poolaudit.store.trials import StoredTrial, TrialStore

RETRIES = 5
_THREADS = "1"


@dataclass(slots=True)
class RayExecutor:
    """Runs each trial as a Ray task.

    Attributes:
        store: On the driver; nodes need not see it.
        workers: Trials in flight at a time; None for as many as the cluster has processors.
        processors: Of each trial.
        graphics: Graphics processors of each trial; may be a fraction.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    store: TrialStore
    workers: int | None = None
    processors: float = 1.0
    graphics: float = 0.0
    _ray: Any = None
    _started_here: bool = False
    _data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            import ray
        except ImportError:
            raise MissingExtraError("Running trials on a Ray cluster", "ray") from None
        self._ray = ray

    def __enter__(self) -> RayExecutor:
        if not self._ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS")
            options: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
            self._ray.init(log_to_driver=False, configure_logging=False, **options)
            self._started_here = True
        return self

    def __exit__(self, *exception: object) -> None:
        if self._started_here:
            self._ray.shutdown()

    def run(self, specs: Sequence[TrialSpec], on_event: OnEvent) -> None:
        """Returns when all trials are in the store; those that are there already are only read.

        Raises:
            NoSpaceError: The driver's disk is full; what was stored before is whole.
        """
        waiting: list[TrialSpec] = []
        for spec in specs:
            known = self.store.read(spec.key)
            if known is not None:
                on_event(TrialDone(spec, known))
            else:
                waiting.append(spec)
        task = self._ray.remote(num_cpus=self.processors, num_gpus=self.graphics, max_retries=RETRIES, max_calls=0)(
            _run_remotely
        )
        limit = self.workers or max(1, int(self._ray.cluster_resources().get("CPU", 1) / self.processors))
        running: dict[Any, TrialSpec] = {}
        try:
            while waiting or running:
                while waiting and len(running) < limit:
                    spec = waiting.pop(0)
                    running[task.remote(spec.to_plain(), self._model(spec), *self._materials(spec))] = spec
                ready, _ = self._ray.wait(list(running), num_returns=1, timeout=1.0)
                for reference in ready:
                    spec = running.pop(reference)
                    trial = self._result(reference, spec)
                    self.store.write(trial)
                    on_event(TrialDone(spec, trial))
        finally:
            for reference in running:
                self._ray.cancel(reference, force=True)

    def _result(self, reference: Any, spec: TrialSpec) -> StoredTrial:
        from poolaudit.ablation.training import failed_trial
        from poolaudit.store.trials import decode_trial

        try:
            return decode_trial(self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            first = " ".join(str(error).split())[:300]
            return failed_trial(spec, f"its task failed after {RETRIES} retries: {first}")

    def _model(self, spec: TrialSpec) -> Any:
        """The model file's bytes; None for a recipe."""
        if spec.model.file is None:
            return None
        name = spec.model.file
        if name not in self._data:
            self._data[name] = self._ray.put(Path(name).read_bytes())
        return self._data[name]

    def _materials(self, spec: TrialSpec) -> tuple[Any, ...]:
        """References to the arrays in Ray's object store: training inputs and labels, test and validation inputs."""
        parts = [("train", "x"), ("train", "y"), ("test", "x")]
        parts += [("validation", "x")] if "validation" in spec.data else []
        found = []
        for split, part in parts:
            name = f"{part}-{spec.data[split]}"
            if name not in self._data:
                array = np.load(self.store.folder / "data" / f"{name}.npy", allow_pickle=False)
                self._data[name] = self._ray.put(array)
            found.append(self._data[name])
        return tuple(found)


def _run_remotely(plain: dict[str, Any], model: bytes | None, *arrays: Any) -> bytes:
    """On a node: the trial as stored bytes; what building or training raises becomes a failed trial."""
    import tempfile

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, _THREADS)
    from poolaudit.ablation.training import Materials, failed_trial, run_trial
    from poolaudit.store.trials import encode_trial

    spec = TrialSpec.from_plain(plain)
    inputs, labels, test, *rest = arrays
    materials = Materials((inputs, labels), test, rest[0] if rest else None, int(spec.data["classes"]))
    with tempfile.TemporaryDirectory() as folder:
        if model is not None:
            path = Path(folder) / "model.keras"
            path.write_bytes(model)
            spec = replace(spec, model=replace(spec.model, file=str(path)))
        try:
            return encode_trial(run_trial(spec, materials))
        except Exception as error:
            return encode_trial(failed_trial(spec, f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"))
