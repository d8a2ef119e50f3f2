"""Ranks and average precision against enumeration of every way to break ties, and against scikit-learn."""

from __future__ import annotations

from itertools import permutations
from statistics import fmean

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from metrics.attackers.closed_set import average_precision, person_similarity, standing
from metrics.attackers.matching import Matches

LEVELS = st.sampled_from([-np.inf, 0.0, 1.0, 2.0])
Gallery = list[tuple[float, int]]


def one_probe(gallery: Gallery) -> Matches:
    similarity, owner = zip(*gallery, strict=True)
    return Matches(torch.tensor([similarity]), torch.tensor(owner))


def orders(gallery: Gallery) -> list[list[int]]:
    """Owners of what can be compared, best first, for every way to break ties."""
    there = [entry for entry in gallery if entry[0] > -np.inf]
    return [[owner for _, owner in sorted(order, key=lambda e: -e[0])] for order in permutations(there)]


def precision_of(order: list[int], person: int) -> float:
    places = [place for place, owner in enumerate(order, 1) if owner == person]
    return fmean(found / place for found, place in enumerate(places, 1)) if places else 0.0


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(LEVELS, min_size=1, max_size=5), st.integers(0, 4), st.integers(1, 5))
def test_rank_credit_is_the_mean_over_every_way_to_break_ties(levels: list[float], person: int, k: int) -> None:
    gallery = [(level, owner) for owner, level in enumerate(levels)]
    person, k = person % len(levels), min(k, len(levels))
    expected = fmean(person in order[:k] for order in orders(gallery))
    found = standing(torch.tensor([levels]), torch.tensor([person])).credit(k)
    assert found.tolist() == pytest.approx([expected], abs=1e-12)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(LEVELS, st.integers(0, 2)), min_size=1, max_size=6), st.integers(0, 2))
def test_average_precision_is_the_mean_over_every_way_to_break_ties(gallery: Gallery, person: int) -> None:
    expected = fmean(precision_of(order, person) for order in orders(gallery))
    found = average_precision(one_probe(gallery), torch.tensor([person]))
    assert found.tolist() == pytest.approx([expected], abs=1e-12)


def test_average_precision_without_ties_equals_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    owner = torch.randint(0, 7, (60,), generator=generator)
    truth = torch.arange(40) % 7
    similarity = torch.stack([torch.randperm(60, generator=generator) for _ in truth]).float()
    similarity += 20.5 * (owner == truth[:, None])
    found = average_precision(Matches(similarity, owner), truth)
    expected = [average_precision_score(owner == who, row) for who, row in zip(truth, similarity, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_one_entry_per_person_is_the_reciprocal_rank() -> None:
    similarity = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    found = average_precision(Matches(similarity, torch.arange(3)), torch.arange(3))
    assert found.tolist() == pytest.approx([1, 1 / 2, 1 / 3])


def test_a_person_is_as_alike_as_the_best_entry() -> None:
    similarity = torch.tensor([[0.1, 0.9, 0.5, -torch.inf], [-0.3, -0.2, -torch.inf, -torch.inf]])
    found = person_similarity(Matches(similarity, torch.tensor([2, 0, 2, 3])), 5)
    expected = torch.tensor([[0.9, 0.5, 0.1, 0, 0], [-0.2, 0, -0.3, 0, 0]])
    expected[0, 1], expected[:, [1, 3, 4]] = -torch.inf, -torch.inf
    expected[0, 2] = 0.5
    assert found.equal(expected)


def test_who_is_not_in_the_gallery_ranks_last() -> None:
    matches = Matches(torch.tensor([[1.0, 0.0]]), torch.tensor([0, 1]))
    place = standing(person_similarity(matches, 3), torch.tensor([2]))
    assert [place.credit(k).item() for k in (1, 2, 3)] == [0, 0, 0]
    assert average_precision(matches, torch.tensor([2])).item() == 0


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 2**16), st.integers(2, 12))
def test_credits_of_all_people_at_a_rank_sum_to_the_rank(seed: int, people: int) -> None:
    similarity = torch.randint(0, 4, (1, people), generator=torch.Generator().manual_seed(seed)).float()
    rows, everybody = similarity.expand(people, people), torch.arange(people)
    for k in range(1, people + 1):
        assert standing(rows, everybody).credit(k).sum().item() == pytest.approx(k)
