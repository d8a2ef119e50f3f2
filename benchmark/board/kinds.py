"""What kind of column a column is: its group, or the part of its group it is shown with."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.board.columns import Column, base_of

ATTACKERS, MEANS, DISTRIBUTIONS = "attackers", "utility, means", "distributions"
DISTRIBUTION = ("fid", "fid-infinity", "kid")
"""What compares the released images as a whole with the originals as a whole."""


def kinds_of(columns: Sequence[Column]) -> list[str]:
    """The kind of each column: a part of its group, the name of a family whose mean is shown, or its group."""
    means = {column.mean_of for column in columns} - {""}
    return [_kind(column, means) for column in columns]


def _kind(column: Column, means: set[str]) -> str:
    base = base_of(column.card)
    if column.is_risk or column.card.rung:
        return ATTACKERS
    if column.mean_of:
        return MEANS
    if column.group == "utility" and base in means:
        return base
    return DISTRIBUTIONS if column.group == "quality" and base in DISTRIBUTION else column.group


def neighbours(columns: Sequence[Column]) -> tuple[Column, ...]:
    """``columns`` with those of a kind side by side, each kind where its first column is."""
    kinds = kinds_of(columns)
    return tuple(columns[place] for place in sorted(range(len(columns)), key=lambda place: kinds.index(kinds[place])))
