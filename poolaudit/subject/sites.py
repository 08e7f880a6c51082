"""Lists the pooling sites of a model: pooling layers, and pooling hidden in operations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from poolaudit.evidence.geometry import GeometryEvidence, PoolingSite
from poolaudit.subject._loaded import LoadedModel, Shape
from poolaudit.subject._pooling_layers import (
    looks_like_pooling,
    pooling_class,
    site_of_layer,
    stated_rank,
    stated_window,
)
from poolaudit.subject._site_search import SiteSearch
from poolaudit.subject._trace import Trace, trace


def list_pooling_sites(loaded: LoadedModel, input_shape: Shape | None = None) -> GeometryEvidence:
    """Every pooling operation of the model, in order of execution, and what could not be looked into.

    The model is traced once at its input shape; each graph operation is attributed to the layer that made it. Layers
    of Keras other than pooling are not searched, custom layers, Lambda layers and subclassed models are. Where the
    model cannot be traced, its layers are listed without order and the evidence says so.

    Args:
        loaded: The model under audit.
        input_shape: With batch, for a model that states none; usually (None, *x.shape[1:]) of the data.
    """
    return sites_with_owners(loaded, input_shape)[0]


def sites_with_owners(
    loaded: LoadedModel, input_shape: Shape | None = None, traced: Trace | None = None
) -> tuple[GeometryEvidence, tuple[Any, ...]]:
    """As `list_pooling_sites`, with the live layer or operation behind every site.

    The owner is None where a site is code inside something larger.

    Args:
        traced: The model's trace, where there is one already; shapes then are those it was traced at.
    """
    if loaded.input_shape is None and loaded.input_count == 0 and input_shape is not None:
        loaded = replace(loaded, input_shape=input_shape)
    try:
        traced = trace(loaded) if traced is None else traced
    except Exception as error:  # the model's own code runs here, and may raise anything
        return _listed_without_trace(loaded, error)
    search = SiteSearch(loaded, traced)
    if traced.root is None:
        search.scan(traced.graph.get_operations(), "", scoped=True)
        search.not_seen.append(
            "A SavedModel stores operations, not layers: pooling written in other ways than a pooling operation or a "
            "reduction over space, for example by slices, is not seen."
        )
    else:
        search.inside(traced.root, "")
        search.report_uncalled()
    return GeometryEvidence(tuple(search.sites), tuple(dict.fromkeys(search.not_seen))), tuple(search.owners)


def _listed_without_trace(loaded: LoadedModel, error: Exception) -> tuple[GeometryEvidence, tuple[Any, ...]]:
    detail = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {detail[0][:160]}" if detail else type(error).__name__
    not_seen = [
        f"The model could not be traced ({reason}); its pooling layers are listed as they are stored, and pooling "
        "hidden in operations was not looked for."
    ]
    sites: list[PoolingSite] = []
    owners: list[Any] = []
    for name, layer in _named_layers(loaded.keras_model, ""):
        if pooling_class(layer) is not None:
            sites.append(site_of_layer(layer, name, *_static_shapes(layer)))
        elif looks_like_pooling(layer):
            window, strides, padding = stated_window(layer)
            shapes = _static_shapes(layer)
            sites.append(
                PoolingSite(
                    name,
                    type(layer).__name__,
                    "custom",
                    stated_rank(shapes[0], window),
                    window,
                    strides,
                    padding,
                    getattr(layer, "data_format", None),
                    *shapes,
                    found_by="heuristic",
                )
            )
        owners += [layer] * (len(sites) - len(owners))
    return GeometryEvidence(tuple(sites), tuple(not_seen)), tuple(owners)


def _named_layers(layer: Any, path: str) -> Iterator[tuple[str, Any]]:
    for child in layer._flatten_layers(include_self=False, recursive=False) if layer is not None else ():
        name = f"{path}/{child.name}" if path else str(child.name)
        yield name, child
        if pooling_class(child) is None:
            yield from _named_layers(child, name)


def _static_shapes(layer: Any) -> tuple[Shape | None, Shape | None]:
    for node in getattr(layer, "_inbound_nodes", ()):
        if len(node.input_tensors) == 1 and len(node.outputs) == 1:
            return tuple(node.input_tensors[0].shape), tuple(node.outputs[0].shape)
    return None, None
