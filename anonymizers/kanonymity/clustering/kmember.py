"""Greedy k-member clustering (Byun and others, 2007)."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
from scipy.spatial.distance import cdist

from anonymizers.kanonymity.clustering.sizes import Labels, Points


def k_member(points: Points, k: int, seed: int, compat: bool) -> Labels:
    """Grows groups of k, each from the person farthest from the previous seed, by whoever widens its diameter least.

    The loss of a group is its diameter, so everybody inside it costs nothing; of several the first row joins.

    Args:
        points: float64 ``[P, D]``.
        k: size of groups; fewer than k persons are left over.
        seed: of the person from whom the first seed is farthest.
        compat: as published: whoever is left over joins the last group. Otherwise the group whose diameter grows least.
    """
    labels = np.full(len(points), -1, dtype=np.int64)
    drawn = random.Random(seed).randrange if compat else np.random.default_rng(seed).integers
    previous = int(drawn(len(points)))
    for label in range(len(points) // k):
        previous = grow(points, labels, previous, k, label)
    spare(points, labels, compat)
    return labels


def row(points: Points, person: int) -> Points:
    """Distances of one person to all, float64 ``[P]``."""
    distances: Points = cdist(points[person : person + 1], points)[0]
    return distances


def grow(points: Points, labels: Labels, previous: int, k: int, label: int) -> int:
    """Labels the k members of one more group, in place, and returns its seed."""
    left = np.flatnonzero(labels < 0)
    away = row(points, previous)[left]
    member = seed = int(left[len(left) - 1 - np.argmax(away[::-1])])  # of several farthest the last
    widest, diameter = np.zeros(len(points)), 0.0
    labels[seed] = label
    for _ in range(k - 1):
        np.maximum(widest, row(points, member), out=widest)
        left = left[left != member]
        increase = np.maximum(widest[left], diameter) - diameter
        member = int(left[np.argmin(increase)])
        diameter = max(diameter, float(widest[member]))
        labels[member] = label
    return seed


def spare(points: Points, labels: Labels, compat: bool) -> None:
    """Labels who is left over, the last row first, in place."""
    groups = int(labels.max()) + 1
    for person in np.flatnonzero(labels < 0)[::-1]:
        labels[person] = groups - 1 if compat else least_widened(points, labels, int(person), groups)


def least_widened(points: Points, labels: Labels, person: int, groups: int) -> int:
    """Group whose diameter grows least with one more person; of several that where the farthest member is nearest."""
    reach = np.zeros(groups)
    grouped = np.flatnonzero(labels >= 0)
    np.maximum.at(reach, labels[grouped], row(points, person)[grouped])
    increase = np.maximum(reach - diameters(points, labels, groups), 0)
    return int(np.lexsort((reach, increase))[0])


def diameters(points: Points, labels: Labels, groups: int) -> Points:
    """Largest distance within each group, float64 ``[G]``."""
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(groups + 1))
    members = (points[order[start:end]] for start, end in pairwise(bounds))
    return np.array([cdist(group, group).max() for group in members])
