"""The pooling sites of a model as cases: as shipped, and with the other kind in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from poolaudit.benchmarks.layers import Case
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.geometry import GeometryEvidence, PoolingSite
from poolaudit.subject._trace import trace
from poolaudit.subject.models import LoadedModel
from poolaudit.subject.sites import sites_with_owners

_OTHER = {"max": "average", "average": "max", "global_max": "global_average", "global_average": "global_max"}
_CLASS = {
    "max": "MaxPooling{}D",
    "average": "AveragePooling{}D",
    "global_max": "GlobalMaxPooling{}D",
    "global_average": "GlobalAveragePooling{}D",
}


def site_cases(
    loaded: LoadedModel, input_shape: tuple[int, ...] | None, batch: int, dtypes: Sequence[str]
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """The cases of every site that can be run alone, and why the others cannot.

    Args:
        input_shape: Of one item, where the model leaves its sizes open; None takes the model's.
        batch: Items at once.

    Raises:
        InvalidInputError: The model does not take items of that shape.
    """
    geometry, owners = _sites(loaded, input_shape)
    cases: list[Case] = []
    missing = list(geometry.not_seen)
    for site, owner in zip(geometry.sites, owners, strict=True):
        shape = None if site.input_shape is None else site.input_shape[1:]
        if owner is None or not callable(owner):
            missing.append(f"{site.name}: it is code inside something larger, so there is no layer to run alone")
        elif shape is None or any(size is None for size in shape):
            missing.append(f"{site.name}: the size of its input is open; give --input-shape")
        else:
            known = tuple(int(size) for size in shape if size is not None)
            for dtype in dtypes:
                cases += _of_site(site, owner, (batch, *known), dtype)
    return tuple(cases), tuple(missing)


def _sites(loaded: LoadedModel, input_shape: tuple[int, ...] | None) -> tuple[GeometryEvidence, tuple[Any, ...]]:
    if input_shape is None:
        return sites_with_owners(loaded)
    stated = loaded.input_shape
    fits = stated is None or (
        len(stated) == len(input_shape) + 1
        and all(size in (None, given) for size, given in zip(stated[1:], input_shape, strict=True))
    )
    if not fits:
        raise InvalidInputError(f"The input shape is {input_shape}", f"what {loaded.name} takes: {stated}")
    try:
        traced = trace(loaded, [(1, *input_shape)])
    except Exception as error:  # the model's own code
        told = " ".join(str(error).split())[:200]
        raise InvalidInputError(
            f"{loaded.name} cannot run on items of {input_shape} ({type(error).__name__}: {told})",
            "sizes that the model can take",
        ) from error
    return sites_with_owners(loaded, (None, *input_shape), traced)


def _of_site(site: PoolingSite, owner: Any, shape: tuple[int, ...], dtype: str) -> Iterator[Case]:
    own = str(getattr(owner, "compute_dtype", dtype))
    if own == dtype or not hasattr(owner, "get_config"):
        yield Case(site.name, "as shipped", owner, shape, dtype)
    else:
        yield Case(
            site.name, "as shipped", type(owner).from_config({**owner.get_config(), "dtype": dtype}), shape, dtype
        )
    other = _other_kind(site, dtype)
    if other is not None:
        yield Case(site.name, _OTHER[site.kind].replace("_", " "), other, shape, dtype)


def _other_kind(site: PoolingSite, dtype: str) -> Any:
    import keras

    if site.kind not in _OTHER:
        return None
    layer = getattr(keras.layers, _CLASS[_OTHER[site.kind]].format(site.rank))
    if site.kind.startswith("global_"):
        return layer(data_format=site.data_format, dtype=dtype)
    if site.window is None:
        return None
    return layer(site.window, site.strides, site.padding or "valid", data_format=site.data_format, dtype=dtype)
