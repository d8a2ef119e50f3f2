"""Groups drawn by lot: what any other partition has to beat."""

from __future__ import annotations

import random

import numpy as np

from anonymizers.kanonymity.clustering.sizes import Labels, Points, target_sizes


def chance(points: Points, k: int, seed: int, compat: bool) -> Labels:
    """Draws groups at random.

    Args:
        points: float64 ``[P, D]``; only their number counts.
        k: size of groups, at least; they differ by one person.
        seed: of the lot.
        compat: draws as the published program does from the same ``seed``.
    """
    targets = target_sizes(len(points), k)
    if compat:
        return drawn_in_turn(targets, seed)
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(targets)), targets))


def drawn_in_turn(targets: Labels, seed: int) -> Labels:
    """Draws one group after the other out of those who are left."""
    lot, left = random.Random(seed), list(range(int(targets.sum())))
    labels = np.empty(len(left), dtype=np.int64)
    for label, size in enumerate(targets.tolist()):
        members = lot.sample(left, size)
        labels[members] = label
        left = list(set(left) - set(members))
    return labels
