"""Speed of a model's pooling as a result of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from poolaudit.audit.judging import judge_part
from poolaudit.audit.provenance import model_provenance
from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.events import Listener, StageFinished, StageProgress, StageStarted, silent
from poolaudit.evidence.geometry import PoolingSite
from poolaudit.outcomes import Outcome
from poolaudit.policy import Policy
from poolaudit.results import AuditResult, Evidence

STAGE = "benchmarks"
DTYPES = ("float16", "bfloat16", "float32", "float64")


def benchmark_model(
    model: Any,
    *,
    input_shape: tuple[int, ...] | None = None,
    batch: int = 32,
    dtypes: Sequence[str] = ("float32",),
    rounds: int = 20,
    variants: Sequence[str] | None = None,
    against: AuditResult | None = None,
    trust_model_code: bool = False,
    seed: int = 0,
    title: str | None = None,
    command: str = "benchmark_model(...)",
    listener: Listener = silent,
) -> AuditResult:
    """Forward and gradient speed of every pooling site at its real shape, and of variants in its place.

    Args:
        model: Whatever `AuditPlan` takes as a model.
        input_shape: Of one item, with channels, where the model leaves it open.
        batch: Items at once.
        dtypes: Of the inputs: float16, bfloat16, float32, float64.
        rounds: Samples of each kind of work, taken in turns.
        variants: Actions (docs/variants.md) whose layers are timed in the place of each site; None takes all that
            apply, () none.
        against: An earlier run on this machine, to give ratios to.

    Raises:
        InvalidInputError: No pooling can be run, `against` holds no benchmarks, or a number, dtype or variant is not
            allowed.
    """
    from poolaudit.benchmarks.compare import ratios
    from poolaudit.benchmarks.layers import measure
    from poolaudit.benchmarks.sites import site_cases
    from poolaudit.subject.models import load_model

    _check(batch, rounds, dtypes, against)
    clock = time.perf_counter()
    loaded = load_model(model, trust_model_code=trust_model_code)
    cases, missing = site_cases(loaded, input_shape, batch, dtypes, lambda site: _in_place_of(site, variants))
    if not cases:
        raise InvalidInputError(
            f"{loaded.name} has no pooling that can be run alone" + (f": {missing[0]}" if missing else ""),
            "a model with a pooling layer whose input has known sizes",
        )
    listener(StageStarted(STAGE, 1, 1))
    evidence = measure(
        cases,
        rounds=rounds,
        seed=seed,
        not_measured=missing,
        tell=lambda done, total, what: listener(StageProgress(STAGE, done, total, what)),
    )
    seconds = time.perf_counter() - clock
    listener(StageFinished(STAGE, Outcome.PASSED, seconds))
    result = judge_part(
        "benchmarks",
        Evidence(benchmarks=evidence),
        title=title or f"Speed of the pooling of {loaded.name}",
        policy=Policy(),
        seed=seed,
        command=command,
        duration_seconds=seconds,
        model=model_provenance(loaded),
    )
    if against is None or against.evidence.benchmarks is None:
        return result
    same = against.provenance.platform == result.provenance.platform
    compared = replace(
        evidence,
        compared_with=f"{against.title}, {against.provenance.started}",
        ratios=ratios(evidence, against.evidence.benchmarks, same_machine=same),
    )
    return replace(result, evidence=Evidence(benchmarks=compared))


def _in_place_of(site: PoolingSite, variants: Sequence[str] | None) -> list[tuple[str, Any]]:
    """What the variants put at a site, but for those that pool nothing: there is nothing to time."""
    import keras

    from poolaudit.ablation.variants import replacements_at

    idle = (keras.layers.Identity, keras.layers.Flatten)
    preferred = [(name, layers[0]) for name, layers in replacements_at(site, variants)]
    return [(name, layer) for name, layer in preferred if not isinstance(layer, idle)]


def _check(batch: int, rounds: int, dtypes: Sequence[str], against: AuditResult | None) -> None:
    if not 1 <= batch <= 1_000_000:
        raise InvalidInputError(f"batch is {batch}", "from 1 to 1,000,000 items")
    if not 6 <= rounds <= 100_000:
        raise InvalidInputError(f"rounds is {rounds}", "6 or more: fewer give no 95 % interval")
    if not dtypes:
        raise InvalidInputError("No dtype is given", listed(DTYPES))
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise InvalidInputError(f"There is no dtype {dtype!r} here", listed(DTYPES), did_you_mean(dtype, DTYPES))
    if against is not None and against.evidence.benchmarks is None:
        raise InvalidInputError(f"{against.title!r} holds no benchmarks", "a result of `poolaudit bench`")
