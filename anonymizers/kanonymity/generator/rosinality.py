"""StyleGAN2 weights in the layout of rosinality/stylegan2-pytorch, converted ones and its own."""

from __future__ import annotations

import argparse
import pickle
import warnings
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anonymizers.kanonymity.generator.layers import blur_kernel
from anonymizers.kanonymity.generator.network import Design
from anonymizers.kanonymity.generator.published import (
    Entry,
    Layout,
    PublishedGenerator,
    built,
    check,
    check_size,
    fill,
    numbered,
    set_mean,
    shape_of,
    wrong_file,
)
from anonymizers.kanonymity.generator.scanning import Refused, scan_saved
from benchmark.errors import EntrantError, EnvironmentProblem

LARGEST = 9
"""Most resolutions of a generator: 4 px to 1024 px. Keeps absurd names from making absurd networks."""
DEEPEST = 64
"""Most layers of a mapping network."""


def read_rosinality(path: Path, size: int | None = None, mapping_rate: float = 0.01) -> PublishedGenerator:
    """Reads the running mean of a generator (``g_ema``); nothing in the file is executed.

    Sizes are taken from the shapes. ``noises.noise_i`` become the fixed noise; a file without any (the first versions
    had none) gets none. Without ``latent_avg`` the mean latent is that of latents drawn from a fixed seed.

    Args:
        path: what ``torch.save`` wrote: ``{"g_ema": tensors by name, "latent_avg": ...}``, or the tensors by name.
        size: side of the pictures that are wanted; None takes what the file has.
        mapping_rate: learning rate multiplier of the mapping network, which is not in the file.

    Raises:
        EntrantError: a tensor is missing, superfluous or of the wrong shape, or the pictures have another size.
        EnvironmentProblem: the file is absent or cannot be read without executing it.
    """
    content = load_tensors(path)
    tensors = named_tensors(path, content, "g_ema")
    design = design_of(path, tensors, mapping_rate)
    check_size(path, design, size)
    layout = layout_of(design, with_noise=_has_noise(tensors))
    check(tensors, layout, path)
    generator = built(design)
    fill(generator, tensors, layout, path)
    mean = content.get("latent_avg") if "g_ema" in content else None
    set_mean(generator, mean if isinstance(mean, Tensor) else None, path, "latent_avg")
    return generator.eval().requires_grad_(False)


def load_tensors(path: Path) -> Mapping[str, Any]:
    """What is in a file of ``torch.save``, read by the reader that executes nothing.

    Training programs put their arguments beside the weights; that container is let through, it is never looked into.

    Raises:
        EnvironmentProblem: the file is absent, damaged, or holds more than tensors.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, error.strerror or "it cannot be opened") from error
    try:
        scan_saved(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # torch warns of pickles that it refuses a moment later
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Refused as error:
        raise _unreadable(path, f"it asks for {error}") from error
    except pickle.UnpicklingError as error:
        raise _unreadable(path, "it is damaged, or a pickle that may run code, which is never done") from error
    except Exception as error:  # a damaged file makes torch raise anything, even an OSError
        raise _unreadable(path, "it is truncated or damaged") from error
    if not isinstance(content, Mapping):
        raise _unreadable(path, f"it holds {type(content).__name__}, not tensors by name")
    return content


def _unreadable(path: Path, reason: str) -> EnvironmentProblem:
    return EnvironmentProblem(f"{path} cannot be read as weights: {reason}; replace it by a file of tensors")


def named_tensors(path: Path, content: Mapping[str, Any], nest: str) -> dict[str, Tensor]:
    """The tensors under a key, or the content itself where it has no such key.

    Raises:
        EntrantError: something in there is no tensor under a name.
    """
    inner = content.get(nest, content)
    if not isinstance(inner, Mapping) or not inner:
        raise wrong_file(path, f"{nest} holds no tensors by name")
    for name, value in inner.items():
        if not isinstance(name, str):
            raise wrong_file(path, f"a key is {type(name).__name__} where the name of a tensor should be")
        if not isinstance(value, Tensor):
            raise wrong_file(path, f"{name[:80]!r} is {type(value).__name__} where a tensor should be")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise wrong_file(path, f"{name} declares more values than the file holds")
    return dict(inner)


def _has_noise(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("noises.") for name in tensors)


def design_of(path: Path, tensors: Mapping[str, Tensor], mapping_rate: float) -> Design:
    """Sizes of the generator, from the shapes of its tensors."""
    _, first, base, width = shape_of(path, tensors, "input.input", 4)
    if base != width:
        raise wrong_file(path, f"input.input has shape {[1, first, base, width]}, which is not square")
    finer = max(numbered(tensors, "to_rgbs."), (numbered(tensors, "convs.") + 1) // 2)
    depth = numbered(tensors, "style.") - 1
    if finer >= LARGEST or not 1 <= depth <= DEEPEST:
        raise EntrantError(
            f"{path}: {finer + 1} resolutions and {max(depth, 0)} mapping layers are no StyleGAN2 generator; give a "
            f"file with 1 to {LARGEST} resolutions and 1 to {DEEPEST} mapping layers"
        )
    channels = [shape_of(path, tensors, f"convs.{2 * index}.conv.weight", 5)[1] for index in range(finer)]
    style = shape_of(path, tensors, "style.1.weight", 2)[1]
    return Design((first, *channels), base, style, depth, mapping_rate)


def layout_of(design: Design, *, with_noise: bool = True) -> Layout:
    """The tensors of a file of this design."""
    entries = [*_mapping(design), *_synthesis(design)]
    if with_noise:
        entries += _noise(design)
    finer = range(len(design.channels) - 1)
    kernels = [f"convs.{2 * index}.conv.blur.kernel" for index in finer]
    kernels += [f"to_rgbs.{index}.upsample.kernel" for index in finer]
    return Layout(entries, dict.fromkeys(kernels, blur_kernel(4.0)))


def _mapping(design: Design) -> Iterator[Entry]:
    for layer in range(1, design.mapping + 1):
        yield Entry(f"style.{layer}.weight", f"mapping.{layer}.weight", (design.style, design.style))
        yield Entry(f"style.{layer}.bias", f"mapping.{layer}.bias", (design.style,))


def _synthesis(design: Design) -> Iterator[Entry]:
    channels = design.channels
    yield Entry("input.input", "synthesis.constant", (1, channels[0], design.base, design.base))
    yield from _layer(design, "conv1", 0, channels[0], channels[0])
    yield from _colours(design, "to_rgb1", 0, channels[0])
    for index, (before, after) in enumerate(pairwise(channels)):
        yield from _layer(design, f"convs.{2 * index}", 2 * index + 1, before, after)
        yield from _layer(design, f"convs.{2 * index + 1}", 2 * index + 2, after, after)
        yield from _colours(design, f"to_rgbs.{index}", index + 1, after)


def _layer(design: Design, source: str, layer: int, inputs: int, outputs: int) -> Iterator[Entry]:
    target = f"synthesis.layers.{layer}"
    yield Entry(f"{source}.conv.weight", f"{target}.conv.weight", (1, outputs, inputs, 3, 3))
    yield from _modulation(design, source, target, inputs)
    yield Entry(f"{source}.noise.weight", f"{target}.noise_strength", (1,))
    yield Entry(f"{source}.activate.bias", f"{target}.bias", (outputs,))


def _colours(design: Design, source: str, index: int, inputs: int) -> Iterator[Entry]:
    target = f"synthesis.to_rgb.{index}"
    yield Entry(f"{source}.conv.weight", f"{target}.conv.weight", (1, 3, inputs, 1, 1))
    yield from _modulation(design, source, target, inputs)
    yield Entry(f"{source}.bias", f"{target}.bias", (1, 3, 1, 1))


def _modulation(design: Design, source: str, target: str, inputs: int) -> Iterator[Entry]:
    yield Entry(f"{source}.conv.modulation.weight", f"{target}.conv.modulation.weight", (inputs, design.style))
    yield Entry(f"{source}.conv.modulation.bias", f"{target}.conv.modulation.bias", (inputs,))


def _noise(design: Design) -> Iterator[Entry]:
    for layer in range(2 * len(design.channels) - 1):
        side = design.base * 2 ** ((layer + 1) // 2)
        yield Entry(f"noises.noise_{layer}", f"noise_{layer}", (1, 1, side, side))
