"""An up-convolutional network that draws the faces of people by their numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

CHANNELS = (8, 32, 96, 96, 128, 128)
"""Of the maps from the image inwards; further ones have as many as the last."""
HIDDEN = 512
"""Width of the layers that identity and conditions go through; twice as many after they meet."""
SMALLEST, LARGEST = 3, 8
"""Sides in px from which images are doubled up, where doubling can reach their size."""


class Layout(NamedTuple):
    """Base grid and number of doublings; the image is cut out of ``base * 2 ** doublings``."""

    base: tuple[int, int]
    doublings: int


def layout(size: tuple[int, int]) -> Layout:
    """The smallest base grid whose doublings give an image size in px, or cover it where none gives it."""
    short = min(size)
    exact = [d for d in range(1, 12) if not any(side % 2**d for side in size) and SMALLEST <= short >> d <= LARGEST]
    doublings = exact[-1] if exact else max(1, math.ceil(math.log2(short / LARGEST)))
    return Layout((math.ceil(size[0] / 2**doublings), math.ceil(size[1] / 2**doublings)), doublings)


class UpConvolution(nn.Module):
    """Identity code and conditions to an image (Dosovitskiy et al., CVPR 2015; k-Same-Net).

    Args:
        identities: length of an identity code.
        conditions: values of other kinds (expression, orientation), possibly none.
        size: height and width in px.
        width: share of the published channels.

    The buffer ``mean``, ``[3, H, W]``, holds the logits of a mean face, to which the network adds.
    """

    def __init__(self, identities: int, conditions: int, size: tuple[int, int], width: float = 1.0) -> None:
        super().__init__()
        self.size, (self.base, doublings) = size, layout(size)
        self.identity = nn.Linear(identities, HIDDEN)
        self.condition = nn.Linear(conditions, HIDDEN) if conditions else None
        inputs = HIDDEN * (2 if conditions else 1)
        widths = [CHANNELS[min(step, len(CHANNELS) - 1)] for step in reversed(range(doublings))]
        channels = [max(4, round(count * (width if step < doublings - 1 else 1))) for step, count in enumerate(widths)]
        self.first = channels[0]
        self.dense = nn.Sequential(
            nn.Linear(inputs, 2 * HIDDEN), nn.LeakyReLU(0.2),
            nn.Linear(2 * HIDDEN, self.first * self.base[0] * self.base[1]), nn.LeakyReLU(0.2),
        )  # fmt: skip
        pairs = zip([self.first, *channels], channels, strict=False)
        last = nn.Conv2d(channels[-1], 3, 3, padding=1)
        self.blocks = nn.Sequential(*(_doubling(*pair) for pair in pairs), last)

        self.apply(_initialise)
        nn.init.normal_(self.identity.weight)  # of a code that is 1 once, all of the variance comes from one column
        nn.init.zeros_(last.weight)  # learning begins at the mean face
        self.mean: torch.Tensor
        self.register_buffer("mean", torch.zeros(3, *size))

    def forward(self, codes: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """RGB in [0, 1], ``[N, 3, H, W]``, of codes ``[N, identities]`` and ``[N, conditions]``."""
        parts = [self.identity(codes)]
        if self.condition is not None:
            parts.append(self.condition(conditions))
        features = self.dense(nn.functional.leaky_relu(torch.cat(parts, dim=1), 0.2))
        maps = features.view(-1, self.first, *self.base).contiguous(memory_format=torch.channels_last)
        drawn = self.blocks(maps)[:, :, : self.size[0], : self.size[1]]
        return torch.sigmoid(drawn.float() + self.mean)


def _initialise(part: nn.Module) -> None:
    """Keeps the variance of the signal (He et al. 2015): with the defaults, identity is lost among the biases."""
    if isinstance(part, nn.Linear | nn.Conv2d):
        nn.init.kaiming_normal_(part.weight, 0.2)
        assert part.bias is not None
        nn.init.zeros_(part.bias)


def _doubling(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.Conv2d(inputs, outputs, 5, padding=2), nn.LeakyReLU(0.2),
        nn.Conv2d(outputs, outputs, 3, padding=1), nn.LeakyReLU(0.2),
        nn.BatchNorm2d(outputs),
    )  # fmt: skip
