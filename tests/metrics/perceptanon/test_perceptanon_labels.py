"""Labels at every boundary of the published rules."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import UsageError
from metrics.perceptanon.labels import (
    CLASSES,
    GRANULARITIES,
    TASKS,
    check_target,
    checked_scores,
    classes_of,
    human_scale,
    output_count,
    targets,
)

SCORES = st.lists(st.floats(1, 10), min_size=1, max_size=20)


def by_hand(score: float, granularity: str) -> int:
    """The rules of the card, one score at a time."""
    if granularity == "labels10":
        return round(Fraction(score)) - 1
    if granularity == "binary":
        return 0 if score > 5 else 1
    edges = {"labels5": (3, 5, 7, 9), "labels3": (5, 8)}[granularity]
    return sum(score >= edge for edge in edges)


@pytest.mark.parametrize(
    ("granularity", "scores", "expected"),
    [
        ("labels3", [1, 4.99, 5, 7.99, 8, 9, 10], [0, 0, 1, 1, 2, 2, 2]),
        ("labels5", [1, 2.99, 3, 4.99, 5, 6.99, 7, 8.99, 9, 10], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        ("labels10", [1, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10], [0, 1, 1, 3, 3, 5, 5, 7, 7, 9, 9]),
        ("binary", [1, 5.0, 5.01, 10], [1, 1, 0, 0]),
    ],
)
def test_classes_at_the_boundaries(granularity: str, scores: list[float], expected: list[int]) -> None:
    assert classes_of(scores, granularity).tolist() == expected


@pytest.mark.parametrize("granularity", list(CLASSES))
def test_classes_next_to_every_half_and_whole_score(granularity: str) -> None:
    steps = np.arange(1, 10.25, 0.25)
    around = np.concatenate([np.nextafter(steps, 0), steps, np.nextafter(steps, 99)])
    scores = around[(around >= 1) & (around <= 10)]
    assert classes_of(scores, granularity).tolist() == [by_hand(score, granularity) for score in scores.tolist()]


def test_mean_is_scaled_to_one() -> None:
    assert targets([1, 5.5, 10], "mean", "regression").tolist() == [0, 0.5, 1]


@given(SCORES, st.sampled_from(list(CLASSES)))
def test_regression_is_the_class_scaled_to_one(scores: list[float], granularity: str) -> None:
    classes = targets(scores, granularity, "classification")
    values = targets(scores, granularity, "regression")
    assert classes.dtype == np.int64
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values * (CLASSES[granularity] - 1), classes)
    assert ((values >= 0) & (values <= 1)).all()


@given(SCORES)
def test_human_scale_undoes_the_mean(scores: list[float]) -> None:
    np.testing.assert_allclose(human_scale(targets(scores, "mean", "regression"), "mean", "regression"), scores)


def test_human_scale_of_classes_is_the_class() -> None:
    assert human_scale(np.array([0.0, 0.5, 1.0]), "labels5", "regression").tolist() == [0, 2, 4]
    assert human_scale(np.array([0.0, 3.0]), "labels5", "classification").tolist() == [0, 3]


def test_number_of_outputs() -> None:
    assert {name: output_count(name, "classification") for name in CLASSES} == CLASSES
    assert {output_count(name, "regression") for name in GRANULARITIES} == {1}
    assert len(TASKS) == 2


def test_the_mean_cannot_be_classified() -> None:
    with pytest.raises(UsageError, match="write --task regression"):
        check_target("mean", "classification")


@pytest.mark.parametrize(("granularity", "task"), [("label3", "regression"), ("mean", "regresion")])
def test_unknown_names_get_a_suggestion(granularity: str, task: str) -> None:
    with pytest.raises(UsageError, match="Did you mean"):
        check_target(granularity, task)


@pytest.mark.parametrize("wrong", [0.99, 10.01, float("nan"), float("inf"), -3])
def test_scores_off_the_scale_are_refused_with_their_row(wrong: float) -> None:
    with pytest.raises(UsageError, match=r"^HA1\.csv row 3: .* write a number from 1 to 10$"):
        checked_scores([1, 10, wrong], "HA1.csv")
