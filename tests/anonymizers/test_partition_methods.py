"""Methods of partition one by one: brute-force versions, closed forms, and their published bugs."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import cdist

from anonymizers.kanonymity.clustering.chance import chance
from anonymizers.kanonymity.clustering.hierarchical import biggest_cluster, hierarchical, single_tree_raw
from anonymizers.kanonymity.clustering.kmeans import fill, queue
from anonymizers.kanonymity.clustering.kmember import k_member
from anonymizers.kanonymity.clustering.nearest import nearest
from anonymizers.kanonymity.clustering.oka import Clusters, level
from anonymizers.kanonymity.clustering.sizes import target_sizes
from anonymizers.kanonymity.partition import partition


@st.composite
def crowds(draw: st.DrawFn, largest_k: int = 7) -> tuple[np.ndarray, int]:
    """Points and a possible k; from a coarse grid, so that persons coincide and distances tie, or from anywhere."""
    k = draw(st.integers(2, largest_k))
    shape = draw(st.integers(k, 5 * k)), draw(st.integers(1, 4))
    numbers = st.integers(-2, 2) if draw(st.booleans()) else st.floats(-1e3, 1e3, width=32)
    return draw(arrays(np.float64, shape, elements=numbers.map(float))), k


def drawn(count: int, dimensions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimensions))


def cut_by_cut(points: np.ndarray, k: int, method: str) -> np.ndarray:
    """HP as published, by scipy's cuts of a new tree for every group."""
    targets = target_sizes(len(points), k)
    labels = np.full(len(points), len(targets) - 1)
    left = np.arange(len(points))
    for label, size in enumerate(targets[1:]):
        tree, clusters = linkage(points[left], method), 2 * math.ceil(len(left) / targets[-1])
        while np.bincount(cut := cut_tree(tree, clusters)[:, 0]).max() < size:
            clusters -= 1
        taken = np.flatnonzero(cut == np.argmax(np.bincount(cut)))[:size]
        labels[left[taken]] = label
        left = np.delete(left, taken)
    return labels


@pytest.mark.parametrize("method", ["ward", "average", "complete", "single", "weighted"])
@settings(max_examples=30, deadline=None)
@given(count=st.integers(4, 60), seed=st.integers(0, 10**6), data=st.data())
def test_hp_is_what_cuts_of_scipy_give(method, count, seed, data):
    k = data.draw(st.integers(2, count // 2))
    points = drawn(count, 3, seed)
    assert np.array_equal(hierarchical(points, k, 0, True, method), cut_by_cut(points, k, method))


def test_of_equally_big_clusters_that_of_the_first_leaf_counts():
    tree = linkage(np.array([[10.0], [0.0], [10.5], [0.1]]), "ward")
    assert biggest_cluster(tree, 2, 2).tolist() == [0, 2]
    assert biggest_cluster(tree, 9, 2).tolist() == [1, 3], "the finest cut is the first merge"


def test_hp_keeps_the_nearest_members_or_as_published_the_first():
    """Two pairs become a cluster of four, of which three are kept."""
    points = np.array([[1.15], [0.0], [0.1], [1.0], [90.0], [95.0], [99.0], [200.0], [205.0]])
    assert hierarchical(points, 3, 0, False).tolist() == [2, 0, 0, 0, 1, 1, 1, 2, 2]
    assert hierarchical(points, 3, 0, True).tolist() == [0, 0, 0, 2, 1, 1, 1, 2, 2]


def test_hp_as_published_leaves_the_first_target_size_for_the_remainder():
    points = np.array([[0.0], [0.1], [0.2], [50.0], [50.1], [50.2], [99.0]])
    assert np.bincount(hierarchical(points, 3, 0, False)).tolist() == [4, 3]
    assert np.bincount(hierarchical(points, 3, 0, True)).tolist() == [3, 4]


@settings(max_examples=60, deadline=None)
@given(crowd=crowds())
def test_a_single_tree_leaves_fewer_than_k_out(crowd):
    points, k = crowd
    labels = single_tree_raw(points, k)
    sizes = np.bincount(labels[labels >= 0])
    assert sizes.min() >= k
    assert sizes.max() <= 2 * k - 2
    assert np.sum(labels < 0) < k


def test_whoever_a_single_tree_leaves_out_joins_the_nearest_group():
    points = np.array([[0.0], [0.1], [5.0], [5.2], [99.0]])
    assert single_tree_raw(points, 2).tolist() == [0, 0, 1, 1, -1]
    assert partition(points, 2, "hp-v2").tolist() == [0, 0, 1, 1, 1]


def test_persons_take_the_least_cost_that_has_room():
    costs = np.array([[1.0, 2.0, 9.0], [1.0, 3.0, 4.0], [1.0, 3.0, 2.0], [5.0, 1.0, 0.0]])
    assert fill(costs.copy(), np.array([0, 1, 2, 3]), np.array([1, 2, 1])).tolist() == [0, 1, 2, 1]
    assert fill(costs.copy(), np.array([3, 2, 1, 0]), np.array([1, 2, 1])).tolist() == [1, 1, 0, 2]


@pytest.mark.parametrize(
    ("order", "first"), [("elki", [0, 2, 1]), ("max", [2, 0, 1]), ("min", [1, 0, 2])], ids=["elki", "max", "min"]
)
def test_who_chooses_first(order, first):
    distances = np.array([[1.0, 8.0], [0.5, 1.0], [4.0, 9.0]])
    assert queue(distances, order, 0, False).tolist() == first


def test_kmeans_as_published_sends_persons_to_the_farthest_centroid():
    points = drawn(200, 3, 5)
    published, mended = (within(points, partition(points, 5, "kmeans", compat=compat)) for compat in (True, False))
    assert published > 1.2 * mended


def within(points: np.ndarray, labels: np.ndarray) -> float:
    """Sum of squared distances to the means of the groups."""
    return sum(
        float(((group - group.mean(0)) ** 2).sum()) for group in (points[labels == g] for g in np.unique(labels))
    )


def seeds_and_neighbours(points: np.ndarray, k: int, rule: str) -> np.ndarray:
    """kNN partition with all distances, added up anew for every group."""
    square, labels = cdist(points, points), np.full(len(points), -1)
    for label, size in enumerate(target_sizes(len(points), k)):
        left = [person for person in range(len(points)) if labels[person] < 0]
        sums = {person: sum(square[person, other] for other in left) for person in left}
        start = (max if rule == "max" else min)(left, key=sums.__getitem__)
        labels[sorted(left, key=lambda other, start=start: square[start, other])[:size]] = label
    return labels


@pytest.mark.parametrize("rule", ["max", "min"])
@settings(max_examples=30, deadline=None)
@given(count=st.integers(4, 50), seed=st.integers(0, 10**6), data=st.data())
def test_knn_is_what_summing_anew_gives(rule, count, seed, data):
    k = data.draw(st.integers(2, count // 2))
    points = drawn(count, 3, seed)
    assert np.array_equal(nearest(points, k, 0, True, rule), seeds_and_neighbours(points, k, rule))


def widest(square: np.ndarray, members: list[int]) -> float:
    return max(square[a, b] for a in members for b in members)


def member_by_member(points: np.ndarray, k: int, start: int) -> list[list[int]]:
    """Groups of k-member and who is left over, the diameter of every candidate group computed anew."""
    square, left, groups, seed = cdist(points, points), list(range(len(points))), [], start
    while len(left) >= k:
        seed = max(left, key=lambda person, seed=seed: (square[seed, person], person))
        group = [seed]
        left.remove(seed)
        while len(group) < k:
            before = widest(square, group)
            group.append(min(left, key=lambda person, g=group, b=before: max(widest(square, [*g, person]) - b, 0)))
            left.remove(group[-1])
        groups.append(group)
    return [*groups, left]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(6, 30), k=st.integers(2, 5), seed=st.integers(0, 10**6))
def test_k_member_is_what_all_diameters_give(count, k, seed):
    if count < 2 * k:
        return
    points = drawn(count, 2, seed)
    start = random.Random(seed).randrange(count)
    *groups, left = member_by_member(points, k, start)
    labels = k_member(points, k, seed, True)
    assert all(set(labels[group]) == {label} for label, group in enumerate(groups))
    assert set(labels[left]) <= {len(groups) - 1}, "as published all who are left over join the last group"


def test_k_member_left_overs_join_the_group_that_widens_least():
    points = np.array([[0.0], [1.0], [2.0], [50.0], [51.0], [52.0], [80.0], [81.0], [82.0], [26.5], [76.0]])
    square = cdist(points, points)
    for seed in range(5):
        *groups, left = member_by_member(points, 3, int(np.random.default_rng(seed).integers(11)))
        for person in sorted(left, reverse=True):
            growth = [widest(square, [*group, person]) - widest(square, group) for group in groups]
            groups[int(np.argmin(growth))].append(person)
        labels = k_member(points, 3, seed, False)
        assert all(set(labels[group]) == {label} for label, group in enumerate(groups))


def test_a_centroid_of_oka_is_a_vector_and_as_published_one_number():
    points = np.array([[1.0, -1.0], [3.0, -3.0], [4.0, 6.0]])
    members, sums = [[0, 1], [2]], np.array([[4.0, -4.0], [4.0, 6.0]])
    assert Clusters(points, False, members, sums).centroids([0, 1]).tolist() == [[2.0, -2.0], [4.0, 6.0]]
    assert Clusters(points, True, members, sums).centroids([0, 1]).tolist() == [[0.0], [5.0]]


def test_the_farthest_members_of_a_big_cluster_of_oka_fill_a_small_one():
    """The mean of the first six is 0.35, so 0.9 and 0.0 are farthest from it; the farthest goes first."""
    points = np.array([[0.0], [0.1], [0.2], [0.3], [0.6], [0.9], [9.0], [9.1]])
    clusters = Clusters(points, False, [[0, 1, 2, 3, 4, 5], [6, 7]], np.array([[2.1], [18.1]]))
    level(clusters, 4)
    assert clusters.members == [[1, 2, 3, 4], [6, 7, 5, 0]]
    assert clusters.order == [0, 1]


def test_chance_is_even():
    """The same two of four persons share a group of two in a third of all draws."""
    together = sum(labels[0] == labels[1] for labels in (chance(np.zeros((4, 1)), 2, s, False) for s in range(600)))
    assert abs(together / 600 - 1 / 3) < 4 * math.sqrt(2 / 9 / 600)
