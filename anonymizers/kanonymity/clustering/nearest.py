"""A seed and its nearest neighbours make a group: the partition of k-Same, and two other ways to choose seeds."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from anonymizers.kanonymity.clustering.sizes import Labels, Points, target_sizes

SeedRule = Literal["random", "max", "min"]
"""Who is the next seed: anybody (k-Same), whoever is farthest from all the others left (``max``), or nearest (``min``)."""
ROWS = 256
"""Rows of distances that are added up at a time."""


def nearest(points: Points, k: int, seed: int, compat: bool, rule: SeedRule = "random") -> Labels:
    """Takes a seed and its nearest neighbours out of those who are left until nobody is.

    Args:
        points: float64 ``[P, D]``.
        k: size of groups, at least; they differ by one person, and the larger come first.
        seed: of random seeds.
        compat: random seeds as the published program draws them from the same ``seed``.
        rule: who is the next seed.
    """
    labels = np.full(len(points), -1, dtype=np.int64)
    sums = None if rule == "random" else summed_distances(points, points)
    draw = random.Random(seed).randrange if compat else np.random.default_rng(seed).integers
    for label, size in enumerate(target_sizes(len(points), k)):
        left = np.flatnonzero(labels < 0)
        start = left[next_seed(None if sums is None else sums[left], len(left), rule, draw)]
        distances = cdist(points[start : start + 1], points)[0, left]
        taken = left[np.argsort(distances, kind="stable")[:size]]
        labels[taken] = label
        if sums is not None:
            sums -= summed_distances(points, points[taken])
    return labels


def next_seed(sums: Points | None, count: int, rule: SeedRule, draw: Callable[[int], int]) -> int:
    """Position of the next seed among the ``count`` persons left, given their summed distances ``[count]``."""
    if sums is None:
        return int(draw(count))
    return int(np.argmax(sums) if rule == "max" else np.argmin(sums))


def summed_distances(points: Points, others: Points) -> NDArray[np.float64]:
    """Sum of the distances of each person ``[P, D]`` to some others ``[Q, D]``, float64 ``[P]``, a few rows at a time."""
    starts = range(0, len(points), ROWS)
    return np.concatenate([cdist(points[start : start + ROWS], others).sum(axis=1) for start in starts])
