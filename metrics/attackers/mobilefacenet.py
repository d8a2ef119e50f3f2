"""MobileFaceNet, a small face recogniser: 112 x 96 px in, 128 numbers out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from benchmark.errors import EnvironmentProblem
from benchmark.weights import load_state

NAME = "mobilefacenet"
"""Of the weights in the registry."""
HEIGHT, WIDTH, LENGTH = 112, 96, 128


class Stage(NamedTuple):
    """Bottlenecks of one width: expansion, channels, how many, and the stride of the first."""

    expansion: int
    channels: int
    repeats: int
    stride: int


STAGES = (Stage(2, 64, 5, 2), Stage(4, 128, 1, 2), Stage(2, 128, 6, 1), Stage(4, 128, 1, 2), Stage(2, 128, 2, 1))


class Bottleneck(nn.Module):
    """Expand, convolve each channel by itself, project; added to its input where the shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.connect = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, 1, 0, bias=False),
            nn.BatchNorm2d(inner),
            nn.PReLU(inner),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.PReLU(inner),
            nn.Conv2d(inner, outputs, 1, 1, 0, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H / stride, W / stride]``."""
        made: torch.Tensor = self.conv(features)
        return features + made if self.connect else made


class ConvBlock(nn.Module):
    """Convolution and batch norm, then a PReLU unless ``linear``."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        *,
        depthwise: bool = False,
        linear: bool = False,
    ) -> None:
        super().__init__()
        groups = inputs if depthwise else 1
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = nn.Identity() if linear else nn.PReLU(outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, h, w]``."""
        made: torch.Tensor = self.prelu(self.bn(self.conv(features)))
        return made


class MobileFaceNet(nn.Module):
    """The network of Chen et al. 2018, with the names of its most used PyTorch port (333 tensors)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBlock(3, 64, 3, 2, 1)
        self.dw_conv1 = ConvBlock(64, 64, 3, 1, 1, depthwise=True)
        blocks: list[nn.Module] = []
        inputs = 64
        for stage in STAGES:
            for index in range(stage.repeats):
                blocks.append(Bottleneck(inputs, stage.channels, 1 if index else stage.stride, stage.expansion))
                inputs = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvBlock(inputs, 512, 1)
        self.linear7 = ConvBlock(512, 512, (7, 6), depthwise=True, linear=True)
        self.linear1 = ConvBlock(512, LENGTH, 1, linear=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """RGB in [-1, 1], ``[N, 3, 112, 96]``, to ``[N, 128]``."""
        maps = self.conv2(self.blocks(self.dw_conv1(self.conv1(images))))
        features: torch.Tensor = self.linear1(self.linear7(maps)).flatten(1)
        return features


def build(state: Mapping[str, torch.Tensor]) -> MobileFaceNet:
    """The network with given weights, in evaluation mode and without gradients.

    Raises:
        EnvironmentProblem: a tensor is missing, unknown, of another shape or type, or not finite; the message names it.
    """
    with torch.random.fork_rng(devices=[]):
        network = MobileFaceNet()
    wanted = network.state_dict()
    for name, own in wanted.items():
        problem = _problem(state.get(name), own)
        if problem:
            raise _not_mobilefacenet(f"tensor {name} {problem}")
    unknown = next((name for name in state if name not in wanted), None)
    if unknown is not None:
        raise _not_mobilefacenet(f"there is a tensor {unknown} that it does not have")
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _problem(given: torch.Tensor | None, own: torch.Tensor) -> str:
    if given is None:
        return "is missing"
    if given.shape != own.shape:
        return f"has shape {tuple(given.shape)} instead of {tuple(own.shape)}"
    if given.is_floating_point() != own.is_floating_point():
        return f"has type {given.dtype} instead of {own.dtype}"
    return "" if bool(given.isfinite().all()) else "holds values that are not finite"


def _not_mobilefacenet(problem: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"these are not the weights of MobileFaceNet: {problem}; replace the file. To see which weights are whole, type: "
        f"anonbench weights verify {NAME}"
    )


@lru_cache(maxsize=1)
def loaded(path: Path, sha256: str, device: str) -> MobileFaceNet:
    """The network of a file; asked for again with another hash, it is read again.

    Raises:
        EnvironmentProblem: the file is not that of a MobileFaceNet.
    """
    return build(load_state(path)).to(device)


def described(network: nn.Module, faces: torch.Tensor) -> torch.Tensor:
    """The mean of the features of aligned faces and of their mirror images: uint8 ``[B, 3, 112, 96]`` to ``[B, 128]``."""
    pixels = (faces.float() - 127.5) / 128
    features: torch.Tensor = (network(pixels) + network(pixels.flip(3))) / 2
    return features
