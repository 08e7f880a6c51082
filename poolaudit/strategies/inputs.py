"""Inputs that hurt: drawn as a kind and a seed, so that they cost one draw and replay from one line of NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from poolaudit.errors import InvalidInputError, did_you_mean

DTYPES = ("float16", "bfloat16", "float32", "float64")

# Digits of the significand after the first, and the largest finite value.
_PRECISION = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}
_LARGEST = {
    "float16": 65504.0,
    "bfloat16": (2 - 2**-7) * 2.0**127,
    "float32": (2 - 2**-23) * 2.0**127,
    "float64": math.ldexp(2 - 2**-52, 1023),
}
_TINY = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}


@dataclass(frozen=True, slots=True)
class PoolInput:
    """An array with the line that makes it again.

    Attributes:
        kind: Key of `INPUT_KINDS`, or `"elements"` where the values themselves were drawn.
        describe: One NumPy expression, `np` (and `ml_dtypes` for bfloat16) imported, equal to `array`.
        array: The data, of the wished shape and dtype; read-only.
        seed: What the kind was drawn with.
    """

    kind: str
    describe: str
    array: NDArray[Any] = field(repr=False, compare=False)
    seed: int = 0

    def __repr__(self) -> str:
        return self.describe


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How a kind is made: the same expression as text and as code; a test holds the two together."""

    make: Callable[[tuple[int, ...], int, str], NDArray[Any]]
    text: Callable[[tuple[int, ...], int, str], str]


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _specials(dtype: str) -> tuple[float, ...]:
    largest = _LARGEST[dtype]
    return (0.0, 1.0, -1.0, -0.0, math.inf, -math.inf, math.nan, largest, -largest, _TINY[dtype])


def _spelt(value: float) -> str:
    if math.isnan(value):
        return "np.nan"
    return f"{'-' if value < 0 else ''}np.inf" if math.isinf(value) else repr(value)


INPUT_KINDS: dict[str, _Recipe] = {
    "ties": _Recipe(
        lambda shape, seed, dtype: _generator(seed).integers(-2, 3, shape),
        lambda shape, seed, dtype: f"np.random.default_rng({seed}).integers(-2, 3, {shape})",
    ),
    "constant": _Recipe(
        lambda shape, seed, dtype: np.full(shape, seed % 9 - 4.0),
        lambda shape, seed, dtype: f"np.full({shape}, {seed % 9 - 4.0})",
    ),
    "spike": _Recipe(
        lambda shape, seed, dtype: np.eye(1, math.prod(shape), seed % max(math.prod(shape), 1)).reshape(shape),
        lambda shape, seed, dtype: f"np.eye(1, {math.prod(shape)}, {seed % max(math.prod(shape), 1)}).reshape({shape})",
    ),
    "permutation": _Recipe(
        lambda shape, seed, dtype: (
            _generator(seed).permutation(math.prod(shape)).reshape(shape) - math.prod(shape) // 2
        ),
        lambda shape, seed, dtype: (
            f"np.random.default_rng({seed}).permutation({math.prod(shape)}).reshape({shape}) - {math.prod(shape) // 2}"
        ),
    ),
    "halves": _Recipe(
        lambda shape, seed, dtype: _generator(seed).permutation(math.prod(shape)).reshape(shape) % 2,
        lambda shape, seed, dtype: (
            f"np.random.default_rng({seed}).permutation({math.prod(shape)}).reshape({shape}) % 2"
        ),
    ),
    "normal": _Recipe(
        lambda shape, seed, dtype: _generator(seed).standard_normal(shape),
        lambda shape, seed, dtype: f"np.random.default_rng({seed}).standard_normal({shape})",
    ),
    "post_relu": _Recipe(
        lambda shape, seed, dtype: np.maximum(_generator(seed).standard_normal(shape), 0),
        lambda shape, seed, dtype: f"np.maximum(np.random.default_rng({seed}).standard_normal({shape}), 0)",
    ),
    "negative": _Recipe(
        lambda shape, seed, dtype: -1 - np.abs(_generator(seed).standard_normal(shape)),
        lambda shape, seed, dtype: f"-1 - np.abs(np.random.default_rng({seed}).standard_normal({shape}))",
    ),
    "large_offset": _Recipe(
        lambda shape, seed, dtype: 2.0 ** (_PRECISION[dtype] - 4) + _generator(seed).standard_normal(shape),
        lambda shape, seed, dtype: (
            f"{2.0 ** (_PRECISION[dtype] - 4)} + np.random.default_rng({seed}).standard_normal({shape})"
        ),
    ),
    "half_maximum": _Recipe(
        lambda shape, seed, dtype: np.full(shape, _LARGEST[dtype] / 2),
        lambda shape, seed, dtype: f"np.full({shape}, {_LARGEST[dtype] / 2!r})",
    ),
    "specials": _Recipe(
        lambda shape, seed, dtype: _generator(seed).choice(_specials(dtype), shape),
        lambda shape, seed, dtype: (
            f"np.random.default_rng({seed}).choice([{', '.join(map(_spelt, _specials(dtype)))}], {shape})"
        ),
    ),
}
"""Kinds of data, simplest first: integers with ties, one constant, a single 1 among zeros, a permutation around
0 (no ties; a half-precision dtype rounds large ones together), half ones and half zeros, normal, normal after a
ReLU, below -1 everywhere (padding with zeros would win a maximum), normal on an offset that leaves four bits for
it, half the largest finite value everywhere, and special values."""

_SEEDS = st.integers(0, 2**16 - 1)

FINITE_INPUTS = tuple(name for name in INPUT_KINDS if name not in ("half_maximum", "specials"))
"""Kinds whose values are finite and whose sums do not overflow."""


def pool_inputs(
    shape: Sequence[int], dtype: str = "float32", kinds: Sequence[str] = FINITE_INPUTS
) -> st.SearchStrategy[PoolInput]:
    """Arrays from a drawn kind and seed: two draws, whatever the size. Shrinks towards kind 0 and seed 0.

    >>> pool_inputs((1, 4, 1), kinds=("ties",)).example()  # doctest: +SKIP
    np.random.default_rng(0).integers(-2, 3, (1, 4, 1)).astype('float32')

    Args:
        shape: Shape of the array; any size may be 0.
        dtype: `float16`, `bfloat16` (needs ml_dtypes), `float32` or `float64`.
        kinds: Keys of `INPUT_KINDS` to draw from.

    Raises:
        InvalidInputError: An unknown dtype or kind.
    """
    _check(dtype, kinds)
    whole = tuple(int(size) for size in shape)
    names = tuple(kinds)
    return _inputs(whole, dtype, names)


@st.composite
def _inputs(draw: st.DrawFn, shape: tuple[int, ...], dtype: str, kinds: tuple[str, ...]) -> PoolInput:
    kind = kinds[0] if len(kinds) == 1 else kinds[draw(st.integers(0, len(kinds) - 1))]
    return pool_input(shape, dtype, kind, draw(_SEEDS))


def pool_input(shape: Sequence[int], dtype: str, kind: str, seed: int) -> PoolInput:
    """The input of a known kind and seed, for tests that draw the two themselves (which is cheaper).

    >>> pool_input((1, 3, 1), "float32", "spike", seed=1).array.ravel()
    array([0., 1., 0.], dtype=float32)

    Raises:
        InvalidInputError: An unknown dtype or kind.
    """
    _check(dtype, (kind,))
    whole = tuple(int(size) for size in shape)
    recipe = INPUT_KINDS[kind]
    text = recipe.text(whole, seed, dtype)
    separate = f"({text})" if any(sign in text for sign in (" % ", " + ", " - ")) else text
    return PoolInput(kind, f"{separate}{_cast_text(dtype)}", _cast(recipe.make(whole, seed, dtype), dtype), seed)


def special_elements(dtype: str = "float32") -> st.SearchStrategy[float]:
    """The values that break comparisons and sums: 0, 1, -1, -0, inf, -inf, NaN, max, -max, the smallest normal.

    Raises:
        InvalidInputError: An unknown dtype.
    """
    _check(dtype, ())
    return st.sampled_from(_specials(dtype))


def special_inputs(
    shape: Sequence[int], dtype: str = "float32", elements: st.SearchStrategy[float] | None = None
) -> st.SearchStrategy[PoolInput]:
    """Arrays whose first 16 cells are drawn one by one, so that values shrink; the other cells are 0.

    Args:
        shape: Shape of the array; at most 16 cells are worth having.
        dtype: As for `pool_inputs`.
        elements: What to draw; None means `special_elements(dtype)`.

    Raises:
        InvalidInputError: An unknown dtype.
    """
    _check(dtype, ())
    whole = tuple(int(size) for size in shape)
    count = min(math.prod(whole), 16)
    drawn = st.lists(special_elements(dtype) if elements is None else elements, min_size=count, max_size=count)
    return drawn.map(lambda values: _from_elements(values, whole, dtype))


def upstream_gradients(shape: Sequence[int], dtype: str = "float32") -> st.SearchStrategy[PoolInput]:
    """Upstream gradients of an output's shape: ones, small integers, one cell only, normal.

    Raises:
        InvalidInputError: An unknown dtype.
    """
    _check(dtype, ())
    whole = tuple(int(size) for size in shape)
    ones = PoolInput("ones", f"np.ones({whole}){_cast_text(dtype)}", _cast(np.ones(whole), dtype))
    return st.just(ones) | pool_inputs(whole, dtype, kinds=("ties", "spike", "normal"))


def _from_elements(values: Sequence[float], shape: tuple[int, ...], dtype: str) -> PoolInput:
    rest = math.prod(shape) - len(values)
    spelt = f"[{', '.join(map(_spelt, values))}]" + (f" + [0.0] * {rest}" if rest else "")
    array = np.array([*values, *[0.0] * rest]).reshape(shape)
    return PoolInput("elements", f"np.array({spelt}).reshape({shape}){_cast_text(dtype)}", _cast(array, dtype))


def _cast(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    if dtype == "bfloat16":
        import ml_dtypes

        cast = array.astype(ml_dtypes.bfloat16)
    else:
        cast = array.astype(dtype)
    cast.setflags(write=False)
    return cast


def _cast_text(dtype: str) -> str:
    return ".astype(ml_dtypes.bfloat16)" if dtype == "bfloat16" else f".astype({dtype!r})"


def _check(dtype: str, kinds: Sequence[str]) -> None:
    if dtype not in DTYPES:
        raise InvalidInputError(f"There is no dtype {dtype!r}", ", ".join(DTYPES), did_you_mean(dtype, DTYPES))
    for kind in kinds:
        if kind not in INPUT_KINDS:
            raise InvalidInputError(
                f"There is no kind of input {kind!r}", ", ".join(INPUT_KINDS), did_you_mean(kind, INPUT_KINDS)
            )
