"""What readers of published generators have in common: naming tensors, checking them, putting them in place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from anonymizers.kanonymity.generator.layers import GAIN, StyledLayer, ToRgb
from anonymizers.kanonymity.generator.network import Design, StyleGenerator
from benchmark.errors import EntrantError

MEAN_SAMPLES = 4096
"""Latents whose mean stands in for the mean latent where a file has none."""


@dataclass(frozen=True)
class Entry:
    """One tensor of a file and its place.

    Attributes:
        source: its name in the file.
        target: its name in the generator; empty for a tensor that belongs to the file but is not needed.
        shape: its shape in the file.
        factor: what its values are multiplied by on the way.
    """

    source: str
    target: str
    shape: tuple[int, ...]
    factor: float = 1.0


@dataclass(frozen=True)
class Layout:
    """All tensors of a file.

    Attributes:
        entries: those that must be there.
        constants: those that may be there, and then must have these values (filters).
    """

    entries: Sequence[Entry]
    constants: Mapping[str, Tensor] = field(default_factory=dict)


class ClampedLayer(StyledLayer):
    """A styled layer whose output is cut off, as in networks that were trained in half precision."""

    def __init__(self, inputs: int, outputs: int, style: int, *, upsample: bool = False, clamp: float) -> None:
        super().__init__(inputs, outputs, style, upsample=upsample)
        self.clamp = clamp

    def forward(self, value: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """The output of ``StyledLayer``, cut off."""
        return super().forward(value, style, noise).clamp(-self.clamp, self.clamp)


class ClampedToRgb(ToRgb):
    """A ``ToRgb`` whose own part of the picture is cut off before it is added."""

    def __init__(self, inputs: int, style: int, *, upsample: bool = True, clamp: float) -> None:
        super().__init__(inputs, style, upsample=upsample)
        self.clamp = clamp

    def forward(self, value: Tensor, style: Tensor, skip: Tensor | None) -> Tensor:
        """Returns the picture so far, ``[N, 3, H, W]``."""
        made = super().forward(value, style, None).clamp(-self.clamp, self.clamp)
        return made if skip is None or self.upsample is None else made + self.upsample(skip)


class PublishedGenerator(StyleGenerator):
    """A StyleGAN2 with the fixed noise of its file, and with its cut-offs.

    Args:
        design: its sizes.
        clamp: largest magnitude of a convolution's output before the gain of its activation; None for no limit.
    """

    def __init__(self, design: Design, clamp: float | None = None) -> None:
        super().__init__(design)
        if clamp is not None:
            self.synthesis.layers, self.synthesis.to_rgb = _clamped(design, clamp)
        for layer, side in enumerate(self.synthesis.noise_sides()):
            self.register_buffer(f"noise_{layer}", torch.zeros(1, 1, side, side))

    def fixed_noise(self) -> list[Tensor]:
        """The file's noise, per layer ``[1, 1, S, S]``; zeros where it had none."""
        return [self.get_buffer(f"noise_{layer}") for layer in range(len(self.synthesis.layers))]

    def forward(self, latents: Tensor, noise: Sequence[Tensor | None] | None = None) -> Tensor:
        """W+ ``[N, layers, style]`` to pictures ``[N, 3, size, size]``; without ``noise`` with the fixed one."""
        return super().forward(latents, self.fixed_noise() if noise is None else noise)


def _clamped(design: Design, clamp: float) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Layers as ``Synthesis`` makes them, with cut-offs; the gain of the activation widens theirs."""
    channels, style, wide = design.channels, design.style, clamp * GAIN
    layers = [ClampedLayer(channels[0], channels[0], style, clamp=wide)]
    for before, after in pairwise(channels):
        layers.append(ClampedLayer(before, after, style, upsample=True, clamp=wide))
        layers.append(ClampedLayer(after, after, style, clamp=wide))
    colours = [ClampedToRgb(width, style, upsample=index > 0, clamp=clamp) for index, width in enumerate(channels)]
    return nn.ModuleList(layers), nn.ModuleList(colours)


def check(tensors: Mapping[str, Tensor], layout: Layout, path: Path) -> None:
    """Compares the tensors of a file with its layout, before memory is taken for a generator.

    Raises:
        EntrantError: a tensor is missing, superfluous, of another shape, or a filter that the generator does not have;
            names it.
    """
    check_names(tensors, layout, path)
    for entry in layout.entries:
        check_shape(path, entry.source, tensors[entry.source], entry.shape)
    for name, value in layout.constants.items():
        if name in tensors:
            _check_constant(path, name, tensors[name], value)


@torch.no_grad()
def fill(generator: nn.Module, tensors: Mapping[str, Tensor], layout: Layout, path: Path) -> None:
    """Puts the checked tensors of a file into a generator.

    Raises:
        EntrantError: one has values that are not finite; names it.
    """
    for entry in layout.entries:
        if entry.target:
            _put(generator, tensors[entry.source], entry, path)


def check_names(tensors: Mapping[str, Tensor], layout: Layout, path: Path) -> None:
    """Raises EntrantError about the first missing, then about the first superfluous tensor."""
    missing = [entry for entry in layout.entries if entry.source not in tensors]
    if missing:
        shape = list(missing[0].shape)
        raise wrong_file(path, f"{missing[0].source} is missing, expected shape {shape}{_further(len(missing))}")
    known = {entry.source for entry in layout.entries} | layout.constants.keys()
    extra = [name for name in tensors if name not in known]
    if extra:
        shape = list(tensors[extra[0]].shape)
        raise wrong_file(path, f"{extra[0]} of shape {shape} has no place in the generator{_further(len(extra))}")


def _further(count: int) -> str:
    return f" ({count - 1} more like it)" if count > 1 else ""


def check_shape(path: Path, name: str, value: Tensor, expected: tuple[int, ...]) -> None:
    """Raises EntrantError with both shapes where they differ."""
    if tuple(value.shape) != expected:
        raise wrong_file(path, f"{name} has shape {list(value.shape)}, expected {list(expected)}")


def _check_constant(path: Path, name: str, value: Tensor, expected: Tensor) -> None:
    check_shape(path, name, value, tuple(expected.shape))
    if not torch.allclose(value.float(), expected, atol=1e-6):
        raise wrong_file(path, f"{name} is another low-pass filter than the published one")


def _check_finite(path: Path, name: str, value: Tensor) -> None:
    if not torch.isfinite(value).all():
        raise wrong_file(path, f"{name} has values that are not finite")


def _put(generator: nn.Module, value: Tensor, entry: Entry, path: Path) -> None:
    _check_finite(path, entry.source, value)
    owner, _, name = entry.target.rpartition(".")
    place = getattr(generator.get_submodule(owner), name)
    place.copy_((value.to(place.dtype) * entry.factor).reshape(place.shape))


def wrong_file(path: Path, trouble: str) -> EntrantError:
    """The error about a file whose tensors do not make the generator."""
    return EntrantError(f"{path}: {trouble}; give a whole file of an unchanged published generator")


def shape_of(path: Path, tensors: Mapping[str, Tensor], name: str, rank: int) -> tuple[int, ...]:
    """Shape of a tensor from which sizes are read.

    Raises:
        EntrantError: it is missing, or has another number of dimensions.
    """
    if name not in tensors:
        raise wrong_file(path, f"{name} is missing, a tensor of {rank} dimensions")
    shape = tuple(tensors[name].shape)
    if len(shape) != rank or 0 in shape:
        raise wrong_file(path, f"{name} has shape {list(shape)}, expected {rank} dimensions")
    return shape


def check_size(path: Path, design: Design, size: int | None) -> None:
    """Raises EntrantError where the weights draw pictures of another size than was asked for."""
    if size is not None and design.size != size:
        raise EntrantError(
            f"{path}: these weights draw pictures of {design.size} px, {size} px were asked for; ask for size "
            f"{design.size}, or give weights of {size} px"
        )


def numbered(names: Iterable[str], before: str) -> int:
    """One more than the highest number that follows a text at the beginning of names, 0 if there is none."""
    numbers = [name[len(before) :].partition(".")[0] for name in names if name.startswith(before)]
    return max((int(number) + 1 for number in numbers if re.fullmatch("[0-9]{1,4}", number)), default=0)


def built(design: Design, clamp: float | None = None) -> PublishedGenerator:
    """A generator to be filled; leaves the global random numbers alone."""
    with torch.random.fork_rng(devices=[]):
        return PublishedGenerator(design, clamp)


def set_mean(generator: nn.Module, mean: Tensor | None, path: Path, name: str) -> None:
    """Sets the mean latent, every layer alike: the file's own, or that of latents drawn from a fixed seed.

    Args:
        generator: has ``design``, ``mapping`` and ``mean_latent``.
        mean: ``[style]`` or ``[1, style]``, or None where the file has none.
        path, name: for the error.
    """
    place = generator.get_buffer("mean_latent")
    if mean is None:
        mean = drawn_mean(generator.get_submodule("mapping"), place.shape[1])
    check_shape(path, name, mean.reshape(-1), (place.shape[1],))
    _check_finite(path, name, mean)
    place.copy_(mean.reshape(1, -1).to(place.dtype).expand_as(place))


@torch.no_grad()
def drawn_mean(mapping: nn.Module, style: int) -> Tensor:
    """Mean of the latents of ``MEAN_SAMPLES`` normal vectors, the same at every call, ``[style]``."""
    z = torch.randn(MEAN_SAMPLES, style, generator=torch.Generator().manual_seed(0))
    mean: Tensor = mapping(z).mean(dim=0)
    return mean


def equal_scale(inputs: int, kernel: int) -> float:
    """What ``ModulatedConv`` multiplies its stored weights by."""
    return 1 / math.sqrt(inputs * kernel * kernel)
