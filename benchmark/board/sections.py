"""Sections of the table: columns that are shown and hidden together, and which of them start hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from benchmark.board.cells import ColumnView
from benchmark.board.kinds import ATTACKERS, MEANS, kinds_of
from benchmark.records import Group

_LABELS = {"f1": "F1 test", "f1-train": "F1 train"}


@dataclass(frozen=True)
class Section:
    """Neighbouring columns under one heading."""

    key: str
    """Its name in the page: ``s0``."""
    label: str
    group: Group
    views: tuple[ColumnView, ...]
    shown: bool
    """Whether it is there when the page opens; without a script everything is."""

    @property
    def titles(self) -> str:
        """Its columns by name."""
        return ", ".join(view.column.title for view in self.views)


def sections_of(views: Sequence[ColumnView]) -> list[Section]:
    """All columns in their order, cut into sections.

    Columns whose mean is shown, distances of distributions and costs start hidden: what is left says who is
    protected, at what price.
    """
    kinds = kinds_of([view.column for view in views])
    parts = [(kind, [view for _, view in part]) for kind, part in groupby(zip(kinds, views, strict=True), _kind)]
    return [_section(place, kind, part, set(kinds)) for place, (kind, part) in enumerate(parts)]


def _kind(pair: tuple[str, ColumnView]) -> str:
    return pair[0]


def _section(place: int, kind: str, views: Sequence[ColumnView], kinds: set[str]) -> Section:
    group = views[0].column.group
    shown = kind in (ATTACKERS, MEANS) or (kind == group and kind != "cost")
    return Section(f"s{place}", _label(kind, kinds), group, tuple(views), shown)


def _label(kind: str, kinds: set[str]) -> str:
    if (kind == "privacy" and ATTACKERS in kinds) or (kind == "utility" and MEANS in kinds):
        return f"Other {kind}"
    label = _LABELS.get(kind, kind)
    return label[:1].upper() + label[1:]
