"""Architectures by name. Every network takes float RGB in [0, 1], ``[N, 3, H, W]``, and returns logits ``[N, C]``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmark.errors import UsageError, did_you_mean


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al. 2016), optionally halving the resolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H / stride, W / stride]``."""
        return torch.relu(self.body(features) + self.shortcut(features))


class CosineHead(nn.Linear):
    """Logits that are scaled cosines between features and one direction per class: features that compare by angle."""

    def __init__(self, inputs: int, classes: int, scale: float) -> None:
        super().__init__(inputs, classes, bias=False)
        self.scale = scale

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """``[N, inputs]`` to ``[N, classes]``."""
        return self.scale * nn.functional.linear(nn.functional.normalize(input), nn.functional.normalize(self.weight))


class SmallResNet(nn.Module):
    """A residual network small enough to train on a laptop: stem of stride 2, one block per width, global mean.

    Args:
        classes: number of logits.
        width: channels after the stem; the blocks have 1, 2, 4 and 5 times as many.
        cosine: scale of a head that compares by angle (see ``CosineHead``); 0 is a linear head.
    """

    def __init__(self, classes: int, width: int = 24, cosine: float = 0.0) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 5 * width)
        self.stem = nn.Sequential(nn.Conv2d(3, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        blocks, inputs = [], width
        for index, outputs in enumerate(widths):
            blocks.append(ResidualBlock(inputs, outputs, 1 if index == 0 else 2))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = CosineHead(inputs, classes, cosine) if cosine else nn.Linear(inputs, classes)

    def stages(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps after the stem and after each block, ``[N, C, h, w]``."""
        maps: list[torch.Tensor] = [self.stem((images - 0.5) * 4)]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Features before the last layer: ``[N, 5 * width]``."""
        return self.stages(images)[-1].mean((2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits ``[N, classes]``."""
        logits: torch.Tensor = self.head(self.embed(images))
        return logits


class SmallPlain(nn.Module):
    """A plain convolutional network: no shortcuts, pooled by maximum, mean and maximum at the end.

    Args:
        classes: number of logits.
        width: channels of the first convolution; the others have 2, 4 and 6 times as many.
    """

    def __init__(self, classes: int, width: int = 24) -> None:
        super().__init__()
        blocks, inputs = [], 3
        for index, outputs in enumerate((width, 2 * width, 4 * width, 6 * width)):
            size, stride = (7, 2) if index == 0 else (3, 1)
            convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
            blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU()))
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(2 * inputs, classes)

    def stages(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps after each block, ``[N, C, h, w]``."""
        maps = [self.blocks[0]((images - 0.5) * 4)]
        for block in self.blocks[1:]:
            maps.append(block(nn.functional.max_pool2d(maps[-1], 2)))
        return maps

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Features before the last layer: ``[N, 12 * width]``."""
        last = self.stages(images)[-1]
        return torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits ``[N, classes]``."""
        logits: torch.Tensor = self.head(self.embed(images))
        return logits


def _convnext_base(classes: int) -> nn.Module:
    from torchvision.models import convnext_base

    network: nn.Module = convnext_base(weights=None)
    classifier = network.classifier
    assert isinstance(classifier, nn.Sequential)
    last = classifier[2]
    assert isinstance(last, nn.Linear)
    classifier[2] = nn.Linear(last.in_features, classes)
    return network


def stages(network: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Feature maps of a network of ``ARCHITECTURES`` at falling resolution.

    Args:
        network: built by ``build_network``.
        images: float RGB in [0, 1], ``[N, 3, H, W]``.

    Returns:
        One ``[N, C, h, w]`` per stage.
    """
    if isinstance(network, SmallResNet | SmallPlain):
        return network.stages(images)
    maps = []
    assert isinstance(network.features, nn.Sequential)
    for number, part in enumerate(network.features):
        images = part(images)
        if number % 2:  # torchvision's ConvNeXt alternates downsampling and stages
            maps.append(images)
    return maps


def embed(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Features before the last layer of a network of ``ARCHITECTURES``: float RGB in [0, 1] to ``[N, D]``."""
    if isinstance(network, SmallResNet | SmallPlain):
        return network.embed(images)
    assert isinstance(network.classifier, nn.Sequential)
    assert isinstance(network.avgpool, nn.Module)
    features: torch.Tensor = network.classifier[:-1](network.avgpool(stages(network, images)[-1]))
    return features


def with_more_classes(network: nn.Module, extra: int) -> nn.Module:
    """Gives the last linear layer ``extra`` outputs more, all zero at first; the network is changed in place."""
    name = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)][-1]
    last = network.get_submodule(name)
    assert isinstance(last, nn.Linear)
    last.out_features += extra
    for kind in ("weight", "bias"):
        values = getattr(last, kind)
        if values is not None:
            more = values.new_zeros(extra, *values.shape[1:])
            setattr(last, kind, nn.Parameter(torch.cat([values.detach(), more])))
    return network


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "small-resnet": SmallResNet,
    "small-plain": SmallPlain,
    "convnext-base": _convnext_base,
}


def build_network(name: str, classes: int, **params: Any) -> nn.Module:
    """A freshly initialised network.

    Raises:
        UsageError: there is no architecture of that name.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"no architecture is called '{name}'.{did_you_mean(name, ARCHITECTURES)}")
    return ARCHITECTURES[name](classes, **params)
