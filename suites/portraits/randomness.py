"""Counter-based random numbers, keyed by what is drawn and never by when or beside what it is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

NORMAL_LIMIT = 2.2
"""Normals are clipped here, so that no face and no camera is an outlier."""


def raw_words(key: str, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Returns `count` raw 64-bit Philox words of the stream named by the clear text `key`."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    words: np.ndarray[tuple[int], np.dtype[np.uint64]]
    words = np.random.Philox(key=int.from_bytes(digest, "little")).random_raw(count)
    return words


def uniforms(keys: Sequence[str], count: int) -> Tensor:
    """Returns uniforms in [0, 1) as float64 [len(keys), count]; a row depends on its own key only."""
    words = np.empty((len(keys), count), dtype=np.uint64)
    for row, key in enumerate(keys):
        words[row] = raw_words(key, count)
    return torch.from_numpy((words >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def bell_noise(keys: Sequence[str], shape: tuple[int, ...]) -> Tensor:
    """Returns bell-shaped noise of mean 0 and standard deviation 1 as float64 [len(keys), *shape].

    One word makes one value: the sum of its four 16-bit lanes, exact in integers on every machine.
    """
    count = int(np.prod(shape))
    lanes = np.stack([raw_words(key, count) for key in keys]).view(np.uint16)
    sums: Tensor = torch.from_numpy(lanes.reshape(len(keys), count, 4).astype(np.float64)).sum(-1)
    spread = (4 * (2.0**32 - 1) / 12) ** 0.5
    noise: Tensor = (sums - 2 * 65535.0) / spread
    return noise.reshape(len(keys), *shape)


class Draws:
    """Hands out the columns of a matrix of uniforms one after the other, one value per item."""

    def __init__(self, keys: Sequence[str], capacity: int) -> None:
        """Prepares `capacity` draws for each key."""
        self._columns = uniforms(keys, capacity)
        self._next = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Returns float64 [N] in [low, high)."""
        column = self._columns[:, self._next]
        self._next += 1
        return low + (high - low) * column

    def normal(self, spread: float = 1.0) -> Tensor:
        """Returns float64 [N] of standard deviation `spread`, clipped at `NORMAL_LIMIT` of them."""
        quantile = self.uniform().clamp(2.0**-53, 1 - 2.0**-53)
        standard: Tensor = torch.special.ndtri(quantile)
        return standard.clamp(-NORMAL_LIMIT, NORMAL_LIMIT) * spread

    def spread_evenly(self, spread: float) -> Tensor:
        """Returns float64 [N], uniform over twice `spread` to either side of 0."""
        return self.uniform(-2 * spread, 2 * spread)

    def chance(self, probability: float | Tensor) -> Tensor:
        """Returns bool [N], true with the given probability (a number, or one per item)."""
        return self.uniform() < probability
