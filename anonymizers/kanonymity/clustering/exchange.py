"""Local search on top of any partition: cyclic exchange, swaps of two persons, transfers of one.

Nothing here makes a group smaller than k, and nothing raises the SSE.
"""

from __future__ import annotations

import numpy as np

from anonymizers.kanonymity.clustering.blocks import standardised
from anonymizers.kanonymity.clustering.cycles import exchange, joining
from anonymizers.kanonymity.clustering.groups import Floats, sse, sums_of
from anonymizers.kanonymity.clustering.search import groups_of_a_block, in_blocks
from anonymizers.kanonymity.clustering.sizes import Labels
from anonymizers.kanonymity.clustering.threads import one_thread

TOLERANCE = 1e-9
"""Smallest gain worth an exchange, in units of the mean squared norm: above the rounding of float64."""
CANDIDATES = 1024
"""Points that may take part in a sweep of swaps; of more, those that other groups attract most."""
OFFERS = 5
"""How often each member is offered to other groups before it is asked whether that still helps."""
STALLED = 1e-3
"""Relative gain below which cyclic exchange ends."""
SWEEPS = 50
"""Sweeps of transfers and swaps over one block, at most; a thousand faces need about ten."""
PASSES = 4
"""How often the borders move where there are several blocks."""


@one_thread
def improve(points: Floats, labels: Labels, k: int, seed: int) -> Labels:
    """Lowers the SSE of a partition by exchanging members between groups.

    Groups of 2k and more are halved first. Transfers change sizes within k..2k-1. Where there are more groups than a block
    takes, blocks of neighbouring groups are searched by themselves, several times with other borders.

    Args:
        points: ``[P, D]``.
        labels: groups 0..G-1 of at least k each, ``[P]``.
        k: smallest size of a group, 2 or more.
        seed: of the order in which exchanges are tried.

    Returns:
        New labels, int64 ``[P]``; groups of k..2k-1, and an SSE not above that of ``labels``.
    """
    rng = np.random.default_rng(seed)
    labels = halved(points, labels, k)
    several = labels.max() >= groups_of_a_block(k)
    for _ in range(PASSES if several else 1):
        labels = in_blocks(points, labels, groups_of_a_block(k), rng, lambda rows, own: settled(rows, own, k, rng))
    return labels


def halved(points: Floats, labels: Labels, k: int) -> Labels:
    """Cuts groups of 2k and more into halves, across their longest direction, until there are none."""
    labels = labels.copy()
    while (sizes := np.bincount(labels)).max() >= 2 * k:
        for group in np.flatnonzero(sizes >= 2 * k):
            rows = np.flatnonzero(labels == group)
            inside = standardised(points[rows])
            along = inside @ np.linalg.svd(inside, full_matrices=False)[2][0]
            labels[rows[np.argsort(along, kind="stable")[len(rows) // 2 :]]] = labels.max() + 1
    return labels


def settled(points: Floats, labels: Labels, k: int, rng: np.random.Generator) -> Labels:
    """Searches one block until neither a swap nor a transfer helps, or for ``SWEEPS`` sweeps.

    Args:
        points: standardised, ``[B, D]``.
        labels: groups 0..G-1 of k..2k-1 each, ``[B]``.
        k: smallest size of a group.
        rng: picks the members offered in cyclic exchange.

    Returns:
        New labels of the same number of groups, int64 ``[B]``.
    """
    labels = cycled(points, labels, k, rng)
    for _ in range(SWEEPS):
        labels, given = transferred(points, labels, k)
        labels, taken = swapped(points, labels)
        if not given + taken:
            break
    return labels


def cycled(points: Floats, labels: Labels, k: int, rng: np.random.Generator) -> Labels:
    """Exchanges members along cycles as long as that gains something."""
    before = sse(points, labels)
    while before > 0:
        found = exchange(points, labels, np.zeros(OFFERS * k), rng)
        after = sse(points, found)
        labels = found if after < before else labels
        if after > (1 - STALLED) * before:
            break
        before = after
    return labels


def swapped(points: Floats, labels: Labels) -> tuple[Labels, int]:
    """Swaps pairs of persons, the best first, each group at most once.

    Args:
        points: standardised, ``[B, D]``.
        labels: groups 0..G-1, ``[B]``.

    Returns:
        New labels and the number of swaps.
    """
    rows = eager(points, labels)
    changes = swap_changes(points, labels, rows)
    partner = changes.argmin(1)
    change = changes[np.arange(len(rows)), partner]
    labels = labels.copy()
    used: set[int] = set()
    for at in np.argsort(change, kind="stable")[: np.count_nonzero(change < -TOLERANCE)]:
        one, other = rows[at], rows[partner[at]]
        pair = {int(labels[one]), int(labels[other])}
        if used.isdisjoint(pair):
            used |= pair
            labels[one], labels[other] = labels[other], labels[one]
    return labels, len(used) // 2


def swap_changes(points: Floats, labels: Labels, rows: Labels) -> Floats:
    """Change in SSE when two persons swap their groups.

    Args:
        points: ``[B, D]``.
        labels: groups 0..G-1, ``[B]``.
        rows: the persons that may swap, ``[Q]``.

    Returns:
        float64 ``[Q, Q]``; infinite for persons of the same group.
    """
    sizes, own, some = np.bincount(labels), labels[rows], points[rows]
    nearer = attraction(points, labels)[rows][:, own]
    squares = np.square(some).sum(1)
    between = squares[:, None] - 2 * (some @ some.T) + squares
    share = 1 / sizes[own]
    changes: Floats = -(nearer + nearer.T) - between * (share[:, None] + share)
    changes[own[:, None] == own] = np.inf
    return changes


def attraction(points: Floats, labels: Labels) -> Floats:
    """How much nearer the mean of each group is than that of a person's own, in squared distance; ``[B, G]``."""
    means = sums_of(points, labels) / np.bincount(labels)[:, None]
    distances = np.square(means).sum(1) - 2 * (points @ means.T)
    nearer: Floats = distances[np.arange(len(points)), labels][:, None] - distances
    return nearer


def eager(points: Floats, labels: Labels) -> Labels:
    """The persons that may swap: all, or the ``CANDIDATES`` that another group attracts most; in ascending order."""
    if len(points) <= CANDIDATES:
        return np.arange(len(points))
    nearer = attraction(points, labels)
    nearer[np.arange(len(points)), labels] = -np.inf
    return np.sort(np.argsort(-nearer.max(1), kind="stable")[:CANDIDATES])


def transferred(points: Floats, labels: Labels, k: int) -> tuple[Labels, int]:
    """Moves persons out of groups of more than k, the best first, each group at most once.

    Args:
        points: standardised, ``[B, D]``.
        labels: groups 0..G-1 of at least k, ``[B]``.
        k: smallest size of a group.

    Returns:
        New labels, where no group has grown beyond 2k-1, and the number of transfers.
    """
    sizes = np.bincount(labels)
    rows = np.flatnonzero(sizes[labels] > k)
    labels = labels.copy()
    if not len(rows) or len(sizes) < 2:
        return labels, 0
    changes = transfer_changes(points, labels, rows)
    changes[:, sizes >= 2 * k - 1] = np.inf
    target = changes.argmin(1)
    change = changes[np.arange(len(rows)), target]
    used: set[int] = set()
    for at in np.argsort(change, kind="stable")[: np.count_nonzero(change < -TOLERANCE)]:
        pair = {int(labels[rows[at]]), int(target[at])}
        if used.isdisjoint(pair):
            used |= pair
            labels[rows[at]] = target[at]
    return labels, len(used) // 2


def transfer_changes(points: Floats, labels: Labels, rows: Labels) -> Floats:
    """Change in SSE when a person moves to another group.

    Args:
        points: ``[B, D]``.
        labels: groups 0..G-1, ``[B]``.
        rows: the persons that may move, of groups of at least two, ``[Q]``.

    Returns:
        float64 ``[Q, G]``; infinite for a person's own group.
    """
    sizes, sums = np.bincount(labels).astype(np.float64), sums_of(points, labels)
    some, own = points[rows], labels[rows]
    away = np.square(some - sums[own] / sizes[own, None]).sum(1) * (sizes[own] / (sizes[own] - 1))
    changes: Floats = joining(some, sums, sizes) - away[:, None]
    changes[np.arange(len(rows)), own] = np.inf
    return changes
