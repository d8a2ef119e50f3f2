"""Aligned faces: the similarity that brings five landmarks closest to a template, and the crop it gives."""

from __future__ import annotations

import torch
from torch.nn.functional import grid_sample

AT_A_TIME = 64
"""Images warped at a time; bounds the memory, no crop depends on it."""


def similarity_to(points: torch.Tensor, template: torch.Tensor) -> torch.Tensor:
    """Least-squares rotation, scale and shift from landmarks to a template (Umeyama 1991; no reflection).

    In the plane it is the regression of complex numbers: ``template = a * point + b`` with a and b complex.

    Args:
        points: ``[N, 5, 2]`` (x, y) in px, finite and not all the same.
        template: ``[5, 2]`` (x, y) in px.

    Returns:
        float64 ``[N, 2, 3]``, matrices that take (x, y, 1) to the template's (x, y).
    """
    source, target = (torch.view_as_complex(part.double().contiguous()) for part in (points, template))
    centred, wanted = source - source.mean(1, keepdim=True), target - target.mean()
    turn = (centred.conj() * wanted).sum(1) / centred.abs().square().sum(1)
    shift = target.mean() - turn * source.mean(1)
    rows = [turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag]
    return torch.stack(rows, 1).reshape(-1, 2, 3)


def aligned(
    images: torch.Tensor, points: torch.Tensor, template: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """Crops with the landmarks at the template's places.

    Bilinear without smoothing and black outside the image, as insightface's ``norm_crop`` by ``cv2.warpAffine``; here in
    one step for many images, and with exact places where OpenCV rounds them to 1/32 px.

    Args:
        images: uint8 ``[N, 3, H, W]``.
        points: ``[N, 5, 2]`` (x, y) in px, as ``ImageSet.landmarks``.
        template: ``[5, 2]`` (x, y) in px of the crop.
        height: of the crop in px.
        width: of the crop in px.

    Returns:
        uint8 ``[N, 3, height, width]``.
    """
    back = _inverse(similarity_to(points, template))
    parts = zip(images.split(AT_A_TIME), back.split(AT_A_TIME), strict=True)
    crops = [_warped(part, inverse, height, width) for part, inverse in parts]
    return torch.cat(crops) if crops else images.new_zeros(0, 3, height, width)


def _inverse(matrices: torch.Tensor) -> torch.Tensor:
    """From the crop back to the image: ``[N, 2, 3]`` to ``[N, 2, 3]``."""
    turn = torch.linalg.inv(matrices[:, :, :2])
    return torch.cat([turn, -turn @ matrices[:, :, 2:]], 2)


def _warped(images: torch.Tensor, back: torch.Tensor, height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
    )
    places = torch.stack([x, y, torch.ones_like(x)], 2).flatten(0, 1) @ back.transpose(1, 2)
    last = torch.tensor([images.shape[3] - 1, images.shape[2] - 1], dtype=torch.float64).clamp(min=1)
    grid = (places / last * 2 - 1).float().unflatten(1, (height, width))
    crops = grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return crops.round().clamp(0, 255).to(torch.uint8)
