"""Divides persons into groups of at least k by their embeddings: one door to every way of doing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymizers.kanonymity.clustering.sizes import LARGEST_SQUARE, Labels, Points
from benchmark.errors import EntrantError, did_you_mean

Method = Callable[[Points, int, int, bool], Labels]
"""``method(points, k, seed, compat)``: float64 ``[P, D]`` with P >= 2k to groups 0..G-1, int64 ``[P]``."""

LOCAL_SEARCH = "+exchange"
"""Ends the name of a method whose groups exchange members afterwards, while that lowers the sum of squares."""


def lazily(module: str, function: str, *settings: str) -> Method:
    """A method that imports its module when it is called."""

    def method(points: Points, k: int, seed: int, compat: bool) -> Labels:
        found = getattr(import_module(f"anonymizers.kanonymity.clustering.{module}"), function)
        labels: Labels = found(points, k, seed, compat, *settings)
        return labels

    return method


METHODS: dict[str, Method] = {
    "best": lazily("best", "best"),
    "flow": lazily("flow", "flow"),
    "hp": lazily("hierarchical", "hierarchical"),
    "hp-average": lazily("hierarchical", "hierarchical", "average"),
    "hp-complete": lazily("hierarchical", "hierarchical", "complete"),
    "hp-single": lazily("hierarchical", "hierarchical", "single"),
    "hp-v2": lazily("hierarchical", "single_tree"),
    "hp-weighted": lazily("hierarchical", "hierarchical", "weighted"),
    "k-member": lazily("kmember", "k_member"),
    "kmeans": lazily("kmeans", "kmeans"),
    "kmeans-max": lazily("kmeans", "kmeans", "max"),
    "kmeans-min": lazily("kmeans", "kmeans", "min"),
    "kmeans-random": lazily("kmeans", "kmeans", "random"),
    "knn": lazily("nearest", "nearest"),
    "knn-max": lazily("nearest", "nearest", "max"),
    "knn-min": lazily("nearest", "nearest", "min"),
    "matching": lazily("matching", "matching"),
    "mdav": lazily("mdav", "mdav"),
    "oka": lazily("oka", "oka"),
    "random": lazily("chance", "chance"),
    "v-mdav": lazily("mdav", "v_mdav"),
}
"""Ways to divide persons, by name. Each may be followed by ``+exchange``."""

PUBLISHED = frozenset(METHODS) - {"best", "flow", "hp-v2", "matching", "mdav", "v-mdav"}
"""Methods of the authors' program that ``compat`` reproduces; it leaves the others as they are."""


def partition(points: ArrayLike, k: int, method: str = "best", *, seed: int = 0, compat: bool = False) -> Labels:
    """Divides persons into groups of at least k.

    The groups depend neither on the order of the rows nor on the origin of the space: rows are sorted, centred and scaled
    before a method sees them. Persons with the same embedding are interchangeable.

    Args:
        points: finite numbers ``[P, D]``, one row per person, P >= k.
        k: persons per group, at least; 2 or more.
        method: a name of ``METHODS``, and ``+exchange`` behind it for local search on top.
        seed: of whatever the method draws, 0 or more; the same seed gives the same groups.
        compat: as in the published program, bugs and dependence on the order of the rows included; without effect on
            methods that are not in ``PUBLISHED``.

    Returns:
        Group of each person, int64 ``[P]``, numbered 0..G-1 without gaps.

    Raises:
        EntrantError: the method is unknown, k or the embeddings will not do, or there are too many persons for the method.
    """
    run = find_method(method)
    rows = check_points(points, k)
    if len(rows) < 2 * k:
        return np.zeros(len(rows), dtype=np.int64)
    if compat and method.removesuffix(LOCAL_SEARCH) in PUBLISHED:
        return check_groups(run(scaled(rows.astype(precision(rows))), k, seed, True), len(rows), k, method)
    order = canonical_order(rows)
    labels = np.empty(len(rows), dtype=np.int64)
    labels[order] = run(moved(rows[order].astype(precision(rows), copy=False)), k, seed, False)
    return check_groups(labels, len(rows), k, method)


def partition_inside(
    points: ArrayLike,
    k: int,
    values: Sequence[object] | NDArray[np.generic],
    method: str = "best",
    *,
    seed: int = 0,
    compat: bool = False,
) -> Labels:
    """Divides persons within each value of an attribute (k-Same-Select), so that no group mixes values.

    Args:
        points: finite numbers ``[P, D]``, one row per person.
        k: persons per group, at least; 2 or more.
        values: the attribute of each person, ``[P]``.
        method: see ``partition``.
        seed: see ``partition``.
        compat: see ``partition``.

    Returns:
        Group of each person, int64 ``[P]``, numbered 0..G-1 without gaps; groups of one value are neighbours.

    Raises:
        EntrantError: a value has fewer than k persons, there are not P values, or what ``partition`` refuses.
    """
    find_method(method)
    rows = check_points(points, k)
    names, of_person = np.unique(np.array([str(value) for value in values], dtype=np.str_), return_inverse=True)
    check_values(names, of_person, len(rows), k)
    labels = np.empty(len(rows), dtype=np.int64)
    first = 0
    for value in range(len(names)):
        members = np.flatnonzero(of_person == value)
        labels[members] = first + partition(rows[members], k, method, seed=seed, compat=compat)
        first = int(labels[members].max()) + 1
    return labels


def find_method(name: str) -> Method:
    """The method of a name, with local search where the name ends in ``+exchange``.

    Raises:
        EntrantError: there is no such method.
    """
    plain = name.removesuffix(LOCAL_SEARCH)
    if plain not in METHODS:
        raise EntrantError(f"no partition is called {name!r}.{did_you_mean(plain, METHODS)}")
    return METHODS[plain] if plain == name else exchanging(METHODS[plain])


def exchanging(method: Method) -> Method:
    """The method followed by local search, which keeps the sizes of the groups at k or more."""

    def searched(points: Points, k: int, seed: int, compat: bool) -> Labels:
        from anonymizers.kanonymity.clustering.exchange import improve

        labels: Labels = improve(points, method(points, k, seed, compat), k, seed)
        return labels

    return searched


def check_points(points: ArrayLike, k: int) -> NDArray[np.floating]:
    """The embeddings as an array of floating-point numbers ``[P, D]``.

    Raises:
        EntrantError: k is below 2, there are fewer than k rows, or the array is not two-dimensional and finite.
    """
    rows = np.asarray(points)
    if rows.dtype.kind not in "fiub" or rows.ndim != 2 or not rows.shape[1]:
        raise EntrantError(
            f"embeddings of type {rows.dtype} and shape {rows.shape} cannot be divided: "
            "give finite numbers of shape [persons, dimensions]"
        )
    if k < 2:
        raise EntrantError(f"k={k} hides nobody, a group needs two persons: use k=2 or more")
    if len(rows) < k:
        remedy = f"use k={len(rows)} or less" if len(rows) > 1 else "give at least 2 persons"
        raise EntrantError(f"{len(rows)} persons are too few for groups of k={k}: {remedy}")
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise EntrantError(
            f"the embeddings of {len(broken)} of {len(rows)} persons hold NaN or infinity, the first in row {broken[0]}: "
            "leave these persons out or embed them again"
        )
    return rows if rows.dtype.kind == "f" else rows.astype(np.float64)


def check_values(names: NDArray[np.str_], of_person: NDArray[np.intp], persons: int, k: int) -> None:
    """Checks that every person has a value, and every value k persons.

    Raises:
        EntrantError: one of both is not so.
    """
    if len(of_person) != persons:
        raise EntrantError(f"there are {len(of_person)} attribute values for {persons} persons: give one per person")
    counts = np.bincount(of_person, minlength=len(names))
    rarest = int(np.argmin(counts))
    if counts[rarest] < k:
        smaller = f"use k={counts[rarest]} or less, or " if counts[rarest] > 1 else ""
        raise EntrantError(
            f"only {counts[rarest]} of {persons} persons have the attribute value {str(names[rarest])!r}, too few for "
            f"groups of k={k} inside it: {smaller}select by another attribute or none"
        )


def check_groups(labels: Labels, persons: int, k: int, method: str) -> Labels:
    """The labels, if everybody is in a group of at least k and groups are numbered without gaps.

    Raises:
        EntrantError: a method broke its promise.
    """
    if labels.shape != (persons,) or labels.min() < 0 or np.bincount(labels).min() < k:
        raise EntrantError(
            f"partition {method!r} made a group of fewer than k={k} persons: use another method, and report it"
        )
    return labels


def canonical_order(rows: NDArray[np.floating]) -> NDArray[np.intp]:
    """Rows in lexicographic order, int64 ``[P]``; a later column is looked at only where the earlier ones tie."""
    order = np.arange(len(rows))
    run = np.zeros(len(rows), dtype=np.int64)  # equal for rows that are equal so far, in the order found so far
    for column in rows.T:
        starts = np.diff(run, prepend=-1) > 0
        tied = np.flatnonzero(~(starts & np.append(starts[1:], True)))
        if not len(tied):
            break
        order[tied] = order[tied[np.lexsort((column[order[tied]], run[tied]))]]
        differs = np.diff(run, prepend=-1) > 0
        differs[1:] |= column[order[1:]] != column[order[:-1]]
        run = np.cumsum(differs) - 1
    return order


def precision(rows: NDArray[np.floating]) -> type[np.float32 | np.float64]:
    """Numbers that methods compute with: float32 is kept where it is given for so many persons that memory counts."""
    return np.float32 if rows.dtype == np.float32 and len(rows) > LARGEST_SQUARE else np.float64


def scaled(points: Points) -> Points:
    """The points scaled by a power of two, in place, so that no square overflows or vanishes."""
    largest = max(-points.min(), points.max())
    scaled_points: Points = np.ldexp(points, -int(np.frexp(largest)[1]), out=points)
    return scaled_points


def moved(points: Points) -> Points:
    """The points scaled and around their mean, in place."""
    scaled(points)
    points -= points.mean(axis=0, dtype=np.float64).astype(points.dtype)
    return points
