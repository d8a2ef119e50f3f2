"""What all partitions share: the types, the sizes of groups, and how many persons a square of distances is made for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import EntrantError

Points = NDArray[np.float64]
"""Embeddings ``[P, D]``, one row per person."""
Labels = NDArray[np.int64]
"""Group of each person, ``[P]``, from 0."""

LARGEST_SQUARE = 20_000
"""Persons for whom all pairwise distances are held at once: 3.2 GB in float64."""


def target_sizes(count: int, k: int) -> Labels:
    """Sizes of ``count // k`` groups that differ by one person at most, the larger first; int64 ``[G]``."""
    groups = count // k
    size, larger = divmod(count, groups)
    return np.array([size + 1] * larger + [size] * (groups - larger), dtype=np.int64)


def refuse_square(count: int, method: str) -> None:
    """Refuses to compare all persons with each other where there are too many.

    Raises:
        EntrantError: ``count`` is above ``LARGEST_SQUARE``.
    """
    if count > LARGEST_SQUARE:
        raise EntrantError(
            f"partition {method!r} compares all pairs of at most {LARGEST_SQUARE} persons, and there are {count}: "
            "use partition=best, which works in blocks"
        )


def squared_distances(points: Points, centre: Points) -> Points:
    """Squared Euclidean distances of ``[P, D]`` to one row ``[D]``, float64 ``[P]``."""
    apart = points - centre
    squares: Points = np.einsum("pd,pd->p", apart, apart)
    return squares


def group_means(points: Points, labels: Labels, groups: int) -> Points:
    """Mean of the members of each group, float64 ``[G, D]``; persons of label -1 count nowhere."""
    from scipy.sparse import csr_array

    member = np.flatnonzero(labels >= 0)
    counts = np.bincount(labels[member], minlength=groups)
    shape = (groups, len(points))
    weights = csr_array((1 / counts[labels[member]], (labels[member], member)), shape=shape)
    return np.asarray(weights @ points)
