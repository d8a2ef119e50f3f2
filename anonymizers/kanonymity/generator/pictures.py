"""Images as a generator has them: float, -1..1, at its own size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def as_pictures(images: Tensor) -> Tensor:
    """uint8 to float32 -1..1, channels last."""
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def resized(images: torch.Tensor, side: int) -> torch.Tensor:
    """uint8 images ``[N, 3, H, W]`` at another side; those of that side as they are."""
    if images.shape[-2:] == (side, side):
        return images
    parts = [
        functional.interpolate(part.float(), (side, side), mode="bicubic", antialias=True).round().clamp(0, 255).byte()
        for part in images.split(64)
    ]
    return torch.cat(parts)
