"""The encoder: pictures to W+."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from anonymizers.kanonymity.generator.layers import SLOPE
from anonymizers.kanonymity.generator.network import Design

GLANCE = 12
"""Side in pixels of the small picture that the encoder also sees."""


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A convolution of 3 x 3 px with weights for leaky ReLUs."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, 1)
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    nn.init.zeros_(layer.bias if layer.bias is not None else torch.empty(0))
    return layer


class Down(nn.Module):
    """Halves the side: two convolutions beside an averaged shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first: nn.Module = convolution(inputs, inputs)
        self.second: nn.Module = convolution(inputs, outputs, stride=2)
        self.short: nn.Module = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, value: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H / 2, W / 2]``."""
        made: Tensor = functional.leaky_relu(self.first(value), SLOPE)
        made = functional.leaky_relu(self.second(made), SLOPE)
        made = made + self.short(functional.avg_pool2d(value, 2))
        return made / math.sqrt(2)


class Encoder(nn.Module):
    """Pictures to W+: a few convolutions, and beside them a linear look at the picture shrunk to ``GLANCE`` px.

    Args:
        design: of the generator.
        hidden: features before the last layer.
    """

    def __init__(self, design: Design, hidden: int = 384) -> None:
        super().__init__()
        self.design = design
        channels = tuple(reversed(design.channels))[1:]
        self.stem = convolution(3, channels[0], stride=2)
        self.downs = nn.ModuleList([Down(a, b) for a, b in pairwise(channels)])
        self.last = convolution(channels[-1], channels[-1], stride=2)
        side = math.ceil(design.base / 2)
        self.hidden = nn.Linear(channels[-1] * side * side, hidden)
        self.glance = nn.Linear(3 * GLANCE**2, hidden)
        self.out = nn.Linear(hidden, design.styles * design.style)
        self.map = nn.Conv2d(channels[-2], design.map_channels, 1) if design.map_channels else None

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Feature maps ``[N, C, h, w]`` from fine to coarse, which serve as a perceptual distance."""
        maps = [functional.leaky_relu(self.stem(pictures), SLOPE)]
        for down in self.downs:
            maps.append(down(maps[-1]))
        return maps

    def forward(self, pictures: Tensor) -> Tensor:
        """``[N, 3, S, S]``, -1..1, to ``[N, layers, style]``."""
        maps = self.features(pictures)
        value = functional.leaky_relu(self.last(maps[-1]), SLOPE).flatten(1)
        small = functional.adaptive_avg_pool2d(pictures, GLANCE).flatten(1)
        flat: Tensor = self.out(functional.leaky_relu(self.hidden(value) + self.glance(small), SLOPE)).float()
        if self.map is not None:
            flat = torch.cat([flat, self.map(maps[-2]).float().flatten(1)], dim=1)
        rest = self.design.layers * self.design.style - flat.shape[1]
        return functional.pad(flat, (0, rest)).view(-1, self.design.layers, self.design.style)
