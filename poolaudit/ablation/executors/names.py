"""Names of the executors, and how each is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolaudit.store.trials import TrialStore

LOCAL, RAY = "local", "ray"
EXECUTORS = (LOCAL, RAY)


def make_executor(name: str, store: TrialStore, workers: int | None) -> Any:
    """The executor of this name.

    Raises:
        MissingExtraError: Ray is asked for and not installed.
    """
    if name == RAY:
        from poolaudit.ablation.executors.ray import RayExecutor

        return RayExecutor(store, workers)
    from poolaudit.ablation.executors.local import LocalExecutor, default_workers

    return LocalExecutor(store, workers or default_workers())
