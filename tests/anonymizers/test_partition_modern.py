"""Local search and the default partition: predicted changes, brute force, invariants, blocks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anonymizers.kanonymity.clustering.best import best
from anonymizers.kanonymity.clustering.blocks import apart, cut, neighbouring, standardised
from anonymizers.kanonymity.clustering.cycles import exchange, joining
from anonymizers.kanonymity.clustering.exchange import (
    eager,
    halved,
    improve,
    settled,
    swap_changes,
    swapped,
    transfer_changes,
    transferred,
)
from anonymizers.kanonymity.clustering.flow import flow
from anonymizers.kanonymity.clustering.groups import dealt, members_of, sse, sst, sums_of
from anonymizers.kanonymity.clustering.large import large
from anonymizers.kanonymity.clustering.mdav import mdav, v_mdav
from anonymizers.kanonymity.clustering.search import cooling

METHODS = {"best": best, "flow": flow, "large": large, "mdav": mdav, "v-mdav": v_mdav}


def drawn(count: int, dimensions: int, seed: int) -> np.ndarray:
    """Gaussian rows whose variance falls from column to column, as that of embeddings does."""
    return np.random.default_rng(seed).normal(size=(count, dimensions)) * np.arange(1, dimensions + 1) ** -0.5


def plain_sse(points: np.ndarray, labels: np.ndarray) -> float:
    parts = (points[labels == group] for group in np.unique(labels))
    return float(sum(((part - part.mean(0)) ** 2).sum() for part in parts))


@st.composite
def crowds(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Points, some equal or on a line, and a k that they are enough for."""
    k = draw(st.integers(2, 6))
    count = draw(st.sampled_from([k, 2 * k - 1, 2 * k]) | st.integers(k, 40))
    shape = count, draw(st.integers(1, 4))
    numbers = st.integers(-2, 2) if draw(st.booleans()) else st.floats(-100, 100, width=32)
    return draw(arrays(np.float64, shape, elements=numbers.map(float))), k


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(crowd=crowds(), seed=st.integers(0, 3), half=st.booleans())
def test_groups_have_k_to_2k_less_one_members(method, crowd, seed, half):
    points, k = crowd
    points = points.astype(np.float32) if half else points
    labels = METHODS[method](points, k, seed, False)
    sizes = np.bincount(labels)
    assert labels.dtype == np.int64
    assert labels.shape == (len(points),)
    assert k <= sizes.min() <= sizes.max() < 2 * k
    assert np.array_equal(labels, METHODS[method](points, k, seed, False))


@settings(max_examples=60, deadline=None)
@given(crowd=crowds(), seed=st.integers(0, 9))
def test_local_search_never_raises_the_sum_of_squares(crowd, seed):
    points, k = crowd
    before = dealt(len(points), k, np.random.default_rng(seed))
    after = improve(points, before, k, seed)
    assert k <= np.bincount(after).min() <= np.bincount(after).max() < 2 * k
    assert plain_sse(points, after) <= plain_sse(points, before) + 1e-9 * plain_sse(points, np.zeros(len(points)))


@pytest.mark.parametrize("k", [2, 5])
def test_local_search_across_blocks_lowers_the_sum_of_squares(k):
    """300 groups, so several blocks."""
    points = drawn(300 * k, 8, 1)
    before = mdav(points, k, 0, False)
    after = improve(points, before, k, 0)
    assert np.bincount(after).min() >= k
    assert plain_sse(points, after) < 0.95 * plain_sse(points, before)


@given(seed=st.integers(0, 10**6), groups=st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_the_predicted_change_of_a_swap_is_that_of_the_sum_of_squares(seed, groups):
    rng = np.random.default_rng(seed)
    points, labels = (
        rng.normal(size=(25, 3)),
        np.sort(np.append(np.arange(groups), rng.integers(groups, size=25 - groups))),
    )
    rows = rng.permutation(25)[:12]
    changes = swap_changes(points, labels, rows)
    for (at, one), (to, other) in itertools.product(enumerate(rows), repeat=2):
        if labels[one] == labels[other]:
            assert changes[at, to] == np.inf
            continue
        after = labels.copy()
        after[[one, other]] = labels[[other, one]]
        assert changes[at, to] == pytest.approx(plain_sse(points, after) - plain_sse(points, labels), abs=1e-9)


@given(seed=st.integers(0, 10**6), groups=st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_the_predicted_change_of_a_transfer_is_that_of_the_sum_of_squares(seed, groups):
    rng = np.random.default_rng(seed)
    points, labels = rng.normal(size=(25, 3)), rng.permutation(np.arange(25) % groups)
    changes = transfer_changes(points, labels, np.arange(25))
    for row, group in itertools.product(range(25), range(groups)):
        after = labels.copy()
        after[row] = group
        expected = plain_sse(points, after) - plain_sse(points, labels) if group != labels[row] else np.inf
        assert changes[row, group] == pytest.approx(expected, abs=1e-9)


def test_no_swap_and_no_transfer_helps_where_local_search_ends():
    points, k = standardised(drawn(83, 3, 5)), 4
    labels = settled(points, dealt(83, k, np.random.default_rng(0)), k, np.random.default_rng(0))
    before = plain_sse(points, labels)
    sizes = np.bincount(labels)
    for one, other in itertools.combinations(range(83), 2):
        after = labels.copy()
        after[[one, other]] = labels[[other, one]]
        assert plain_sse(points, after) > before - 1e-6
    for row, group in itertools.product(np.flatnonzero(sizes[labels] > k), np.flatnonzero(sizes < 2 * k - 1)):
        after = labels.copy()
        after[row] = group
        assert plain_sse(points, after) > before - 1e-6


def test_swaps_of_one_sweep_change_the_sum_of_squares_as_predicted():
    """Each group takes part once, so the changes add up."""
    points = standardised(drawn(60, 4, 2))
    labels = dealt(60, 5, np.random.default_rng(1))
    after, count = swapped(points, labels)
    assert count > 1
    moved = np.flatnonzero(after != labels)
    changes = swap_changes(points, labels, moved)
    partners = (labels[moved][:, None] == after[moved]) & (after[moved][:, None] == labels[moved])
    assert partners.sum() == 2 * count == len(moved)
    assert plain_sse(points, after) - plain_sse(points, labels) == pytest.approx(changes[partners].sum() / 2)


def test_a_transfer_takes_from_groups_of_more_than_k_only_and_gives_to_groups_with_room():
    points = np.array([[0.0], [0.1], [9.0], [9.1], [9.2], [9.3], [0.2]])
    labels = np.array([0, 0, 1, 1, 1, 1, 1])
    assert transferred(points, labels, 2)[0].tolist() == [0, 0, 1, 1, 1, 1, 0]
    assert transferred(points, labels, 5) == (pytest.approx(labels), 0)
    full = np.array([0, 0, 0, 1, 1, 1, 1])
    assert transferred(points[[0, 1, 6, 2, 3, 4, 0]], full, 2)[1] == 0, "group 0 would have four members, twice k"


def test_groups_of_twice_k_are_halved_across_their_length():
    points = np.array([[0.0, 0], [9, 0], [0.1, 1], [9.1, 1], [0, 2], [9, 2]])
    labels = halved(points, np.zeros(6, dtype=np.int64), 2)
    assert len(set(labels[[0, 2, 4]])) == len(set(labels[[1, 3, 5]])) == 1
    assert sorted(np.bincount(halved(points, np.zeros(6, dtype=np.int64), 2))) == [3, 3]
    assert sorted(np.bincount(halved(drawn(23, 2, 1), np.zeros(23, dtype=np.int64), 2))) == [2, 3, 3, 3, 3, 3, 3, 3]


def test_of_many_points_those_swap_that_another_group_attracts(monkeypatch):
    monkeypatch.setattr("anonymizers.kanonymity.clustering.exchange.CANDIDATES", 2)
    points = np.array([[0.0], [0.1], [9.0], [9.1], [9.2], [0.2]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert eager(points, labels).tolist() == [2, 5]
    assert swapped(points, labels)[0].tolist() == [0, 0, 1, 1, 1, 0]


def test_a_cycle_of_three_that_no_swap_replaces_is_found():
    """Everybody stands at the next group's place; with three pairs of one settled member each."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.8]])
    points = np.concatenate([corners, corners])
    labels = np.array([0, 1, 2, 2, 0, 1])
    rng = np.random.default_rng(0)
    found = exchange(points, labels, np.zeros(40), rng)
    assert plain_sse(points, found) == pytest.approx(0)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_one_round_is_the_best_of_all_ways_to_give_members_back(seed):
    """Four pairs: each offers one member, and there are 24 ways."""
    rng = np.random.default_rng(seed)
    points, labels = rng.normal(size=(8, 2)), np.repeat(np.arange(4), 2)
    column = (np.random.default_rng(seed).random(4) * 2).astype(int)
    offered = 2 * np.arange(4) + column
    ways = []
    for targets in itertools.permutations(range(4)):
        after = labels.copy()
        after[offered] = targets
        ways.append(plain_sse(points, after))
    found = exchange(points, labels, np.zeros(1), np.random.default_rng(seed))
    assert plain_sse(points, found) == pytest.approx(min(ways))


def test_rounds_keep_sizes_and_warm_ones_differ_from_cold_ones():
    points, labels = standardised(drawn(64, 5, 3)), np.arange(64) % 9
    warm, cold = (exchange(points, labels, np.full(30, heat), np.random.default_rng(1)) for heat in (1.0, 0.0))
    assert np.array_equal(np.bincount(warm), np.bincount(labels))
    assert plain_sse(points, cold) < plain_sse(points, warm)
    heats = cooling(10, 0.5)
    assert heats[0] == 0.5
    assert (np.diff(heats) <= 0).all()
    assert heats[8:].tolist() == [0, 0]


def test_joining_is_the_difference_of_two_sums_of_squares():
    points, one = drawn(7, 3, 4), drawn(1, 3, 5)
    joined = plain_sse(np.vstack([points, one]), np.zeros(8)) - plain_sse(points, np.zeros(7))
    assert joining(one, points.sum(0)[None], np.array([7.0]))[0, 0] == pytest.approx(joined)


@given(
    count=st.integers(1, 300),
    multiple=st.integers(1, 7),
    factor=st.integers(2, 9),
    seed=st.integers(0, 9),
    flat=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_blocks_are_disjoint_small_and_of_whole_multiples(count, multiple, factor, seed, flat):
    points = np.zeros((count, 2)) if flat else drawn(count, 2, seed)
    blocks = cut(points, factor * multiple, np.random.default_rng(seed), multiple)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(count))
    assert all(len(block) % multiple == 0 for block in blocks[:-1])
    assert len(blocks[-1]) >= min(count, multiple)
    assert max(map(len, blocks)) <= factor * multiple


def test_blocks_hold_neighbours():
    points = drawn(4000, 3, 1)
    labels = apart(points, 5, 100, np.random.default_rng(0), lambda block: np.zeros(len(block), dtype=np.int64))
    assert plain_sse(points, labels) < 0.3 * plain_sse(points, np.zeros(4000))


def test_every_group_is_whole_in_one_block():
    points, labels = drawn(500, 3, 2), np.random.default_rng(3).permutation(np.arange(500) % 90)
    blocks = list(neighbouring(points, labels, 16, np.random.default_rng(0)))
    assert sorted(np.concatenate([rows for rows, _ in blocks]).tolist()) == list(range(500))
    assert all(np.array_equal(labels[rows], own) for rows, own in blocks)
    seen = [set(own.tolist()) for _, own in blocks]
    assert sum(map(len, seen)) == 90
    assert max(map(len, seen)) <= 16


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_sums_and_squares_do_not_depend_on_the_chunk(chunk, monkeypatch):
    monkeypatch.setattr("anonymizers.kanonymity.clustering.groups.CHUNK", chunk)
    points, labels = drawn(53, 4, 1).astype(np.float32), np.random.default_rng(1).permutation(np.arange(53) % 6)
    exact = points.astype(np.float64)
    assert sums_of(points, labels) == pytest.approx(np.stack([exact[labels == group].sum(0) for group in range(6)]))
    assert sse(points, labels) == pytest.approx(plain_sse(exact, labels))
    assert sst(points) == pytest.approx(plain_sse(exact, np.zeros(53)))
    table, sizes = members_of(labels)
    assert all(set(table[group, : sizes[group]]) == set(np.flatnonzero(labels == group)) for group in range(6))


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_many_persons_are_grouped_better_than_by_mdav_of_all(kind):
    """40 blocks' worth of groups would be too slow here; six are enough for borders to matter."""
    points = (drawn(3000, 32, 6) + 1).astype(kind)
    labels = large(points, 4, 0, False)
    assert np.bincount(labels).min() >= 4
    assert sse(points, labels) < 0.95 * sse(points, mdav(points, 4, 0, False))
