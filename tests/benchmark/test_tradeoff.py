"""The trade-off against brute force, planted values and its invariants."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.tradeoff import Point, family_area, hypervolume, normalised_risk, pareto_front

grid = st.integers(0, 8).map(lambda number: number / 8)  # eighths: sums are exact, and ties are frequent
points_of = st.lists(st.tuples(grid, grid), max_size=8)
anywhere = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12)


def beaten(point: Point, points: list[Point]) -> bool:
    return any(other != point and other[0] >= point[0] and other[1] >= point[1] for other in points)


def inclusion_exclusion(points: list[Point]) -> Fraction:
    """Area of the union of rectangles: every intersection is again a rectangle from the origin."""
    area = Fraction(0)
    for size in range(1, len(points) + 1):
        for chosen in combinations(points, size):
            corner = Fraction(min(x for x, _ in chosen)) * Fraction(min(y for _, y in chosen))
            area += corner if size % 2 else -corner
    return area


# Risk above guessing


@pytest.mark.parametrize(
    ("risk", "chance", "expected"), [(1, 0.1, 1), (0.1, 0.1, 0), (0.55, 0.1, 0.5), (0, 0.1, 0), (0.3, 0, 0.3)]
)
def test_guessing_is_zero_and_everybody_is_one(risk: float, chance: float, expected: float) -> None:
    assert normalised_risk(risk, chance) == pytest.approx(expected)


@pytest.mark.parametrize(("risk", "chance"), [(0.5, 1.0), (1.2, 0.1), (-0.1, 0.1), (0.5, -0.1), (float("nan"), 0.1)])
def test_numbers_that_are_no_shares_are_refused(risk: float, chance: float) -> None:
    with pytest.raises(ValueError, match="shares"):
        normalised_risk(risk, chance)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.99))
def test_more_risk_is_never_less_and_all_are_shares(one: float, other: float, chance: float) -> None:
    low, high = (normalised_risk(risk, chance) for risk in sorted((one, other)))
    assert 0 <= low <= high <= 1


# The front


@given(points_of)
def test_the_front_is_who_nobody_beats(points: list[Point]) -> None:
    front = pareto_front(points)
    assert sorted(front) == [place for place, point in enumerate(points) if not beaten(point, points)]
    assert front == sorted(front, key=lambda place: (-points[place][0], place))


def test_a_planted_front_with_a_tie_and_a_twin() -> None:
    points = [(0.2, 0.9), (0.5, 0.5), (0.5, 0.4), (0.5, 0.5), (0.9, 0.1), (0.9, 0.1), (0.1, 0.9), (0.3, 0.3)]
    assert pareto_front(points) == [4, 5, 1, 3, 0]
    assert pareto_front([]) == []


# Areas


@given(points_of)
def test_the_area_is_that_of_the_union_of_rectangles(points: list[Point]) -> None:
    assert Fraction(hypervolume(points)) == inclusion_exclusion(points)


def test_the_area_is_the_share_of_random_places_that_somebody_covers() -> None:
    points = [(0.9, 0.2), (0.6, 0.55), (0.3, 0.85), (0.5, 0.5), (0.05, 0.9)]
    places = np.random.default_rng(1).random((400_000, 2))
    covered = (places[:, None] <= np.array(points)).all(2).any(1).mean()
    assert hypervolume(points) == pytest.approx(covered, abs=4 * 0.5 / 400_000**0.5)


def test_planted_areas() -> None:
    assert hypervolume([]) == 0
    assert hypervolume([(1, 1)]) == 1
    assert hypervolume([(0.5, 1), (1, 0.5)]) == 0.75
    assert hypervolume([(0.5, 1), (1, 0.5), (-0.5, 2), (2, -1)]) == 0.75
    assert family_area([(0.5, 0.5), (0.25, 0.75), (0.75, 0.25)]) == 0.375


@given(anywhere, st.floats(0, 1), st.floats(0, 1), st.randoms())
def test_order_and_beaten_points_change_nothing(points: list[Point], x: float, y: float, random: Random) -> None:
    area = hypervolume(points)
    assert 0 <= area <= 1
    shuffled = random.sample(points, len(points))
    assert hypervolume(shuffled) == area
    assert [shuffled[place] for place in pareto_front(shuffled)] == [points[place] for place in pareto_front(points)]
    dominated = [(x * a, y * b) for a, b in points]
    assert hypervolume([*points, *dominated]) == area


@given(anywhere, st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_another_point_never_takes_area_away(points: list[Point], more: Point) -> None:
    assert hypervolume([*points, more]) >= hypervolume(points) - 1e-12


def test_two_strengths_are_no_family() -> None:
    with pytest.raises(ValueError, match="3 or more"):
        family_area([(0.5, 0.5), (0.25, 0.75)])
