"""Which statements hold for which kind of pooling: a kind is a layout, a reduction and a set of traits.

A property of the conformance suite asks for traits and never for names, so a new kind needs one line here:

>>> KINDS.get("adaptive_max").has("selection", "monotone")
True
>>> KINDS.get("rms").has("partition_of_unity")
False
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from poolaudit.registry import Registry

Layout = Literal["windowed", "adaptive", "global", "pyramid", "any"]

TRAITS: dict[str, str] = {
    "accumulates": "sums many cells, so half precision needs a wider accumulator",
    "adaptive": "windows follow from the wished output size",
    "batch_independent": "an item's output depends on no other item of the batch",
    "bounded": "min W(o) <= f <= max W(o), on the kind's domain",
    "channel_equivariant": "the same function on every channel",
    "composable": "pooling over k, then over k', equals pooling over k k' with matching strides",
    "constant_preserving": "f(c) = c for every c of the kind's domain, SAME padding included",
    "degree_one": "Euler: <x, grad f> = f",
    "depthwise": "output channel c reads input channel c alone",
    "every_cell_counts": "changing any cell of W(o) changes output o",
    "global": "one window holds the whole input",
    "has_formula": "the NumPy reference computes it",
    "infinities_kept": "max of all -inf is -inf; average of +inf is +inf, never NaN",
    "linear": "f(a x + b y) = a f(x) + b f(y)",
    "maskable": "a mask of steps has one meaning: the masked steps are deleted",
    "max_like": "the whole gradient goes to the extreme cells of the window",
    "monotone": "x <= x' implies f(x) <= f(x')",
    "nan_propagating": "output o is NaN if and only if W(o) holds a NaN",
    "non_expansive": "max abs(f(x) - f(x')) <= max abs(x - x')",
    "nonnegative_domain": "the statements hold for inputs >= 0",
    "partition_of_unity": "sum dL/dx = sum dL/dy for any upstream gradient",
    "pyramid": "several adaptive poolings, concatenated",
    "scale_equivariant": "f(a x) = a f(x) for a > 0",
    "second_derivative": "frameworks claim a second derivative",
    "selection": "every output value is one of the inputs in W(o), bitwise",
    "shift_equivariant": "f(x + c) = f(x) + c",
    "smooth": "differentiable wherever the input is finite (and positive, on a nonnegative domain)",
    "stochastic": "random while training; the formula is that of inference",
    "symmetric": "the order of the cells inside a window does not matter",
    "windowed": "a window slides with a stride",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of pooling and the statements that hold for it.

    Attributes:
        name: For example `"adaptive_max"`.
        layout: How the windows lie: `windowed`, `adaptive`, `global`, `pyramid`, or `any` where only the
            configuration can say (kind `unknown`).
        reduction: What is done inside a window, for example `"max"`; None where nothing is known.
        traits: Keys of `TRAITS`.
    """

    name: str
    layout: Layout
    reduction: str | None
    traits: frozenset[str]

    def has(self, *traits: str) -> bool:
        """Whether all these traits hold. Raises KeyError for a trait that is not in `TRAITS`."""
        for trait in traits:
            if trait not in TRAITS:
                raise KeyError(f"there is no trait {trait!r} of pooling kinds")
        return self.traits.issuperset(traits)


KINDS: Registry[Kind] = Registry("pooling kind")

_UNIVERSAL = "batch_independent depthwise"
_COMMON = f"{_UNIVERSAL} channel_equivariant has_formula constant_preserving bounded"
_ORDERED = "shift_equivariant monotone non_expansive partition_of_unity"
_DEGREE_ONE = "scale_equivariant degree_one"
_EXTREME = f"{_COMMON} {_ORDERED} {_DEGREE_ONE} max_like selection symmetric nan_propagating infinities_kept"
_SMOOTH_MEAN = f"{_COMMON} smooth symmetric every_cell_counts accumulates"

REDUCTION_TRAITS: dict[str, str] = {
    "max": f"{_EXTREME} composable second_derivative",
    "average": (f"{_SMOOTH_MEAN} {_ORDERED} {_DEGREE_ONE} linear nan_propagating infinities_kept second_derivative"),
    "min": f"{_EXTREME} composable",
    "median": f"{_COMMON} {_ORDERED} scale_equivariant degree_one symmetric",
    "rms": f"{_SMOOTH_MEAN} {_DEGREE_ONE} nonnegative_domain",
    "gem": f"{_SMOOTH_MEAN} {_DEGREE_ONE} monotone nonnegative_domain",
    "lse": f"{_SMOOTH_MEAN} {_ORDERED}",
    "mixed": f"{_COMMON} {_ORDERED} scale_equivariant degree_one symmetric every_cell_counts accumulates",
    "stochastic": (f"{_COMMON} scale_equivariant degree_one symmetric accumulates nonnegative_domain stochastic"),
    "blur": f"{_COMMON} {_ORDERED} {_DEGREE_ONE} linear smooth every_cell_counts accumulates",
    "subsample": f"{_COMMON} {_ORDERED} {_DEGREE_ONE} linear smooth selection every_cell_counts",
}

# Reductions whose order of cells matters have no adaptive or global form.
_WINDOWED_ONLY = frozenset({"blur", "subsample"})


def _register(name: str, layout: Layout, reduction: str | None, traits: str) -> None:
    named = frozenset(traits.split())
    unknown = named - TRAITS.keys()
    if unknown:
        raise ValueError(f"kind {name!r} has undocumented traits {sorted(unknown)}")
    KINDS.register(name, Kind(name, layout, reduction, named))


for _reduction, _traits in REDUCTION_TRAITS.items():
    _register(_reduction, "windowed", _reduction, f"{_traits} windowed")
for _reduction, _traits in REDUCTION_TRAITS.items():
    if _reduction not in _WINDOWED_ONLY:
        _adaptive = _traits.replace("composable", "")
        _register(f"adaptive_{_reduction}", "adaptive", _reduction, f"{_adaptive} adaptive")
        _register(f"global_{_reduction}", "global", _reduction, f"{_adaptive} global maskable")
_register("spp", "pyramid", "max", f"{_UNIVERSAL} has_formula monotone non_expansive pyramid")
_register("unknown", "any", None, _UNIVERSAL)
