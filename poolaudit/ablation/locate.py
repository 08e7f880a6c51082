"""Where in a Keras model its pooling sites are: the live layer behind each, and the how-manieth call of it."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from poolaudit.ablation.plan import planned, walk
from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.evidence.geometry import PoolingSite
from poolaudit.subject.models import load_model
from poolaudit.subject.sites import sites_with_owners

Shape = tuple["int | None", ...]


@dataclass(frozen=True)
class LocatedSite:
    """A pooling site, or a Flatten of a spatial map (kind "flatten"), and the live object behind it.

    Attributes:
        site: The site as every other part of poolaudit names it.
        owner: Layer or operation of the model; None where the site is code inside something larger.
        occurrence: 0 for the first call of the owner, in order of execution.
    """

    site: PoolingSite
    owner: Any
    occurrence: int

    @property
    def key(self) -> tuple[int, int]:
        """Tells calls of live objects apart."""
        return id(self.owner), self.occurrence


_KNOWN: weakref.WeakKeyDictionary[Any, dict[Shape | None, tuple[LocatedSite, ...]]] = weakref.WeakKeyDictionary()


def locate(model: Any, input_shape: Shape | None = None) -> tuple[LocatedSite, ...]:
    """The pooling sites of a model in order of execution, then its Flatten layers. Remembered for each live model.

    Args:
        input_shape: With batch, for a model that states none.

    Raises:
        InvalidInputError: Not a Keras model.
    """
    known = _KNOWN.setdefault(model, {}) if getattr(type(model), "__hash__", None) else {}
    if input_shape not in known:
        known[input_shape] = _located(model, input_shape)
    return known[input_shape]


def site_named(name: str, located: Sequence[LocatedSite]) -> LocatedSite:
    """The site of this name; "pool@1" is the same as "pool".

    Raises:
        InvalidInputError: No site bears this name; the text has the closest one.
    """
    for entry in located:
        if entry.site.name == name or f"{entry.site.name}@1" == name:
            return entry
    names = [entry.site.name for entry in located]
    raise InvalidInputError(f"The model has no pooling site {name!r}", listed(names, 20), did_you_mean(name, names))


def _located(model: Any, input_shape: Shape | None) -> tuple[LocatedSite, ...]:
    evidence, owners = sites_with_owners(load_model(model), input_shape)
    calls: Counter[int] = Counter()
    found: list[LocatedSite] = []
    for site, owner in zip(evidence.sites, owners, strict=True):
        found.append(LocatedSite(site, owner, calls[id(owner)] if owner is not None else 0))
        if owner is not None:
            calls[id(owner)] += 1
    return (*found, *_flattens(model))


def _flattens(model: Any) -> list[LocatedSite]:
    found = []
    for path, call in walk(planned(model)):
        if type(call.operation).__name__ != "Flatten" or len(call.node.input_tensors) != 1:
            continue
        source, result = tuple(call.node.input_tensors[0].shape), tuple(call.node.outputs[0].shape)
        if call.repeated:
            source, result = (source[0], *source[2:]), (result[0], *result[2:])
        if 3 <= len(source) <= 5:
            data_format = getattr(call.operation, "data_format", None)
            site = PoolingSite(
                path, "Flatten", "flatten", len(source) - 2, None, None, None, data_format, source, result, "layer"
            )
            found.append(LocatedSite(site, call.operation, call.occurrence))
    return found
