"""Entrants whose released images are shared by groups: measures that only they have, and a look at some groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from benchmark.board.cells import ColumnView
from benchmark.board.columns import measures_of
from benchmark.board.load import Entrant, Selection
from benchmark.board.pictures import Pictures
from benchmark.board.rows import Row
from benchmark.board.templating import rendered
from benchmark.records import Sheet
from benchmark.tuning import above_text


@dataclass(frozen=True)
class Grouped:
    """One entrant that has measures of its own, or shows groups."""

    row: Row
    views: list[ColumnView]
    """Columns in which it has a score."""
    sheet: Sheet | None
    address: str
    """The sheet's picture seen from the board's folder; empty where it cannot be shown."""

    @property
    def claimed(self) -> int | None:
        """How many people share a released image, at least, as it claims."""
        return self.row.entrant.record.entry.k_anonymity

    @property
    def href(self) -> str:
        """Its place on the page of all groups, seen from the board's folder."""
        return f"groups.html#{quote(self.row.entrant.slug)}"

    def above(self, view: ColumnView) -> str:
        """How many groups have more matched than one over their size; empty where its measure does not count them."""
        return above_text(view.scores[self.row.entrant.slug].details)

    @property
    def sizes(self) -> str:
        """How many people the groups of the sheet have, from the top."""
        return ", ".join(str(group.members) for group in self.sheet.groups) if self.sheet else ""


@dataclass(frozen=True)
class Groups:
    """All of them, in the order of the board."""

    views: list[ColumnView]
    """Columns of the measures that not every entrant has, over those that have them."""
    shown: list[Grouped]

    @classmethod
    def of(cls, selection: Selection, rows: Sequence[Row], pictures: Pictures) -> Groups:
        """Reads measures and sheets of the main record of each entrant that did not fail."""
        columns = measures_of(selection.runs)
        views = [ColumnView.of(column, _holders(selection.entrants, column.card.name)) for column in columns]
        found = [_grouped(row, views, pictures) for row in rows if not row.failure]
        return cls(views, [one for one in found if one.views or one.sheet])

    @cached_property
    def by_slug(self) -> dict[str, Grouped]:
        """The same by the entrant's slug."""
        return {one.row.entrant.slug: one for one in self.shown}


def _holders(entrants: Sequence[Entrant], metric: str) -> list[Entrant]:
    return [entrant for entrant in entrants if any(card.name == metric for card in entrant.record.metrics)]


def _grouped(row: Row, views: Sequence[ColumnView], pictures: Pictures) -> Grouped:
    entrant = row.entrant
    sheet = entrant.record.sheet if entrant.record.suite.shows_faces else None
    address = pictures.address(entrant.main, sheet.picture) if sheet else ""
    return Grouped(row, [view for view in views if entrant.slug in view.scores], sheet, address)


def groups_page(selection: Selection, groups: Groups, sweeps: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Address and content of the page of all groups; there is none where no entrant has any."""
    if groups.shown:
        context = {"root": "", "suite": selection.suite, "groups": groups, "sweeps": sweeps}
        yield "groups.html", rendered("groups.html.j2", context)
