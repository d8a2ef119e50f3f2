"""Images as the networks see them: squashed to a square, normalised, and augmented for training."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmark.decode import decode_whole
from benchmark.errors import UsageError
from benchmark.hashing import sha256_json, sha256_tensor
from benchmark.protocols import Progress, Report, quiet, silent
from metrics.perceptanon.labels import targets
from metrics.perceptanon.table import Table

SIZE = 224
"""Side in pixels of what the published networks see."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, per colour channel."""

TURN = 10.0
"""Training images are turned by up to so many degrees."""

_WORKERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with what is to be learned from them; every file is kept once.

    Attributes:
        bank: all images, uint8 ``[M, 3, S, S]``.
        original: rows of the originals in ``bank``, int64 ``[N]``; None where nobody looks at them (HA1).
        released: rows of the released images, int64 ``[N]``.
        targets: classes int64 ``[N]``, or float32 ``[N]`` in [0, 1].
    """

    bank: torch.Tensor
    original: torch.Tensor | None
    released: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.released)

    @property
    def content(self) -> str:
        """Hash of images, pairs and targets."""
        parts = [
            *self.bank.split(256),
            self.released,
            self.targets,
            *([] if self.original is None else [self.original]),
        ]
        return sha256_json([sha256_tensor(part) for part in parts])


def squashed(images: torch.Tensor, size: int) -> torch.Tensor:
    """Images at exactly ``size`` x ``size`` pixels, whatever their aspect was.

    Bilinear and antialiased, as torchvision's ``Resize`` of a Pillow image (to one grey level).

    Args:
        images: uint8 ``[N, 3, H, W]``.
        size: side in pixels.

    Returns:
        uint8 ``[N, 3, size, size]``.
    """
    if images.shape[-2:] == (size, size):
        return images
    return nn.functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True)


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Float32 ``[N, 3, S, S]`` with ImageNet's mean and deviation, of uint8, or of float32 in [0, 1]."""
    values = images if images.is_floating_point() else images.float() / 255
    mean, deviation = (torch.tensor(part, device=values.device).view(3, 1, 1) for part in (MEAN, DEVIATION))
    return (values - mean) / deviation


def load_pictures(paths: Sequence[Path], size: int, progress: Progress = silent) -> torch.Tensor:
    """Reads image files at the size of the networks.

    Args:
        paths: the files.
        size: side in pixels; images are squashed.
        progress: told 1 after each file.

    Returns:
        uint8 ``[N, 3, size, size]``.

    Raises:
        UsageError: a file is missing, damaged, or not an image.
    """
    _check_size(size)
    bank = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)
    # The filters of warnings belong to the whole process: inside of this, threads cannot disturb each other's.
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(_WORKERS) as pool:
        for row, image in enumerate(pool.map(partial(_picture, size=size), paths)):
            bank[row] = image
            progress(1)
    return bank


def _check_size(size: int) -> None:
    if size < 1:
        raise UsageError(f"image size must be at least 1 pixel, not {size}")


def _picture(path: Path, size: int) -> torch.Tensor:
    return squashed(decode_whole(path)[None], size)[0]


def load_examples(table: Table, granularity: str, task: str, size: int, report: Report = quiet) -> Examples:
    """Reads the images of a table, each file once, and makes its targets.

    Raises:
        UsageError: an image cannot be read, or there are no such labels.
    """
    wanted = torch.from_numpy(targets(table.scores, granularity, task))
    files = [*table.released, *(table.originals if table.study == "HA2" else [])]
    places = {path: place for place, path in enumerate(dict.fromkeys(files))}
    with report(f"read images of {table.study}", len(places)) as progress:
        bank = load_pictures(list(places), size, progress)
    rows = torch.tensor([places[path] for path in files], dtype=torch.int64)
    released, original = rows[: len(table)], rows[len(table) :] if table.study == "HA2" else None
    return Examples(bank, original, released, wanted if task == "classification" else wanted.float())


@dataclass(frozen=True, eq=False)
class Moves:
    """A flip and a turn for each of N images.

    Attributes:
        flip: 1 or -1 (mirrored), float32 ``[N]``.
        angle: radians, float32 ``[N]``.
    """

    flip: torch.Tensor
    angle: torch.Tensor


def draw_moves(count: int, generator: torch.Generator) -> Moves:
    """Mirrors half of the images and turns all by up to ``TURN`` degrees."""
    draws = torch.rand(2, count, generator=generator)
    return Moves(torch.where(draws[0] < 0.5, -1.0, 1.0), (2 * draws[1] - 1) * (TURN * torch.pi / 180))


def moved(images: torch.Tensor, moves: Moves) -> torch.Tensor:
    """Flips and turns images around their centre; what comes from outside is black.

    Args:
        images: uint8 ``[N, 3, S, S]``.
        moves: one for each.

    Returns:
        float32 in [0, 1], ``[N, 3, S, S]``.
    """
    sine, cosine, nothing = moves.angle.sin(), moves.angle.cos(), torch.zeros_like(moves.angle)
    rows = [moves.flip * cosine, -moves.flip * sine, nothing, sine, cosine, nothing]
    places = torch.stack(rows, 1).view(-1, 2, 3).to(images.device)
    grid = nn.functional.affine_grid(places, list(images.shape), align_corners=False)
    # Nearest pixels, as torchvision's RandomRotation takes by default.
    return nn.functional.grid_sample(images.float() / 255, grid, mode="nearest", align_corners=False)


def augmented(
    examples: Examples, rows: torch.Tensor, generator: torch.Generator, independent: bool, device: str
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """A training batch.

    Args:
        examples: where it comes from.
        rows: int64 ``[N]``.
        generator: of the flips and turns.
        independent: move original and released image differently, as the published code does. By default they move
            together, so that a pair stays aligned.
        device: where the batch goes.

    Returns:
        Original (None where nobody looks at it) and released images, normalised float32 ``[N, 3, S, S]``.
    """
    moves = draw_moves(len(rows), generator)
    released = normalised(moved(examples.bank[examples.released[rows]].to(device), moves))
    if examples.original is None:
        return None, released
    others = draw_moves(len(rows), generator) if independent else moves
    return normalised(moved(examples.bank[examples.original[rows]].to(device), others)), released


def plain(examples: Examples, rows: torch.Tensor, device: str) -> tuple[torch.Tensor | None, torch.Tensor]:
    """A batch without augmentation; see ``augmented``."""
    original = None if examples.original is None else examples.bank[examples.original[rows]]
    released = normalised(examples.bank[examples.released[rows]].to(device))
    return None if original is None else normalised(original.to(device)), released
