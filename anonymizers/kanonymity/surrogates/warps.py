"""Piecewise-affine warps of many images at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import Delaunay

from anonymizers.kanonymity.surrogates.shapes import all_points
from benchmark.images import ImageSet

TOLERANCE = 1e-9
"""By how much barycentric coordinates may be below 0: pixels on an edge belong to either triangle."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """The triangle of every pixel, and where in it the pixel is.

    Attributes:
        corners: int64 ``[H * W, 3]``, points of the triangle around each pixel, row by row.
        weights: float64 ``[H * W, 3]``, barycentric coordinates.
        size: height and width in px.
    """

    corners: torch.Tensor
    weights: torch.Tensor
    size: tuple[int, int]

    def positions(self, points: torch.Tensor) -> torch.Tensor:
        """Where the pixels lie when the points of the mesh are moved, float64 ``[N, H * W, 2]`` for ``[N, K, 2]``."""
        moved = torch.zeros(len(points), len(self.corners), 2, dtype=torch.float64)
        for corner in range(3):
            moved += points[:, self.corners[:, corner]] * self.weights[:, corner, None]
        return moved


def triangulate(points: torch.Tensor, size: tuple[int, int]) -> Mesh:
    """The Delaunay triangulation of ``[K, 2]`` points (x, y) that surround all pixel centres of an image."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    mesh = Delaunay(points.numpy())
    triangle = mesh.find_simplex(pixels, tol=TOLERANCE)
    transform = mesh.transform[triangle]
    first = np.einsum("nij,nj->ni", transform[:, :2], pixels - transform[:, 2])
    weights = np.concatenate([first, 1 - first.sum(axis=1, keepdims=True)], axis=1)
    return Mesh(torch.from_numpy(mesh.simplices[triangle].astype(np.int64)), torch.from_numpy(weights), size)


def sample(images: torch.Tensor, positions: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Values between pixels, bilinear; outside the nearest pixel of the border.

    Args:
        images: float ``[N, C, h, w]``.
        positions: ``[N, H * W, 2]`` (x, y) in px.
        size: H and W.

    Returns:
        The dtype of ``images``, ``[N, C, H, W]``.
    """
    extent = torch.tensor([images.shape[3] - 1, images.shape[2] - 1], dtype=torch.float64)
    grid = (2 * positions / extent - 1).reshape(len(images), *size, 2).to(images)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=True)


def warp_to(mesh: Mesh, images: ImageSet, device: str = "cpu") -> torch.Tensor:
    """Faces warped to the shape of a mesh of ``all_points``, float32 ``[N, 3, H, W]`` in grey levels."""
    assert images.landmarks is not None
    positions = mesh.positions(all_points(images.landmarks.double(), images.size))
    return sample(images.images.to(device).float(), positions.to(device), mesh.size).cpu()
