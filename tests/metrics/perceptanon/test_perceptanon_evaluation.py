"""Agreement with labels, against scipy and scikit-learn, and where it does not exist."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr, spearmanr
from sklearn.metrics import precision_score, recall_score

from benchmark.errors import UsageError
from metrics.perceptanon.evaluation import correlate, evaluate

TIES = np.array([1, 2, 2, 3, 3, 3, 5, 4, 1, 6.5])
OTHER = np.array([2, 1, 2, 4, 3, 3, 6, 6, 1, 5.0])


def test_equals_scipy_with_ties() -> None:
    found = correlate(TIES, OTHER)
    assert found.spearman == spearmanr(TIES, OTHER).statistic
    assert found.kendall == kendalltau(TIES, OTHER).statistic
    assert found.pearson == pearsonr(TIES, OTHER).statistic
    assert (found.n, found.reasons) == (10, {})


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-50, 50), min_size=3, max_size=20, unique=True), st.randoms())
def test_ranks_outlive_increasing_maps_and_signs_flip(values: list[int], shuffle: object) -> None:
    left = np.array(values, dtype=float)
    right = np.random.default_rng(len(values)).permutation(left)
    found, mapped, turned = correlate(left, right), correlate(np.exp(left / 10) + 3, right), correlate(-left, right)
    assert (mapped.spearman, mapped.kendall) == pytest.approx((found.spearman, found.kendall))
    assert (turned.spearman, turned.kendall, turned.pearson) == pytest.approx(
        (-(found.spearman or 0), -(found.kendall or 0), -(found.pearson or 0))
    )


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        ([3.0, 3, 3], [1.0, 2, 3], "all predictions are equal"),
        ([1.0, 2, 3], [7.0, 7, 7], "all labels are equal"),
        ([1.0, np.nan, 3], [1.0, 2, 3], "some predictions are not numbers"),
        ([1.0], [2.0], "1 images; a correlation takes two"),
        ([], [], "0 images; a correlation takes two"),
    ],
)
def test_what_does_not_exist_is_none_with_a_reason(left: list[float], right: list[float], reason: str) -> None:
    found = correlate(left, right)
    assert (found.spearman, found.kendall, found.pearson) == (None, None, None)
    assert found.reasons == {"spearman": reason, "kendall": reason, "pearson": reason}


def test_infinite_values_have_ranks_but_no_pearson() -> None:
    found = correlate([30.0, np.inf, 20, 25], [3.0, 9, 1, 2])
    assert found.spearman == pytest.approx(1)
    assert found.kendall == pytest.approx(1)
    assert found.pearson is None
    assert found.reasons == {"pearson": "some values are infinite"}


def test_nearly_equal_values_give_a_number_or_a_reason() -> None:
    found = correlate([1.0, 1.0, np.nextafter(1, 2)], [1.0, 2, 3])
    assert found.spearman is not None
    assert found.pearson is None or -1 <= found.pearson <= 1


def test_lists_of_two_lengths() -> None:
    with pytest.raises(UsageError, match="cannot be paired"):
        correlate([1.0, 2], [1.0])


def test_regression_adds_the_squared_error() -> None:
    found = evaluate([0.5, 1.0, 0.0], [0.5, 0.5, 0.0], "mean", "regression").as_dict()
    assert found["mse"] == pytest.approx(0.25 / 3)
    assert "accuracy" not in found


def test_classification_adds_accuracy_precision_and_recall() -> None:
    truth, guesses = [0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 2, 0]
    found = evaluate(guesses, truth, "labels3", "classification").as_dict()
    assert found["accuracy"] == pytest.approx(100 * 4 / 6)
    assert found["precision"] == precision_score(truth, guesses, average="macro")
    assert found["recall"] == recall_score(truth, guesses, average="macro")
    assert found["spearman"] == spearmanr(guesses, truth).statistic
    assert "mse" not in found


def test_a_class_that_is_never_predicted_counts_as_zero() -> None:
    found = evaluate([0, 0, 0], [0, 1, 0], "binary", "classification")
    assert found.precision == pytest.approx(1 / 3)
    assert found.correlations.spearman is None
