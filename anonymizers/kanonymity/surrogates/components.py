"""Principal components of many values, learned from few rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from anonymizers.conventional.ksame import eigen_basis
from benchmark.learning.training import one_thread

COLUMNS = 4096
"""Values per step of a matrix product, which bounds the memory in float64."""
BLOCK = 32
"""Rows per matrix product: always as many, because kernels for other numbers round in another order."""
ROWS, VALUES = 2000, 64_000_000
"""Rows to learn from, and values in them, at most: components hardly change beyond, and time grows with the square."""


@dataclass(frozen=True, eq=False)
class Components:
    """A mean and unit axes.

    Attributes:
        mean: float64 ``[D]``.
        axes: float64 ``[C, D]``.
    """

    mean: torch.Tensor
    axes: torch.Tensor

    def scores(self, points: torch.Tensor) -> torch.Tensor:
        """Coordinates float64 ``[G, C]`` of float64 ``[G, D]``; those of a row do not depend on the other rows."""
        return _by_blocks(points - self.mean, self.axes.T)

    def rebuild(self, scores: torch.Tensor) -> torch.Tensor:
        """Points float64 ``[G, D]`` at these coordinates."""
        return _by_blocks(scores, self.axes) + self.mean

    def nearest(self, points: torch.Tensor) -> torch.Tensor:
        """What is left of points when everything outside the axes is dropped, float64 ``[G, D]``."""
        return self.rebuild(self.scores(points))


def _by_blocks(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    padded = torch.nn.functional.pad(left, (0, 0, 0, -len(left) % BLOCK))
    with one_thread():
        return torch.cat([part @ right for part in padded.split(BLOCK)])[: len(left)]


def enough(rows: int, values: int) -> int:
    """How many of so many rows with so many values each are learned from, at least 2."""
    return min(rows, max(2, min(ROWS, VALUES // values)))


def learn_components(rows: torch.Tensor, components: float) -> Components:
    """Principal components of rows, by the small matrix of their inner products (Sirovich and Kirby, JOSA A 1987).

    Args:
        rows: float32 or float64 ``[M, D]``, in an order that does not depend on how they were handed over.
        components: below 1, the share of variance to keep; else the number of components, at most.
    """
    with one_thread():
        gram = torch.zeros(len(rows), len(rows), dtype=torch.float64)
        for _, part in _centred(rows):
            gram += part @ part.T
        _, weights = eigen_basis(gram, components)
        means, axes = zip(*((mean, weights.T @ part) for mean, part in _centred(rows)), strict=True)
    return Components(torch.cat(means), _upright(torch.cat(axes, dim=1)))


def _upright(axes: torch.Tensor) -> torch.Tensor:
    """The axes ``[C, D]`` with their largest entry positive: which way they point is the eigensolver's choice."""
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    return axes * torch.where(largest < 0, -1.0, 1.0)


def _centred(rows: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Means of some columns, and the columns without them."""
    for part in rows.split(COLUMNS, dim=1):
        mean = part.double().mean(dim=0)
        yield mean, part.double() - mean
