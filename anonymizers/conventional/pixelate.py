"""Pixelation: true block means, and the definition of EDI-Anon."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from anonymizers.conventional.cells import cell_means, enlarge
from benchmark.filters import Filter, to_bytes
from benchmark.images import ImageSet
from benchmark.protocols import Controller

CellSize = Annotated[int, Field(ge=1, le=4096, description="side of a cell in px")]
Variant = Annotated[
    Literal["mean", "edi"], Field(description="mean: block means; edi: bilinear samples, without averaging")
]


def pixelate_mean(images: torch.Tensor, size: int) -> torch.Tensor:
    """Replaces cells of ``size`` x ``size`` px by their mean; uint8 ``[N, 3, H, W]`` to the same."""
    height, width = images.shape[2:]
    return enlarge(to_bytes(cell_means(images, size)), size, height, width)


def pixelate_edi(images: torch.Tensor, size: int) -> torch.Tensor:
    """Shrinks to ``floor(side / size)`` per side (at least 1), bilinear without antialias, and enlarges to the nearest.

    Cells are not square where a side is no multiple of ``size``, and each shows about four pixels of itself.

    Args:
        images: uint8 ``[N, 3, H, W]``.
        size: nominal side of a cell in px.

    Returns:
        uint8 ``[N, 3, H, W]``.
    """
    from torch.nn.functional import interpolate

    height, width = images.shape[2:]
    grid = (max(1, height // size), max(1, width // size))
    small = to_bytes(interpolate(images.double(), size=grid, mode="bilinear", align_corners=False, antialias=False))
    # Whole numbers, because nearest modes compute positions in floating point and can miss a cell's first row.
    rows, columns = torch.arange(height) * grid[0] // height, torch.arange(width) * grid[1] // width
    return small[:, :, rows][:, :, :, columns]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Pixelate(Filter):
    """Pixelation into square cells; variant "mean" averages each cell, "edi" samples it as EDI-Anon does."""

    source: ClassVar[str] = "block mean; variant edi: EDI-Anon (Transactions on Data Privacy, 2025)"

    size: CellSize = 8
    variant: Variant = "mean"

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        """Returns the cells, uint8 ``[N, 3, H, W]``."""
        pixelate = pixelate_mean if self.variant == "mean" else pixelate_edi
        return pixelate(images.images, self.size)
