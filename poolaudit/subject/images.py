"""Image files as one array of equal shape; every image is opened as data from a stranger."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError, listed
from poolaudit.subject.files import exists, missing_file
from poolaudit.subject.memory import memory_limit_bytes, require_fits, scratch_array
from poolaudit.subject.splits import RawSplit

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# Named, because Pillow would otherwise try every format it knows; some start other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
_GREY = frozenset({"1", "L"})
_COLOUR = frozenset({"RGB", "RGBA", "RGBX", "P", "PA", "LA", "La", "RGBa", "CMYK", "YCbCr"})
_SIXTEEN_BIT = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})


@dataclass(frozen=True, slots=True)
class _Header:
    width: int
    height: int
    mode: str
    frames: int


def read_image_folder(root: Path, resize: tuple[int, int] | None, *, stream: bool = False) -> RawSplit:
    """A folder of class folders: the folder's name is the class, images lie at any depth below it.

    Hidden files are ignored; files that are no images are ignored and noted. Images come as uint8 (uint16 for 16-bit
    grey), (n, height, width, 1) where all are grey and (n, height, width, 3) otherwise.

    Raises:
        InvalidInputError: No class folders or no images, a link out of the folder, an unreadable image, mixed sizes
            without `resize`.
    """
    base = root.resolve()
    folders = sorted(entry.name for entry in base.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise InvalidInputError(
            f"The folder {root.name!r} holds no class folders", "one folder a class, with the images of the class in it"
        )
    paths: list[str] = []
    labels: list[str] = []
    ignored = [entry.name for entry in sorted(base.iterdir()) if entry.is_file() and not entry.name.startswith(".")]
    for folder in folders:
        images, others = _images_below(base / folder, base, root.name)
        paths += images
        labels += [folder] * len(images)
        ignored += others
    if not paths:
        raise InvalidInputError(
            f"The folder {root.name!r} holds no images in its class folders {listed(folders)}",
            "image files: " + ", ".join(IMAGE_SUFFIXES),
        )
    pixels, notes = load_images(base, paths, resize, root.name, stream=stream)
    if ignored:
        notes = (
            *notes,
            f"{len(ignored)} files that are no images in class folders were ignored: {listed(ignored, 3)}.",
        )
    return RawSplit(
        inputs=pixels,
        labels=np.array(labels),
        source=root.name,
        classes=tuple(folders),
        paths=np.array(paths, object),
        notes=notes,
        from_images=True,
    )


def load_images(
    base: Path, paths: Sequence[str], resize: tuple[int, int] | None, source: str, *, stream: bool = False
) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """Pixels (n, height, width, channels) of the images at `paths` below `base`, and what was done to them.

    Args:
        stream: Images that do not fit into memory are decoded once into a nameless scratch file and read from there.

    Raises:
        InvalidInputError: An image is missing, damaged or oversized; sizes differ without `resize`; more than fits
            into memory, or with `stream` onto the disk of temporary files.
    """
    headers = [_header(base / path, path, source) for path in paths]
    size, notes = _common_size(headers, paths, resize, source)
    mode, more = _common_mode(headers, paths, source)
    channels, dtype = (3, np.uint8) if mode == "RGB" else (1, np.uint16 if mode == "I;16" else np.uint8)
    shape = (len(paths), size[0], size[1], channels)
    needed = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    if stream and needed > memory_limit_bytes():
        pixels = scratch_array(shape, np.dtype(dtype), f"{source}: {len(paths):,} images")
    else:
        require_fits(needed, f"{source}: {len(paths):,} images")
        pixels = np.empty(shape, dtype)
    for index, path in enumerate(paths):
        pixels[index] = _pixels(base / path, path, mode, size, source).reshape(shape[1:])
    several = sum(header.frames > 1 for header in headers)
    if several:
        more = (*more, f"{several} images have several frames; the first was taken.")
    return pixels, (*notes, *more)


def _images_below(folder: Path, base: Path, source: str) -> tuple[list[str], list[str]]:
    images: list[str] = []
    others: list[str] = []
    pending = [folder]
    while pending:
        current = pending.pop()
        if current.is_symlink():
            raise _leaves(current.relative_to(base).as_posix(), source, "a linked folder")
        for entry in sorted(current.iterdir()):
            if entry.name.startswith("."):
                continue
            relative = entry.relative_to(base).as_posix()
            if entry.is_dir():
                pending.append(entry)
            elif entry.suffix.lower() not in IMAGE_SUFFIXES:
                others.append(relative)
            else:
                require_inside(base, relative, source)
                images.append(relative)
    return sorted(images), others


def require_inside(base: Path, relative: str, source: str) -> None:
    """Raises InvalidInputError where the path leaves `base` by "..", by being absolute or by a link."""
    path = Path(relative)
    if path.is_absolute() or ".." in path.parts or "\\" in relative or "\x00" in relative:
        raise _leaves(relative, source, "a path that is not below the data's own folder")
    if not (base / path).resolve().is_relative_to(base):
        raise _leaves(relative, source, "a link that leaves the data's own folder")


def _leaves(relative: str, source: str, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{source}: {relative!r} is {what}",
        "files inside the folder of the data",
        "Copy the files into the folder",
    )


def _header(path: Path, name: str, source: str) -> _Header:
    if not exists(path):
        raise missing_file(path, "image file", "", source, name)
    with _open(path, name, source) as image:
        try:
            return _Header(image.width, image.height, image.mode, int(getattr(image, "n_frames", 1)))
        except Exception as error:  # counting frames walks through the file
            raise _damaged(name, source, error) from error


def _open(path: Path, name: str, source: str) -> Any:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidInputError(
            f"{source}: the image {name!r} is too large to be opened safely",
            f"at most {Image.MAX_IMAGE_PIXELS:,} pixels",
            "Remove it, or scale it down first",
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, KeyError) as error:
        raise _damaged(name, source, error) from error


def _pixels(path: Path, name: str, mode: str, size: tuple[int, int], source: str) -> np.ndarray[Any, Any]:
    from PIL import Image

    with _open(path, name, source) as image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if mode == "RGB" and image.mode == "P" and "transparency" in image.info:
                    image = image.convert("RGBA")
                if mode != "I;16" and image.mode != mode:
                    image = image.convert(mode)
                if (image.height, image.width) != size:
                    if mode == "I;16":
                        image = image.convert("I")
                    image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
                return np.asarray(image)
        except Exception as error:  # decoders raise almost anything on damaged files
            raise _damaged(name, source, error) from error


def _common_size(
    headers: Sequence[_Header], paths: Sequence[str], resize: tuple[int, int] | None, source: str
) -> tuple[tuple[int, int], tuple[str, ...]]:
    sizes = Counter((header.height, header.width) for header in headers)
    if resize is not None:
        changed = sum(count for size, count in sizes.items() if size != resize)
        if not changed:
            return resize, ()
        return resize, (
            f"{changed} of {len(headers)} images were resized to {resize[0]}x{resize[1]} (height x width, bilinear "
            "with antialiasing; aspect ratio not kept).",
        )
    (common, _), *others = sizes.most_common()
    if others:
        index = next(i for i, header in enumerate(headers) if (header.height, header.width) != common)
        odd = headers[index]
        raise InvalidInputError(
            f"{source}: images have {len(sizes)} different sizes (height x width): mostly {common[0]}x{common[1]}, "
            f"but {paths[index]!r} is {odd.height}x{odd.width}",
            "images of one size",
            "Give the size the model takes, for example --resize 224x224",
        )
    return common, ()


def _common_mode(headers: Sequence[_Header], paths: Sequence[str], source: str) -> tuple[str, tuple[str, ...]]:
    modes = Counter(header.mode for header in headers)
    for index, header in enumerate(headers):
        if header.mode not in _GREY | _COLOUR | _SIXTEEN_BIT:
            raise InvalidInputError(
                f"{source}: the image {paths[index]!r} has pixel mode {header.mode!r}",
                "8-bit grey or colour, or 16-bit grey",
                "Convert it to 8-bit PNG",
            )
    if modes.keys() <= _GREY:
        return "L", ()
    if modes.keys() <= _SIXTEEN_BIT:
        return "I;16", ("Images are 16-bit grey, values 0 to 65535.",)
    deep = next((index for index, header in enumerate(headers) if header.mode in _SIXTEEN_BIT), None)
    if deep is not None:
        raise InvalidInputError(
            f"{source}: {paths[deep]!r} is 16-bit grey and others have 8 bits",
            "one depth for all images",
            "Convert all to 8 bits",
        )
    changed = {mode: count for mode, count in sorted(modes.items()) if mode != "RGB"}
    if not changed:
        return "RGB", ()
    counts = ", ".join(f"{count} of mode {mode}" for mode, count in changed.items())
    return "RGB", (f"Images were converted to RGB: {counts}; transparency was dropped.",)


def _damaged(name: str, source: str, error: Exception) -> InvalidInputError:
    return InvalidInputError(
        f"{source}: the image {name!r} cannot be read ({type(error).__name__})",
        "complete PNG, JPEG, BMP, GIF, WebP or TIFF files",
        "Remove it, or replace it by an intact copy",
    )
