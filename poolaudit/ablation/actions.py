"""The built-in actions: which layer takes the place of the pooling at a site."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras

from poolaudit.ablation import layers
from poolaudit.ablation.refusals import IdlePooling, RefusedAction
from poolaudit.ablation.variants import variant
from poolaudit.evidence.geometry import PoolingSite

_PLAIN = ("max", "average")
_IDLE = "its window and stride are 1: it does nothing"


@variant("max", places="windowed")
def _max(site: PoolingSite) -> Any:
    _require_cells(site)
    if site.kind in ("average", "custom"):
        return _pooling("Max", site)
    if site.kind == "adaptive_average":
        return _adaptive("AdaptiveMaxPooling", site)
    raise _refused(site, "max", "global_max")


@variant("average", places="windowed")
def _average(site: PoolingSite) -> Any:
    _require_cells(site)
    if site.kind in ("max", "custom"):
        return _pooling("Average", site)
    if site.kind == "adaptive_max":
        return _adaptive("AdaptiveAveragePooling", site)
    raise _refused(site, "average", "global_average")


@variant("subsample", places="windowed")
def _subsample(site: PoolingSite) -> Any:
    _require_stride(site, "keeping one cell of a window with stride 1 is the same as removed")
    return _layer("Subsampling", site)(**_arguments(site))


@variant("strided_convolution", places="windowed", untrained=True)
def _strided_convolution(site: PoolingSite) -> Any:
    arguments = _arguments(site)
    channels = _channels(site)
    return getattr(keras.layers, f"Conv{site.rank}D")(
        channels,
        arguments["pool_size"],
        strides=arguments["strides"],
        padding=arguments["padding"],
        data_format=arguments["data_format"],
        kernel_initializer=layers.AverageKernel(),
    )


@variant("blur", places="windowed")
def _blur(site: PoolingSite, filter_size: int = 3) -> Any:
    _require_stride(site, "with stride 1 nothing is subsampled, so there is no aliasing to blur away")
    return _layer("BlurPooling", site)(**_arguments(site), filter_size=filter_size, reduction=_reduction(site))


@variant("polyphase", places="windowed")
def _polyphase(site: PoolingSite) -> Any:
    _require_stride(site, "with stride 1 there is one phase only")
    return _layer("PolyphasePooling", site)(**_arguments(site), reduction=_reduction(site))


@variant("gem")
def _gem(site: PoolingSite, p: float = 3.0) -> Any:
    if _is_head(site):
        return _layer("GlobalGeMPooling", site)(**_whole_arguments(site), p=p)
    _require_window(site)
    return _layer("GeMPooling", site)(**_arguments(site), p=p)


@variant("mixed")
def _mixed(site: PoolingSite) -> Any:
    if _is_head(site):
        return _layer("GlobalMixedPooling", site)(**_whole_arguments(site))
    _require_window(site)
    return _layer("MixedPooling", site)(**_arguments(site))


@variant("weaker", places="windowed")
def _weaker(site: PoolingSite) -> Any:
    _require_cells(site)
    window, strides = _plain(site)
    if max(strides) > 1:
        return _with_strides(site, window, tuple(max(1, stride // 2) for stride in strides))
    if max(window) == 1:
        raise IdlePooling(_IDLE)
    smaller = tuple(max(1, size - 2) for size in window)
    if max(smaller) == 1:
        raise RefusedAction("its stride is 1 and a smaller window would be a single cell, the same as removed")
    return _pooling(_plain_name(site), site, pool_size=smaller)


@variant("stride1", places="windowed", listed=False)
def _stride1(site: PoolingSite) -> Any:
    _require_cells(site)
    window, strides = _plain(site)
    if max(strides) == 1:
        raise RefusedAction("its stride is 1 already")
    return _with_strides(site, window, (1,) * site.rank)


@variant("stronger", places="windowed")
def _stronger(site: PoolingSite) -> Any:
    _require_cells(site)
    window, strides = _plain(site)
    if max(strides) > 1:
        return _strengthened(site, 2)
    if max(window) == 1:
        raise IdlePooling(_IDLE)
    if _covers_everything(site, window):
        raise RefusedAction("each of its windows covers the whole input already")
    return _pooling(_plain_name(site), site, pool_size=tuple(size + 2 if size > 1 else size for size in window))


@variant("removed")
def _removed(site: PoolingSite) -> Any:
    _require_cells(site)
    if site.kind == "flatten":
        raise RefusedAction("a Flatten pools nothing; what could take its place is global_average or global_max")
    if site.kind.startswith("global"):
        if site.input_shape and site.output_shape and len(site.input_shape) == len(site.output_shape):
            return keras.layers.Identity()
        raise RefusedAction("removing a global pooling leaves a Flatten: that variant is called flatten")
    if site.window is not None and max(site.window) == 1 and max(site.strides or (1,)) == 1:
        raise IdlePooling(_IDLE)
    return keras.layers.Identity()


@variant("global_average", places="whole")
def _global_average(site: PoolingSite) -> Any:
    return _global("Average", site)


@variant("global_max", places="whole")
def _global_max(site: PoolingSite) -> Any:
    return _global("Max", site)


@variant("flatten", places="whole")
def _flatten(site: PoolingSite) -> Any:
    if site.kind == "flatten":
        raise RefusedAction("it is a Flatten already")
    if not _is_head(site):
        raise RefusedAction("it is not global pooling; Flatten takes the place of global pooling only")
    _whole_arguments(site)
    if site.input_shape is None or site.output_shape is None or len(site.output_shape) != 2:
        raise RefusedAction("its output keeps the spatial axes, which Flatten would not")
    if any(size is None for size in site.input_shape[1:]):
        raise RefusedAction(f"the sizes of its input are open ({site.input_shape}), and Flatten needs them fixed")
    return keras.layers.Flatten(data_format=site.data_format)


def _total_downsampling(total: int) -> Callable[..., dict[str, Any]]:
    def replace(sites: tuple[PoolingSite, ...]) -> dict[str, Any]:
        return _downsampled(sites, total)

    return replace


for _total in (1, 2, 4, 8, 16, 32):
    variant(f"downsampling_{_total}", together=True)(_total_downsampling(_total))


def _downsampled(sites: tuple[PoolingSite, ...], total: int) -> dict[str, Any]:
    """Strides changed so that the pooling sites downsample by `total` altogether; the last ones change first."""
    strided = [site for site in sites if site.kind in _PLAIN and max(site.strides or (1,)) > 1]
    if not strided:
        raise RefusedAction("no pooling site has a stride above 1")
    if _parallel(strided):
        raise RefusedAction("its pooling sites stand in parallel branches, so there is no single total downsampling")
    present = math.prod(max(site.strides or (1,)) for site in strided)
    if present == total:
        raise RefusedAction(f"the model's pooling downsamples by {total} already: that is the baseline")
    if total > present:
        if total % present:
            raise RefusedAction(f"{total} is no multiple of the present {present}")
        return {strided[-1].name: _strengthened(strided[-1], total // present)}
    if present % total:
        raise RefusedAction(f"the present {present} is no multiple of {total}")
    surplus, changed = present // total, {}
    for site in reversed(strided):
        window, strides = _plain(site)
        factor = math.gcd(surplus, max(strides))
        if factor > 1:
            changed[site.name] = _with_strides(site, window, tuple(max(1, stride // factor) for stride in strides))
            surplus //= factor
    if surplus > 1:
        raise RefusedAction(f"the strides of its pooling sites do not divide to a total of {total}")
    return changed


def _parallel(strided: list[PoolingSite]) -> bool:
    """Whether a later site reads a map larger than an earlier one gave, as only a parallel branch can."""
    sizes = [_space(site.input_shape, site) for site in strided], [_space(site.output_shape, site) for site in strided]
    return any(
        after is not None and before is not None and any(a > b for a, b in zip(after, before, strict=True))
        for after, before in zip(sizes[0][1:], sizes[1][:-1], strict=True)
    )


def _space(shape: tuple[int | None, ...] | None, site: PoolingSite) -> tuple[int, ...] | None:
    if shape is None or len(shape) != site.rank + 2:
        return None
    space = shape[2:] if site.data_format == "channels_first" else shape[1:-1]
    return None if any(size is None for size in space) else tuple(size or 0 for size in space)


def _arguments(site: PoolingSite) -> dict[str, Any]:
    """Window, strides, padding and data format; taken from the shapes where a custom layer does not state them.

    Raises:
        RefusedAction: No windowed pooling, or one whose window cannot be told.
    """
    if site.kind.startswith(("global", "adaptive")) or site.kind == "flatten":
        raise RefusedAction(f"it is {site.kind.replace('_', ' ')} pooling, which has no window")
    window, strides, padding = site.window, site.strides, site.padding
    if site.kind == "custom" and not _explains_shapes(site):
        window = None  # the window of an operation inside the layer is not that of the layer
    if window is None:
        source, result = _space(site.input_shape, site), _space(site.output_shape, site)
        if source is None or result is None or any(n < m or n % m for n, m in zip(source, result, strict=True)):
            raise RefusedAction(f"the window of {site.layer} is not known and does not follow from its shapes")
        window = strides = tuple(n // m for n, m in zip(source, result, strict=True))
        padding = "valid"
    return {
        "pool_size": window,
        "strides": strides or window,
        "padding": padding or "valid",
        "data_format": site.data_format or "channels_last",
    }


def _explains_shapes(site: PoolingSite) -> bool:
    """Whether pooling with the site's window, strides and padding gives its output shape."""
    source, result = _space(site.input_shape, site), _space(site.output_shape, site)
    if site.window is None or source is None or result is None:
        return site.window is not None
    strides = site.strides or site.window
    return all(
        m == (-(-n // s) if site.padding == "same" else (n - k) // s + 1)
        for n, m, k, s in zip(source, result, site.window, strides, strict=True)
    )


def _plain(site: PoolingSite) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if site.kind not in _PLAIN:
        raise RefusedAction(f"its strength can be changed for max and average pooling, and it is {_called(site)}")
    arguments = _arguments(site)
    return arguments["pool_size"], arguments["strides"]


def _called(site: PoolingSite) -> str:
    return f"a {site.layer}" if site.kind == "custom" else site.kind.replace("_", " ") + " pooling"


def _plain_name(site: PoolingSite) -> str:
    return "Max" if site.kind == "max" else "Average"


def _pooling(name: str, site: PoolingSite, **changed: Any) -> Any:
    arguments = {**_arguments(site), **changed}
    if max(arguments["pool_size"]) == 1 and not changed:
        if max(arguments["strides"]) == 1:
            raise IdlePooling(_IDLE)
        raise RefusedAction("its window is a single cell, where maximum and average are the same")
    return getattr(keras.layers, f"{name}Pooling{site.rank}D")(**arguments)


def _with_strides(site: PoolingSite, window: tuple[int, ...], strides: tuple[int, ...]) -> list[Any]:
    """With "same" first, which keeps sizes whole multiples; then with the site's own padding."""
    name = _plain_name(site)
    paddings = dict.fromkeys(("same", site.padding or "valid"))
    return [_pooling(name, site, pool_size=window, strides=strides, padding=padding) for padding in paddings]


def _strengthened(site: PoolingSite, factor: int) -> list[Any]:
    window, strides = _plain(site)
    wider = tuple(k + (factor - 1) * s if s > 1 else k for k, s in zip(window, strides, strict=True))
    longer = tuple(s * factor if s > 1 else s for s in strides)
    space = _space(site.input_shape, site)
    if space is not None and any(n < k for n, k in zip(space, wider, strict=True)):
        raise RefusedAction(f"its input of {'x'.join(map(str, space))} cells is smaller than a window of {wider}")
    name = _plain_name(site)
    paddings = dict.fromkeys((site.padding or "valid", "same"))
    return [_pooling(name, site, pool_size=wider, strides=longer, padding=padding) for padding in paddings]


def _adaptive(name: str, site: PoolingSite) -> Any:
    sizes = _space(site.output_shape, site)
    made = getattr(keras.layers, f"{name}{site.rank}D", None)
    if made is None or sizes is None:
        raise RefusedAction("its output sizes are open, or this version of Keras has no adaptive pooling layers")
    return made(sizes, data_format=site.data_format or "channels_last")


def _is_head(site: PoolingSite) -> bool:
    return site.kind.startswith("global") or site.kind == "flatten"


def _whole_arguments(site: PoolingSite) -> dict[str, Any]:
    source, result = site.input_shape, site.output_shape
    _require_cells(site)
    if source is not None and len(source) != site.rank + 2:
        raise RefusedAction(f"it pools {site.rank} of {len(source) - 2} spatial axes, for which there is no layer")
    keeps = source is not None and result is not None and len(source) == len(result)
    return {"data_format": site.data_format or "channels_last", "keepdims": keeps}


def _global(name: str, site: PoolingSite) -> Any:
    if site.kind == f"global_{name.lower()}":
        raise RefusedAction(f"it is {site.kind.replace('_', ' ')} pooling already")
    if not _is_head(site):
        raise RefusedAction("it is not global pooling")
    return getattr(keras.layers, f"Global{name}Pooling{site.rank}D")(**_whole_arguments(site))


def _layer(name: str, site: PoolingSite) -> Any:
    return getattr(layers, f"{name}{site.rank}D")


def _reduction(site: PoolingSite) -> str:
    if site.kind not in _PLAIN:
        raise RefusedAction(f"what happens inside its windows is not known: it is {_called(site)}")
    return site.kind


def _channels(site: PoolingSite) -> int:
    shape = site.input_shape
    channels = None if shape is None else shape[1] if site.data_format == "channels_first" else shape[-1]
    if channels is None:
        raise RefusedAction("the number of its channels is open, and a convolution needs it fixed")
    return channels


def _covers_everything(site: PoolingSite, window: tuple[int, ...]) -> bool:
    """Whether every window of stride 1 sees every cell: it reaches (size - 1) // 2 cells or more to either side."""
    space = _space(site.input_shape, site)
    if site.padding != "same" or space is None:
        return False
    return all(cells - 1 <= (size - 1) // 2 for cells, size in zip(space, window, strict=True))


def _require_cells(site: PoolingSite) -> None:
    """A custom layer may do more to a single cell than pool it."""
    space = _space(site.input_shape, site)
    if site.kind != "custom" and space is not None and max(space) == 1:
        raise IdlePooling("its input is a single cell, where every way of pooling gives the same")


def _require_stride(site: PoolingSite, otherwise: str) -> None:
    _require_cells(site)
    if max(_arguments(site)["strides"]) == 1:
        raise RefusedAction(otherwise)


def _require_window(site: PoolingSite) -> None:
    _require_cells(site)
    arguments = _arguments(site)
    if max(arguments["pool_size"]) == 1:
        if max(arguments["strides"]) == 1:
            raise IdlePooling(_IDLE)
        raise RefusedAction("its window is a single cell, where every mean is the same")


def _refused(site: PoolingSite, action: str, instead: str) -> RefusedAction:
    if _is_head(site):
        return RefusedAction(f"it is {_called(site)}; what applies there is {instead}")
    return RefusedAction(f"it is {_called(site)} already" if site.kind.endswith(action) else f"it is {_called(site)}")
