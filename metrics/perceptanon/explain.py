"""Where a network looks: Grad-CAM (Selvaraju et al. 2017) over the image as the network saw it, squashed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from benchmark.decode import encode_png
from benchmark.store import write_atomic
from metrics.perceptanon.checkpoint import BATCH, Perception
from metrics.perceptanon.data import squashed

STRENGTH = 0.45
"""Share of the colours in the picture; the rest is the image."""


def heat(perception: Perception, released: torch.Tensor, original: torch.Tensor | None = None) -> torch.Tensor:
    """Grad-CAM of the released image: of the score for regression, of the most likely class for classification.

    Args:
        perception: any but with a ViT.
        released: uint8 ``[N, 3, H, W]``.
        original: uint8 ``[N, 3, H', W']``, for HA2.

    Returns:
        float32 ``[N, S, S]`` in [0, 1], the largest value of an image 1; all 0 where nothing speaks for the answer.

    Raises:
        UsageError: the network has no convolutions, or HA2 lacks originals.
    """
    _ = perception.network.last_block  # refuse what cannot be explained before anything is computed
    parts = [_heat(perception, first, second) for first, second in perception.pairs(original, released)]
    size = perception.settings.size
    return torch.cat(parts) if parts else torch.zeros(0, size, size)


def _heat(perception: Perception, original: torch.Tensor | None, released: torch.Tensor) -> torch.Tensor:
    from captum.attr import LayerGradCam

    network, seen = perception.network, perception.seen(released)
    assert seen is not None
    answer = _answer_to(perception, original)
    images = seen.requires_grad_(True)  # the parameters are frozen, so gradients have to start here
    target = answer(images).argmax(1) if network.task == "classification" else None
    maps = LayerGradCam(answer, network.last_block).attribute(images, target=target, relu_attributions=True)
    side = (perception.settings.size,) * 2
    maps = nn.functional.interpolate(maps.detach().cpu(), size=side, mode="bilinear", align_corners=False)[:, 0]
    peak = maps.amax((1, 2), keepdim=True)
    return torch.where(peak > 0, maps / peak.clamp(min=torch.finfo(maps.dtype).tiny), 0.0)


def _answer_to(perception: Perception, original: torch.Tensor | None) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network as a function of the released image; the shared backbone must pass through it only once."""
    network = perception.network
    with torch.no_grad():
        first = None if network.study == "HA1" else network.look(perception.seen(original))
    return lambda images: network.judge(first, network.look(images))


def coloured(values: torch.Tensor) -> torch.Tensor:
    """From blue (0) over green to red (1): uint8-valued float32 ``[N, 3, S, S]`` of ``[N, S, S]``."""
    centres = torch.tensor([3.0, 2.0, 1.0]).view(1, 3, 1, 1)
    return 255 * (1.5 - (4 * values[:, None] - centres).abs()).clamp(0, 1)


def grad_cam(perception: Perception, released: torch.Tensor, original: torch.Tensor | None = None) -> torch.Tensor:
    """The released images as the network saw them, with its heat in colours; see ``heat``.

    Returns:
        uint8 ``[N, 3, S, S]``.
    """
    colours = coloured(heat(perception, released, original))
    images = torch.cat([squashed(part, perception.settings.size) for part in released.split(BATCH)]).float()
    return (STRENGTH * colours + (1 - STRENGTH) * images).round().clamp(0, 255).to(torch.uint8)


def write_pictures(pictures: torch.Tensor, files: list[Path]) -> None:
    """Writes uint8 ``[N, 3, H, W]`` as PNG files."""
    for picture, file in zip(pictures, files, strict=True):
        write_atomic(file, encode_png(picture))
