"""Groups of at least k: what holds for every method, planted groups, attributes, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anonymizers.kanonymity.clustering.sizes import LARGEST_SQUARE, group_means, target_sizes
from anonymizers.kanonymity.partition import METHODS, PUBLISHED, canonical_order, partition, partition_inside
from benchmark.errors import EntrantError

ROOM = "anonymizers.kanonymity.clustering"
EVERY = [*METHODS, *(f"{name}+exchange" for name in ("hp", "knn", "oka", "random"))]
UNBOUNDED = {"oka", "oka+exchange", "hp-v2"}
"""Methods that promise nothing about the largest group; the others keep to 2k - 1."""
EQUAL = ["hp", "hp-average", "kmeans", "kmeans-random", "knn", "knn-max", "random"]
SQUARES = ["hp", "hp-single", "hp-v2", "kmeans", "kmeans-random"]


@st.composite
def crowds(draw: st.DrawFn, largest_k: int = 7) -> tuple[np.ndarray, int]:
    """Points and a possible k; from a coarse grid, so that persons coincide and distances tie, or from anywhere."""
    k = draw(st.integers(2, largest_k))
    shape = draw(st.integers(k, 5 * k)), draw(st.integers(1, 4))
    numbers = st.integers(-2, 2) if draw(st.booleans()) else st.floats(-1e3, 1e3, width=32)
    return draw(arrays(np.float64, shape, elements=numbers.map(float))), k


def as_sets(points: np.ndarray, labels: np.ndarray) -> list[list[tuple[float, ...]]]:
    """Groups by what their members look like, whatever their numbers and the order of the rows."""
    rows = [tuple(row) for row in np.asarray(points).tolist()]
    groups = [[row for row, label in zip(rows, labels, strict=True) if label == group] for group in np.unique(labels)]
    return sorted(sorted(group) for group in groups)


def drawn(count: int, dimensions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimensions))


@pytest.mark.parametrize("compat", [False, True], ids=["mended", "compat"])
@pytest.mark.parametrize("method", EVERY)
@settings(max_examples=25, deadline=None)
@given(crowd=crowds(), seed=st.integers(0, 5))
def test_everybody_is_in_one_group_of_at_least_k(method, compat, crowd, seed):
    points, k = crowd
    k = 2 if method == "matching" else k
    kept = points.copy()
    labels = partition(points, k, method, seed=seed, compat=compat)
    sizes = np.bincount(labels)
    assert labels.dtype == np.int64
    assert labels.shape == (len(points),)
    assert sizes.min() >= k
    assert sizes.max() <= 2 * k - 1 or method in UNBOUNDED
    assert np.array_equal(labels, partition(points, k, method, seed=seed, compat=compat))
    assert np.array_equal(points, kept), "the caller's points were changed"


@pytest.mark.parametrize("method", EVERY)
@settings(max_examples=25, deadline=None)
@given(crowd=crowds(), seed=st.integers(0, 5), shuffle=st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_the_rows(method, crowd, seed, shuffle):
    points, k = crowd
    k = 2 if method == "matching" else k
    order = list(range(len(points)))
    shuffle.shuffle(order)
    groups = as_sets(points, partition(points, k, method, seed=seed))
    assert as_sets(points[order], partition(points[order], k, method, seed=seed)) == groups


def test_as_published_groups_depend_on_the_order_of_the_rows():
    """Otherwise the test above could not fail."""
    points = drawn(40, 3, 1)
    turned = points[::-1].copy()
    assert as_sets(points, partition(points, 4, "hp", compat=True)) != as_sets(
        turned, partition(turned, 4, "hp", compat=True)
    )


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize(("scale", "shift"), [(1e200, 0.0), (1e-200, 0.0), (1.0, 1e6)])
def test_groups_survive_any_unit_and_origin(method, scale, shift):
    """Squares of these numbers overflow, vanish, or lose their last digits."""
    points = np.round(drawn(24, 3, 2), 3)
    assert np.array_equal(partition(points * scale + shift, 2, method), partition(points, 2, method))


@pytest.mark.parametrize("method", sorted(PUBLISHED))
@pytest.mark.parametrize("scale", [2.0**600, 2.0**-600])
def test_published_groups_survive_any_unit(method, scale):
    points = np.round(drawn(24, 3, 2), 3)
    scaled, plain = (partition(points * unit, 3, method, compat=True) for unit in (scale, 1))
    assert np.array_equal(scaled, plain)


@pytest.mark.parametrize("method", sorted(set(METHODS) - PUBLISHED - {"matching"}))
def test_compat_leaves_what_was_never_published_as_it_is(method):
    points = drawn(24, 3, 2)
    plain = partition(points, 3, method)
    assert np.array_equal(partition(points, 3, method, compat=True), plain)
    assert as_sets(points, plain) == as_sets(points[::-1], partition(points[::-1], 3, method, compat=True))


PLANTED = [name for name in EVERY if not name.startswith(("kmeans", "oka", "random"))]


@pytest.mark.parametrize(
    ("method", "k"), [(name, k) for name in PLANTED for k in (2, 3, 5) if k == 2 or name != "matching"]
)
def test_planted_groups_are_found(method, k):
    """Ten groups of exactly k, as wide as a hundredth of what lies between them."""
    centres = 100.0 * np.stack([np.arange(10), np.arange(10) ** 2 % 7], axis=1)
    points = np.repeat(centres, k, axis=0) + 0.3 * drawn(10 * k, 2, 3)
    order = np.random.default_rng(4).permutation(10 * k)
    labels = partition(points[order], k, method)
    assert all(len(set(labels[order // k == group])) == 1 for group in range(10))


@pytest.mark.parametrize("method", EQUAL)
@given(count=st.integers(2, 60), data=st.data())
@settings(max_examples=20, deadline=None)
def test_sizes_differ_by_one_person_at_most(method, count, data):
    k = data.draw(st.integers(2, count))
    sizes = np.bincount(partition(drawn(count, 2, count), k, method))
    assert sorted(sizes) == sorted(target_sizes(count, k))
    assert len(sizes) == count // k
    assert sizes.max() - sizes.min() <= 1


def test_sizes_of_67_persons_are_those_of_the_method_card():
    same = {(10, 11), (12, 13), (14, 15, 16), (17, 18, 19)}
    for ks in same:
        assert len({tuple(target_sizes(67, k)) for k in ks}) == 1
    assert target_sizes(67, 17).tolist() == [23, 22, 22]


@settings(max_examples=60, deadline=None)
@given(crowd=crowds())
def test_the_canonical_order_is_lexicographic(crowd):
    points, _ = crowd
    expected = sorted(tuple(row) for row in points.tolist())
    assert [tuple(row) for row in points[canonical_order(points)].tolist()] == expected


@settings(max_examples=40, deadline=None)
@given(crowd=crowds())
def test_means_of_groups_leave_out_who_has_none(crowd):
    points, k = crowd
    labels = np.arange(len(points)) % k - 1
    labels[0] = 0
    means = group_means(points, labels, k - 1)
    assert all(np.allclose(means[g], points[labels == g].mean(0), atol=1e-9) for g in range(k - 1))


@settings(max_examples=40, deadline=None)
@given(
    crowd=crowds(3), values=st.lists(st.sampled_from(["x", "y", "z"]), min_size=15, max_size=15), seed=st.integers(0, 3)
)
def test_groups_inside_an_attribute_do_not_mix_its_values(crowd, values, seed):
    points, k = crowd
    values = values[: len(points)]
    if min(Counter(values).values()) < k:
        with pytest.raises(EntrantError, match=r"attribute value '[xyz]'"):
            partition_inside(points, k, values, "knn", seed=seed)
        return
    labels = partition_inside(points, k, values, "knn", seed=seed)
    assert np.bincount(labels).min() >= k
    assert all(
        len({v for v, label in zip(values, labels, strict=True) if label == g}) == 1 for g in range(labels.max() + 1)
    )
    for value in set(values):
        mine = np.array([v == value for v in values])
        alone = partition(points[mine], k, "knn", seed=seed)
        assert as_sets(points[mine], labels[mine]) == as_sets(points[mine], alone)


@pytest.mark.parametrize(
    ("points", "k", "method", "said"),
    [
        (np.zeros((5, 2)), 1, "hp", "k=1 hides nobody.*use k=2 or more"),
        (np.zeros((5, 2)), 0, "hp", "k=0 hides nobody"),
        (np.zeros((5, 2)), 6, "hp", "5 persons are too few for groups of k=6: use k=5 or less"),
        (np.zeros((1, 2)), 2, "hp", "1 persons are too few.*give at least 2 persons"),
        (
            np.array([[0.0], [np.nan], [1.0], [np.inf]]),
            2,
            "hp",
            "2 of 4 persons hold NaN or infinity, the first in row 1",
        ),
        (np.zeros(5), 2, "hp", r"shape \(5,\) cannot be divided"),
        (np.zeros((5, 0)), 2, "hp", r"shape \(5, 0\) cannot be divided"),
        (np.array([["a", "b"]] * 5), 2, "hp", "type <U1"),
        (np.zeros((5, 2)), 2, "k-menber", "no partition is called 'k-menber'. Did you mean 'k-member'?"),
        (np.zeros((5, 2)), 2, "hp+swap", "no partition is called 'hp.swap'."),
    ],
)
def test_bad_input_is_refused_in_one_line_with_a_remedy(points, k, method, said):
    with pytest.raises(EntrantError, match=said) as caught:
        partition(points, k, method)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            list("aaaab"),
            "only 1 of 5 persons have the attribute value 'b', too few for groups of k=2 inside it: select by",
        ),
        (list("aaaa"), "4 attribute values for 5 persons: give one per person"),
    ],
)
def test_bad_attributes_are_refused(values, said):
    with pytest.raises(EntrantError, match=said):
        partition_inside(np.zeros((5, 2)), 2, values)


@pytest.mark.parametrize("method", SQUARES)
def test_no_square_of_distances_for_many_persons(method):
    with pytest.raises(
        EntrantError, match=f"at most {LARGEST_SQUARE} persons, and there are 20001: use partition=best"
    ):
        partition(np.arange(20_001.0)[:, None], 5000, method)


@pytest.mark.parametrize("method", ["knn", "knn-max", "oka", "random"])
def test_other_methods_hold_no_square_of_distances(method):
    points = drawn(20_001, 1, 7)
    tracemalloc.start()
    labels = partition(points, 5000, method)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.bincount(labels).min() >= 5000
    assert peak < 200e6, "a square in float64 is 3.2 GB"


def test_importing_the_door_imports_no_method():
    lines = "import sys; import anonymizers.kanonymity.partition; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.startswith(f"{ROOM}.")] == [f"{ROOM}.sizes"]
