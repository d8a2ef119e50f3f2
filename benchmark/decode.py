"""Image files to 8-bit RGB squares, and back to PNG: the one place where pixels enter and leave.

What a file becomes:

- The EXIF orientation is applied. An unreadable EXIF block counts as none: it says nothing about the pixels.
- Grey, black-and-white, palette and YCbCr become RGB by Pillow's conversion. CMYK becomes
  ``(255 - ink) * (255 - black) / 255``. Colour profiles are ignored.
- Transparency is composited over black: ``colour * alpha / 255``, rounded. Black needs no constant of its own, and
  what was hidden behind full transparency stays hidden.
- 16-bit grey is divided by 257 and rounded, so that 65535 becomes 255. 16-bit colour is read by Pillow as its high
  byte. 32-bit integer and float pixels are refused, because the file does not say what white is.
- Of an animation the first frame is taken.
- The largest centred square is cropped and resized by Pillow's bicubic filter, which averages over all source
  pixels where it shrinks (antialiasing). This equals resizing the shorter side and cropping the centre.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmark.errors import AnonbenchError, UsageError
from benchmark.files import one_line as one_line
from benchmark.files import read_file as read_file
from benchmark.hashing import sha256_bytes
from benchmark.protocols import Progress, silent

RULE = (
    f"Decoded to 8-bit RGB by Pillow {PIL.__version__} (EXIF orientation applied, transparency over black, 16-bit grey "
    "divided by 257, first frame), largest centred square, resized by Pillow's antialiased bicubic filter."
)
"""How a file becomes pixels, for the records."""

MAX_PIXELS = 1024**3 // 4 // 3
"""Largest width x height that is decoded: the limit at which Pillow starts to warn of a decompression bomb."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""The only decoders that are tried, whatever a file is called: some others of Pillow start external programs."""

_WORKERS = min(8, os.cpu_count() or 1)
_BLOCK = 1024
"""Files that are queued at once, so that a large set does not fill the memory with pending work."""

# What Pillow's decoders are known to raise on damaged bytes.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError)
_DECODER_ERRORS = (*_DAMAGE, NotImplementedError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PLAIN_MODES = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"})


def decode_bytes(data: bytes, size: int, name: str) -> np.ndarray:
    """Decodes the contents of one image file.

    Args:
        data: the file's bytes.
        size: side of the result in pixels.
        name: what to call the image in an error message.

    Returns:
        uint8 ``[size, size, 3]`` RGB.

    Raises:
        UsageError: the bytes are not an image that can be decoded in full.
    """
    _check_size(size)
    with _quiet():
        return _square(data, size, name)


def decode_image(path: Path, size: int) -> np.ndarray:
    """Decodes one image file by ``RULE``.

    Args:
        path: the file.
        size: side of the result in pixels.

    Returns:
        uint8 ``[size, size, 3]`` RGB.

    Raises:
        UsageError: the file is missing, broken, too large, or of a kind that is refused.
        EnvironmentProblem: the file may not be read.
    """
    return decode_bytes(read_file(path), size, one_line(path))


def decode_whole(path: Path) -> torch.Tensor:
    """Decodes one image file at its own size; nothing is cropped or resized.

    Returns:
        uint8 ``[3, H, W]`` RGB.

    Raises:
        UsageError: the file is missing, broken, too large, or of a kind that is refused.
        EnvironmentProblem: the file may not be read.
    """
    return decode_whole_bytes(read_file(path), one_line(path))


def decode_whole_bytes(data: bytes, name: str) -> torch.Tensor:
    """Decodes the contents of one image file at its own size.

    Args:
        data: the file's bytes.
        name: what to call the image in an error message.

    Returns:
        uint8 ``[3, H, W]`` RGB.

    Raises:
        UsageError: the bytes are not an image that can be decoded in full.
    """
    with _quiet():
        pixels = np.array(_rgb(data, name, FORMATS))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def decode_images(paths: Sequence[Path], size: int, progress: Progress = silent) -> torch.Tensor:
    """Decodes many files in threads; see ``load_images``.

    Returns:
        uint8 ``[N, 3, size, size]`` RGB, in the order of ``paths``.
    """
    return load_images(paths, size, progress)[0]


def load_images(paths: Sequence[Path], size: int, progress: Progress = silent) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Decodes many files in threads, and hashes the very bytes that were decoded.

    Args:
        paths: the files.
        size: side of the results in pixels.
        progress: told 1 after each file.

    Returns:
        uint8 ``[N, 3, size, size]`` RGB and the sha256 of each file, both in the order of ``paths``.

    Raises:
        AnonbenchError: some files cannot be read; all are tried first. The message counts them and says what is
            wrong with the first, whose class it has: ``UsageError`` or ``EnvironmentProblem``.
    """
    _check_size(size)
    images = np.zeros((len(paths), 3, size, size), dtype=np.uint8)

    def load(row: int) -> str | AnonbenchError:
        try:
            data = read_file(paths[row])
            images[row] = _square(data, size, one_line(paths[row])).transpose(2, 0, 1)
        except AnonbenchError as error:
            return error
        return sha256_bytes(data)

    results = _in_threads(load, len(paths), progress)
    _raise_first([result for result in results if isinstance(result, AnonbenchError)], len(paths))
    return torch.from_numpy(images), tuple(result for result in results if isinstance(result, str))


def encode_png(image: torch.Tensor, small: bool = False) -> bytes:
    """A PNG file without metadata, always the same for the same pixels and Pillow.

    Args:
        image: uint8 ``[3, H, W]`` RGB.
        small: whether the file is to be small rather than soon written.
    """
    if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != 3:
        raise ValueError(f"image must be uint8 [3, H, W], not {image.dtype} {tuple(image.shape)}")
    buffer = io.BytesIO()
    pixels = image.cpu().permute(1, 2, 0).contiguous().numpy()
    effort: dict[str, Any] = {"optimize": True} if small else {"compress_level": 1}
    Image.fromarray(pixels).save(buffer, "PNG", **effort)
    return buffer.getvalue()


def declared_size(data: bytes, formats: tuple[str, ...] = FORMATS) -> tuple[int, int] | None:
    """Height and width that an image file declares, without decoding it; before EXIF turns it.

    Whoever decodes in threads silences Pillow's warnings around them, as its filters belong to the whole process.

    Returns:
        None where the bytes are no image of these formats; ``(0, 0)`` for one that is too large for any suite.
    """
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            return image.height, image.width
    except Image.DecompressionBombError:
        return 0, 0
    except Exception:  # noqa: BLE001 - Pillow's readers raise anything on damaged bytes
        return None


def decode_png(data: bytes) -> torch.Tensor:
    """The pixels of a PNG file at their own size.

    Returns:
        uint8 ``[3, H, W]`` RGB.

    Raises:
        UsageError: the bytes are not a PNG that can be decoded in full.
    """
    with _quiet():
        pixels = np.array(_rgb(data, "the PNG", ("PNG",)))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _check_size(size: int) -> None:
    if size < 1:
        raise UsageError(f"image size must be at least 1 pixel, not {size}")


def _in_threads(
    work: Callable[[int], str | AnonbenchError], count: int, progress: Progress
) -> list[str | AnonbenchError]:
    """``work`` of 0..count-1, in order; Pillow lets go of the interpreter while it decodes."""
    results: list[str | AnonbenchError] = []
    with _quiet(), ThreadPoolExecutor(_WORKERS) as pool:
        for start in range(0, count, _BLOCK):
            for result in pool.map(work, range(start, min(start + _BLOCK, count))):
                results.append(result)
                progress(1)
    return results


def _raise_first(errors: list[AnonbenchError], total: int) -> None:
    if not errors:
        return
    first = errors[0]
    if total == 1:
        raise first
    raise type(first)(f"{len(errors)} of {total} images cannot be read; first: {first}") from first


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Pillow's warnings; those that matter are errors of ours.

    The filters belong to the whole process, so this is entered once around a pool and never in its threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _square(data: bytes, size: int, name: str) -> np.ndarray:
    image = _rgb(data, name, FORMATS)
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))


def _rgb(data: bytes, name: str, formats: tuple[str, ...]) -> Image.Image:
    """The whole picture, upright, mode RGB."""
    if not data:
        raise UsageError(f"{name} is empty (0 bytes); replace or remove it")
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            _check_pixels(image.width, image.height, name)
            image.load()
            upright = _turned(_to_rgb(image, name), _orientation(image))
    except UnidentifiedImageError as error:
        raise UsageError(f"{name} is not an image in a known format ({', '.join(formats)}); remove it") from error
    except Image.DecompressionBombError as error:
        raise UsageError(f"{name} has more than {MAX_PIXELS} pixels; resize or remove it") from error
    except _DECODER_ERRORS as error:
        raise UsageError(f"{name} is damaged ({one_line(error)}); replace or remove it") from error
    return upright


def _check_pixels(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise UsageError(f"{name} has {width} x {height}, more than {MAX_PIXELS} pixels; resize or remove it")


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(0x0112)
    except _DECODER_ERRORS:
        return None


def _turned(image: Image.Image, orientation: object) -> Image.Image:
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    # 16-bit PPM files come as mode I, scaled to 0..65535 by Pillow whatever their own maximum.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return _from_16_bit(np.asarray(image)).convert("RGB")
    if image.has_transparency_data:
        return _over_black(image.convert("RGBA"))
    if image.mode in _PLAIN_MODES:
        return image.convert("RGB")
    raise UsageError(f"{name} has pixels of mode {image.mode}, which are refused; save it as 8-bit PNG")


def _from_16_bit(values: np.ndarray) -> Image.Image:
    # 257 is odd, so that no value lies half-way and adding 128 rounds.
    return Image.fromarray(((values.astype(np.int64) + 128) // 257).astype(np.uint8))


def _over_black(image: Image.Image) -> Image.Image:
    bands = image.convert("RGBa").split()  # Pillow's premultiplied colours are those over black.
    return Image.merge("RGB", bands[:3])
