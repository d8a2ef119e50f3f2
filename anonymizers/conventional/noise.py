"""Noise on single pixels."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from benchmark.filters import Filter, to_bytes
from benchmark.images import ImageSet
from benchmark.protocols import Controller
from benchmark.seeding import normal, uniform

NoiseSigma = Annotated[float, Field(ge=0, le=10_000, description="standard deviation in grey levels")]
Amount = Annotated[float, Field(ge=0, le=1, description="share of pixels set to black or white")]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class GaussianNoise(Filter):
    """Gaussian noise on every pixel and channel, to both sides, clipped to the range."""

    source: ClassVar[str] = "additive Gaussian noise; baseline of SEBA (arXiv 2407.06648), there one-sided"

    sigma: NoiseSigma = 25.0

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        """Returns the noisy images, uint8 ``[N, 3, H, W]``."""
        shape = tuple(images.images.shape[1:])
        return to_bytes(images.images + self.sigma * normal(controller.seed, "gaussian-noise", images.keys, shape))


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SaltPepper(Filter):
    """Salt and pepper: a share of the pixels becomes black or white, all channels together."""

    source: ClassVar[str] = "impulse noise (Gonzalez and Woods, Digital Image Processing)"

    amount: Amount = 0.1

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        """Returns images with black and white pixels in equal shares, uint8 ``[N, 3, H, W]``."""
        draws = uniform(controller.seed, "salt-pepper", images.keys, images.size)[:, None]
        peppered = images.images.masked_fill(draws < self.amount / 2, 0)
        return peppered.masked_fill((draws >= self.amount / 2) & (draws < self.amount), 255)
