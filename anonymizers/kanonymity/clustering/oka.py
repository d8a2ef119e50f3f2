"""One-pass k-means (OKA; Lin and Wei, 2008)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from anonymizers.kanonymity.clustering.sizes import Labels, Points, squared_distances


@dataclass
class Clusters:
    """Clusters that grow.

    Attributes:
        points: float64 ``[P, D]``.
        compat: as published: a centroid is one number, the mean over members and dimensions.
        members: rows of each cluster in the order in which they came.
        sums: float64 ``[G, D]``, sums of the members.
        order: clusters in the order in which they were finished.
    """

    points: Points
    compat: bool
    members: list[list[int]]
    sums: Points
    order: list[int] = field(default_factory=list)

    def centroids(self, clusters: list[int]) -> Points:
        """Centroids of some clusters, float64 ``[C, D]``, or ``[C, 1]`` where a centroid is one number."""
        sizes = np.array([len(self.members[cluster]) for cluster in clusters])
        means: Points = self.sums[clusters] / sizes[:, None]
        return np.mean(means, axis=1, keepdims=True) if self.compat else means

    def join_nearest(self, person: int, clusters: list[int]) -> int:
        """Adds a person to the nearest of some clusters, and returns it."""
        distances = squared_distances(self.centroids(clusters), self.points[person])
        chosen = clusters[int(np.argmin(distances))]
        self.members[chosen].append(person)
        self.sums[chosen] += self.points[person]
        return chosen

    def shrink(self, cluster: int, k: int) -> list[int]:
        """Takes all but the k members nearest to the centroid out of a cluster, and returns them, the nearest first."""
        rows = np.array(self.members[cluster])
        order = np.argsort(squared_distances(self.points[rows], self.centroids([cluster])[0]), kind="stable")
        self.members[cluster] = rows[np.sort(order[:k])].tolist()
        self.sums[cluster] = self.points[self.members[cluster]].sum(axis=0)
        return [int(row) for row in rows[order[k:]]]


def oka(points: Points, k: int, seed: int, compat: bool) -> Labels:
    """Persons join the nearest of random seeds; clusters above k give their farthest back, who fill those below k first.

    Args:
        points: float64 ``[P, D]``.
        k: size of groups, at least; without an upper bound.
        seed: of the seeds, and of the order in which persons come.
        compat: as published: centroids are single numbers, and persons come from the last row to the first.
    """
    seeds, others = visiting(len(points), len(points) // k, seed, compat)
    clusters = Clusters(points, compat, [[row] for row in seeds], points[seeds].astype(np.float64))
    every = list(range(len(seeds)))
    for person in others:
        clusters.join_nearest(person, every)
    level(clusters, k)
    labels = np.empty(len(points), dtype=np.int64)
    for label, cluster in enumerate(clusters.order):
        labels[clusters.members[cluster]] = label
    return labels


def visiting(count: int, groups: int, seed: int, compat: bool) -> tuple[list[int], list[int]]:
    """Rows of the seeds, and those of all others in the order in which they come."""
    if not compat:
        drawn = np.random.default_rng(seed).permutation(count).tolist()
        return drawn[:groups], drawn[groups:]
    seeds = random.Random(seed).sample(range(count), groups)
    others = set(range(count)) - set(seeds)
    return seeds, sorted(others, reverse=True)


def level(clusters: Clusters, k: int) -> None:
    """Brings every cluster to at least k members, and notes the order in which they were finished."""
    spare: list[int] = []
    below = [cluster for cluster, rows in enumerate(clusters.members) if len(rows) < k]
    clusters.order = [cluster for cluster, rows in enumerate(clusters.members) if len(rows) >= k]
    for cluster in clusters.order:
        if len(clusters.members[cluster]) > k:
            spare += clusters.shrink(cluster, k)
    while spare:
        chosen = clusters.join_nearest(spare.pop(), below or clusters.order)
        if chosen in below and len(clusters.members[chosen]) == k:
            below.remove(chosen)
            clusters.order.append(chosen)
