"""What a layer is, found out by its name, its bases and what it does."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolaudit.configuration import KINDS, PoolConfiguration
from poolaudit.conformance.loading import LoadedSubject
from poolaudit.conformance.signature import ALIASES, claims_integer, default_of
from poolaudit.reference import pool

_WORDS: tuple[tuple[str, str], ...] = (
    ("median", "median"),
    ("generali[sz]edmean|gem", "gem"),
    ("rms|rootmeansquare|l2pool", "rms"),
    ("logsumexp|lse", "lse"),
    ("mixed", "mixed"),
    ("blur|binomial", "blur"),
    ("subsample|decimat", "subsample"),
    ("stochastic", "stochastic"),
    ("min", "min"),
    ("max", "max"),
    ("average|avg|mean", "average"),
)
_PLAIN_WORDS = re.compile(
    r"(?:a|the|my|lower|upper|our|custom|own|layer|op|keras|tf|pool|pooling|pooled|global|local|adaptive|strided|masked|mask|"
    r"spatial|temporal|max|maximum|min|minimum|average|avg|mean|median|generalised|generalized|gem|rms|root|"
    r"square|lp|norm|log|sum|exp|logsumexp|lse|mixed|blur|anti|aliased|binomial|subsample|subsampling|decimate|"
    r"stochastic|pyramid|spp|by|with|and|of|over|from|patches|d|sequence|image|volume)+"
)
_PROBED = ("max", "average", "min", "median", "rms", "gem", "lse", "blur", "mixed")


def infer_dims(loaded: LoadedSubject, factory: Callable[..., Any]) -> int:
    """Spatial axes: by the name's suffix, an attribute, or by the rank of the input that it takes.

    An operation under it may run on any rank; then the layer's own rank is the one whose output shape it foretells.
    """
    from poolaudit.conformance.subjects import _builtin

    found = re.search(r"([123])_?[dD]", loaded.name)
    if found:
        return int(found.group(1))
    for base in getattr(factory, "__mro__", ()):
        known = _builtin(base.__name__) if base.__module__.startswith("keras.") else None
        if known is not None and known.dims:
            return known.dims
    taken, foretold = {}, []
    for rank in (2, 1, 3):
        trial = replace_dims(loaded, rank)
        configuration, x = _plain(trial), _data((2, *(6,) * rank, 2))
        y = _value(trial, configuration, x)
        if any(_breaks_at(replace(trial, scalar=scalar), configuration, x) is None for scalar in (False, True)):
            foretold.append(rank)
        if y is not None:
            taken[rank] = y.shape
    # A mean over time takes pictures as well, and pools one of their axes.
    pooled = [rank for rank, shape in taken.items() if _pools_all_axes(shape, rank)]
    rank = next(iter((*(rank for rank in foretold if rank in pooled), *pooled, *foretold, *taken)), 2)
    loaded.notes += (
        f"taken to have {rank} spatial {'axis' if rank == 1 else 'axes'} by what it takes; `dims` says otherwise if "
        "need be",
    )
    return rank


def _pools_all_axes(shape: tuple[int, ...], rank: int) -> bool:
    """Of an input with as many cells along each axis: none of them is left, or as many along each."""
    return len(shape) == 2 or (len(shape) == rank + 2 and len(set(shape[1:-1])) == 1)


def infer_kind(loaded: LoadedSubject, factory: Callable[..., Any]) -> None:
    """Sets `like`: the name's claim, unless the layer plainly does something else; else what it does.

    A name with words of its own, such as TopThreeMean, claims a kind only where the layer does it on a plain input.
    """
    claimed = _claimed(loaded, factory)
    layout = _layout_prefix(loaded)
    matching = [name for name in _PROBED if f"{layout}{name}" in KINDS and _does(loaded, f"{layout}{name}")]
    claim_holds = claimed is not None and any(claimed == f"{layout}{name}" for name in matching)
    if claimed is not None and (claim_holds or (not matching and _says_nothing_else(loaded.name))):
        loaded.like = claimed
        loaded.notes += (f"taken to be of kind {claimed!r} by its name; `like` says otherwise if need be",)
    elif len(matching) == 1:
        loaded.like = f"{layout}{matching[0]}"
        loaded.notes += (f"taken to be of kind {loaded.like!r} by what it computes",)
    else:
        loaded.like = "unknown"
        loaded.notes += ("its kind could not be told, so only what holds for every layer was tried; give `like`",)


def settle_defaults(loaded: LoadedSubject) -> None:
    """Finds the settings that the layer has and cannot be given."""
    configuration = _plain(loaded)
    if loaded.layout == "windowed":
        _settle_scalar(loaded, configuration)
        _settle_windows(loaded)
    if loaded.layout == "adaptive":
        _settle_scalar(loaded, configuration)
    if loaded.layout == "global" and not loaded.takes("keepdims"):
        y = _value(loaded, configuration, _data((2, *(4,) * loaded.dims, 3)))
        loaded.fixed["keepdims"] = y is not None and y.ndim == loaded.dims + 2
    if loaded.layout == "pyramid" and not loaded.takes("levels"):
        _settle_levels(loaded)
    _settle_parameter(loaded)


def replace_dims(loaded: LoadedSubject, dims: int) -> LoadedSubject:
    return replace(loaded, dims=dims)


def _claimed(loaded: LoadedSubject, factory: Callable[..., Any]) -> str | None:
    from poolaudit.conformance.subjects import _builtin

    words = re.sub(r"[^a-z0-9]", "", loaded.name.lower())
    if re.search("spp|pyramid", words):
        return "spp"
    reduction = next((kind for pattern, kind in _WORDS if re.search(pattern, words)), None)
    if reduction is not None:
        prefix = "global_" if "global" in words else "adaptive_" if "adaptive" in words else _layout_prefix(loaded)
        return f"{prefix}{reduction}" if f"{prefix}{reduction}" in KINDS else None
    for base in getattr(factory, "__mro__", ()):
        known = _builtin(base.__name__) if base.__module__.startswith("keras.") else None
        if known is not None:
            return known.like
    return None


def _says_nothing_else(name: str) -> bool:
    """Whether a name consists of the field's words only."""
    return _PLAIN_WORDS.fullmatch(re.sub(r"[^a-z]", "", re.sub(r"[123]_?[dD]", "", name).lower())) is not None


def _layout_prefix(loaded: LoadedSubject) -> str:
    if loaded.takes("output_size"):
        return "adaptive_"
    if loaded.takes("pool_size") or loaded.takes("strides"):
        return ""
    if loaded.takes("keepdims") or "global" in loaded.name.lower():
        return "global_"
    y = _value(loaded, _plain(loaded), _data((2, *(6,) * loaded.dims, 2)))
    return "global_" if y is not None and y.ndim == 2 else ""


def _plain(loaded: LoadedSubject, kind: str | None = None) -> PoolConfiguration:
    """A harmless configuration of the layer's kind."""
    rank, name = loaded.dims, kind or loaded.like
    layout = KINDS.get(name).layout
    configuration = PoolConfiguration(name, rank)
    if layout == "windowed" or (layout == "any" and loaded.takes("pool_size")):
        window = None if KINDS.get(name).reduction == "subsample" else (2,) * rank
        configuration = replace(configuration, window=window, strides=(2,) * rank)
    elif layout == "adaptive" or (layout == "any" and loaded.takes("output_size")):
        configuration = replace(configuration, output_size=(2,) * rank)
    return loaded.fits(configuration)


def _data(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return (np.random.default_rng(7).permutation(int(np.prod(shape))).reshape(shape) / 10 + 0.5).astype(np.float32)


def _value(loaded: LoadedSubject, configuration: PoolConfiguration, x: NDArray[Any]) -> NDArray[Any] | None:
    """The output, or None where the layer does not run."""
    import tensorflow as tf

    try:
        return np.asarray(loaded.build(configuration, "float32")(tf.constant(x)))
    except Exception:  # the user's code may raise anything, and here nothing is judged
        return None


def _agrees(loaded: LoadedSubject, configuration: PoolConfiguration, shape: tuple[int, ...]) -> bool:
    x = _data(shape)
    y = _value(loaded, configuration, x)
    if y is None or configuration.problems(x.shape):
        return False
    expected = pool(configuration, x)
    return y.shape == expected.shape and bool(np.allclose(y, expected, rtol=1e-3, atol=1e-3))


def _does(loaded: LoadedSubject, kind: str) -> bool:
    trial = replace(loaded, like=kind, fixed={}, notes=())
    settle_defaults(trial)
    configuration = _plain(trial)
    tried = [(configuration, size) for size in (4, 6)]
    if trial.takes("pool_size") and configuration.window is not None:
        # In a window of two, the lower median is the minimum, and the mean the median.
        three = (3,) * loaded.dims
        tried.append((trial.fits(replace(configuration, window=three, strides=three)), 6))
    return all(_agrees(trial, one, (2, *(size,) * loaded.dims, 2)) for one, size in tried)


def _settle_scalar(loaded: LoadedSubject, configuration: PoolConfiguration) -> None:
    """Sizes are one integer where the layer refuses others, or claims integers and works throughout only with them."""
    x = _data((2, *(6,) * loaded.dims, 2))
    trial = replace(loaded, scalar=True)
    if _value(loaded, configuration, x) is None:
        if _value(trial, configuration, x) is not None:
            loaded.scalar = True
            loaded.notes += ("takes sizes as one integer",)
    elif _claims_integers(loaded):
        broken = _breaks_at(loaded, configuration, x)
        if broken is not None and _breaks_at(trial, configuration, x) is None:
            loaded.scalar = True
            loaded.notes += (
                f"takes sizes as one integer: its signature says so, and with a tuple it fails in {broken}",
            )


def _claims_integers(loaded: LoadedSubject) -> bool:
    """Whether the signature speaks of integers for each size that can be given; strides may be left out."""
    sizes = [name for name in ("pool_size", "strides", "output_size") if loaded.takes(name)]
    claimed = [name for name in sizes if claims_integer(loaded.factory, loaded.taken[name])]
    open_strides = "strides" in sizes and "strides" not in claimed and len(claimed) > 0
    if open_strides and default_of(loaded.factory, loaded.taken["strides"]) is None:
        sizes.remove("strides")
    return bool(claimed) and claimed == sizes


def _breaks_at(loaded: LoadedSubject, configuration: PoolConfiguration, x: NDArray[Any]) -> str | None:
    """The first of call, symbolic call, `compute_output_shape` and copy that does not work; None where all do."""
    import keras
    import tensorflow as tf

    y = _value(loaded, configuration, x)
    if y is None:
        return "its call"
    step = ""
    try:
        layer = loaded.build(configuration, "float32")
        step = "a symbolic call"
        agree = tuple(layer(keras.Input(x.shape[1:])).shape[1:]) == y.shape[1:]
        if agree:
            step = "`compute_output_shape`"
            agree = tuple(layer.compute_output_shape(x.shape)) == y.shape
        if agree:
            step = "a copy made from `get_config`"
            agree = tuple(type(layer).from_config(layer.get_config())(tf.constant(x)).shape) == y.shape
    except Exception:  # the user's code may raise anything, and here nothing is judged
        return step
    return None if agree else step


def _settle_windows(loaded: LoadedSubject) -> None:
    """Window, strides and padding that cannot be set: the candidate whose shapes, then whose values, fit."""
    rank = loaded.dims
    subsampling = KINDS.get(loaded.like).reduction == "subsample"
    open_fields = [
        name
        for name, argument in (("window", "pool_size"), ("strides", "strides"), ("padding", "padding"))
        if not loaded.takes(argument) and not (name == "window" and subsampling)
    ]
    if not open_fields:
        return
    if subsampling and open_fields == ["padding"]:
        loaded.fixed["padding"] = "same"  # every s-th cell, beginning with the first, is what SAME counts
    choices: dict[str, tuple[Any, ...]] = {
        "window": ((2,) * rank, (3,) * rank, (4,) * rank, (5,) * rank),
        "strides": (None, (2,) * rank, (1,) * rank, (3,) * rank),
        "padding": ("valid", "same", *_padded_cells(loaded)),
    }
    best: tuple[int, dict[str, Any]] | None = None
    for values in itertools.product(*(choices[name] for name in open_fields)):
        fixed = dict(zip(open_fields, values, strict=True))
        score = _score(replace(loaded, fixed=fixed))
        if best is None or score > best[0]:
            best = (score, fixed)
    if best is not None and best[0] > 0:
        loaded.fixed |= best[1]
        told = ", ".join(f"{name} {value!r}" for name, value in best[1].items() if value is not None)
        loaded.notes += (f"only its defaults were tried ({told})" if told else "only its default strides were tried",)
    elif "window" not in open_fields:
        loaded.fixed |= {name: {"strides": None, "padding": "valid"}[name] for name in open_fields}


def _padded_cells(loaded: LoadedSubject) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Explicit padding, where the layer has a number of cells as its default."""
    for name in ALIASES["padding"]:
        cells = default_of(loaded.factory, name)
        if isinstance(cells, int) and not isinstance(cells, bool) and cells > 0:
            return (((cells, cells),) * loaded.dims,)
    return ()


def _score(trial: LoadedSubject) -> int:
    score = 0
    formula = KINDS.get(trial.like).has("has_formula")
    for size in (5, 6, 7, 9):
        for window in ((2,), (3,)) if trial.takes("pool_size") else ((2,),):
            configuration = trial.fits(replace(_plain(trial), window=window * trial.dims, strides=None))
            if KINDS.get(trial.like).reduction == "subsample":
                configuration = trial.fits(replace(_plain(trial), strides=window * trial.dims))
            if trial.takes("strides"):
                configuration = replace(configuration, strides=(2,) * trial.dims)
            x = _data((1, *(size,) * trial.dims, 2))
            if configuration.problems(x.shape):
                continue
            y = _value(trial, configuration, x)
            if y is None:
                continue
            if y.shape != configuration.output_shape(x.shape):
                return 0
            score += 1
            if formula and np.allclose(y, pool(configuration, x), rtol=1e-3, atol=1e-3):
                score += 100
    return score


def _settle_levels(loaded: LoadedSubject) -> None:
    x = _data((1, *(8,) * loaded.dims, 1))
    y = _value(loaded, _plain(loaded), x)
    for levels in ((1, 2, 4), (4, 2, 1), (1, 2), (1, 2, 3), (1, 2, 3, 6), (1,)):
        configuration = replace(_plain(loaded), levels=levels)
        if y is not None and y.shape == configuration.output_shape(x.shape):
            loaded.fixed["levels"] = levels
            return


def _settle_parameter(loaded: LoadedSubject) -> None:
    """The exponent, weight or sharpness that cannot be set, from one run on positive data."""
    reduction = KINDS.get(loaded.like).reduction
    name = {"gem": "p", "mixed": "alpha", "lse": "sharpness"}.get(reduction or "")
    if name == "alpha" and loaded.takes(name):
        _settle_weight(loaded)
    if name is None or loaded.takes(name):
        return
    configuration = _plain(loaded)
    x = (_data((1, *(4,) * loaded.dims, 2)) / 2).astype(np.float32)
    y = _value(loaded, configuration, x)
    if y is None:
        return
    grid = np.linspace(0, 1, 101) if name == "alpha" else np.concatenate([np.linspace(0.1, 8, 80), [10.0, 16.0]])
    errors = []
    for value in grid:
        setting: dict[str, Any] = {name: float(value)}
        expected = pool(replace(configuration, **setting), x)
        errors.append(float(np.abs(expected - y).max()) if expected.shape == y.shape else np.inf)
    at = int(np.argmin(errors))
    if errors[at] < 0.05:
        loaded.fixed[name] = _refined(configuration, name, float(grid[at]), x, y)
        loaded.notes += (f"{name} was found to be about {loaded.fixed[name]:.4g}",)


def _settle_weight(loaded: LoadedSubject) -> None:
    """Whether the weight of a mixture is the maximum's or, as often, the average's."""
    configuration = replace(_plain(loaded), alpha=0.25)
    x = _data((1, *(4,) * loaded.dims, 2))
    y = _value(loaded, configuration, x)
    if y is None:
        return
    fits = [
        y.shape == expected.shape and bool(np.allclose(y, expected, rtol=1e-3, atol=1e-3))
        for expected in (pool(replace(configuration, alpha=alpha), x) for alpha in (0.25, 0.75))
    ]
    if fits == [False, True]:
        loaded.reversed_weight = True
        loaded.notes += ("its weight is taken to be the average's and not the maximum's",)


def _refined(configuration: PoolConfiguration, name: str, start: float, x: NDArray[Any], y: NDArray[Any]) -> float:
    from scipy.optimize import minimize_scalar

    def error(value: float) -> float:
        setting: dict[str, Any] = {name: value}
        return float(np.square(pool(replace(configuration, **setting), x) - y).sum())

    if error(start) < 1e-9:
        return start
    found = minimize_scalar(
        error, bounds=(max(start - 0.11, 1e-3), start + 0.11), method="bounded", options={"xatol": 1e-7}
    )
    return float(found.x)
