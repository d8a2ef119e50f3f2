"""Cyclic exchange: every group offers one member, and an assignment says who takes whom.

A swap of two persons is the smallest change that keeps all sizes. Longer cycles (a to B, b to C, c to A) help where no
swap does. With one member of each group offered, the change in SSE is a sum of terms of one person and one group, so
that the best of all G! ways to give the members back is a linear assignment, solved exactly.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from anonymizers.kanonymity.clustering.groups import Floats, members_of, sums_of
from anonymizers.kanonymity.clustering.sizes import Labels


def joining(points: Floats, sums: Floats, sizes: Floats) -> Floats:
    """Change in SSE when a point joins a group that it is not in.

    Args:
        points: ``[Q, D]``.
        sums: sums of the members of the groups, ``[G, D]``.
        sizes: numbers of members, at least 1, ``[G]``.

    Returns:
        float64 ``[Q, G]``, ``m / (m + 1) * |x - mean|^2``.
    """
    means = sums / sizes[:, None]
    distances = np.square(points).sum(1)[:, None] - 2 * (points @ means.T) + np.square(means).sum(1)
    changes: Floats = distances * (sizes / (sizes + 1))
    return changes


def exchange(points: Floats, labels: Labels, heats: Floats, rng: np.random.Generator) -> Labels:
    """Exchanges members of groups along cycles; sizes stay as they are.

    Args:
        points: ``[N, D]``.
        labels: groups 0..G-1 of at least two members each, ``[N]``.
        heats: for each round, in which every group offers a member, the standard deviation of the noise on the changes
            in SSE, in units of SSE. A round with heat 0 never raises the SSE.
        rng: picks the members offered, and draws the noise.

    Returns:
        New labels, int64 ``[N]``.
    """
    table, sizes = members_of(labels)
    if len(sizes) < 2:
        return labels.copy()
    rows, sums = np.arange(len(sizes)), sums_of(points, labels)
    for heat in heats:
        column = (rng.random(len(sizes)) * sizes).astype(np.int64)
        offered = table[rows, column]
        given = points[offered]
        sums -= given
        target = _assigned(joining(given, sums, sizes - 1.0), heat, rng)
        sums[target] += given
        table[target, column[target]] = offered
    return _labels_from(table, sizes)


def _assigned(changes: Floats, heat: np.floating, rng: np.random.Generator) -> Labels:
    """The group of each offered member."""
    if heat > 0:
        changes = changes + heat * rng.standard_normal(changes.shape, dtype=np.float32)
    target: Labels = linear_sum_assignment(changes)[1]
    return target


def _labels_from(table: Labels, sizes: Labels) -> Labels:
    taken = np.arange(table.shape[1]) < sizes[:, None]
    labels = np.empty(int(sizes.sum()), dtype=np.int64)
    labels[table[taken]] = np.repeat(np.arange(len(sizes)), sizes)
    return labels
