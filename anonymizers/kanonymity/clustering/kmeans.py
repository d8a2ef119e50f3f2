"""k-means with size targets: centroids first, then every person to the nearest centroid that still has room."""

from __future__ import annotations

import random
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from anonymizers.kanonymity.clustering.sizes import Labels, Points, refuse_square, target_sizes

Order = Literal["elki", "max", "min", "random"]
"""Who chooses first: whoever has most to lose (``elki``, nearest minus farthest centroid), the one farthest from some
centroid (``max``), the one nearest to some centroid (``min``), or chance."""
STEPS = 10
"""Lloyd steps."""


def kmeans(points: Points, k: int, seed: int, compat: bool, order: Order = "elki") -> Labels:
    """Lets persons choose among the centroids of k-means, one after the other, until each is full.

    Args:
        points: float64 ``[P, D]``.
        k: size of groups, at least; they differ by one person.
        seed: of the persons at whom centroids start, and of a random order.
        compat: as published: a person goes to the *farthest* centroid with room. Otherwise to the nearest.
        order: who chooses first.

    Raises:
        EntrantError: too many persons for their distances to all centroids.
    """
    refuse_square(len(points), "kmeans")
    targets = target_sizes(len(points), k)
    distances = cdist(points, centroids(points, len(targets), seed, compat))
    return fill(-distances if compat else distances, queue(distances, order, seed, compat), targets)


def centroids(points: Points, groups: int, seed: int, compat: bool) -> Points:
    """Centroids after some Lloyd steps from ``groups`` persons drawn at random, float64 ``[G, D]``."""
    drawn = np.random.RandomState(seed % 2**32) if compat else np.random.default_rng(seed)
    start = points[drawn.choice(len(points), size=groups, replace=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty cluster keeps its centroid, which does no harm here
        found: Points = kmeans2(points, start, iter=STEPS, minit="matrix")[0]
    return found


def queue(distances: Points, order: Order, seed: int, compat: bool) -> NDArray[np.int64]:
    """Persons in the order in which they choose, int64 ``[P]``, from distances ``[P, G]``."""
    count = len(distances)
    if order == "random" and compat:
        return np.array(random.Random(seed).sample(range(count), count), dtype=np.int64)
    if order == "random":
        return np.random.default_rng((seed, 1)).permutation(count)
    nearest, farthest = distances.min(axis=1), distances.max(axis=1)
    return np.argsort({"elki": nearest - farthest, "max": -farthest, "min": nearest}[order], kind="stable")


def fill(costs: Points, persons: NDArray[np.int64], targets: Labels) -> Labels:
    """Gives each person in turn the group of least cost that has room.

    Args:
        costs: float64 ``[P, G]``, spent: the column of a full group becomes infinite.
        persons: int64 ``[P]``, who chooses when.
        targets: int64 ``[G]``, sizes of the groups, adding up to P.
    """
    labels, room = np.empty(len(costs), dtype=np.int64), targets.copy()
    for person in persons:
        label = int(np.argmin(costs[person]))
        labels[person] = label
        room[label] -= 1
        if not room[label]:
            costs[:, label] = np.inf
    return labels
