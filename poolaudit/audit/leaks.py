"""Leakage alone, without a model: two or three splits to a result."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poolaudit.audit.judging import judge_part
from poolaudit.events import Listener, StageFinished, StageProgress, StageStarted, silent
from poolaudit.evidence.leakage import LeakageEvidence
from poolaudit.outcomes import Outcome
from poolaudit.policy import Policy
from poolaudit.results import AuditResult, DataProvenance, Evidence
from poolaudit.version import __version__

if TYPE_CHECKING:
    from poolaudit.subject.splits import DataSplit


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a search found, as it is kept."""

    evidence: LeakageEvidence
    clean: tuple[int, ...]
    anew: dict[str, tuple[str, ...]]
    units: dict[str, tuple[int, ...]]


def find_leaks(
    train: Any,
    test: Any,
    validation: Any = None,
    *,
    resize: tuple[int, int] | None = None,
    sample: int | None = None,
    clean_split: str | Path | None = None,
    cache: str | Path | None = None,
    policy: Policy | None = None,
    seed: int = 0,
    title: str | None = None,
    command: str = "find_leaks(...)",
    listener: Listener = silent,
) -> AuditResult:
    """What the test split shares with the training split: copies, groups, times, and shortcuts within it.

    Args:
        train: In any form `AuditPlan` takes; `test` and `validation` likewise.
        resize: Height and width for image files of mixed sizes.
        sample: Look at so many items of each split only; the result says how many were left out.
        clean_split: Write to this .csv or .npz which test items are clean, and a new division of all items that keeps
            copies and groups together and the shares of the classes; the data themselves are never touched.
        cache: Folder in which findings are kept by the content of the splits.
        seed: Of everything random.

    Raises:
        InvalidInputError: Data that cannot be read or compared, or a file that cannot be written.
    """
    from poolaudit.leakage.find import find_in_splits
    from poolaudit.leakage.repair import Division, write_division
    from poolaudit.store.evidence_cache import keep, load_kept
    from poolaudit.subject.data import load_splits

    clock = time.perf_counter()
    policy = policy or Policy()
    sources = {"test": test, "train": train, **({} if validation is None else {"validation": validation})}
    splits = load_splits(sources, resize=resize, stream=True)
    listener(StageStarted("leakage", 1, 1))
    key = _key(splits, sample, seed, policy.confidence, clean_split is not None)
    kept = None if cache is None else load_kept(Path(cache), key, _Kept)
    if kept is None:
        found = find_in_splits(
            splits,
            sample=sample,
            seed=seed,
            confidence=policy.confidence,
            new_split=clean_split is not None,
            tell=lambda done, total, what: listener(StageProgress("leakage", done, total, what)),
        )
        division = found.division
        kept = _Kept(found.evidence, tuple(division.clean.tolist()), dict(division.anew), dict(division.units))
        if cache is not None:
            keep(Path(cache), key, kept)
    evidence = kept.evidence
    if clean_split is not None:
        import numpy as np

        division = Division(np.array(kept.clean, np.int64), evidence.clean_split, kept.anew, kept.units)
        written = write_division(Path(clean_split), division, splits)
        evidence = replace(evidence, clean_split=written)
    duration = time.perf_counter() - clock
    listener(StageFinished("leakage", Outcome.PASSED, duration))
    return judge_part(
        "leakage",
        Evidence(leakage=evidence),
        title=title or f"Leakage: {splits['test'].source} against {splits['train'].source}",
        policy=policy,
        seed=seed,
        command=command,
        duration_seconds=duration,
        data=tuple(DataProvenance(s.name, s.source, len(s), s.sha256, s.notes) for s in splits.values()),
        with_tensorflow=False,
    )


def _key(splits: dict[str, DataSplit], sample: int | None, seed: int, confidence: float, anew: bool) -> str:
    from poolaudit.store.evidence_cache import cache_key
    from poolaudit.subject.digest import content_sha256

    parts: list[object] = [__version__, sample, seed, confidence, anew]
    for name in sorted(splits):
        split = splits[name]
        columns = (split.groups, split.times, split.paths)
        texts = ["\x1f".join(map(str, column.tolist())) if column is not None else None for column in columns]
        parts += [name, split.source, split.sha256, split.class_names, content_sha256(texts)]
    return cache_key(parts)
