"""Finding the latents of pictures by optimisation.

Abdal, Qin and Wonka, Image2StyleGAN, ICCV 2019 (all layers of W+ are free); Karras et al., CVPR 2020, section 5 and
appendix D (learning rate, distance in features).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.errors import EntrantError

Features = Callable[[Tensor], Sequence[Tensor]]
"""Pictures ``[N, 3, H, W]`` in -1..1 to feature maps ``[N, C, h, w]``; must be differentiable."""
RAMP_UP, RAMP_DOWN = 0.05, 0.25
"""Parts of the steps in which the learning rate rises and falls."""
LARGEST = 256
"""Side above which pictures are shrunk before features are taken."""


class Draws(Protocol):
    """A generator, as far as the projection knows it."""

    mean_latent: Tensor

    def __call__(self, latents: Tensor) -> Tensor:
        """W+ ``[N, layers, style]`` to pictures ``[N, 3, size, size]`` in -1..1."""
        ...


@dataclass(frozen=True)
class Weights:
    """What counts how much.

    Attributes:
        perceptual: distance in features.
        pixel: mean squared difference of the pixels, of pictures in -1..1.
        latent: mean squared distance from the anchor.
    """

    perceptual: float = 1.0
    pixel: float = 1.0
    latent: float = 0.01


def project(
    generator: Draws,
    pictures: Tensor,
    start: Tensor | None = None,
    *,
    steps: int = 200,
    rate: float = 0.05,
    perceptual: Features | None = None,
    weights: Weights | None = None,
    anchor: Tensor | None = None,
    batch: int = 16,
) -> Tensor:
    """Finds latents ``[N, layers, style]`` whose pictures resemble given ones: for each face the best of all steps.

    Faces do not influence each other: losses are summed, and Adam treats every number by itself. The generator's
    weights stay as they are. Nothing is random.

    Args:
        generator: W+ to pictures.
        pictures: ``[N, 3, H, W]`` in -1..1; another size than the generator's is resized by area.
        start: latents to begin with, ``[N, layers, style]``; None is the mean latent.
        steps: of Adam.
        rate: its learning rate, in units of W+.
        perceptual: feature extractor (``perception.lpips_features``, or one's own); None leaves that term out.
        weights: of the terms.
        anchor: what latents are held near to, ``[layers, style]`` or ``[N, layers, style]``; None is the start.
        batch: faces at a time.

    Raises:
        EntrantError: shapes do not fit, or values are not finite.
    """
    begin = _begin(generator, pictures, start)
    hold = begin if anchor is None else anchor.to(begin).expand_as(begin)
    objective = Objective(generator, perceptual, weights or Weights())
    found = []
    for first in range(0, len(begin), batch):
        rows = slice(first, first + batch)
        target = objective.target(pictures[rows].to(begin), begin[rows])
        found.append(_optimised(objective, begin[rows], hold[rows], target, steps, rate))
    return torch.cat(found) if found else begin


def _begin(generator: Draws, pictures: Tensor, start: Tensor | None) -> Tensor:
    mean = generator.mean_latent
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not torch.isfinite(pictures).all():
        raise EntrantError(f"pictures of shape {list(pictures.shape)} cannot be projected; give finite [N, 3, H, W]")
    if start is None:
        return mean.detach().expand(len(pictures), -1, -1).clone()
    if tuple(start.shape) != (len(pictures), *mean.shape) or not torch.isfinite(start).all():
        wanted = [len(pictures), *mean.shape]
        raise EntrantError(f"start has shape {list(start.shape)}, expected {wanted}, finite; leave it out for the mean")
    return start.detach().to(mean).clone()


@dataclass(frozen=True, eq=False)
class Target:
    """A batch of pictures at the generator's size, and their features."""

    pictures: Tensor
    features: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Objective:
    """What is made small: how far the pictures of latents are from given ones, and the latents from where they are held."""

    generator: Draws
    perceptual: Features | None
    weights: Weights

    def target(self, pictures: Tensor, latents: Tensor) -> Target:
        """What a batch is compared with."""
        with torch.no_grad():
            side = self.generator(latents[:1]).shape[-1]
            resized = by_area(pictures, side)
            return Target(resized, self._features(resized))

    def losses(self, latents: Tensor, hold: Tensor, target: Target) -> Tensor:
        """Loss of each face, ``[N]``."""
        made = self.generator(latents)
        pixel = (made - target.pictures).square().flatten(1).mean(1)
        away = (latents - hold).square().flatten(1).mean(1)
        total = self.weights.pixel * pixel + self.weights.latent * away
        if target.features:
            total = total + self.weights.perceptual * feature_distance(self._features(made), target.features)
        return total

    def _features(self, pictures: Tensor) -> tuple[Tensor, ...]:
        if self.perceptual is None or not self.weights.perceptual:
            return ()
        small = by_area(pictures, LARGEST) if pictures.shape[-1] > LARGEST else pictures
        return tuple(self.perceptual(small))


def by_area(pictures: Tensor, side: int) -> Tensor:
    """Pictures of another size, each pixel the mean of the area it covers: ``[N, 3, side, side]``."""
    if tuple(pictures.shape[-2:]) == (side, side):
        return pictures
    return functional.interpolate(pictures, size=(side, side), mode="area")


def feature_distance(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Squared difference of feature maps, mean over positions, sum over channels and maps, ``[N]``."""
    return torch.stack([(a - b).square().sum(1).mean((1, 2)) for a, b in zip(one, other, strict=True)]).sum(0)


def _optimised(
    objective: Objective,
    begin: Tensor,
    hold: Tensor,
    target: Target,
    steps: int,
    rate: float,
) -> Tensor:
    """Adam on one batch; keeps the best latents of every face."""
    latents = begin.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([latents], lr=rate)
    best, lowest = begin.clone(), torch.full((len(begin),), math.inf).to(begin)
    for step in range(steps + 1):
        with torch.enable_grad():
            losses = objective.losses(latents, hold, target)
            better = losses.detach() < lowest
            best = torch.where(better[:, None, None], latents.detach(), best)
            lowest = torch.where(better, losses.detach(), lowest)
            if step == steps:
                return best
            (latents.grad,) = torch.autograd.grad(losses.sum(), latents)
        optimizer.param_groups[0]["lr"] = rate * scheduled(step, steps)
        optimizer.step()
    return best


def scheduled(step: int, steps: int) -> float:
    """Factor of the learning rate: a short rise, then constant, then half a cosine down to almost nothing."""
    part = (step + 1) / (steps + 1)
    down = min(1.0, (1 - part) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(down * math.pi)) * min(1.0, part / RAMP_UP)
