"""Search over all groups in blocks of neighbouring ones, whose borders move from pass to pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anonymizers.kanonymity.clustering.blocks import neighbouring, standardised
from anonymizers.kanonymity.clustering.cycles import exchange
from anonymizers.kanonymity.clustering.groups import Floats
from anonymizers.kanonymity.clustering.sizes import Labels

GROUPS, POINTS = 128, 32_768
"""Groups and points of a block, at most (but never fewer than two groups): an assignment costs the cube of the groups."""


def groups_of_a_block(k: int) -> int:
    """How many groups are searched together; 2 or more."""
    return max(2, min(GROUPS, POINTS // k))


def in_blocks(
    points: Floats, labels: Labels, groups: int, rng: np.random.Generator, step: Callable[[Floats, Labels], Labels]
) -> Labels:
    """Improves each block of neighbouring groups by itself.

    Args:
        points: ``[N, D]``.
        labels: groups 0..G-1, ``[N]``.
        groups: groups in a block, at most.
        rng: draws the borders.
        step: standardised points ``[B, D]`` and their labels 0..g-1 to new labels of the same g groups.

    Returns:
        New labels, int64 ``[N]``.
    """
    found = labels.copy()
    for rows, own in neighbouring(points, labels, groups, rng):
        names, inside = np.unique(own, return_inverse=True)
        found[rows] = names[step(standardised(points[rows]), inside)]
    return found


def annealed(points: Floats, labels: Labels, k: int, heats: Floats, passes: int, rng: np.random.Generator) -> Labels:
    """Exchanges members along cycles in several passes over all blocks.

    Args:
        points: ``[N, D]``.
        labels: groups 0..G-1 of at least k, ``[N]``.
        k: smallest size of a group, which decides the size of a block.
        heats: noise of each round, in units of the mean squared norm of a block's points; shared out among the passes.
        passes: how often the borders of the blocks move.
        rng: draws borders, noise and the members offered.

    Returns:
        New labels, int64 ``[N]``; the sizes of the groups are as before.
    """
    for part in np.array_split(heats, passes):
        labels = in_blocks(points, labels, groups_of_a_block(k), rng, lambda rows, own: exchange(rows, own, part, rng))  # noqa: B023
    return labels


def cooling(rounds: int, heat: float) -> Floats:
    """Heats that fall linearly to zero, where the last fifth of the rounds stays; float64 ``[rounds]``."""
    return heat * np.maximum(0.0, 1 - np.arange(rounds) / (0.8 * rounds))
