"""Mixing the latents of a group: naive, with random weights, and adjusted until the surrogate resembles nobody.

Le, Khan, Tsaloli, Carlsson and Buchegger, AnonFACES, WPES 2020. ``compat`` reproduces the authors' program; without it
weights are normalised by their sum, and what is scaled is the difference to the mean latent, not to the origin of W+,
which is a face of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.errors import EntrantError
from benchmark.hashing import sha256_bytes

LOWEST_WEIGHT = 0.6
"""Random weights are uniform from here to 1."""
COMPAT_GAIN = 1.67
"""What the authors multiply sums with random weights by; about 1 / 0.6, while the mean weight is 0.8."""
RANGES = {"all": (0, None), "coarse": (0, 3), "middle": (4, 7), "fine": (8, None)}
"""First and last layer of W+ by name, as in the papers on StyleGAN: 4 to 8 px, 16 to 32 px, and from 64 px on."""
Layers = str | tuple[int, int | None]
Mix = Literal["naive", "random"]


def mix_latents(
    latents: Tensor,
    groups: NDArray[np.int64],
    mix: Mix = "naive",
    *,
    contents: Sequence[str] = (),
    seed: int = 0,
    compat: bool = False,
) -> Tensor:
    """One latent per group.

    Args:
        latents: W+ of the persons, ``[P, layers, style]``.
        groups: of each person, 0..G-1, ``[P]``.
        mix: ``naive`` is the mean of the members; ``random`` weighs them by uniform numbers from 0.6 to 1.
        contents: a text per person that the random weights are drawn by; not their latents, which differ in their last
            digits from machine to machine.
        seed: of the random weights.
        compat: the authors' random mix, which draws in the order of persons, divides by the number of members and
            multiplies by 1.67 (a gain of 1.34 on average); the naive mix is the same.

    Returns:
        ``[G, layers, style]``.

    Raises:
        EntrantError: latents or groups are malformed.
    """
    if mix == "naive":
        return weighted(latents, groups, np.ones(len(groups)))
    if mix != "random":
        raise EntrantError(f"mix='{mix}' is unknown; use naive or random")
    if compat:
        weights = np.random.default_rng(seed).uniform(LOWEST_WEIGHT, 1.0, len(groups))
        return weighted(latents, groups, weights, by_number=True) * COMPAT_GAIN
    if len(contents) != len(groups):
        raise EntrantError(
            f"mix=random draws weights by {len(contents)} texts for {len(groups)} persons; give one per person"
        )
    return weighted(latents, groups, np.array([random_weight(content, seed) for content in contents]))


def random_weight(content: str, seed: int) -> float:
    """A person's weight, uniform from ``LOWEST_WEIGHT`` to 1, whoever else is in the set."""
    drawn = np.random.default_rng([seed, int(sha256_bytes(content.encode()), 16)])
    return float(drawn.uniform(LOWEST_WEIGHT, 1.0))


def weighted(
    latents: Tensor, groups: NDArray[np.int64], weights: NDArray[np.float64], *, by_number: bool = False
) -> Tensor:
    """Weighted mean of the members of each group, summed in float64.

    Args:
        latents: ``[P, layers, style]``.
        groups: ``[P]``.
        weights: not negative, ``[P]``.
        by_number: divide by the number of members instead of the sum of their weights.

    Returns:
        ``[G, layers, style]``, in the type of ``latents``.
    """
    check_groups(latents, groups)
    index, scale = torch.as_tensor(groups), torch.as_tensor(weights, dtype=torch.float64)
    total = torch.zeros(int(groups.max()) + 1, dtype=torch.float64)
    shares = total.index_add(0, index, torch.ones_like(scale) if by_number else scale)
    sums = torch.zeros(len(total), *latents.shape[1:], dtype=torch.float64, device="cpu")
    sums = sums.index_add(0, index, latents.detach().cpu().double() * scale[:, None, None])
    return (sums / shares[:, None, None]).to(latents)


def check_groups(latents: Tensor, groups: NDArray[np.int64]) -> None:
    """Raises EntrantError about latents or groups that cannot be mixed."""
    if latents.ndim != 3 or groups.shape != (len(latents),) or not len(groups):
        raise EntrantError(
            f"latents of shape {list(latents.shape)} and groups of shape {list(groups.shape)} do not fit; give "
            "[persons, layers, style] and [persons]"
        )
    if not np.array_equal(np.unique(groups), np.arange(groups.max() + 1)):
        raise EntrantError("groups are not numbered 0, 1, ... without gaps; number them with numpy.unique")
    if not torch.isfinite(latents).all():
        person = int((~torch.isfinite(latents).flatten(1).all(dim=1)).nonzero()[0])
        raise EntrantError(f"the latent of person {person} is not finite; project that person's photographs again")


def in_layers(mixed: Tensor, mean: Tensor, layers: Layers) -> Tensor:
    """Keeps the mix in some layers; the others get the mean latent.

    The mean latent and not the member nearest to the group's middle: that member's colours or features would stand
    unmixed in the surrogate, and recognising them names a person with a probability that no group size bounds.

    Args:
        mixed: ``[G, layers, style]``.
        mean: the generator's mean latent, ``[layers, style]``.
        layers: ``all``, ``coarse``, ``middle``, ``fine``, or first and last layer (None: to the end), both included.

    Returns:
        ``[G, layers, style]``.

    Raises:
        EntrantError: there are no such layers.
    """
    first, last = layer_range(layers, mixed.shape[1])
    chosen = torch.zeros(mixed.shape[1], 1, dtype=torch.bool, device=mixed.device)
    chosen[first : last + 1] = True
    return torch.where(chosen, mixed, mean.to(mixed))


def layer_range(layers: Layers, count: int) -> tuple[int, int]:
    """First and last layer, both included.

    Raises:
        EntrantError: the name is unknown or the generator has no such layers.
    """
    if isinstance(layers, str) and layers not in RANGES:
        raise EntrantError(f"layers='{layers}' is unknown; use {', '.join(RANGES)} or first and last layer")
    first, end = RANGES[layers] if isinstance(layers, str) else layers
    last = count - 1 if end is None else end
    if isinstance(layers, str):  # a small generator has fewer layers than the name stands for
        last = min(last, count - 1)
    if not 0 <= first <= last < count:
        raise EntrantError(f"layers={layers} are not in a generator of {count}; choose between 0 and {count - 1}")
    return first, last


def truncated(mixed: Tensor, mean: Tensor, psi: float) -> Tensor:
    """Latents pulled towards the mean: ``psi`` 1 leaves them, 0 gives the mean.

    Args:
        mixed: ``[G, layers, style]``.
        mean: ``[layers, style]``.
        psi: 0..1; more than 1 exaggerates.
    """
    origin = mean.to(mixed)
    return origin + psi * (mixed - origin)
