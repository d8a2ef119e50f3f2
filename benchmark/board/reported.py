"""Published figures on a page of their own: one part per source, its tables as the source has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from benchmark.board.load import Selection
from benchmark.board.numbers import MINUS
from benchmark.board.templating import rendered
from benchmark.errors import EnvironmentProblem
from benchmark.reported import (
    FigureStatus,
    ReportedCell,
    ReportedColumn,
    ReportedLine,
    ReportedSource,
    ReportedTable,
    read_reported,
)

Marked = ReportedColumn | ReportedLine | ReportedCell
"""What may have a remark of its own."""
FOLDER = "reported"
"""Beside the folders of results."""
STATUS: dict[FigureStatus, tuple[str, str]] = {
    "reported": ("quiet", "reported"),
    "author-note": ("warn", "author's note"),
    "second-hand": ("warn", "second hand"),
}
"""How loud, and the words, of each status."""


@dataclass(frozen=True)
class LoadedSource:
    """A source and the file it was read from."""

    path: Path
    """``results/reported/<source>.toml``."""
    source: ReportedSource

    @property
    def key(self) -> str:
        """Its place on the page."""
        return self.path.stem

    @property
    def address(self) -> str:
        """Its file seen from a board."""
        return f"../../{FOLDER}/{quote(self.path.name)}"

    @property
    def places(self) -> list[tuple[str, str]]:
        """Where to find the source: name and text."""
        source = self.source
        arxiv = f"https://arxiv.org/abs/{quote(source.arxiv)}" if source.arxiv else ""
        doi = f"https://doi.org/{quote(source.doi)}" if source.doi else ""
        return [(name, text) for name, text in (("Address", source.url), ("arXiv", arxiv), ("DOI", doi)) if text]

    @property
    def byline(self) -> str:
        """Authors and year, as far as known."""
        year = str(self.source.year) if self.source.year else "year not known"
        return f"{self.source.authors or 'Authors not known'}, {year}"

    @property
    def count(self) -> int:
        """How many numbers it holds; those that are absent are not counted."""
        return sum(row.value is not None for row in self.source.rows)

    @cached_property
    def tables(self) -> list[TableView]:
        """Its tables."""
        return [TableView(self.source, table) for table in self.source.tables]


@dataclass(frozen=True)
class CellView:
    """One figure as it is shown."""

    text: str
    """Empty where there is none."""
    marks: list[tuple[str, int]]
    """Kinds and numbers of the remarks below its table."""


@dataclass(frozen=True)
class TableView:
    """One table of a source."""

    source: ReportedSource
    table: ReportedTable

    @property
    def badge(self) -> tuple[str, str]:
        """How loud, and what kind of figures they are."""
        return STATUS[self.source.status_of(self.table)]

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What holds for all figures of the table."""
        table = self.table
        pairs = (
            ("Data", ", ".join(dict.fromkeys(text for text in (table.dataset, table.split) if text))),
            ("Behind each figure", f"{table.n}" if table.n else ""),
            ("Attacker", table.attacker),
            ("Protocol", table.protocol),
            ("Where", table.place or "place in the source not recorded"),
            ("Quoted by", table.quoted_by or self.source.quoted_by),
        )
        return [(name, text) for name, text in pairs if text]

    @cached_property
    def remarks(self) -> list[tuple[str, str]]:
        """What is to be said about single figures, each once: kind and text, in the order of the table."""
        parts: list[Marked] = list(self.table.columns)
        for line in self.table.lines:
            parts += [line, *line.values]
        return list(dict.fromkeys(remark for part in parts for remark in _remarks(part)))

    def marks(self, part: Marked) -> list[tuple[str, int]]:
        """Kinds and numbers of a part's remarks."""
        return [(remark[0], self.remarks.index(remark) + 1) for remark in _remarks(part)]

    def cell(self, cell: ReportedCell) -> CellView:
        """One figure with all its digits."""
        text = "" if cell.value is None else str(cell.value).replace("-", MINUS)
        return CellView(text, self.marks(cell))

    def about(self, column: ReportedColumn) -> list[str]:
        """What a column's figures were measured on, as far as the table does not say so for all of them."""
        count = f"n = {column.n}" if column.n else ""
        own = (column.params, column.dataset, column.split, count, column.attacker, column.protocol)
        return [text for text in own if text]

    def better(self, column: ReportedColumn) -> str:
        """Unit and direction."""
        word = {True: "higher is better", False: "lower is better", None: "direction not stated"}
        return ", ".join(text for text in (column.unit, word[column.higher_is_better]) if text)


def load_reported(out: Path) -> list[LoadedSource]:
    """Reads the published figures beside the result folder ``out``, in the order of their files' names.

    Raises:
        UsageError: one of the files is broken.
        EnvironmentProblem: the folder or a file may not be read.
    """
    folder = out.resolve().parent / FOLDER
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".toml") if folder.is_dir() else []
    except OSError as error:
        raise EnvironmentProblem(f"{folder} cannot be read: {error.strerror}. Give yourself access to it") from error
    return [LoadedSource(path, read_reported(path)) for path in paths]


def reported_page(selection: Selection, sources: Sequence[LoadedSource]) -> Iterator[tuple[str, str]]:
    """Address and content of the page of published figures; there is none without any."""
    if sources:
        context = {"root": "", "suite": selection.suite, "sources": sources, "status": STATUS}
        yield "reported.html", rendered("reported.html.j2", context)


def _remarks(part: Marked) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in (("wrong", part.errata), ("note", part.note)) if text]
