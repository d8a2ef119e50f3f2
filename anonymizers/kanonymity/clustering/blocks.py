"""Cutting many points into blocks of neighbours, so that nothing needs all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from anonymizers.kanonymity.clustering.groups import CHUNK, Floats, sums_of
from anonymizers.kanonymity.clustering.sizes import Labels

SAMPLE = 1024
"""Points that a direction of a cut is taken from."""


def cut(points: Floats, size: int, rng: np.random.Generator, multiple: int = 1) -> list[Labels]:
    """Cuts points into blocks by balanced bisection.

    Each cut is across a random direction, drawn towards those of much variance: another generator gives other borders.

    Args:
        points: ``[N, D]``.
        size: points in a block at most; at least ``2 * multiple``.
        rng: draws directions.
        multiple: all blocks but the last hold a multiple of this many points; the last up to ``multiple - 1`` more.

    Returns:
        Indices of the points of each block, in ascending order.
    """
    waiting, blocks = [np.arange(len(points))], []
    while waiting:
        rows = waiting.pop()
        half = len(rows) // multiple // 2 * multiple
        if len(rows) <= size or half == 0:
            blocks.append(np.sort(rows))
            continue
        order = np.argpartition(_projected(points, rows, _direction(points, rows, rng)), half)
        waiting += [rows[order[half:]], rows[order[:half]]]
    return blocks


def _direction(points: Floats, rows: Labels, rng: np.random.Generator) -> Floats:
    sample = points[rows[rng.integers(len(rows), size=SAMPLE)] if len(rows) > SAMPLE else rows].astype(np.float64)
    sample -= sample.mean(0)
    direction: Floats = (sample @ rng.standard_normal(sample.shape[1])) @ sample
    return direction


def _projected(points: Floats, rows: Labels, direction: Floats) -> Floats:
    direction = direction.astype(points.dtype)
    return np.concatenate([points[rows[at : at + CHUNK]] @ direction for at in range(0, len(rows), CHUNK)])


def apart(points: Floats, k: int, size: int, rng: np.random.Generator, method: Callable[[Floats], Labels]) -> Labels:
    """Partitions every block by itself.

    Args:
        points: ``[N, D]``, N at least k.
        k: smallest size of a group.
        size: points in a block, about.
        rng: draws the cuts.
        method: float64 points ``[B, D]``, B at least k, to labels ``[B]``.

    Returns:
        int64 ``[N]``.
    """
    labels = np.empty(len(points), dtype=np.int64)
    count = 0
    for rows in cut(points, max(size, 2 * k), rng, multiple=k):
        inside = method(standardised(points[rows]))
        labels[rows] = count + inside
        count += int(inside.max()) + 1
    return labels


def neighbouring(
    points: Floats, labels: Labels, groups: int, rng: np.random.Generator
) -> Iterator[tuple[Labels, Labels]]:
    """Blocks of whole groups that lie near each other; every group is in exactly one.

    Args:
        points: ``[N, D]``.
        labels: groups 0..G-1, ``[N]``.
        groups: groups in a block at most, 2 or more.
        rng: draws the borders.

    Yields:
        Indices of the points of a block, ``[B]``, and their groups, ``[B]``, both in the order of the groups.
    """
    sizes = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    starts = np.cumsum(sizes) - sizes
    means = sums_of(points, labels) / sizes[:, None]
    for block in cut(means, groups, rng):
        rows = np.concatenate([order[starts[group] : starts[group] + sizes[group]] for group in block])
        yield rows, np.repeat(block, sizes[block])


def standardised(points: Floats) -> Floats:
    """Float64 points with mean 0 and mean squared norm 1 (0 where all are equal), so that tolerances have a unit."""
    centred = points.astype(np.float64)
    centred -= centred.mean(0)
    spread = float(np.sqrt(np.square(centred).sum(1).mean()))
    scaled: Floats = centred / spread if spread > 0 else centred
    return scaled
