"""Square cells of an image: exact means and enlarging them again."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from anonymizers.conventional.planes import as_planes

Edges = np.ndarray[Any, np.dtype[np.int64]]


def edges(side: int, size: int) -> Edges:
    """Where cells of ``size`` px begin on a side of ``side`` px, and where the last one ends, int64 ``[cells + 1]``."""
    return np.append(np.arange(0, side, size), side)


def cell_counts(height: int, width: int, size: int) -> torch.Tensor:
    """Pixels per cell, float64 ``[h, w]``; cells of the last row and column may be smaller."""
    rows, columns = (np.diff(edges(side, size)) for side in (height, width))
    return torch.from_numpy(np.outer(rows, columns).astype(np.float64))


def cell_means(images: torch.Tensor, size: int) -> torch.Tensor:
    """Means of ``size`` x ``size`` px cells, per channel.

    Sums come from one integral table per image and are exact; a smaller last cell is averaged over what is there.

    Args:
        images: uint8 ``[N, 3, H, W]``.
        size: side of a cell in px.

    Returns:
        float64 ``[N, 3, h, w]`` with ``h = ceil(H / size)`` and ``w = ceil(W / size)``.
    """
    height, width = images.shape[2:]
    corners = _corners(images, edges(height, size), edges(width, size))
    sums = np.diff(np.diff(corners, axis=-2), axis=-1)
    return torch.from_numpy(sums) / cell_counts(height, width, size)


def _corners(images: torch.Tensor, rows: Edges, columns: Edges) -> Edges:
    """Integral image at the corners of cells, int64 ``[N, 3, h + 1, w + 1]``."""
    import cv2

    count, channels, height, width = images.shape
    stacks = as_planes(images).reshape(count, channels * height, width)
    depth = cv2.CV_32S if stacks[:1].size * 255 < 2**31 else cv2.CV_64F
    # The channels lie on top of one another in one table: channel c begins at row c * height.
    table_rows = (np.arange(channels)[:, None] * height + rows).ravel()
    corners = np.empty((count, len(table_rows), len(columns)), np.int64)
    for stack, corner in zip(stacks, corners, strict=True):
        corner[:] = cv2.integral(stack, sdepth=depth)[table_rows][:, columns]
    return corners.reshape(count, channels, len(rows), len(columns))


def enlarge(cells: torch.Tensor, size: int, height: int, width: int) -> torch.Tensor:
    """Paints every cell with its value.

    Args:
        cells: uint8 ``[N, 3, h, w]``.
        size: side of a cell in px.
        height: of the result in px; what of the last row of cells is beyond is cut off.
        width: of the result in px.

    Returns:
        uint8 ``[N, 3, height, width]``.
    """
    rows = np.repeat(cells.numpy(), size, axis=-1)[..., :width]
    painted = np.repeat(rows, size, axis=-2)[..., :height, :]
    return torch.from_numpy(painted).contiguous()
