"""Everything needed to run an audit again, without a path of the machine it ran on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from poolaudit.results import DataProvenance, ModelProvenance, Provenance
from poolaudit.version import __version__

if TYPE_CHECKING:
    from poolaudit.audit.subject import Subject
    from poolaudit.subject.models import LoadedModel


def provenance_of(
    *,
    command: str,
    seed: int,
    started: datetime,
    duration_seconds: float,
    with_tensorflow: bool,
    model: ModelProvenance | None = None,
    data: tuple[DataProvenance, ...] = (),
) -> Provenance:
    """Provenance of a run on this machine with the versions installed here."""
    return Provenance(
        command=command,
        started=started.astimezone(UTC).isoformat(timespec="seconds"),
        duration_seconds=round(duration_seconds, 3),
        seed=seed,
        versions=_versions(with_tensorflow=with_tensorflow),
        platform=_platform(),
        model=model,
        data=data,
        commit=_commit(),
    )


def _versions(*, with_tensorflow: bool) -> tuple[tuple[str, str], ...]:
    packages = ["numpy", "scipy", *(["tensorflow", "keras"] if with_tensorflow else [])]
    return (("poolaudit", __version__), *((name, importlib.metadata.version(name)) for name in packages))


def _platform() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, "
        f"Python {platform.python_version()}"
    )


def _commit() -> str | None:
    """Of the working folder; a missing or slow git costs nothing but this line."""
    try:
        commit = _git("rev-parse", "HEAD").strip()
        return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no").strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    # No hook, no pager, no lock: only a look.
    command = ["git", "--no-optional-locks", *arguments]
    done = subprocess.run(command, check=True, timeout=5, capture_output=True, stdin=subprocess.DEVNULL)
    return done.stdout.decode(errors="replace")


def model_provenance(model: LoadedModel) -> ModelProvenance:
    return ModelProvenance(
        name=model.name,
        source=model.source,
        format=model.format,
        sha256=model.sha256,
        parameters=model.parameters,
        input_shape=model.input_shape,
        notes=model.notes,
    )


def data_provenance(subject: Subject) -> tuple[DataProvenance, ...]:
    splits = [s for s in (subject.test, subject.validation, subject.train) if s is not None]
    from_splits = [DataProvenance(s.name, s.source, len(s), s.sha256, s.notes) for s in splits]
    from_files = [
        DataProvenance(name, p.source, len(p), p.sha256, (p.stated,))
        for name, p in (("test", subject.predictions), ("validation", subject.validation_predictions))
        if p is not None
    ]
    return tuple(from_splits + from_files)
