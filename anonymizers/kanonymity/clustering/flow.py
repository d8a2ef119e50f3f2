"""Balanced k-means: Lloyd's algorithm whose assignment keeps to bounds on the sizes of the groups.

The assignment is a minimum-cost flow from persons through groups; with places as nodes it is a linear assignment, which
SciPy solves exactly.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from anonymizers.kanonymity.clustering.blocks import apart
from anonymizers.kanonymity.clustering.groups import Floats, dealt, sse, sums_of
from anonymizers.kanonymity.clustering.sizes import Labels
from anonymizers.kanonymity.clustering.threads import one_thread

POINTS = 2048
"""Persons assigned together (the matrix of costs is square, and time cubic); of more, blocks by themselves."""
ROUNDS = 50
"""Steps of Lloyd's algorithm, at most; face embeddings need about ten."""


@one_thread
def flow(points: Floats, k: int, seed: int, compat: bool) -> Labels:
    """Balanced k-means with ``P // k`` groups of at least k.

    Args:
        points: ``[P, D]``, P >= k.
        k: smallest size of a group.
        seed: of the first means, and of borders where there are more than ``POINTS`` persons.
        compat: nothing was published under this name; ignored.

    Returns:
        int64 ``[P]``.
    """
    rng = np.random.default_rng(seed)
    return apart(points, k, POINTS, rng, lambda block: _lloyd(block, k, rng))


def _lloyd(points: Floats, k: int, rng: np.random.Generator) -> Labels:
    means = _spread(points, len(points) // k, rng)
    labels, before = dealt(len(points), k, rng), np.inf
    for _ in range(ROUNDS):
        found = assigned(points, means, k)
        if (after := sse(points, found)) >= before:
            break
        labels, before = found, after
        means = sums_of(points, labels) / np.bincount(labels)[:, None]
    return labels


def _spread(points: Floats, count: int, rng: np.random.Generator) -> Floats:
    """First means by k-means++, ``[count, D]``."""
    from sklearn.cluster import kmeans_plusplus

    means: Floats = kmeans_plusplus(points, count, random_state=int(rng.integers(2**31)))[0]
    return means


def assigned(points: Floats, means: Floats, k: int) -> Labels:
    """The assignment of least squared distances in which every group has at least k members.

    Args:
        points: ``[B, D]``.
        means: ``[G, D]``, ``G * k <= B``.
        k: smallest size of a group.

    Returns:
        int64 ``[B]``.
    """
    squares = np.square(points).sum(1)[:, None] - 2 * (points @ means.T) + np.square(means).sum(1)
    spare = len(points) - len(means) * k
    must, may = np.repeat(np.arange(len(means)), k), np.repeat(np.arange(len(means)), spare)
    places = np.append(must, may)
    costs = squares[:, places]
    # A place that must be filled is cheaper than any other by more than a move can cost, so none stays empty.
    costs[:, : len(must)] -= squares.max() - squares.min() + 1
    labels: Labels = places[linear_sum_assignment(costs)[1]]
    return labels
