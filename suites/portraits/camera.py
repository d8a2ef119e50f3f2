"""The camera: exposure, tone, focus, sensor noise, and the only rounding."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from suites.portraits.fields import Traits, layer
from suites.portraits.geometry import Frame

GAIN = 1.16


def develop(light: Tensor, traits: Traits, frame: Frame, noise: Tensor) -> Tensor:
    """Turns linear light [B, 3, S, S] into uint8; `noise` of the same shape has unit spread."""
    corner = frame.image_x * frame.image_x + frame.image_y * frame.image_y
    image = light * layer(GAIN * traits.exposure * (1 - traits.vignette * corner))
    image = soft_shoulder(image).clamp_(1e-5, 1).pow_(1 / 2.2)
    image = torch.lerp(image, soften(image), layer(traits.defocus).expand_as(image))
    image += noise * layer(traits.noise)
    return image.clamp_(0, 1).mul_(255).add_(0.5).floor_().to(torch.uint8)


def soft_shoulder(light: Tensor) -> Tensor:
    """Compresses highlights the way film does."""
    return light * (1 + 0.10 * light) / (1 + 0.28 * light)


def soften(image: Tensor) -> Tensor:
    """Blurs with the binomial kernel of three by three, edges repeated."""
    wide = pad(image, (1, 1, 0, 0), mode="replicate")
    rows = 0.25 * wide[..., :-2] + 0.5 * image + 0.25 * wide[..., 2:]
    tall = pad(rows, (0, 0, 1, 1), mode="replicate")
    return 0.25 * tall[..., :-2, :] + 0.5 * rows + 0.25 * tall[..., 2:, :]
