"""Confidence intervals over people: images of one person are not independent, so people are resampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.images import ImageSet
from benchmark.protocols import Scores
from benchmark.records import Interval, Score

LEVEL = 0.95
RESAMPLES = 2000
SEED = 20250101
AT_A_TIME = 4_000_000
"""Draws held in memory at a time."""


def clusters_of(images: ImageSet) -> torch.Tensor:
    """Who each image counts for: its identity, or the image itself where identities are unknown, int64 ``[N]``."""
    if images.identity is None:
        return torch.arange(len(images))
    people: torch.Tensor = torch.unique(images.identity.values, return_inverse=True)[1]
    return people


def cluster_sums(values: torch.Tensor, clusters: torch.Tensor) -> torch.Tensor:
    """Sums per cluster: ``[N, D]`` and int64 ``[N]`` to float64 ``[C, D]``."""
    count = int(clusters.max()) + 1 if len(clusters) else 0
    return torch.zeros(count, values.shape[1], dtype=torch.float64).index_add_(0, clusters, values.double())


def bootstrap(
    values: torch.Tensor,
    clusters: torch.Tensor,
    statistic: Callable[[torch.Tensor], torch.Tensor],
    seed: int = SEED,
    resamples: int = RESAMPLES,
    over: str = "people",
) -> Interval | None:
    """Percentile interval of a statistic of column sums, resampling whole clusters with replacement.

    Args:
        values: ``[N, D]``; the statistic must be a function of the column sums alone (a mean is a sum and a count,
            an F1 is the cells of a confusion matrix).
        clusters: int64 ``[N]``, cluster of each row.
        statistic: maps sums ``[B, D]`` to values ``[B]``; NaN where a resample does not define it.
        seed: of the resampling.
        resamples: B.
        over: what the clusters are, in the plural.

    Returns:
        The 95 % interval, or None with fewer than two clusters or where no resample defines the statistic.
    """
    sums = cluster_sums(values, clusters)
    if len(sums) < 2:
        return None
    generator = torch.Generator().manual_seed(seed)
    sizes = [len(part) for part in torch.arange(resamples).split(max(1, AT_A_TIME // len(sums)))]
    found = torch.cat([statistic(_counts(size, len(sums), generator) @ sums) for size in sizes])
    found = found[~found.isnan()]
    if not len(found):
        return None
    tail = (1 - LEVEL) / 2
    low, high = torch.quantile(found, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Interval(
        level=LEVEL, method=f"percentile bootstrap over {over}", low=low, high=high, seed=seed, resamples=len(found)
    )


def _counts(resamples: int, clusters: int, generator: torch.Generator) -> torch.Tensor:
    """How often each cluster is drawn in each resample, float64 ``[resamples, clusters]``."""
    picks = torch.randint(clusters, (resamples, clusters), generator=generator)
    counts = torch.zeros(resamples, clusters, dtype=torch.float64)
    return counts.scatter_add_(1, picks, torch.ones_like(counts))


def mean_interval(values: torch.Tensor, clusters: torch.Tensor, over: str = "people") -> Interval | None:
    """Interval of the mean of ``values`` (``[N]``), resampling clusters, which are ``over``."""
    columns = torch.stack([values.double(), torch.ones_like(values, dtype=torch.float64)], 1)
    return bootstrap(columns, clusters, lambda sums: sums[:, 0] / sums[:, 1], over=over)


def mean_scores(metric: str, values: torch.Tensor, images: ImageSet, column: str | None = None, **more: Any) -> Scores:
    """The mean over images as a score, with its interval over people.

    Args:
        metric: name on the metric's card.
        values: ``[N]``, finite.
        images: what they are of.
        column: name of the values per image, if it is not the metric's.
        more: further fields of the score.
    """
    clusters = clusters_of(images)
    score = Score(
        metric=metric,
        value=float(values.mean()),
        n=len(values),
        n_clusters=len(clusters.unique()),
        interval=mean_interval(values, clusters),
        **more,
    )
    return Scores(score, {column or metric: values})


def equal_error_threshold(same: NDArray[np.float64], different: NDArray[np.float64]) -> tuple[float, float]:
    """The distance at which as many pairs of one person are rejected as pairs of two are accepted.

    Args:
        same: distances of pairs of one person.
        different: distances of pairs of two people.

    Returns:
        Threshold and the larger of the two error rates there: where the curves step over each other, the threshold
        with the smallest difference.
    """
    from sklearn.metrics import roc_curve

    truth = np.concatenate([np.ones(len(same)), np.zeros(len(different))])
    accepted, named, cuts = roc_curve(truth, -np.concatenate([same, different]), drop_intermediate=False)
    place = int(np.abs(1 - named - accepted)[1:].argmin()) + 1  # the first cut accepts nothing, at infinity
    return float(-cuts[place]), float(max(accepted[place], 1 - named[place]))


def rows_of_some(who: torch.Tensor, most: int) -> torch.Tensor:
    """Rows of the first people with all their photographs, ``most`` in all; nobody counts with more than half as many.

    Part of a person's photographs would be all there is of some, and whoever has many would be alone. People with
    several photographs come before all others, who have no pairs of their own.

    Args:
        who: int64 ``[N]``.
        most: at least 2.
    """
    count = who.bincount()
    order = who.argsort(stable=True)
    nth = torch.empty_like(order)
    nth[order] = torch.arange(len(who)) - (count.cumsum(0) - count)[who[order]]
    first = (count == 1).long().argsort(stable=True)
    chosen = torch.empty_like(count, dtype=torch.bool)
    chosen[first] = count[first].clamp(max=most // 2).cumsum(0) <= most
    return (chosen[who] & (nth < most // 2)).nonzero().squeeze(1) if len(who) > most else torch.arange(len(who))
