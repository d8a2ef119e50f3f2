"""Smooth shapes painted over a stack of pictures at once, in units of the picture's shorter side."""

from __future__ import annotations

import torch


class Canvas:
    """N pictures of one size in the making.

    The unit of length is the shorter side and the origin is the centre of the picture, x to the right and y downwards.

    Args:
        count: number of pictures.
        size: height and width in pixels.
    """

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        height, width = size
        self.side = min(size)
        self.pixels = torch.zeros(count, 3, height, width, dtype=torch.float64)
        self.x = ((torch.arange(width, dtype=torch.float64) - (width - 1) / 2) / self.side)[None, None, :]
        self.y = ((torch.arange(height, dtype=torch.float64) - (height - 1) / 2) / self.side)[None, :, None]

    def paint(self, coverage: torch.Tensor, colour: torch.Tensor) -> None:
        """Lays a colour ``[N, 3]`` (0..1) over the pictures where ``coverage`` ``[N, H, W]`` says, 0..1."""
        cover = coverage.clamp(0, 1)[:, None]
        self.pixels = self.pixels * (1 - cover) + colour[:, :, None, None] * cover

    def ellipse(self, centre: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
        """Coverage of filled ellipses: ``centre`` and ``half`` axes, both ``[N, 2]``."""
        return self._edge((1 - self._radius(centre, half)) * half.amin(1)[:, None, None])

    def ring(self, centre: torch.Tensor, half: torch.Tensor, thick: float) -> torch.Tensor:
        """Coverage of the outlines of ellipses, ``thick`` wide."""
        away = (self._radius(centre, half) - 1).abs() * half.amin(1)[:, None, None]
        return self._edge(thick / 2 - away)

    def bow(self, centre: torch.Tensor, half: torch.Tensor, bend: torch.Tensor, thick: float) -> torch.Tensor:
        """Coverage of arcs of a parabola.

        Args:
            centre: ``[N, 2]``, the lowest point of the arc (the highest where it bends down).
            half: half of the width, ``[N]``.
            bend: how much higher the ends are than the centre, ``[N]``.
            thick: of the line.
        """
        across = (self.x - centre[:, :1, None]) / half[:, None, None]
        away = (self.y - centre[:, 1:, None] + bend[:, None, None] * across.square()).abs()
        return self._edge(thick / 2 - away) * self._edge((1 - across.abs()) * half[:, None, None])

    def _radius(self, centre: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
        x, y = self.x - centre[:, :1, None], self.y - centre[:, 1:, None]
        return ((x / half[:, :1, None]).square() + (y / half[:, 1:, None]).square()).sqrt()

    def _edge(self, inside: torch.Tensor) -> torch.Tensor:
        """Coverage of a pixel whose centre is ``inside`` a shape by so much: edges are one pixel soft."""
        return (0.5 + inside * self.side).clamp(0, 1)

    def finished(self) -> torch.Tensor:
        """The pictures, uint8 ``[N, 3, H, W]``."""
        return (self.pixels * 255).round().clamp(0, 255).to(torch.uint8)
