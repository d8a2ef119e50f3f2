"""The two networks a generator is trained with: an encoder of pictures to W+, and a discriminator."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from anonymizers.kanonymity.generator.layers import SLOPE
from anonymizers.kanonymity.generator.network import Design

GLANCE = 12
"""Side in pixels of the small picture that the encoder also sees."""


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 3, stride, 1)
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    nn.init.zeros_(layer.bias if layer.bias is not None else torch.empty(0))
    return layer


class Down(nn.Module):
    """Halves the side: two convolutions beside an averaged shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first: nn.Module = _conv(inputs, inputs)
        self.second: nn.Module = _conv(inputs, outputs, stride=2)
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
        self.stem = _conv(3, channels[0], stride=2)
        self.downs = nn.ModuleList([Down(a, b) for a, b in pairwise(channels)])
        self.last = _conv(channels[-1], channels[-1], stride=2)
        side = math.ceil(design.base / 2)
        self.hidden = nn.Linear(channels[-1] * side * side, hidden)
        self.glance = nn.Linear(3 * GLANCE**2, hidden)
        self.out = nn.Linear(hidden, design.layers * design.style)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Feature maps ``[N, C, h, w]`` from fine to coarse, which serve as a perceptual distance."""
        maps = [functional.leaky_relu(self.stem(pictures), SLOPE)]
        for down in self.downs:
            maps.append(down(maps[-1]))
        return maps

    def forward(self, pictures: Tensor) -> Tensor:
        """``[N, 3, S, S]``, -1..1, to ``[N, layers, style]``."""
        value = functional.leaky_relu(self.last(self.features(pictures)[-1]), SLOPE).flatten(1)
        small = functional.adaptive_avg_pool2d(pictures, GLANCE).flatten(1)
        flat: Tensor = self.out(functional.leaky_relu(self.hidden(value) + self.glance(small), SLOPE)).float()
        return flat.view(-1, self.design.layers, self.design.style)


class Discriminator(nn.Module):
    """Tells photographs from generated pictures; its features serve as the perceptual distance.

    Spectral norms (Miyato et al., ICLR 2018) keep it tame. Where photographs are labelled it names their attributes, too:
    its features, and with them the perceptual distance, then hold what an attribute is read from.

    Args:
        channels: of its stages, from fine to coarse.
        classes: number of classes of each attribute.
    """

    def __init__(self, channels: tuple[int, ...], classes: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.classes = classes
        self.names = nn.Linear(channels[-1], sum(classes)) if classes else None
        self.stem = spectral_norm(_conv(3, channels[0], stride=2))
        self.downs = nn.ModuleList([Down(a, b) for a, b in pairwise(channels)])
        for down in self.downs:
            assert isinstance(down, Down)
            down.first, down.second = spectral_norm(down.first), spectral_norm(down.second)
            down.short = spectral_norm(down.short)
        self.last = spectral_norm(_conv(channels[-1] + 1, channels[-1]))
        self.out = spectral_norm(nn.Conv2d(channels[-1], 1, 3, padding=1))

    def naming_loss(self, features: list[Tensor], labels: Tensor) -> Tensor:
        """Cross-entropy of the attributes, summed, from the coarsest features; labels are int64 ``[N, attributes]``."""
        assert self.names is not None
        logits = self.names(features[-1].float().mean(dim=(2, 3))).split(self.classes, dim=1)
        parts = [functional.cross_entropy(part, labels[:, index]) for index, part in enumerate(logits)]
        return torch.stack(parts).sum()

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Verdicts ``[N, 1, h, w]`` per place, and the features on the way."""
        value = functional.leaky_relu(self.stem(pictures), SLOPE)
        features = []
        for down in self.downs:
            value = down(value)
            features.append(value)
        spread = value.float().std(dim=0, correction=0).mean().to(value.dtype)
        value = torch.cat([value, spread.expand(len(value), 1, *value.shape[2:])], dim=1)
        return self.out(functional.leaky_relu(self.last(value), SLOPE)), features
