"""Tables of correlations as they are shown: what the metrics say against a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from benchmark.board.cells import ColumnView
from benchmark.board.load import LoadedTable
from benchmark.board.numbers import EN_DASH
from benchmark.correlations import Correlation, CorrelationTable
from benchmark.records import MetricCard


@dataclass(frozen=True)
class PanelView:
    """One table of the board."""

    loaded: LoadedTable
    pages: dict[tuple[str, int], str]
    """Address of a metric's page by name and version."""

    @property
    def table(self) -> CorrelationTable:
        """What is shown."""
        return self.loaded.table

    @property
    def address(self) -> str:
        """Its file seen from the result folder."""
        return f"correlations/{quote(self.loaded.path.name)}"

    @property
    def badge(self) -> tuple[str, str]:
        """How loud, and what kind of panel it was."""
        people = self.table.panel == "human"
        return ("quiet", "human panel") if people else ("warn", "simulated panel: not people")

    @cached_property
    def best(self) -> dict[str, float]:
        """The largest correlation of each split, whatever its sign."""
        found: dict[str, float] = {}
        for row in self.table.rows:
            if row.spearman is not None:
                found[row.split] = max(found.get(row.split, 0.0), abs(row.spearman))
        return found

    def count(self, split: str) -> str:
        """How many images are behind a split's numbers; the span where metrics differ."""
        counts = [row.n for row in self.table.rows if row.split == split and not row.reason]
        low, high = min(counts, default=0), max(counts, default=0)
        return f"{high}" if low == high else f"{low}{EN_DASH}{high}"

    def row(self, card: MetricCard, split: str) -> Correlation:
        """The correlation of a metric on a split; if need be one that says why there is none."""
        missing = Correlation(metric=card.name, split=split, reason="The table holds no row for it.")
        return self.table.row(card.name, split) or missing

    def absence(self, card: MetricCard) -> str:
        """Why a metric has no correlation at all, where all splits say the same; else empty."""
        reasons = {self.row(card, split).reason for split in self.table.splits}
        return reasons.pop() if len(reasons) == 1 else ""

    def is_best(self, row: Correlation) -> bool:
        """Whether no other metric of the split has a larger correlation."""
        return row.spearman is not None and abs(row.spearman) == self.best[row.split]

    def page(self, card: MetricCard) -> str:
        """The metric's page on this board, or empty."""
        return self.pages.get((card.name, card.version), "")


@dataclass(frozen=True)
class Panels:
    """All tables of a result folder."""

    shown: list[PanelView]
    other_suite: int
    """Number of tables of another suite or another version of this one."""

    @classmethod
    def of(cls, tables: Sequence[LoadedTable], suite_hash: str, views: Sequence[ColumnView]) -> Panels:
        """Keeps the tables of the board's suite, by name."""
        pages = {(view.column.card.name, view.column.card.version): view.column.href for view in views}
        same = [loaded for loaded in tables if loaded.table.suite_hash == suite_hash]
        ordered = sorted(same, key=lambda loaded: (loaded.table.name, loaded.path.name))
        return cls([PanelView(loaded, pages) for loaded in ordered], len(tables) - len(same))
