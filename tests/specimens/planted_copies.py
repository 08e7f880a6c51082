"""Copies of items as they come about in practice: recompressed, resized, shifted, cropped, turned, noisy.

Made with Pillow and SciPy at random strengths, apart from the copies that poolaudit plants for its own measure of
sensitivity, so that neither can flatter the other.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

Item = np.ndarray[Any, np.dtype[np.uint8]]
Copier = Callable[[Item, np.random.Generator], Item]


def _image(item: Item) -> Image.Image:
    return Image.fromarray(item[..., 0] if item.shape[-1] == 1 else item)


def _back(image: Image.Image, item: Item) -> Item:
    return np.asarray(image).reshape(item.shape)


def _clip(values: Any) -> Item:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def jpeg(quality: int) -> Copier:
    def copy(item: Item, rng: np.random.Generator) -> Item:
        buffer = io.BytesIO()
        _image(item).save(buffer, "JPEG", quality=quality)
        return _back(Image.open(io.BytesIO(buffer.getvalue())), item)

    return copy


def resized(item: Item, rng: np.random.Generator) -> Item:
    """Half the size and back, by a filter drawn at random."""
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)
    down, up = filters[rng.integers(4)], filters[rng.integers(3)]
    height, width = item.shape[:2]
    small = _image(item).resize((width // 2, height // 2), down)
    return _back(small.resize((width, height), up), item)


def brightness(item: Item, rng: np.random.Generator) -> Item:
    """Contrast 0.7 to 1.3 about the middle and brightness by up to 30 levels, clipped."""
    return _clip((item - 127.5) * rng.uniform(0.7, 1.3) + 127.5 + rng.uniform(-30, 30))


def noise(item: Item, rng: np.random.Generator) -> Item:
    """Gaussian noise of 4 to 10 levels."""
    return _clip(item + rng.normal(0, rng.uniform(4, 10), item.shape))


def shift(item: Item, rng: np.random.Generator) -> Item:
    """1 to 3 pixels along one or both axes; what enters is black, repeated from the edge or wrapped round."""
    step = np.zeros(2, int)
    while not step.any():
        step = rng.integers(-3, 4, 2)
    mode = ("constant", "nearest", "grid-wrap")[rng.integers(3)]
    return ndimage.shift(item, (*step, 0), order=0, mode=mode)


def crop(item: Item, rng: np.random.Generator) -> Item:
    """A window of 90 % of each side anywhere in the image, resized back."""
    height, width = item.shape[:2]
    h, w = round(0.9 * height), round(0.9 * width)
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    method = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)[rng.integers(2)]
    part = _image(item).crop((int(left), int(top), int(left) + w, int(top) + h))
    return _back(part.resize((width, height), method), item)


def flip_horizontally(item: Item, rng: np.random.Generator) -> Item:
    return np.ascontiguousarray(item[:, ::-1])


def flip_vertically(item: Item, rng: np.random.Generator) -> Item:
    return np.ascontiguousarray(item[::-1])


def quarter_turn(item: Item, rng: np.random.Generator) -> Item:
    return np.ascontiguousarray(np.rot90(item, rng.integers(1, 4)))


def rotate(item: Item, rng: np.random.Generator) -> Item:
    """5 degrees either way, bilinear or bicubic, corners black or repeated from the edge."""
    mode = ("constant", "nearest")[rng.integers(2)]
    angle = (5, -5)[rng.integers(2)]
    turned = ndimage.rotate(item.astype(float), angle, (0, 1), reshape=False, order=int(rng.integers(1, 4)), mode=mode)
    return _clip(turned)


def grey(item: Item, rng: np.random.Generator) -> Item:
    """Colour to grey in three equal channels (by Rec. 601 weights or the mean); a grey item gets a tint."""
    if item.shape[-1] == 1:
        return _clip(item * rng.uniform(0.8, 1.0))
    weights = np.array([(0.299, 0.587, 0.114), (1 / 3, 1 / 3, 1 / 3)][rng.integers(2)])
    return np.repeat(_clip(item @ weights)[..., None], 3, axis=-1)


def exact(item: Item, rng: np.random.Generator) -> Item:
    return item.copy()


COPIERS: dict[str, Copier] = {
    "exact": exact,
    "jpeg 90": jpeg(90),
    "jpeg 75": jpeg(75),
    "jpeg 50": jpeg(50),
    "resize": resized,
    "brightness": brightness,
    "noise": noise,
    "shift": shift,
    "crop": crop,
    "flip horizontally": flip_horizontally,
    "flip vertically": flip_vertically,
    "quarter turn": quarter_turn,
    "rotate": rotate,
    "grey": grey,
}


def plant(
    train: Item, rng: np.random.Generator, each: int = 200
) -> tuple[Item, np.ndarray[Any, np.dtype[np.int64]], list[str]]:
    """`each` copies by every copier of training items drawn without replacement: copies, their originals, copiers."""
    origins = rng.permutation(len(train))[: each * len(COPIERS)]
    names = [name for name in COPIERS for _ in range(each)]
    copies = np.stack([COPIERS[name](train[origin], rng) for name, origin in zip(names, origins, strict=True)])
    return copies, origins, names
