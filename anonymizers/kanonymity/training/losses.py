"""What a training makes small, and the latents it averages. What is random is drawn from a given generator, in this order."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from anonymizers.kanonymity.training.batch import Batch

DIRECTIONS = 128
"""Random directions in which distributions are compared."""


def pixel_loss(made: Tensor, originals: Tensor, weight: Tensor) -> Tensor:
    """Absolute and squared differences and those of edges, weighted, and absolute ones at coarser scales.

    Args:
        made: pictures ``[N, 3, S, S]``, -1..1.
        originals: what they should be.
        weight: of every pixel, ``[N, 1, S, S]``.
    """
    difference = made - originals
    loss = (weight * difference.abs()).mean() + 2 * (weight * difference.square()).mean()
    for axis in (2, 3):
        loss = loss + (weight.narrow(axis, 1, weight.shape[axis] - 1) * difference.diff(dim=axis).abs()).mean()
    for _ in range(3):
        made, originals = functional.avg_pool2d(made, 2), functional.avg_pool2d(originals, 2)
        loss = loss + 0.5 * (made - originals).abs().mean()
    return loss


def reading_loss(read: Tensor, classes: tuple[int, ...], batch: Batch) -> Tensor:
    """What is wrong in attributes and landmarks that were read: ``[N, sum(classes) + 2 * landmarks]``."""
    loss = read.new_zeros(())
    for index, count in enumerate(classes):
        assert batch.labels is not None
        loss = loss + functional.cross_entropy(read[:, :count], batch.labels[:, index])
        read = read[:, count:]
    if batch.landmarks is not None:
        loss = loss + 4 * functional.smooth_l1_loss(read, batch.places().flatten(1))
    return loss


def feature_difference(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference of feature maps, as a share of the wanted ones' mean magnitude."""
    return (found.float() - wanted.float()).abs().mean() / (wanted.float().abs().mean() + 1e-6)


def means_of_some(pool: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Means ``[count, layers, style]`` of 2 to all latents of a pool ``[N, layers, style]``; few are as usual as many."""
    most = torch.tensor(float(len(pool))).log2()
    sizes = (1 + (most - 1) * torch.rand(count, generator=random)).exp2().round()
    shares = torch.rand(count, len(pool), generator=random).argsort(dim=1).argsort(dim=1) < sizes[:, None]
    return torch.einsum("gn,nls->gls", shares / shares.sum(dim=1, keepdim=True), pool)


def sliced_distance(found: Tensor, wanted: Tensor, random: torch.Generator) -> Tensor:
    """Sliced Wasserstein distance of as many points, ``[N, D]`` each.

    Deshpande, Zhang and Schwing, CVPR 2018: sorted coordinates along random directions.
    """
    directions = functional.normalize(torch.randn(wanted.shape[1], DIRECTIONS, generator=random), dim=0)
    return ((found @ directions).sort(dim=0)[0] - (wanted @ directions).sort(dim=0)[0]).square().mean()
