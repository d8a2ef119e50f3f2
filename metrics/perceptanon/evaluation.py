"""How well predictions agree with people: rank correlations first, errors beside them.

Predictions and labels are compared at the same granularity; correlations at different granularities have different
targets and ties, and cannot be compared with each other. A correlation that does not exist is None with a reason.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.errors import UsageError

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Correlations:
    """Agreement of two lists of numbers.

    Attributes:
        n: how many pairs.
        spearman: rank correlation rho, average ranks for ties.
        kendall: rank correlation tau-b.
        pearson: linear correlation.
        reasons: why one of them is None, by name.
    """

    n: int
    spearman: float | None
    kendall: float | None
    pearson: float | None
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """What a test came to.

    Attributes:
        granularity: of predictions and labels.
        task: ``regression`` or ``classification``.
        correlations: of predictions (for classification: of class numbers) with labels.
        mse: mean squared error on [0, 1] (regression only).
        accuracy: share of right classes in % (classification only).
        precision, recall: macro means over the classes that occur, in 0..1 (classification only).
    """

    granularity: str
    task: str
    correlations: Correlations
    mse: float | None = None
    accuracy: float | None = None
    precision: float | None = None
    recall: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """All fields in one flat dictionary; ``reasons`` says why a value is None."""
        inner = self.correlations
        task = (
            {"mse": self.mse}
            if self.task == "regression"
            else {"accuracy": self.accuracy, "precision": self.precision, "recall": self.recall}
        )
        return {
            "granularity": self.granularity,
            "task": self.task,
            "n": inner.n,
            "spearman": inner.spearman,
            "kendall": inner.kendall,
            "pearson": inner.pearson,
            **task,
            "reasons": dict(inner.reasons),
        }


def correlate(predicted: ArrayLike, truth: ArrayLike) -> Correlations:
    """Spearman's rho, Kendall's tau-b and Pearson's r.

    Infinite values have ranks, so that only Pearson's r is lost to them (PSNR of equal images).

    Args:
        predicted: ``[N]``.
        truth: ``[N]``.
    """
    left, right = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape:
        raise UsageError(f"{left.shape} predictions and {right.shape} labels cannot be paired; give one for each image")
    reason = _without_ranks(left, right)
    if reason:
        return Correlations(len(left), None, None, None, dict.fromkeys(("spearman", "kendall", "pearson"), reason))
    from scipy.stats import kendalltau, spearmanr

    pearson, why = _pearson(left, right)
    reasons = {"pearson": why} if why else {}
    rho, tau = float(spearmanr(left, right).statistic), float(kendalltau(left, right).statistic)
    return Correlations(len(left), rho, tau, pearson, reasons)


def _without_ranks(left: Values, right: Values) -> str:
    """Why two lists have no rank correlation; empty if they have."""
    if len(left) < 2:
        return f"{len(left)} images; a correlation takes two"
    for name, values in (("predictions", left), ("labels", right)):
        if np.isnan(values).any():
            return f"some {name} are not numbers"
        if (values == values[0]).all():
            return f"all {name} are equal"
    return ""


def _pearson(left: Values, right: Values) -> tuple[float | None, str]:
    from scipy.stats import pearsonr

    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return None, "some values are infinite"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nearly constant input; what it comes to is checked
        value = float(pearsonr(left, right).statistic)
    return (value, "") if np.isfinite(value) else (None, "the values are equal up to rounding")


def evaluate(outputs: ArrayLike, truth: ArrayLike, granularity: str, task: str) -> Evaluation:
    """Compares a network's outputs with labels of the same granularity.

    Args:
        outputs: ``[N]`` in [0, 1] for regression; classes ``[N]`` for classification.
        truth: targets ``[N]`` from ``labels.targets``.
        granularity: of both.
        task: of both.
    """
    correlations = correlate(outputs, truth)
    if task == "regression":
        error = np.asarray(outputs, dtype=np.float64) - np.asarray(truth, dtype=np.float64)
        return Evaluation(granularity, task, correlations, mse=float(np.mean(error**2)) if len(error) else None)
    from sklearn.metrics import precision_recall_fscore_support

    guesses, classes = np.asarray(outputs).astype(np.int64), np.asarray(truth).astype(np.int64)
    precision, recall, _, _ = precision_recall_fscore_support(classes, guesses, average="macro", zero_division=0)
    accuracy = 100 * float(np.mean(guesses == classes))
    return Evaluation(
        granularity, task, correlations, accuracy=accuracy, precision=float(precision), recall=float(recall)
    )
