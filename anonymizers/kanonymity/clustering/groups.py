"""What all searches keep of a partition: members, sums and the sum of squared errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anonymizers.kanonymity.clustering.sizes import Labels

Floats = NDArray[np.floating[Any]]
"""Points, float64 or float32."""

CHUNK = 65_536
"""Rows that are converted at once, so that float32 input is never copied as a whole."""


def members_of(labels: Labels) -> tuple[Labels, Labels]:
    """The members of each group.

    Args:
        labels: groups 0..G-1, ``[N]``.

    Returns:
        Indices of the members, ``[G, largest size]``, filled up with -1, and the sizes, ``[G]``.
    """
    sizes = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    table = np.full((len(sizes), int(sizes.max())), -1, dtype=np.int64)
    table[np.arange(table.shape[1]) < sizes[:, None]] = order
    return table, sizes


def sums_of(points: Floats, labels: Labels) -> Floats:
    """Sums of the members of each group, float64 ``[G, D]``; no group may be empty."""
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    ends = np.cumsum(sizes)
    sums = np.empty((len(sizes), points.shape[1]))
    first = 0
    while first < len(sizes):
        begin = int(ends[first] - sizes[first])
        last = max(first + 1, int(np.searchsorted(ends, begin + CHUNK, side="right")))
        rows = points[order[begin : ends[last - 1]]]
        starts = ends[first:last] - sizes[first:last] - begin
        sums[first:last] = np.add.reduceat(rows, starts, axis=0, dtype=np.float64)
        first = last
    return sums


def sse(points: Floats, labels: Labels) -> float:
    """Sum over all points of the squared distance to the mean of the group; 0 or more, in squared units of the points."""
    means = sums_of(points, labels) / np.bincount(labels)[:, None]
    total = 0.0
    for begin in range(0, len(points), CHUNK):
        part = slice(begin, begin + CHUNK)
        total += float(np.square(points[part] - means[labels[part]]).sum())
    return total


def sst(points: Floats) -> float:
    """Sum of squared distances to the mean of all points: the SSE of a single group."""
    return sse(points, np.zeros(len(points), dtype=np.int64))


def dealt(count: int, k: int, rng: np.random.Generator) -> Labels:
    """Random groups of at least k, as many and as equal as possible, ``[count]``; one group where count < 2k."""
    labels = np.empty(count, dtype=np.int64)
    labels[rng.permutation(count)] = np.arange(count) % max(1, count // k)
    return labels
