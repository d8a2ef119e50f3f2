"""The pairs of a study at their own size, and what metrics make of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from benchmark.decode import decode_whole
from benchmark.errors import AnonbenchError, UsageError, as_line
from benchmark.images import ImageSet
from benchmark.protocols import Metric, Referees, Report, Scores, missing_of, quiet
from metrics.perceptanon.table import Table

AT_A_TIME = 256
"""Pairs in memory at a time."""


def pairs(table: Table) -> Iterator[tuple[list[int], ImageSet, ImageSet]]:
    """Originals and released images of a study, pairs of one size together, nothing resized.

    Yields:
        Rows of the table, their originals, their released images.

    Raises:
        UsageError: a pair has two sizes.
    """
    waiting: defaultdict[torch.Size, list[tuple[int, torch.Tensor, torch.Tensor]]] = defaultdict(list)
    for row, (first, second) in enumerate(zip(table.originals, table.released, strict=True)):
        original, released = decode_whole(first), decode_whole(second)
        if original.shape != released.shape:
            sizes = [f"{image.shape[2]} x {image.shape[1]}" for image in (original, released)]
            raise UsageError(
                f"{second} has {sizes[1]} px and its original {sizes[0]}; metrics compare pixel with pixel: give both one size"
            )
        group = waiting[original.shape]
        group.append((row, original, released))
        if len(group) == AT_A_TIME:
            yield _batch(waiting.pop(original.shape))
    for group in waiting.values():
        yield _batch(group)


def _batch(group: list[tuple[int, torch.Tensor, torch.Tensor]]) -> tuple[list[int], ImageSet, ImageSet]:
    rows, originals, released = zip(*group, strict=True)
    keys = tuple(f"row-{row:06d}" for row in rows)
    return list(rows), ImageSet(torch.stack(originals), keys), ImageSet(torch.stack(released), keys)


def per_image_values(
    table: Table, metrics: Sequence[Metric], referees: Referees, report: Report = quiet
) -> tuple[Mapping[str, np.ndarray], Mapping[str, str]]:
    """Values of every metric on every pair.

    Args:
        table: the rows.
        metrics: what to compute.
        referees: of the suite the images belong to, or none.
        report: shows progress.

    Returns:
        float64 ``[N]`` by name of the metric, and reasons by name of those that have no value per image.
    """
    reasons = {metric.card.name: reason for metric in metrics if (reason := _unavailable(metric))}
    values: dict[str, np.ndarray] = {}
    with report("metrics on pairs", len(table)) as progress:
        for rows, original, released in pairs(table):
            for metric in metrics:
                name = metric.card.name
                if name in reasons:
                    continue
                try:
                    if name not in values:
                        reasons |= _without_values(metric, original[:2], released[:2], referees)
                    if name not in reasons:
                        column = values.setdefault(name, np.full(len(table), np.nan))
                        column[rows] = _values(metric.score(original, released, referees), len(rows))
                except AnonbenchError:
                    raise
                except Exception as error:  # noqa: BLE001 - the boundary to a stranger's metric; the others go on
                    reasons[name] = f"failed: {as_line(error)}"
                    values.pop(name, None)
            progress(len(rows))
    return values, reasons


def _unavailable(metric: Metric) -> str:
    missing = missing_of(metric)
    return "" if missing is None else f"{missing.reason}: {missing.remedy}"


def _without_values(metric: Metric, original: ImageSet, released: ImageSet, referees: Referees) -> dict[str, str]:
    """The reason, by name, of a metric that has no values per image; tried on two pairs."""
    scores = metric.score(original, released, referees)
    if scores.per_image:
        return {}
    score = scores.score
    reason = f"{score.reason} {score.remedy}".strip() or "it is a value of a whole set and has none per image"
    return {metric.card.name: reason}


def _values(scores: Scores, count: int) -> np.ndarray:
    values: np.ndarray = next(iter(scores.per_image.values())).numpy()
    if values.shape != (count,):
        raise ValueError(f"it gave values of shape {values.shape} for {count} images")
    return values
