"""StyleGAN1, the paper's generator, from state dicts of rosinality/style-based-gan-pytorch.

Karras, Laine and Aila, A Style-Based Generator Architecture for Generative Adversarial Networks, CVPR 2019. The layers
are others than StyleGAN2's (instance normalisation with a style per channel, noise per channel, one ``to_rgb`` at the
end), the interface is the same: W+ to pictures, two latents per resolution. What the file stores for training at equal
rates is multiplied out on reading: this generator is used, not trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from anonymizers.kanonymity.generator.layers import SLOPE, PixelNorm, filtered
from anonymizers.kanonymity.generator.network import Design
from anonymizers.kanonymity.generator.published import (
    Entry,
    Layout,
    check,
    check_size,
    fill,
    numbered,
    set_mean,
    shape_of,
)
from anonymizers.kanonymity.generator.rosinality import DEEPEST, LARGEST, load_tensors, named_tensors
from benchmark.errors import EntrantError

TENT = (1.0, 2.0, 1.0)


def tent() -> Tensor:
    """The low-pass filter, ``[3, 3]``, of sum 1."""
    line = torch.tensor(TENT) / sum(TENT)
    return line[:, None] * line


class FusedUp(nn.Module):
    """Doubles an image and convolves it in one step: each weight spread over four pixels, transposed convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, value: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, 2 H, 2 W]``."""
        wide = functional.pad(self.weight, (1, 1, 1, 1))
        spread = (wide[:, :, 1:, 1:] + wide[:, :, :-1, 1:] + wide[:, :, 1:, :-1] + wide[:, :, :-1, :-1]) / 4
        return functional.conv_transpose2d(value, spread, self.bias, stride=2, padding=1)


class PlainUp(nn.Sequential):
    """Doubles an image by repeating pixels, then convolves it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 3, padding=1))


class Finish(nn.Module):
    """What follows every convolution: noise, leaky ReLU, instance normalisation, style."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.noise_strength = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.style = nn.Linear(style, 2 * channels)

    def forward(self, value: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Noise is ``[1 or N, 1, H, W]``; None stands for zeros."""
        if noise is not None:
            value = value + self.noise_strength * noise
        scale, shift = self.style(style)[:, :, None, None].chunk(2, dim=1)
        normal = functional.instance_norm(functional.leaky_relu(value, SLOPE), eps=1e-5)
        styled: Tensor = scale * normal + shift
        return styled


class Block(nn.Module):
    """The two layers of a resolution; the coarsest one begins with the constant."""

    kernel: Tensor

    def __init__(self, inputs: int, outputs: int, style: int, *, fused: bool) -> None:
        super().__init__()
        self.up = (FusedUp if fused else PlainUp)(inputs, outputs) if inputs else None
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.finish = nn.ModuleList([Finish(outputs, style), Finish(outputs, style)])
        self.register_buffer("kernel", tent(), persistent=False)

    def forward(self, value: Tensor, styles: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        """Images, styles ``[N, 2, style]`` and two planes of noise to images."""
        if self.up is not None:
            value = filtered(self.up(value), self.kernel, (1, 1))
        value = self.finish[0](value, styles[:, 0], noise[0])
        finished: Tensor = self.finish[1](self.conv(value), styles[:, 1], noise[1])
        return finished


class Style1Generator(nn.Module):
    """Mapping and synthesis of StyleGAN1, with the interface of ``StyleGenerator``.

    Args:
        design: its sizes.
        fused: resolutions whose up-convolution is one step, one value per resolution.
    """

    mean_latent: Tensor

    def __init__(self, design: Design, fused: Sequence[bool]) -> None:
        super().__init__()
        self.design = design
        mapping: list[nn.Module] = [PixelNorm()]
        for _ in range(design.mapping):
            mapping += [nn.Linear(design.style, design.style), nn.LeakyReLU(SLOPE)]
        self.mapping = nn.Sequential(*mapping)
        before = (0, *design.channels)
        self.blocks = nn.ModuleList(
            Block(inputs, outputs, design.style, fused=step)
            for inputs, outputs, step in zip(before, design.channels, fused, strict=False)
        )
        self.constant = nn.Parameter(torch.zeros(1, design.channels[0], design.base, design.base))
        self.to_rgb = nn.Conv2d(design.channels[-1], 3, 1)
        self.register_buffer("mean_latent", torch.zeros(design.layers, design.style))

    def latents(self, z: Tensor) -> Tensor:
        """z ``[N, style]`` to W+ ``[N, layers, style]``, every layer alike."""
        w: Tensor = self.mapping(z)
        return w[:, None].expand(-1, self.design.layers, -1)

    def truncated(self, latents: Tensor, psi: float) -> Tensor:
        """Latents pulled towards the mean: 1 leaves them, 0 gives the mean."""
        return self.mean_latent + psi * (latents - self.mean_latent)

    def forward(self, latents: Tensor, noise: Sequence[Tensor | None] | None = None) -> Tensor:
        """W+ ``[N, layers, style]`` to pictures ``[N, 3, size, size]``, nominally -1..1, not clipped.

        Args:
            latents: two per resolution.
            noise: per layer ``[1 or N, 1, S, S]`` (the original uses one plane for both layers of a resolution), or
                None for zeros.
        """
        planes = [None] * self.design.layers if noise is None else noise
        value = self.constant.expand(len(latents), -1, -1, -1)
        for index, block in enumerate(self.blocks):
            pair = slice(2 * index, 2 * index + 2)
            value = block(value, latents[:, pair], planes[pair])
        picture: Tensor = self.to_rgb(value)
        return picture


def read_style1(path: Path, size: int | None = None) -> Style1Generator:
    """Reads the running mean of a StyleGAN1 (``g_running``, or the tensors by name); nothing in it is executed.

    The files hold all resolutions up to 1024 px, trained or not: ``size`` says which one to draw. They hold no mean
    latent; it is that of latents drawn from a fixed seed.

    Raises:
        EntrantError: a tensor is missing, superfluous or of the wrong shape, or there is no such size.
        EnvironmentProblem: the file is absent or cannot be read without executing it.
    """
    tensors = named_tensors(path, load_tensors(path), "g_running")
    whole = design_of(path, tensors)
    count = _resolutions(path, whole, size)
    design = Design(whole.channels[:count], whole.base, whole.style, whole.mapping)
    fused = [f"generator.progression.{index}.conv1.0.weight" in tensors for index in range(len(whole.channels))]
    layout = layout_of(whole, fused, count)
    check(tensors, layout, path)
    with torch.random.fork_rng(devices=[]):
        generator = Style1Generator(design, fused)
    fill(generator, tensors, layout, path)
    set_mean(generator, None, path, "")
    return generator.eval().requires_grad_(False)


def _resolutions(path: Path, whole: Design, size: int | None) -> int:
    """How many resolutions make pictures of a size."""
    sides = [whole.base * 2**index for index in range(len(whole.channels))]
    if size is not None and size not in sides:
        check_size(path, whole, size)
    return len(sides) if size is None else sides.index(size) + 1


def design_of(path: Path, tensors: Mapping[str, Tensor]) -> Design:
    """Sizes of the whole generator, from the shapes of its tensors."""
    _, _, base, width = shape_of(path, tensors, "generator.progression.0.conv1.input", 4)
    count, depth = numbered(tensors, "generator.progression."), numbered(tensors, "style.") // 2
    if base != width or not 1 <= count <= LARGEST or not 1 <= depth <= DEEPEST:
        raise EntrantError(
            f"{path}: a constant of {base} x {width} px, {count} resolutions and {depth} mapping layers are no StyleGAN1 "
            f"generator; give a file with 1 to {LARGEST} resolutions and 1 to {DEEPEST} mapping layers"
        )
    names = [f"generator.progression.{index}.conv2.conv.weight_orig" for index in range(count)]
    channels = tuple(shape_of(path, tensors, name, 4)[0] for name in names)
    style = shape_of(path, tensors, "style.1.linear.weight_orig", 2)[1]
    return Design(channels, base, style, depth)


def layout_of(design: Design, fused: Sequence[bool], count: int) -> Layout:
    """The tensors of a file; those of resolutions from number ``count`` on have no place in the generator."""
    entries = [*_mapping(design)]
    constants: dict[str, Tensor] = {}
    for index, width in enumerate(design.channels):
        prefix = f"generator.progression.{index}"
        made = [*_block(design, prefix, index, fused[index])]
        made += _equal_conv(f"generator.to_rgb.{index}", "to_rgb" if index == count - 1 else "", 3, width, 1)
        entries += made if index < count else [Entry(entry.source, "", entry.shape) for entry in made]
        if index:
            blur = tent().expand(width, 1, 3, 3)
            place = f"{prefix}.conv1.{1 if fused[index] else 2}"
            constants.update({f"{place}.weight": blur, f"{place}.weight_flip": blur})
    return Layout(entries, constants)


def _mapping(design: Design) -> Iterator[Entry]:
    side = design.style
    for layer in range(1, 2 * design.mapping, 2):
        scale = math.sqrt(2 / side)
        yield Entry(f"style.{layer}.linear.weight_orig", f"mapping.{layer}.weight", (side, side), scale)
        yield Entry(f"style.{layer}.linear.bias", f"mapping.{layer}.bias", (side,))


def _block(design: Design, prefix: str, index: int, fused: bool) -> Iterator[Entry]:
    width, target = design.channels[index], f"blocks.{index}"
    inputs = design.channels[index - 1]
    if index == 0:
        yield Entry(f"{prefix}.conv1.input", "constant", (1, width, design.base, design.base))
    elif fused:
        scale = math.sqrt(2 / (inputs * 9))
        yield Entry(f"{prefix}.conv1.0.weight", f"{target}.up.weight", (inputs, width, 3, 3), scale)
        yield Entry(f"{prefix}.conv1.0.bias", f"{target}.up.bias", (width,))
    else:
        yield from _equal_conv(f"{prefix}.conv1.1", f"{target}.up.1", width, inputs, 3)
    yield from _equal_conv(f"{prefix}.conv2", f"{target}.conv", width, width, 3)
    for layer in (1, 2):
        yield from _finish(design, prefix, target, layer, width)


def _equal_conv(source: str, target: str, outputs: int, inputs: int, kernel: int) -> Iterator[Entry]:
    shape, scale = (outputs, inputs, kernel, kernel), math.sqrt(2 / (inputs * kernel * kernel))
    yield Entry(f"{source}.conv.weight_orig", target and f"{target}.weight", shape, scale)
    yield Entry(f"{source}.conv.bias", target and f"{target}.bias", (outputs,))


def _finish(design: Design, prefix: str, block: str, layer: int, width: int) -> Iterator[Entry]:
    target, style = f"{block}.finish.{layer - 1}", f"{prefix}.adain{layer}.style.linear"
    scale = math.sqrt(2 / design.style)
    yield Entry(
        f"{prefix}.noise{layer}.weight_orig", f"{target}.noise_strength", (1, width, 1, 1), math.sqrt(2 / width)
    )
    yield Entry(f"{style}.weight_orig", f"{target}.style.weight", (2 * width, design.style), scale)
    yield Entry(f"{style}.bias", f"{target}.style.bias", (2 * width,))
