"""What really flows through the pooling sites of a model: shapes, ranges, NaN and infinities on given data."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.errors import InvalidInputError
from poolaudit.evidence.geometry import PoolingSite
from poolaudit.subject._keras_load import quiet_keras
from poolaudit.subject._loaded import LoadedModel
from poolaudit.subject._prediction import check_inputs, check_single
from poolaudit.subject.sites import sites_with_owners

Array = npt.NDArray[Any]
_INSIDE_CODE = "it is an operation inside custom code, so there is no layer whose input and output could be recorded"
_BATCH = 16


@dataclass(frozen=True)
class SiteActivations:
    """What a pooling site was given and what it returned, in inference mode. Holds a live layer: never evidence.

    Attributes:
        site: The site.
        layer: "keras.layers:MaxPooling2D" or "module:Class"; None where another process could not import it.
        config: The layer's configuration as plain JSON; None where there is none.
        live: The layer or operation itself; None where the site is code inside something larger.
        dtype_policy: Name of the layer's policy, or else the dtype of its input.
        compute_dtype: Dtype it computes in.
        input_shape: Shape of one recorded input, batch included; None where nothing was recorded.
        output_shape: Shape of the output to it.
        lowest: Lowest finite value of the input over all items; None where there is none.
        highest: Highest finite value likewise.
        input_nan: Number of NaN in the input over all items.
        input_infinite: Number of infinities likewise.
        output_nan: As `input_nan`, of the output.
        output_infinite: As `input_infinite`, of the output.
        items: Number of the model's inputs that ran.
        extremes: The inputs with the largest value and with the largest sum of magnitudes, shape (2, ...).
        reason: Why nothing was recorded; None where something was.
    """

    site: PoolingSite
    layer: str | None = None
    config: dict[str, Any] | None = None
    live: Any = field(default=None, repr=False)
    dtype_policy: str = "float32"
    compute_dtype: str = "float32"
    input_shape: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None
    lowest: float | None = None
    highest: float | None = None
    input_nan: int = 0
    input_infinite: int = 0
    output_nan: int = 0
    output_infinite: int = 0
    items: int = 0
    extremes: Array | None = field(default=None, repr=False, compare=False)
    reason: str | None = None

    @property
    def name(self) -> str:
        """The site's name."""
        return self.site.name


def record_site_activations(loaded: LoadedModel, inputs: Array, max_items: int = 64) -> tuple[SiteActivations, ...]:
    """Runs the model eagerly on the first items and records every pooling site; the model is left as it was.

    Args:
        loaded: The model under audit.
        inputs: Shape (n, ...) as the model's input shape says.
        max_items: Items run, at least 1.

    Returns:
        One entry a site of `list_pooling_sites`, in its order; an entry with a `reason` was not recorded.

    Raises:
        InvalidInputError: Where the inputs do not fit the model.
    """
    if max_items < 1:
        raise InvalidInputError(f"max_items is {max_items}", "1 or more")
    inputs = np.asarray(inputs)
    check_single(loaded)
    check_inputs(loaded, inputs)
    geometry, owners = sites_with_owners(loaded, (None, *inputs.shape[1:]))
    reason = _INSIDE_CODE if loaded.keras_model is not None else "a SavedModel stores operations, not layers"
    tallies: dict[int, list[_Tally]] = {}
    problem = None
    owned = {id(owner): owner for owner in owners if owner is not None}
    if owned:
        problem = _run(loaded, inputs[:max_items], tuple(owned.values()), tallies)
    found = []
    for position, (site, owner) in enumerate(zip(geometry.sites, owners, strict=True)):
        if owner is None:
            found.append(SiteActivations(site, reason=reason))
            continue
        same = [place for place, other in enumerate(owners) if other is owner]
        tally = _tally_of(tallies.get(id(owner), []), len(same), same.index(position))
        found.append(_described(site, owner, tally, problem or "the model does not call it when it runs eagerly"))
    return tuple(found)


class _Tally:
    """Sums up what went through one call of a layer, batch by batch."""

    def __init__(self) -> None:
        self.input_shape: tuple[int, ...] = ()
        self.output_shape: tuple[int, ...] = ()
        self.dtype = "float32"
        self.lowest, self.highest = np.inf, -np.inf
        self.counts = [0, 0, 0, 0]
        self.items = 0
        self._largest: tuple[float, Array | None] = (-1.0, None)
        self._heaviest: tuple[float, Array | None] = (-1.0, None)

    def add(self, source: Array, result: Array) -> None:
        if not self.items:
            self.input_shape, self.output_shape, self.dtype = source.shape, result.shape, source.dtype.name
        self.items += len(source) if source.ndim else 1
        values, answers = source.astype(np.float64), result.astype(np.float64)
        finite = np.isfinite(values)
        self.lowest = min(self.lowest, float(np.min(values, where=finite, initial=np.inf)))
        self.highest = max(self.highest, float(np.max(values, where=finite, initial=-np.inf)))
        for place, array in ((0, values), (2, answers)):
            self.counts[place] += int(np.isnan(array).sum())
            self.counts[place + 1] += int(np.isinf(array).sum())
        if values.ndim < 2 or not values.size:
            return
        magnitudes = np.where(finite, np.abs(values), 0.0).reshape(len(values), -1)
        for measure, name in ((magnitudes.max(axis=1), "_largest"), (magnitudes.sum(axis=1), "_heaviest")):
            at = int(measure.argmax())
            if measure[at] > getattr(self, name)[0]:
                setattr(self, name, (float(measure[at]), source[at]))

    def merge(self, other: _Tally) -> None:
        """Adds another call of the same layer."""
        self.lowest, self.highest = min(self.lowest, other.lowest), max(self.highest, other.highest)
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        for name in ("_largest", "_heaviest"):
            if getattr(other, name)[0] > getattr(self, name)[0]:
                setattr(self, name, getattr(other, name))

    @property
    def extremes(self) -> Array | None:
        if self._largest[1] is None or self._heaviest[1] is None:
            return None
        if self._largest[1].shape != self._heaviest[1].shape:
            return self._largest[1][np.newaxis]
        return np.stack([self._largest[1], self._heaviest[1]])


def _run(loaded: LoadedModel, inputs: Array, owners: Sequence[Any], tallies: dict[int, list[_Tally]]) -> str | None:
    """Fills the tallies; the reason where the model could not be run eagerly."""
    fixed = loaded.input_shape[0] if loaded.input_shape else None
    step = fixed or _BATCH
    calls: dict[int, int] = {}
    with _recorded(owners, tallies, calls), quiet_keras():
        for start in range(0, len(inputs), step):
            batch = inputs[start : start + step].astype(loaded.input_dtype, copy=False)
            if fixed and len(batch) < fixed:
                break
            calls.clear()
            try:
                loaded.call(_constant(batch))
            except Exception as error:  # the model's own code runs here, and may raise anything
                return f"the model does not run eagerly ({told(error)})"
    return None


@contextmanager
def _recorded(owners: Sequence[Any], tallies: dict[int, list[_Tally]], calls: dict[int, int]) -> Iterator[None]:
    """Wraps `call` of the owners on the instance, past Keras's attribute tracking, and takes it off again."""
    before: dict[int, Any] = {}
    try:
        for owner in owners:
            before[id(owner)] = vars(owner).get("call")
            vars(owner)["call"] = _recording(owner, owner.call, tallies, calls)
        yield
    finally:
        for owner in owners:
            if id(owner) not in before:
                continue
            if before[id(owner)] is None:
                vars(owner).pop("call", None)
            else:
                vars(owner)["call"] = before[id(owner)]


def _recording(
    owner: Any, original: Callable[..., Any], tallies: dict[int, list[_Tally]], calls: dict[int, int]
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        number = calls.get(id(owner), 0)
        calls[id(owner)] = number + 1
        source, answer = _first_array((args, kwargs)), _first_array(result)
        if source is not None and answer is not None:
            kept = tallies.setdefault(id(owner), [])
            kept += [_Tally() for _ in range(number + 1 - len(kept))]
            kept[number].add(source, answer)
        return result

    return call


def _first_array(structure: Any) -> Array | None:
    """The first tensor with values; None where there is none, for example inside a compiled function."""
    import tensorflow as tf

    for item in tf.nest.flatten(structure):
        if isinstance(item, tf.Tensor):
            return np.asarray(item.numpy()) if hasattr(item, "numpy") else None
        if isinstance(item, np.ndarray):
            return item
    return None


def _tally_of(tallies: list[_Tally], sites: int, number: int) -> _Tally | None:
    """The call that belongs to the site: one each, or all of them where a wrapper calls a layer step by step."""
    tallies = [tally for tally in tallies if tally.items]
    if len(tallies) == sites:
        return tallies[number]
    if sites == 1 and tallies:
        for other in tallies[1:]:
            tallies[0].merge(other)
        return tallies[0]
    return None


def _described(site: PoolingSite, owner: Any, tally: _Tally | None, reason: str) -> SiteActivations:
    policy = getattr(owner, "dtype_policy", None)
    name = str(policy.name) if policy is not None else (tally.dtype if tally is not None else "float32")
    compute = str(getattr(owner, "compute_dtype", None) or name.removeprefix("mixed_"))
    known = {
        "layer": _reference(type(owner)),
        "config": _config(owner),
        "live": owner,
        "dtype_policy": name,
        "compute_dtype": compute,
    }
    if tally is None:
        return SiteActivations(site, reason=reason, **known)
    return SiteActivations(
        site,
        input_shape=tally.input_shape,
        output_shape=tally.output_shape,
        lowest=tally.lowest if np.isfinite(tally.lowest) else None,
        highest=tally.highest if np.isfinite(tally.highest) else None,
        input_nan=tally.counts[0],
        input_infinite=tally.counts[1],
        output_nan=tally.counts[2],
        output_infinite=tally.counts[3],
        items=tally.items,
        extremes=tally.extremes,
        **known,
    )


def _config(owner: Any) -> dict[str, Any] | None:
    try:
        text = json.dumps(owner.get_config(), default=str, sort_keys=True)
        config = json.loads(text)
    except Exception:  # a custom layer's own code, or none at all
        return None
    if not isinstance(config, dict):
        return None
    policy = config.get("dtype")
    if isinstance(policy, dict) and isinstance(policy.get("config"), dict) and "name" in policy["config"]:
        config["dtype"] = policy["config"]["name"]
    return config


def _reference(layer: type) -> str | None:
    """`module:Class`, if that leads back to this very class in another process."""
    import keras

    name = layer.__qualname__
    if getattr(keras.layers, name, None) is layer:
        return f"keras.layers:{name}"
    if layer.__module__ == "__main__" or "<" in name:
        return None
    try:
        found: Any = importlib.import_module(layer.__module__)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return f"{layer.__module__}:{name}" if found is layer else None


def told(error: BaseException) -> str:
    """An exception in one line, past the line that Keras puts in front of every error in a layer."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Exception encountered when calling")] or lines
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _constant(batch: Array) -> Any:
    import tensorflow as tf

    return tf.constant(batch)
