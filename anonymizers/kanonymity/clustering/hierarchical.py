"""Hierarchical partitions: AnonFACES' (HP), which takes one cluster at a time, and its variant with a single tree."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import cdist, pdist, squareform

from anonymizers.kanonymity.clustering.sizes import (
    Labels,
    Points,
    group_means,
    refuse_square,
    squared_distances,
    target_sizes,
)

Linkage = Literal["ward", "average", "complete", "single", "weighted"]
"""Linkages whose merges never come at a smaller height than the merges below them."""


def hierarchical(points: Points, k: int, seed: int, compat: bool, method: Linkage = "ward") -> Labels:
    """Cuts the tree of all persons not yet grouped, takes the biggest cluster of the finest cut that has a big enough one.

    A tree is grown for every group. Only distances are kept between trees, and a cut is read from the sizes of the merges.

    Args:
        points: float64 ``[P, D]``.
        k: size of groups, at least; they differ by one person.
        seed: without effect.
        compat: as published: the first target size is left for the remainder, and of a cluster that is too big the first
            members in the order of the rows stay. Otherwise those nearest to its mean stay.
        method: the linkage.

    Raises:
        EntrantError: too many persons for all their distances.
    """
    refuse_square(len(points), "hp")
    targets = target_sizes(len(points), k)
    labels = np.full(len(points), len(targets) - 1, dtype=np.int64)
    left, square = np.arange(len(points)), squareform(pdist(points))
    for label, size in enumerate(targets[1:] if compat else targets[:-1]):
        tree = linkage(squareform(square, checks=False), method)
        found = biggest_cluster(tree, 2 * -(-len(left) // int(targets[-1])), int(size))
        taken = found[:size] if compat else found[central(points[left[found]], int(size))]
        labels[left[taken]] = label
        stay = np.ones(len(left), dtype=bool)
        stay[taken] = False
        left, square = left[stay], square[np.ix_(stay, stay)]
    return labels


def biggest_cluster(tree: Points, clusters: int, size: int) -> Labels:
    """Leaves of the biggest cluster in the finest cut with a cluster of at least ``size`` leaves.

    A cut into c clusters is what the first m - c merges leave, so a cluster is big enough with the first merge that
    reaches ``size``, or in the finest cut allowed.

    Args:
        tree: linkage matrix ``[m - 1, 4]``.
        clusters: number of clusters of the finest cut allowed; as many as leaves if there are fewer.
        size: leaves wanted, at most m.

    Returns:
        Leaves in ascending order; of several biggest clusters that with the lowest leaf.
    """
    sizes = tree[:, 3]
    merges = max(len(tree) + 1 - clusters, 0)
    biggest = sizes[:merges].max(initial=1)
    if biggest < size:
        return leaves(tree, merges + int(np.argmax(sizes[merges:] >= size)))
    tied = [leaves(tree, int(row)) for row in np.flatnonzero(sizes[:merges] == biggest)]
    return min(tied, key=lambda cluster: int(cluster[0]))


def leaves(tree: Points, row: int) -> Labels:
    """Leaves below a merge in ascending order, int64."""
    count, found, open_rows = len(tree) + 1, [], [row]
    while open_rows:
        for child in tree[open_rows.pop(), :2].astype(np.int64).tolist():
            if child < count:
                found.append(child)
            else:
                open_rows.append(child - count)
    return np.sort(np.array(found, dtype=np.int64))


def central(points: Points, size: int) -> Labels:
    """Rows of the ``size`` points nearest to the mean of all, int64 ``[size]``."""
    return np.argsort(squared_distances(points, points.mean(axis=0)), kind="stable")[:size]


def single_tree(points: Points, k: int, seed: int, compat: bool) -> Labels:
    """One tree; each merge that gathers k persons not yet grouped makes a group, and who is left joins the nearest one.

    Args:
        points: float64 ``[P, D]``.
        k: size of groups, at least; up to 2k - 2 persons, and those who were left.
        seed: without effect.
        compat: without effect; the published labels, which leave up to k - 1 persons out, are ``single_tree_raw``'s.

    Raises:
        EntrantError: too many persons for all their distances.
    """
    labels = single_tree_raw(points, k)
    out = np.flatnonzero(labels < 0)
    if len(out):
        centres = group_means(points, labels, int(labels.max()) + 1)
        labels[out] = np.argmin(cdist(points[out], centres), axis=1)
    return labels


def single_tree_raw(points: Points, k: int) -> Labels:
    """Groups of a single tree as published, -1 for whoever got none; see ``single_tree``."""
    refuse_square(len(points), "hp-v2")
    count, label = len(points), 0
    labels = np.full(count, -1, dtype=np.int64)
    waiting: dict[int, list[int]] = {leaf: [leaf] for leaf in range(count)}
    for row, (left, right) in enumerate(linkage(points, "ward")[:, :2].astype(np.int64).tolist()):
        together = waiting.pop(left) + waiting.pop(right)
        if len(together) >= k:
            labels[together] = label
            label, together = label + 1, []
        waiting[count + row] = together
    return labels
