"""DP-Pix and DP-Blur: noisy cell means with a stated privacy budget."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from anonymizers.conventional.blur import GaussianKernel, gaussian_operation
from anonymizers.conventional.cells import cell_counts, cell_means, enlarge
from anonymizers.conventional.planes import filter_planes
from benchmark.filters import Filter, to_bytes
from benchmark.images import ImageSet
from benchmark.protocols import Controller
from benchmark.seeding import laplace

CellSide = Annotated[int, Field(ge=1, le=4096, description="side of a cell in px")]
Changed = Annotated[int, Field(ge=1, le=10**9, description="pixels in which two neighbouring images may differ")]
Epsilon = Annotated[float, Field(gt=0, le=1e9, description="privacy budget per colour channel")]

GREY_RANGE = 255


def noisy_means(images: ImageSet, seed: int, stream: str, b: int, m: int, eps: float) -> torch.Tensor:
    """Cell means plus one Laplace draw per cell and channel, neither rounded nor clipped.

    The scale is ``255 * m / (b * b * eps)``. A smaller cell at the right or lower border has its own number of pixels
    instead of ``b * b``, since one pixel weighs more in its mean.

    Args:
        images: N images of H x W px.
        seed: seed of the run.
        stream: name of the draws.
        b: side of a cell in px.
        m: pixels in which neighbouring images may differ.
        eps: budget per channel.

    Returns:
        float64 ``[N, 3, ceil(H / b), ceil(W / b)]`` in grey levels.
    """
    means = cell_means(images.images, b)
    scale = GREY_RANGE * m / (cell_counts(*images.size, b) * eps)
    return means + laplace(seed, stream, images.keys, tuple(means.shape[1:])) * scale


def noisy_pixels(images: ImageSet, seed: int, stream: str, b: int, m: int, eps: float) -> torch.Tensor:
    """``noisy_means``, rounded, clipped to 0..255 and enlarged; uint8 ``[N, 3, H, W]``."""
    return enlarge(to_bytes(noisy_means(images, seed, stream, b, m, eps)), b, *images.size)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DpPix(Filter):
    """DP-Pix: cell means with Laplace noise; eps is spent per channel, 3 eps per colour pixel.

    Differentially private per colour channel for images that differ in at most ``m`` pixels. As a colour image the
    release spends 3 eps, and it promises nothing for a person who fills more than ``m`` pixels.
    """

    source: ClassVar[str] = "Fan, Image Pixelization with Differential Privacy, DBSec 2018"

    b: CellSide = 8
    m: Changed = 16
    eps: Epsilon = 1.0

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        """Returns the noisy cells, uint8 ``[N, 3, H, W]``."""
        return noisy_pixels(images, controller.seed, "dp-pix", self.b, self.m, self.eps)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DpBlur(Filter):
    """DP-Blur: DP-Pix followed by a Gaussian blur; eps is spent per channel, 3 eps per colour pixel.

    The blur sees nothing but the noisy cells, so the budget is that of DP-Pix with the same ``b``, ``m`` and ``eps``.
    """

    source: ClassVar[str] = (
        "DP-Pix of Fan (DBSec 2018), then Gaussian as in EDI-Anon (Transactions on Data Privacy, 2025)"
    )

    b: CellSide = 16
    m: Changed = 16
    eps: Epsilon = 1.0
    kernel: GaussianKernel = 9

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        """Returns the blurred noisy cells, uint8 ``[N, 3, H, W]``."""
        cells = noisy_pixels(images, controller.seed, "dp-blur", self.b, self.m, self.eps)
        return filter_planes(cells, gaussian_operation(self.kernel, sigma=0.0))
