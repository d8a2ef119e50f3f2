"""Layers of a style-based generator: equalised weights, modulated convolutions, blur, skip images.

Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020 (arXiv 1912.04958), section 2 and
appendix B; equalised learning rates from Karras et al., Progressive Growing of GANs, ICLR 2018.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.2
GAIN = math.sqrt(2)
BLUR = (1.0, 3.0, 3.0, 1.0)


def activate(value: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance of its input."""
    return functional.leaky_relu(value, SLOPE) * GAIN


class EqualLinear(nn.Module):
    """Linear layer whose weights are stored at unit variance and scaled when used.

    Args:
        inputs, outputs: features.
        bias: start value of the bias.
        rate: multiplier of the learning rate, for weights and bias alike.
        activated: whether a leaky ReLU follows.
    """

    def __init__(
        self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0, activated: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.scale, self.rate, self.activated = rate / math.sqrt(inputs), rate, activated

    def forward(self, value: Tensor) -> Tensor:
        """``[N, inputs]`` to ``[N, outputs]``."""
        made = functional.linear(value, self.weight * self.scale, self.bias * self.rate)
        return activate(made) if self.activated else made


class PixelNorm(nn.Module):
    """Divides each vector by its root mean square."""

    def forward(self, value: Tensor) -> Tensor:
        """``[N, D]`` to ``[N, D]``."""
        return value * torch.rsqrt(value.square().mean(dim=1, keepdim=True) + 1e-8)


def blur_kernel(gain: float) -> Tensor:
    """The separable low-pass filter, ``[4, 4]``, with sum ``gain``."""
    line = torch.tensor(BLUR)
    kernel = line[:, None] * line
    return kernel / kernel.sum() * gain


def filtered(value: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
    """Convolves every channel with one kernel after padding ``(before, after)`` with zeros on both axes."""
    before, after = padding
    padded = functional.pad(value, (before, after, before, after))
    channels = value.shape[1]
    weight = kernel.to(value.dtype).expand(channels, 1, *kernel.shape)
    return functional.conv2d(padded, weight, groups=channels)


class Upsample(nn.Module):
    """Doubles an image: zeros between the pixels, then the low-pass filter."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", blur_kernel(4.0), persistent=False)

    def forward(self, value: Tensor) -> Tensor:
        """``[N, C, H, W]`` to ``[N, C, 2 H, 2 W]``."""
        count, channels, height, width = value.shape
        wide = value.new_zeros(count, channels, 2 * height, 2 * width)
        wide[:, :, ::2, ::2] = value
        return filtered(wide, self.kernel, (2, 1))


class ModulatedConv(nn.Module):
    """Convolution whose weights are scaled by a style per input channel, and brought back to unit variance.

    The published form scales the weights of each image, ``w' = s w`` and ``w'' = w' / sqrt(sum w'^2 + 1e-8)`` (equations
    1 and 3). Scaling what goes in and what comes out is the same, and one convolution then serves the whole batch.

    Args:
        inputs, outputs: channels.
        kernel: side of the kernel.
        style: features of the style.
        demodulate: whether to divide by the norm of the scaled weights.
        upsample: whether to double the image, by a transposed convolution and the low-pass filter.
    """

    kernel: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, style: int, *, demodulate: bool = True, upsample: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.modulation = EqualLinear(style, inputs, bias=1.0)
        self.scale = 1 / math.sqrt(inputs * kernel * kernel)
        self.demodulate, self.upsample = demodulate, upsample
        self.register_buffer("kernel", blur_kernel(4.0), persistent=False)

    def forward(self, value: Tensor, style: Tensor) -> Tensor:
        """Images ``[N, inputs, H, W]`` and styles ``[N, style]`` to ``[N, outputs, H', W']``."""
        scales = self.modulation(style)
        weight = self.weight * self.scale
        made = self._convolved(value * scales[:, :, None, None].to(value.dtype), weight)
        if not self.demodulate:
            return made
        norms = torch.rsqrt(scales.square() @ weight.square().sum(dim=(2, 3)).T + 1e-8)
        return made * norms[:, :, None, None].to(made.dtype)

    def _convolved(self, value: Tensor, weight: Tensor) -> Tensor:
        if self.upsample:
            wide = functional.conv_transpose2d(value, weight.transpose(0, 1), stride=2)
            return filtered(wide, self.kernel, (1, 1))
        return functional.conv2d(value, weight, padding=weight.shape[-1] // 2)


class StyledLayer(nn.Module):
    """A modulated convolution, noise, bias and activation."""

    def __init__(self, inputs: int, outputs: int, style: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style, upsample=upsample)
        self.noise_strength = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, value: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Noise is ``[1 or N, 1, H', W']``; None stands for zeros."""
        made = self.conv(value, style)
        if noise is not None:
            made = made + (self.noise_strength * noise).to(made.dtype)
        return activate(made + self.bias[:, None, None].to(made.dtype))


class ToRgb(nn.Module):
    """Adds this resolution's part of the picture to the doubled picture so far (the skip architecture)."""

    def __init__(self, inputs: int, style: int, *, upsample: bool = True) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, 3, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))
        self.upsample = Upsample() if upsample else None

    def forward(self, value: Tensor, style: Tensor, skip: Tensor | None) -> Tensor:
        """Returns the picture so far, ``[N, 3, H, W]``."""
        made: Tensor = self.conv(value, style) + self.bias[:, None, None].to(value.dtype)
        if skip is not None and self.upsample is not None:
            made = made + self.upsample(skip)
        return made
