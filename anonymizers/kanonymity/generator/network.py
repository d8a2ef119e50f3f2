"""The style-based generator: a mapping network and a synthesis network (StyleGAN2, skip architecture)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from anonymizers.kanonymity.generator.layers import EqualLinear, PixelNorm, StyledLayer, ToRgb


@dataclass(frozen=True)
class Design:
    """Sizes of a generator.

    Attributes:
        channels: of each resolution, from the coarsest; every further one doubles the side.
        base: side of the coarsest resolution in pixels.
        style: features of a latent w.
        mapping: layers of the mapping network.
        mapping_rate: learning rate multiplier in the mapping network.
        centred: whether the mapping network gives a difference from the mean latent for every layer, as in generators
            that were trained together with an encoder, instead of one latent for all.
        map_channels: of a coarse map that the last latents are read as, row by row, at twice the base; it says what is
            where, which styles alone learn slowly (Kim et al., StyleMapGAN, CVPR 2021). 0: none, as published.
    """

    channels: tuple[int, ...]
    base: int = 4
    style: int = 512
    mapping: int = 8
    mapping_rate: float = 0.01
    centred: bool = False
    map_channels: int = 0

    @property
    def size(self) -> int:
        """Side of the picture in pixels."""
        return int(self.base * 2 ** (len(self.channels) - 1))

    @property
    def layers(self) -> int:
        """Latents of a picture in W+: the styles, then those of the map."""
        return self.styles + math.ceil(self.map_channels * (2 * self.base) ** 2 / self.style)

    @property
    def styles(self) -> int:
        """Latents that are styles: one per convolution, and one for the last ``ToRgb``."""
        return 2 * len(self.channels)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a file's metadata."""
        return asdict(self)


def official(size: int, multiplier: int = 2) -> Design:
    """The published StyleGAN2 of a size: 4 px at 512 channels; ``multiplier`` 2 is config F, 1 is config E."""
    wide = {64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
    sides = [side for side in (4, 8, 16, 32, *wide) if side <= size]
    return Design(tuple(wide[side] * multiplier if side in wide else 512 for side in sides))


class Mapping(nn.Sequential):
    """z to w: normalisation, then fully connected layers."""

    def __init__(self, design: Design) -> None:
        layers = [
            EqualLinear(design.style, design.style, rate=design.mapping_rate, activated=True)
            for _ in range(design.mapping)
        ]
        if design.centred:
            layers[-1] = EqualLinear(design.style, design.layers * design.style, rate=design.mapping_rate)
        super().__init__(PixelNorm(), *layers)


class Synthesis(nn.Module):
    """W+ to pictures."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        channels, style = design.channels, design.style
        self.design = design
        self.constant = nn.Parameter(torch.randn(1, channels[0], design.base, design.base))
        self.lift = nn.Conv2d(design.map_channels, channels[1], 1, bias=False) if design.map_channels else None
        self.layers = nn.ModuleList([StyledLayer(channels[0], channels[0], style)])
        self.to_rgb = nn.ModuleList([ToRgb(channels[0], style, upsample=False)])
        for before, after in pairwise(channels):
            self.layers.append(StyledLayer(before, after, style, upsample=True))
            self.layers.append(StyledLayer(after, after, style))
            self.to_rgb.append(ToRgb(after, style))

    def noise_sides(self) -> list[int]:
        """Side of each layer's noise in pixels."""
        return [self.design.base * 2 ** ((layer + 1) // 2) for layer in range(len(self.layers))]

    def forward(self, latents: Tensor, noise: Sequence[Tensor | None] | None = None) -> Tensor:
        """Draws pictures.

        Args:
            latents: W+, ``[N, layers, style]``.
            noise: per layer ``[1 or N, 1, S, S]``, or None for zeros.

        Returns:
            ``[N, 3, size, size]``, nominally -1..1, not clipped.
        """
        noises = [None] * len(self.layers) if noise is None else noise
        value = self.constant.expand(len(latents), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        picture: Tensor | None = None
        for index, layer in enumerate(self.layers):
            value = layer(value, latents[:, index], noises[index])
            if index == 1 and self.lift is not None:
                value = value + self.lift(self.map_of(latents).to(value.dtype))
            if index % 2 == 0:
                picture = self.to_rgb[index // 2](value, latents[:, index + 1], picture)
        assert picture is not None
        return picture

    def map_of(self, latents: Tensor) -> Tensor:
        """The coarse map in W+ ``[N, layers, style]``: ``[N, map_channels, S, S]``, S twice the base."""
        side, count = 2 * self.design.base, self.design.map_channels
        flat = latents[:, self.design.styles :].flatten(1)[:, : count * side**2]
        return flat.reshape(-1, count, side, side)


class StyleGenerator(nn.Module):
    """Mapping and synthesis, and the mean latent that truncation pulls towards.

    The mean latent is kept per layer: the shipped generators are encoded to W+, whose layers have means of their own.
    """

    mean_latent: Tensor

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        self.mapping = Mapping(design)
        self.synthesis = Synthesis(design)
        self.register_buffer("mean_latent", torch.zeros(design.layers, design.style))

    def latents(self, z: Tensor) -> Tensor:
        """z ``[N, style]`` to W+ ``[N, layers, style]``; every layer alike, unless the design is centred."""
        w: Tensor = self.mapping(z)
        if self.design.centred:
            return w.view(-1, self.design.layers, self.design.style) + self.mean_latent
        return w[:, None].expand(-1, self.design.layers, -1)

    def truncated(self, latents: Tensor, psi: float) -> Tensor:
        """Latents pulled towards the mean: 1 leaves them, 0 gives the mean."""
        return self.mean_latent + psi * (latents - self.mean_latent)

    def forward(self, latents: Tensor, noise: Sequence[Tensor | None] | None = None) -> Tensor:
        """W+ ``[N, layers, style]`` to pictures ``[N, 3, size, size]``, nominally -1..1."""
        made: Tensor = self.synthesis(latents, noise)
        return made
