"""The formulas, over arrays with one row per person of a group. Points are embeddings, distances Euclidean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def numbered(labels: Ints) -> Ints:
    """Labels of any values as 0, 1, ... in their order, int64 ``[P]``."""
    found: Ints = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return found


def joined(labels: list[Ints]) -> Ints:
    """One label per combination of several, int64 ``[P]``."""
    found: Ints = np.unique(np.stack(labels, 1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return found


def pure(values: Ints, group: Ints) -> Bools:
    """Whether all members of a person's group have the same value, bool ``[P]``."""
    group = numbered(group)
    kinds = np.unique(np.stack([group, values], 1), axis=0)
    found: Bools = np.bincount(kinds[:, 0])[group] == 1
    return found


def re_identified(distance: Floats, threshold: float) -> Bools:
    """Whether a person is matched with the surrogate of the group: at most ``threshold`` away, bool ``[P]``."""
    found: Bools = distance <= threshold
    return found


def above_bound(matched: Bools, group: Ints) -> Bools:
    """Groups of which more than one over their size is matched, which is more than one person, bool ``[G]``."""
    found: Bools = np.bincount(numbered(group), matched) > 1
    return found


def sum_of_squares(points: Floats) -> float:
    """Squared distances to the mean, summed; points are ``[P, D]``."""
    return float(((points - points.mean(0)) ** 2).sum())


def sse_over_sst(points: Floats, group: Ints) -> float:
    """Sum of squares within groups over the sum of squares of all; 0 where all points are the same."""
    within = sum(sum_of_squares(points[group == number]) for number in np.unique(group))
    whole = sum_of_squares(points)
    return within / whole if whole else 0.0


def silhouettes(points: Floats, group: Ints) -> Floats:
    """Sample silhouettes ``[P]`` (Rousseeuw 1987); 2 to P - 1 groups. Of a group of one it is 0."""
    from sklearn.metrics import silhouette_samples

    found: Floats = silhouette_samples(points, group)
    return found


def rightly_named(surrogates: Floats, group: Ints, originals: Floats, group_of: Ints) -> Ints:
    """Originals that are nearest to a surrogate of their own group, int64, at most one per surrogate ``[<= S]``.

    One surrogate names one person, so where a group has one, at most one of its members is named.

    Args:
        surrogates: ``[S, D]``.
        group: int64 ``[S]``, of each surrogate.
        originals: ``[N, D]``.
        group_of: int64 ``[N]``, of each original.
    """
    from scipy.spatial.distance import cdist

    nearest: Ints = cdist(surrogates, originals).argmin(1)
    found: Ints = nearest[group_of[nearest] == group]
    return found
