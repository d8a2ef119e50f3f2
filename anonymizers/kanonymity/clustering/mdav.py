"""Microaggregation: MDAV (Domingo-Ferrer, Mateo-Sanz) and V-MDAV (Solanas, Martinez-Balleste)."""

from __future__ import annotations

import numpy as np

from anonymizers.kanonymity.clustering.exchange import halved
from anonymizers.kanonymity.clustering.groups import Floats, sums_of
from anonymizers.kanonymity.clustering.sizes import Labels

GAMMA = 0.2
"""How much nearer to the group than to anybody else a person must be to join a group that has k; for scattered data."""
DENSE = 0.75
"""Share of rows still in use below which the others are dropped from memory."""


class Remaining:
    """The points that have no group yet, with distances by matrix-vector products.

    Attributes:
        labels: groups given so far, -1 where there is none, ``[P]``.
        groups: number of groups so far.
        count: number of points without a group.
    """

    def __init__(self, points: Floats) -> None:
        self.labels = np.full(len(points), -1, dtype=np.int64)
        self.groups, self.count = 0, len(points)
        self._origin = _mean(points)
        self._rows, self._points = np.arange(len(points)), points - self._origin
        self._squares = np.einsum("pd,pd->p", self._points, self._points)
        self._gone = np.zeros(len(points), dtype=bool)
        self._sum = self._points.sum(0, dtype=np.float64)

    @property
    def mean(self) -> Floats:
        """Mean of the remaining points, ``[D]``."""
        mean: Floats = self._sum / self.count
        return mean

    def point(self, at: int) -> Floats:
        """One of the remaining points, ``[D]``."""
        point: Floats = self._points[at]
        return point

    def distances(self, centre: Floats) -> Floats:
        """Squared distances to a point, up to a constant: NaN nowhere, the same order; ``[R]``."""
        distances: Floats = self._squares - 2 * (self._points @ centre.astype(self._points.dtype))
        return distances

    def farthest(self, distances: Floats) -> int:
        """The remaining point that is farthest; the first of equals."""
        return int(np.where(self._gone, -np.inf, distances).argmax())

    def nearest(self, distances: Floats, count: int) -> Labels:
        """The ``count`` remaining points that are nearest, of equals the first; ascending."""
        open_to = np.where(self._gone, np.inf, distances)
        limit = np.partition(open_to, count - 1)[count - 1]
        near = np.flatnonzero(open_to < limit)
        return np.sort(np.append(near, np.flatnonzero(open_to == limit)[: count - len(near)]))

    def group(self, members: Labels, label: int | None = None) -> None:
        """Takes points out and gives them a new group, or the given one."""
        self.labels[self._rows[members]] = self.groups if label is None else label
        self.groups += label is None
        self._gone[members] = True
        self._sum -= self._points[members].sum(0, dtype=np.float64)
        self.count -= len(members)

    def compact(self) -> None:
        """Forgets points that were taken out, where they are many; positions change."""
        if self.count < DENSE * len(self._rows):
            left = ~self._gone
            self._rows, self._points, self._squares = self._rows[left], self._points[left], self._squares[left]
            self._gone = np.zeros(self.count, dtype=bool)

    def everybody(self) -> Labels:
        """Positions of all remaining points."""
        return np.flatnonzero(~self._gone)


def _mean(points: Floats) -> Floats:
    mean: Floats = points.mean(0, dtype=np.float64).astype(points.dtype)
    return mean


def mdav(points: Floats, k: int, seed: int, compat: bool) -> Labels:
    """Groups of k around the most distant points, two at a time (MDAV).

    O(P^2 D / k) in matrix-vector products; memory for two copies of the points.

    Args:
        points: ``[P, D]``, P >= k.
        k: size of the groups; the last has k..2k-1.
        seed: nothing is drawn; ignored.
        compat: the published algorithm is what there is; ignored.

    Returns:
        int64 ``[P]``.
    """
    left = Remaining(points)
    while left.count >= 3 * k:
        left.compact()
        from_first = _around_farthest(left, left.distances(left.mean), k)
        _around_farthest(left, from_first, k)
    if left.count >= 2 * k:
        _around_farthest(left, left.distances(left.mean), k)
    left.group(left.everybody())
    return left.labels


def _around_farthest(left: Remaining, distances: Floats, k: int) -> Floats:
    """Makes a group of the farthest point and its k - 1 nearest; returns the distances to it."""
    first = left.farthest(distances)
    from_first = left.distances(left.point(first))
    from_first[first] = -np.inf
    left.group(left.nearest(from_first, k))
    return from_first


def v_mdav(points: Floats, k: int, seed: int, compat: bool, gamma: float = GAMMA) -> Labels:
    """Groups of k around the points most distant from the mean of all, each extended by near points (V-MDAV).

    O(P^2 D): every member's distances to all remaining points are computed once.

    Args:
        points: ``[P, D]``, P >= k.
        k: smallest size; groups grow to 2k-1 at most. The last k-1 points or fewer join the groups of nearest mean, and a
            group that has 2k and more by that is halved.
        seed: nothing is drawn; ignored.
        compat: the published algorithm is what there is; ignored.
        gamma: a point joins if its distance to the group is below ``gamma`` times that to the nearest point without one.

    Returns:
        int64 ``[P]``.
    """
    left = Remaining(points)
    centre = left.mean
    while left.count >= k:
        left.compact()
        first = left.farthest(left.distances(centre))
        from_first = left.distances(left.point(first))
        from_first[first] = -np.inf
        members = left.nearest(from_first, k)
        left.group(members)
        _extended(left, members, k, gamma)
    return halved(points, _joined(points, left.labels), k)


def _extended(left: Remaining, members: Labels, k: int, gamma: float) -> None:
    """Lets near points join the newest group, up to 2k-1."""
    label, to_group = left.groups - 1, _apart(left, members[0])
    for member in members[1:]:
        to_group = np.minimum(to_group, _apart(left, member))
    for _ in range(k - 1):
        if left.count < 2:
            return
        candidate = int(left.nearest(to_group, 1)[0])
        others = _apart(left, candidate)
        others[candidate] = np.inf
        outside = others[left.nearest(others, 1)[0]]
        if to_group[candidate] >= gamma**2 * outside:
            return
        left.group(np.array([candidate]), label)
        others[candidate] = 0
        to_group = np.minimum(to_group, others)


def _apart(left: Remaining, at: int) -> Floats:
    """Squared distances of all points to one of them, without the constant left out elsewhere."""
    point = left.point(at)
    distances: Floats = np.maximum(left.distances(point) + point @ point, 0)
    return distances


def _joined(points: Floats, labels: Labels) -> Labels:
    """Labels where those without a group join the one with the nearest mean."""
    without, grouped = np.flatnonzero(labels < 0), labels >= 0
    if len(without):
        means = sums_of(points[grouped], labels[grouped]) / np.bincount(labels[grouped])[:, None]
        for row in without:
            labels[row] = np.square(means - points[row]).sum(1).argmin()
    return labels
