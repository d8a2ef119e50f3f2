"""Randomness that depends on the seed and the image's key alone: not on batch, order, chunk or machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch


def key_of(*parts: object) -> np.ndarray:
    """128-bit Philox key of a clear text, as uint64 ``[2]``."""
    text = "\0".join(str(part) for part in parts)
    return np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype="<u8").astype(np.uint64)


def uniform(seed: int, stream: str, keys: Sequence[str], shape: tuple[int, ...]) -> torch.Tensor:
    """Uniform draws in the open interval (0, 1).

    Raw Philox words are used because only they are promised to be the same in every NumPy version. The generator is
    keyed per image, which makes the draws independent of batches; the draws themselves are one call per image.

    Args:
        seed: seed of the run.
        stream: what the draws are for, so that two uses of one seed differ.
        keys: keys of the N images.
        shape: shape per image.

    Returns:
        float64 ``[N, *shape]``.
    """
    count = int(np.prod(shape))
    words = np.empty((len(keys), count), dtype=np.uint64)
    for row, key in enumerate(keys):
        words[row] = np.random.Philox(key=key_of(seed, stream, key)).random_raw(count)
    draws = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return torch.from_numpy(draws).reshape(len(keys), *shape)


def normal(seed: int, stream: str, keys: Sequence[str], shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal draws, float64 ``[N, *shape]`` (inverse distribution function of ``uniform``)."""
    draws: torch.Tensor = torch.special.ndtri(uniform(seed, stream, keys, shape))
    return draws


def laplace(seed: int, stream: str, keys: Sequence[str], shape: tuple[int, ...]) -> torch.Tensor:
    """Laplace draws with location 0 and scale 1, float64 ``[N, *shape]``."""
    centred = uniform(seed, stream, keys, shape) - 0.5
    return -centred.sign() * torch.log1p(-2 * centred.abs())
