"""Groups of two by minimum-weight matching, which leaves no pair of pairs to be improved."""

from __future__ import annotations

import numpy as np

from anonymizers.kanonymity.clustering.blocks import apart
from anonymizers.kanonymity.clustering.cycles import joining
from anonymizers.kanonymity.clustering.groups import Floats, sums_of
from anonymizers.kanonymity.clustering.sizes import Labels
from anonymizers.kanonymity.clustering.threads import one_thread
from benchmark.errors import EntrantError

NEIGHBOURS = 12
"""Partners considered for each person, the nearest; 20 gave no better pairs on face embeddings."""
POINTS = 2048
"""Persons matched together; of more, blocks are matched by themselves."""
STEPS = 2**40
"""Weights are whole numbers, this many for the largest squared distance."""


@one_thread
def matching(points: Floats, k: int, seed: int, compat: bool) -> Labels:
    """Pairs persons so that the sum of squared distances is smallest; an odd one joins the pair it costs least.

    Args:
        points: float64 ``[P, D]``, P >= 2.
        k: 2.
        seed: of the borders of blocks, where there are more than ``POINTS`` persons.
        compat: nothing was published under this name; ignored.

    Returns:
        int64 ``[P]``.

    Raises:
        EntrantError: k is not 2.
    """
    if k != 2:
        raise EntrantError(f"partition 'matching' makes pairs, and k={k} was asked: use k=2 or partition=best")
    return apart(points, 2, POINTS, np.random.default_rng(seed), _matched)


def _matched(points: Floats) -> Labels:
    """Labels of one block, ``[B]``."""
    labels = np.full(len(points), -1, dtype=np.int64)
    pairs = _pairs(points)
    if len(pairs):
        labels[pairs] = np.arange(len(pairs))[:, None]
    for one, other in zip(*[iter(_in_order(points, np.flatnonzero(labels < 0)))] * 2, strict=False):
        labels[[one, other]] = labels.max() + 1
    if (odd := np.flatnonzero(labels < 0)).size:
        paired = labels >= 0
        sums = sums_of(points[paired], labels[paired])
        labels[odd] = joining(points[odd], sums, np.full(len(sums), 2.0)).argmin(1)
    return labels


def _pairs(points: Floats) -> Labels:
    """Pairs of a minimum-weight matching among those of most pairs in the graph of nearest neighbours, ``[M, 2]``."""
    import rustworkx

    ends, squares = _edges(points)
    weights = STEPS + 1 - np.rint(squares / (squares.max() or 1.0) * STEPS).astype(np.int64)
    graph = rustworkx.PyGraph[None, int](multigraph=False)
    graph.add_nodes_from([None] * len(points))
    graph.add_edges_from(
        [(one, other, weight) for (one, other), weight in zip(ends.tolist(), weights.tolist(), strict=True)]
    )
    found = rustworkx.max_weight_matching(graph, max_cardinality=True, weight_fn=int)
    return np.array(sorted(sorted(pair) for pair in found), dtype=np.int64).reshape(-1, 2)


def _edges(points: Floats) -> tuple[Labels, Floats]:
    """Edges of the graph of nearest neighbours, ``[E, 2]``, each once, and their squared lengths, ``[E]``."""
    squares = np.square(points).sum(1)
    distances = np.maximum(squares[:, None] - 2 * (points @ points.T) + squares, 0)
    np.fill_diagonal(distances, np.inf)
    count = min(NEIGHBOURS, len(points) - 1)
    nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
    ends = np.column_stack([np.repeat(np.arange(len(points)), count), nearest.ravel()])
    ends = np.unique(np.sort(ends, axis=1), axis=0)
    return ends, distances[ends[:, 0], ends[:, 1]]


def _in_order(points: Floats, rows: Labels) -> Labels:
    """Persons left over, along the direction of most variance, so that neighbours in the list are near each other."""
    if len(rows) < 3:
        return rows
    inside = points[rows] - points[rows].mean(0)
    along = inside @ np.linalg.svd(inside, full_matrices=False)[2][0]
    return rows[np.argsort(along, kind="stable")]
