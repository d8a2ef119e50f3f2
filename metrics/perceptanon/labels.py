"""From mean human scores (1-10, high = anonymous) to what a network learns, at five granularities.

Source: Patwari et al., "PerceptAnon: Exploring the Human Perception of Image Anonymization Beyond Pseudonymization
for GDPR", ICML 2024 (PMLR 235:39955-39971), and the code that was published with it.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.errors import UsageError, did_you_mean

Granularity = Literal["mean", "labels10", "labels5", "labels3", "binary"]
Task = Literal["regression", "classification"]

GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
TASKS: tuple[Task, ...] = get_args(Task)
LOWEST, HIGHEST = 1.0, 10.0
"""The scale on which people answer."""

CLASSES = {"labels10": 10, "labels5": 5, "labels3": 3, "binary": 2}
"""Number of classes; ``mean`` has none."""

_EDGES = {"labels5": (3.0, 5.0, 7.0, 9.0), "labels3": (5.0, 8.0)}
"""Lower edges (inclusive) of every class but the first."""


def check_target(granularity: str, task: str) -> None:
    """Makes sure that a network can learn this.

    Raises:
        UsageError: there is no such granularity or task, or the mean score was to be classified.
    """
    if granularity not in GRANULARITIES:
        raise UsageError(f"no labels are called '{granularity}'.{did_you_mean(granularity, GRANULARITIES)}")
    if task not in TASKS:
        raise UsageError(f"no task is called '{task}'.{did_you_mean(task, TASKS)}")
    if granularity == "mean" and task == "classification":
        raise UsageError("the mean score has no classes; write --task regression, or --labels labels10")


def class_count(granularity: str) -> int:
    """Number of classes of a granularity other than ``mean``.

    Raises:
        UsageError: there is no such granularity, or it has no classes.
    """
    check_target(granularity, "classification")
    return CLASSES[granularity]


def output_count(granularity: str, task: str) -> int:
    """Outputs of a network: one per class, or a single one for regression."""
    check_target(granularity, task)
    return 1 if task == "regression" else CLASSES[granularity]


def checked_scores(scores: ArrayLike, table: str = "scores") -> NDArray[np.float64]:
    """The scores as float64 ``[N]``.

    Args:
        scores: ``[N]``.
        table: what to call them in an error message.

    Raises:
        UsageError: one is not a number from 1 to 10; the message names its row, counted from 1.
    """
    values = np.asarray(scores, dtype=np.float64)
    wrong = np.flatnonzero(~((values >= LOWEST) & (values <= HIGHEST)))  # NaN is neither
    if len(wrong):
        row = int(wrong[0])
        raise UsageError(f"{table} row {row + 1}: the score is {float(values[row])}; write a number from 1 to 10")
    return values


def classes_of(scores: ArrayLike, granularity: str) -> NDArray[np.int64]:
    """Class of every score.

    ``labels10`` rounds halves to even numbers, as Python does: 4.5 is class 3 and 5.5 is class 5. ``binary`` is
    inverted, as published: 1 means poorly anonymized.

    Args:
        scores: ``[N]`` in 1..10.
        granularity: any but ``mean``.

    Returns:
        int64 ``[N]`` in 0..K-1.
    """
    class_count(granularity)
    values = checked_scores(scores)
    if granularity == "labels10":
        return np.rint(values).astype(np.int64) - 1
    if granularity == "binary":
        return (values <= 5).astype(np.int64)
    return np.digitize(values, _EDGES[granularity]).astype(np.int64)


def targets(scores: ArrayLike, granularity: str, task: str) -> NDArray[np.float64] | NDArray[np.int64]:
    """What a network learns.

    Args:
        scores: ``[N]`` in 1..10.
        granularity: one of ``GRANULARITIES``.
        task: one of ``TASKS``.

    Returns:
        Classes int64 ``[N]`` for classification; float64 ``[N]`` in [0, 1] for regression: ``(s - 1) / 9`` of the mean
        score, ``k / (K - 1)`` of a class.
    """
    check_target(granularity, task)
    if granularity == "mean":
        return (checked_scores(scores) - LOWEST) / (HIGHEST - LOWEST)
    classes = classes_of(scores, granularity)
    return classes if task == "classification" else classes / (CLASSES[granularity] - 1)


def human_scale(outputs: ArrayLike, granularity: str, task: str) -> NDArray[np.float64]:
    """What a network says, in words of people.

    Args:
        outputs: ``[N]``; in [0, 1] for regression, classes for classification.
        granularity: one of ``GRANULARITIES``.
        task: one of ``TASKS``.

    Returns:
        float64 ``[N]``: a score in 1..10 for the mean score; the class otherwise, with fractions for regression.
    """
    check_target(granularity, task)
    values = np.asarray(outputs, dtype=np.float64)
    if granularity == "mean":
        return LOWEST + (HIGHEST - LOWEST) * values
    return values if task == "classification" else values * (CLASSES[granularity] - 1)
