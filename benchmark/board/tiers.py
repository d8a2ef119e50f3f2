"""Tied groups: the one place that says which entrants a column can tell apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from string import ascii_uppercase


@dataclass(frozen=True)
class Measured:
    """One entrant's value in one column; without an interval ``low`` and ``high`` are the value."""

    name: str
    value: float
    low: float
    high: float


def best_first(measured: Iterable[Measured], higher_is_better: bool) -> list[Measured]:
    """Sorted by value, best first, then by name."""
    sign = -1.0 if higher_is_better else 1.0
    return sorted(measured, key=lambda one: (sign * one.value, one.name))


def tied_groups(measured: Iterable[Measured], higher_is_better: bool) -> dict[str, str]:
    """Letters by name: ``A`` for the best group.

    A new group starts at the first entrant whose interval does not overlap with the interval of the group's first
    member. This is coarser than a paired test: two members of one group may still differ.
    """
    groups: dict[str, str] = {}
    first: Measured | None = None
    count = 0
    for one in best_first(measured, higher_is_better):
        if first is None or not _overlap(first, one):
            first, count = one, count + 1
        groups[one.name] = letters(count)
    return groups


def letters(number: int) -> str:
    """``A`` for 1, ``Z`` for 26, ``AA`` for 27."""
    text = ""
    while number > 0:
        number, digit = divmod(number - 1, 26)
        text = ascii_uppercase[digit] + text
    return text


def _overlap(one: Measured, other: Measured) -> bool:
    return one.low <= other.high and other.low <= one.high
