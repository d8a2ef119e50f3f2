"""Recognition from raw pixels in closed form: the order in which they stand does not matter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from metrics.attackers.learners import Learned, Lesson, best

GAIN = 8.0
"""Regression on people gives values between 0 and 1; this makes logits of them."""
COLUMNS = 4096
"""Pixels held as floating point at a time."""
FLAT = 1e-6
"""Variance in grey levels² below which a pixel says nothing."""


@dataclass(frozen=True)
class Pixels:
    """Kernel ridge regression on standardised pixels, one target per person.

    A fixed permutation of pixels and channels permutes the columns of the data, and no inner product notices.

    Attributes:
        penalties: to choose from, in units of the mean squared norm of an image.
        widths: variances of Gaussian kernels to choose from, in the same unit; 0 is the linear kernel.
    """

    penalties: tuple[float, ...] = (0.03, 0.003, 0.3, 3.0)
    widths: tuple[float, ...] = (2.0, 0.5, 0.0)

    @property
    def name(self) -> str:
        """``pixels``."""
        return "pixels"

    def learn(self, lesson: Lesson) -> Learned:
        """Chooses kernel and penalty by the photographs held out, then learns from all."""
        rows = Standardised.of(lesson.images)
        products, norms = rows.products(lesson.images)
        targets = nn.functional.one_hot(lesson.people, lesson.count).float() - 1 / lesson.count
        kept, checked = ~lesson.checked, lesson.checked
        choices = [(width, penalty) for width in self.widths for penalty in self.penalties]
        judged = []
        for width, penalty in choices:
            kernel = kernel_of(products, norms, norms, width)
            judged.append(_logs(kernel[checked][:, kept], solved(kernel[kept][:, kept], targets[kept], penalty)))
        row = best(judged, lesson.truth)
        width, penalty = choices[row]
        weights = solved(kernel_of(products, norms, norms, width), targets, penalty)

        def read(images: torch.Tensor) -> torch.Tensor:
            own, lengths = rows.products(images)
            return _logs(kernel_of(own, lengths, norms, width), weights)

        return Learned(judged[row], read)


@dataclass(frozen=True, eq=False)
class Standardised:
    """Images as rows of pixels with mean 0 and variance 1; never all of them in floating point.

    Attributes:
        pixels: uint8 ``[N, D]``, what it was standardised by.
        mean: float32 ``[D]``.
        scale: float32 ``[D]``, 0 for a pixel that is equal in all images; the mean squared norm of the rows is 1.
    """

    pixels: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, images: torch.Tensor) -> Standardised:
        """From uint8 ``[N, 3, H, W]``."""
        pixels = images.flatten(1)
        parts = [torch.var_mean(part.float(), 0, correction=0) for part in pixels.split(COLUMNS, 1)]
        variance, mean = (torch.cat(part) for part in zip(*parts, strict=True))
        alive = variance > FLAT
        scale = torch.where(alive, variance.clamp(min=FLAT).rsqrt(), 0.0) / alive.sum().clamp(min=1).sqrt()
        return cls(pixels, mean, scale)

    def products(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inner products float32 ``[M, N]`` of other images with the rows, and squared norms ``[M]`` of the others."""
        others = images.flatten(1)
        found, norms = torch.zeros(len(others), len(self.pixels)), torch.zeros(len(others))
        for columns in self._columns():
            left, right = (self._values(part, columns) for part in (others, self.pixels))
            found += left @ right.T
            norms += left.square().sum(1)
        return found, norms

    def _columns(self) -> Iterator[slice]:
        for start in range(0, self.pixels.shape[1], COLUMNS):
            yield slice(start, start + COLUMNS)

    def _values(self, pixels: torch.Tensor, columns: slice) -> torch.Tensor:
        return (pixels[:, columns].float() - self.mean[columns]) * self.scale[columns]


def kernel_of(products: torch.Tensor, left: torch.Tensor, right: torch.Tensor, width: float) -> torch.Tensor:
    """Kernel values of inner products ``[M, N]`` and squared norms ``[M]`` and ``[N]``.

    Args:
        products: inner products.
        left: squared norms of the rows.
        right: squared norms of the columns.
        width: variance of the Gaussian; 0 is the linear kernel, the products themselves.
    """
    if not width:
        return products
    return torch.exp((2 * products - left[:, None] - right).clamp(max=0) / (2 * width))


def solved(kernel: torch.Tensor, targets: torch.Tensor, penalty: float) -> torch.Tensor:
    """Dual weights ``[N, C]`` of ridge regression: (kernel + penalty I)^-1 targets."""
    regular = kernel + penalty * torch.eye(len(kernel))
    found: torch.Tensor = torch.cholesky_solve(targets, torch.linalg.cholesky(regular))
    return found


def _logs(kernel: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (kernel @ weights * GAIN).log_softmax(1)
