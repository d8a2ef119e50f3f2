"""Reads what a command left in its output folder, by stated rules; nothing in there is trusted.

- A file belongs to the image whose key is its name without the suffix ``png``, ``jpg``, ``jpeg``, ``webp``, ``bmp``,
  ``tiff`` or ``tif``. Files nobody asked for are ignored.
- Only ordinary files count; links are never followed.
- The size in the header is checked before anything is decoded; pixels become 8-bit RGB by ``benchmark.decode``'s rule.
- An image is missing if it is absent, damaged, of another size, no ordinary file, or there are two files for it.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.decode import declared_size, decode_whole_bytes
from benchmark.errors import UsageError

SUFFIXES = ("png", "jpg", "jpeg", "webp", "bmp", "tiff", "tif")
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MOST_ENTRIES = 400_000
"""Names in the folder that are looked at."""
_BYTES_PER_PIXEL, _HEADER = 32, 1_000_000
"""A file that is larger than so many bytes per pixel, and a header, is damaged."""

Reason = str
ABSENT, DAMAGED, LINK, SIZE, TWICE = "absent", "damaged", "no ordinary file", "of another size", "with two files"
REASONS = (ABSENT, DAMAGED, LINK, SIZE, TWICE)


@dataclass(frozen=True, eq=False)
class Outputs:
    """What came back.

    Attributes:
        images: uint8 ``[N, 3, H, W]``, black where missing.
        missing: bool ``[N]``.
        reasons: why, by key.
    """

    images: torch.Tensor
    missing: torch.Tensor
    reasons: Mapping[str, Reason]

    @property
    def note(self) -> str:
        """How many are missing and why, or nothing: ``3 of 96: 2 absent, 1 of another size``."""
        count = Counter(self.reasons.values())
        why = ", ".join(f"{count[reason]} {reason}" for reason in REASONS if count[reason])
        return f"{len(self.reasons)} of {len(self.missing)}: {why}" if why else ""


def read_outputs(folder: Path, keys: Sequence[str], size: tuple[int, int]) -> Outputs:
    """Reads the images of ``keys`` from ``folder``.

    Args:
        folder: where the command wrote to.
        keys: names of the images it was given.
        size: height and width they must have.
    """
    files = _by_key(folder, set(keys))
    images = torch.zeros((len(keys), 3, *size), dtype=torch.uint8)
    reasons: dict[str, Reason] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is refused here anyway
        for row, key in enumerate(keys):
            found = _one(folder, files.get(key, []), size)
            if isinstance(found, str):
                reasons[key] = found
            else:
                images[row] = found
    return Outputs(images, torch.tensor([key in reasons for key in keys], dtype=torch.bool), reasons)


def _by_key(folder: Path, keys: set[str]) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    if folder.is_symlink() or not folder.is_dir():
        return files
    with os.scandir(folder) as entries:
        for _, entry in zip(range(MOST_ENTRIES), entries, strict=False):
            stem, _, suffix = entry.name.rpartition(".")
            if stem in keys and suffix.lower() in SUFFIXES:
                files.setdefault(stem, []).append(entry.name)
    return files


def _one(folder: Path, names: list[str], size: tuple[int, int]) -> torch.Tensor | Reason:
    """The pixels of an image, or why it is missing."""
    if len(names) != 1:
        return TWICE if names else ABSENT
    data = _bytes(folder / names[0], _BYTES_PER_PIXEL * size[0] * size[1] + _HEADER)
    if isinstance(data, str):
        return data
    wrong = _header(data, size)
    return wrong or _decoded(data, size)


def _bytes(path: Path, most: int) -> bytes | Reason:
    """The content of an ordinary file; neither links nor pipes nor devices are opened for reading."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return LINK
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            data = file.read(most + 1) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return DAMAGED
    return DAMAGED if len(data) > most else data


def _header(data: bytes, size: tuple[int, int]) -> Reason:
    """What is wrong with the size a file claims; a picture may lie on its side until its orientation is applied."""
    claimed = declared_size(data, _FORMATS)
    if claimed is None:
        return DAMAGED
    return "" if sorted(claimed) == sorted(size) else SIZE


def _decoded(data: bytes, size: tuple[int, int]) -> torch.Tensor | Reason:
    try:
        pixels = decode_whole_bytes(data, "the image")
    except UsageError:
        return DAMAGED
    return pixels if tuple(pixels.shape[1:]) == size else SIZE
