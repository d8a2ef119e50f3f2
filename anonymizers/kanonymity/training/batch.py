"""The photographs of a training step, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MIRRORED = [1, 0, 2, 4, 3]
"""Landmarks of a mirrored photograph, in their usual order."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Photographs ``[N, 3, S, S]``, -1..1, their landmarks in pixels and labels, where there are any."""

    pictures: Tensor
    landmarks: Tensor | None
    labels: Tensor | None

    def mirrored(self) -> Batch:
        """Left and right exchanged."""
        points = self.landmarks
        if points is not None:
            across = self.pictures.shape[3] - 1 - points[..., :1]
            points = torch.cat([across, points[..., 1:]], dim=2)[:, MIRRORED]
        return Batch(self.pictures.flip(3), points, self.labels)

    def places(self) -> Tensor:
        """Landmarks about the middle, in quarters of the side, ``[N, 5, 2]``."""
        assert self.landmarks is not None
        return (self.landmarks / self.pictures.shape[3] - 0.5) * 4

    def focus(self, strength: float) -> Tensor:
        """Weights per pixel ``[N, 1, S, S]``, mean 1: bumps ``strength`` high at eyes and mouth."""
        count, size = len(self.pictures), self.pictures.shape[3]
        if self.landmarks is None:
            return torch.ones(count, 1, size, size)
        points = self.landmarks
        centres = torch.cat([points[:, :2], points[:, 3:].mean(dim=1, keepdim=True)], dim=1)
        spread = (points[:, 1] - points[:, 0]).norm(dim=1)[:, None, None, None] * 0.3
        line = torch.arange(size, dtype=torch.float32)
        far = (line - centres[..., 1:])[:, :, :, None] ** 2 + (line - centres[..., :1])[:, :, None, :] ** 2
        weight = 1 + (strength - 1) * torch.exp(-far / (2 * spread**2)).amax(dim=1, keepdim=True)
        return weight / weight.mean(dim=(2, 3), keepdim=True)
