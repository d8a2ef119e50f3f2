"""Columns of text to labels: classes as they are written, numbers grouped at cut points."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from benchmark.decode import one_line
from benchmark.errors import UsageError, did_you_mean
from benchmark.images import Labels
from suites.folder.listing import IDENTITY, PATH, some_of

MANY = 10
"""A column of numbers with more distinct values than this is a measurement and has to be grouped."""


@dataclass(frozen=True)
class Grouping:
    """How numbers become classes.

    Attributes:
        cuts: cut points in increasing order; a value equal to a cut belongs above it.
        names: names of the ``len(cuts) + 1`` classes, in numeric order.
    """

    cuts: tuple[float, ...]
    names: tuple[str, ...]


YOUNG_OLD = Grouping((45.0,), ("young", "old"))
"""Age in years, at the cut that the published protocols share."""

_DEFAULTS = {"age": YOUNG_OLD}


def grouping(cuts: Sequence[float]) -> Grouping:
    """The grouping at ``cuts``, with classes like ``<30``, ``>=30 <60`` and ``>=60``.

    Raises:
        UsageError: there is no cut, or one is not finite.
    """
    inner = sorted(set(cuts))
    if not inner or not np.isfinite(inner).all():
        raise UsageError(f"cut points must be finite numbers, not {list(cuts)}; type --group NAME=CUT")
    between = [f">={low:g} <{high:g}" for low, high in itertools.pairwise(inner)]
    return Grouping(tuple(inner), (f"<{inner[0]:g}", *between, f">={inner[-1]:g}"))


def read_attributes(table: pd.DataFrame, groups: Mapping[str, Grouping]) -> tuple[dict[str, Labels], tuple[str, ...]]:
    """Labels of every attribute column.

    Args:
        table: columns ``path``, ``identity`` and one per attribute.
        groups: how to group columns of numbers; ``age`` has a default.

    Returns:
        Labels by name, in the order of the columns, and a note for every column that was dropped because it has one
        class only.

    Raises:
        UsageError: a cell is empty, a column of numbers has no grouping, or a grouping fits no column.
    """
    names = [str(name) for name in table.columns if name not in (PATH, IDENTITY)]
    _check_groups(groups, names)
    labels = {name: _labels(table, name, groups.get(name)) for name in names}
    notes = [
        f"attribute '{name}' is left out: all images are '{part.classes[0]}'"
        for name, part in labels.items()
        if len(part.classes) == 1
    ]
    return {name: part for name, part in labels.items() if len(part.classes) > 1}, tuple(notes)


def to_labels(values: Sequence[str], order: Sequence[str] | None = None) -> Labels:
    """Labels with the classes that occur, sorted by code point or in the order given."""
    present = set(values)
    classes = tuple(sorted(present) if order is None else [name for name in order if name in present])
    index = {name: row for row, name in enumerate(classes)}
    return Labels(torch.tensor([index[value] for value in values], dtype=torch.int64), classes)


def is_numeric(values: Sequence[str]) -> bool:
    """Whether every value is a finite number."""
    return bool(np.isfinite(_numbers(values)).all())


def _check_groups(groups: Mapping[str, Grouping], names: Sequence[str]) -> None:
    unknown = [name for name in groups if name not in names]
    if unknown:
        raise UsageError(f"there is no attribute '{one_line(unknown[0])}' to group.{did_you_mean(unknown[0], names)}")


def _labels(table: pd.DataFrame, name: str, asked: Grouping | None) -> Labels:
    values = [str(value) for value in table[name]]
    empty = [str(path) for path, value in zip(table[PATH], values, strict=True) if not value.strip()]
    if empty:
        raise UsageError(f"column '{one_line(name)}' is empty for {some_of(empty)}; fill the cell or remove the column")
    how = _grouping_of(name, values, asked)
    if how is None:
        return to_labels(values)
    bins = np.searchsorted(how.cuts, _numbers(values), side="right")
    return to_labels([how.names[row] for row in bins], how.names)


def _grouping_of(name: str, values: Sequence[str], asked: Grouping | None) -> Grouping | None:
    numeric = is_numeric(values)
    if asked is not None and not numeric:
        raise UsageError(f"attribute '{one_line(name)}' has values that are no numbers; leave out its --group")
    many = numeric and len(set(values)) > MANY
    how = asked or (_DEFAULTS.get(name) if numeric else None)
    if many and how is None:
        raise UsageError(f"attribute '{one_line(name)}' has {len(set(values))} numbers; group it: --group {name}=CUT")
    return how


def _numbers(values: Sequence[str]) -> np.ndarray:
    return np.asarray(pd.to_numeric(pd.Series(values, dtype=object), errors="coerce"), dtype=np.float64)
