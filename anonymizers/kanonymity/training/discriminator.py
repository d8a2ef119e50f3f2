"""The discriminator that a generator is trained against."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from anonymizers.kanonymity.generator.encoder import Down, convolution
from anonymizers.kanonymity.generator.layers import SLOPE


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
        self.stem = spectral_norm(convolution(3, channels[0], stride=2))
        self.downs = nn.ModuleList([Down(a, b) for a, b in pairwise(channels)])
        for down in self.downs:
            assert isinstance(down, Down)
            down.first, down.second = spectral_norm(down.first), spectral_norm(down.second)
            down.short = spectral_norm(down.short)
        self.last = spectral_norm(convolution(channels[-1] + 1, channels[-1]))
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
