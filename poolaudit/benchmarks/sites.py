"""The pooling sites of a model as cases: as shipped, and with variants in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from poolaudit.benchmarks.layers import AS_SHIPPED, Case
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.geometry import GeometryEvidence, PoolingSite
from poolaudit.subject._trace import trace
from poolaudit.subject.models import LoadedModel
from poolaudit.subject.sites import sites_with_owners

# Names of variants at a site, each with its layer.
Replacements = Callable[[PoolingSite], Sequence[tuple[str, Any]]]


def site_cases(
    loaded: LoadedModel,
    input_shape: tuple[int, ...] | None,
    batch: int,
    dtypes: Sequence[str],
    replacements: Replacements,
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """The cases of every site that can be run alone, and why the others cannot.

    Args:
        input_shape: Of one item, where the model leaves its sizes open; None takes the model's.
        batch: Items at once.
        replacements: Gives what may take the place of the layer at a site.

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
                cases += _of_site(site, owner, (batch, *known), dtype, replacements)
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


def _of_site(
    site: PoolingSite, owner: Any, shape: tuple[int, ...], dtype: str, replacements: Replacements
) -> Iterator[Case]:
    own = str(getattr(owner, "compute_dtype", dtype))
    shipped = owner if own == dtype or not hasattr(owner, "get_config") else _in_dtype(owner, dtype)
    yield Case(site.name, AS_SHIPPED, shipped, shape, dtype)
    for name, layer in replacements(site):
        yield Case(site.name, name, _in_dtype(layer, dtype), shape, dtype)


def _in_dtype(layer: Any, dtype: str) -> Any:
    return type(layer).from_config({**layer.get_config(), "dtype": dtype})
