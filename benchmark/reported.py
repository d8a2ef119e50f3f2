"""Published figures: what others measured, on other data and with other attackers, kept apart from what is measured here.

One TOML file per source. A figure stands in it in the source's own unit, as the source prints it; where the source has a
curve, or files with more digits, the note says how it was read and rounded.
The file holds the source's tables, so that it can be held beside them; ``ReportedSource.rows`` are the figures one by one.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from benchmark.errors import UsageError
from benchmark.files import one_line, read_file
from benchmark.records import Part

LARGEST = 200_000
"""Bytes of the longest file that is read."""
DIGITS = 24
"""Characters of the longest number."""

FigureStatus = Literal["reported", "author-note", "second-hand"]
"""Read in the source itself; noted by the authors outside of a paper; read in somebody else's text that quotes it."""


def _plain(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be printed, such as line breaks or marks that turn text round")
    return text


def _web_address(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^\s<>\"']+", text):
        raise ValueError("is no web address; write one that begins with https:// or http://")
    return text


def _number(value: object) -> object:
    """TOML's numbers with all digits they were written with; nothing else becomes a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("must be a number, as the source prints it")
    return Decimal(str(value))


def _short(value: Decimal) -> Decimal:
    if len(str(value)) > DIGITS:
        raise ValueError(f"must be a number of at most {DIGITS} characters")
    return value


Line = Annotated[str, Field(max_length=600), AfterValidator(_plain)]
Lines = Annotated[str, Field(max_length=3000), AfterValidator(_plain)]
"""What several parts of a table say about one figure, one after the other."""
Name = Annotated[Line, Field(min_length=1)]
Link = Annotated[Line, AfterValidator(_web_address)]
Figure = Annotated[Decimal, BeforeValidator(_number), AfterValidator(_short)]
Count = Annotated[int, Field(ge=1)]


class ReportedRow(Part):
    """One published figure with all that is known about it."""

    method: Name
    params: Lines = ""
    """Its variant or parameters, in the source's words."""
    dataset: Name
    """``unclear`` where the source does not say."""
    split: Line = ""
    n: Count | None = None
    """Number of images or people behind it, as far as known."""
    attacker: Line = ""
    """Of a privacy figure: who attacked."""
    protocol: Line = ""
    metric: Name
    value: Figure | None
    unit: Line = ""
    higher_is_better: bool | None = None
    """None where the source does not say."""
    place: Line = ""
    """Table or page of the source."""
    quoted_by: Line = ""
    """Of a second-hand figure: who quotes it."""
    status: FigureStatus
    errata: Lines = ""
    """What is known to be wrong with it."""
    note: Lines = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.value is None and not self.note:
            raise ValueError("a figure that is absent needs a note that says why")
        if self.status == "second-hand" and not self.quoted_by:
            raise ValueError("a second-hand figure needs quoted_by: who quotes it")
        return self


class ReportedCell(Part):
    """A figure in its table: a number, a text that says why there is none, or a number with a note of its own."""

    value: Figure | None = None
    note: Line = ""
    errata: Line = ""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"note": data}
        return data if isinstance(data, dict | ReportedCell) else {"value": data}


class ReportedColumn(Part):
    """One column of a table; what it says about data and attacker goes before what the table says."""

    metric: Name
    unit: Line = ""
    higher_is_better: bool | None = None
    params: Line = ""
    """What all methods were set to in this column, ``k = 5``; it is added to what a line says."""
    dataset: Line = ""
    split: Line = ""
    n: Count | None = None
    attacker: Line = ""
    protocol: Line = ""
    note: Line = ""
    errata: Line = ""


class ReportedLine(Part):
    """One line of a table: a method with its figures, in the order of the columns."""

    method: Name
    params: Line = ""
    note: Line = ""
    errata: Line = ""
    values: tuple[ReportedCell, ...]


class ReportedTable(Part):
    """One table of a source; what it says holds for all its figures."""

    title: Name
    dataset: Line = ""
    split: Line = ""
    n: Count | None = None
    attacker: Line = ""
    protocol: Line = ""
    place: Line = ""
    quoted_by: Line = ""
    status: FigureStatus | None = None
    note: Line = ""
    errata: Line = ""
    columns: Annotated[tuple[ReportedColumn, ...], Field(min_length=1)]
    lines: Annotated[tuple[ReportedLine, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _full(self) -> Self:
        for line in self.lines:
            if len(line.values) != len(self.columns):
                raise ValueError(
                    f"{line.method} has {len(line.values)} values for {len(self.columns)} columns; write one per column, "
                    f"and a text that says why where there is none"
                )
        _only_once("line", [f"{line.method} {line.params}".strip() for line in self.lines])
        _only_once("column", [" ".join(_identity(column)) for column in self.columns])
        return self


class ReportedSource(Part):
    """One source: a paper, a read-me, a text that quotes others."""

    title: Name
    authors: Line = ""
    year: Annotated[int, Field(ge=1900, le=2200)] | None = None
    url: Link = ""
    doi: Line = ""
    arxiv: Line = ""
    entered: date
    """When the figures were typed in."""
    status: FigureStatus = "reported"
    """Of its tables that do not say otherwise."""
    quoted_by: Line = ""
    note: Line = ""
    errata: Line = ""
    tables: Annotated[tuple[ReportedTable, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _every_figure_is_whole(self) -> Self:
        _only_once("table", [table.title for table in self.tables])
        for _ in self._figures():
            pass
        return self

    @property
    def rows(self) -> tuple[ReportedRow, ...]:
        """All figures, in the order of the file."""
        return tuple(self._figures())

    def status_of(self, table: ReportedTable) -> FigureStatus:
        """What a table's figures are."""
        return table.status or self.status

    def _figures(self) -> Iterator[ReportedRow]:
        for table in self.tables:
            for line in table.lines:
                for column, cell in zip(table.columns, line.values, strict=True):
                    yield self._figure(table, line, column, cell)

    def _figure(
        self, table: ReportedTable, line: ReportedLine, column: ReportedColumn, cell: ReportedCell
    ) -> ReportedRow:
        parts = (cell, line, column, table)
        try:
            return ReportedRow(
                method=line.method, params=", ".join(filter(None, (line.params, column.params))),
                metric=column.metric, value=cell.value, unit=column.unit, higher_is_better=column.higher_is_better,
                dataset=column.dataset or table.dataset, split=column.split or table.split, n=column.n or table.n,
                attacker=column.attacker or table.attacker, protocol=column.protocol or table.protocol,
                place=table.place, status=self.status_of(table), quoted_by=table.quoted_by or self.quoted_by,
                errata=_joined([part.errata for part in parts]),
                note=cell.note if cell.value is None else _joined([part.note for part in parts]),
            )  # fmt: skip
        except ValidationError as error:
            where = f"{table.title}, {line.method}, {column.metric}"
            raise ValueError(f"{where}: {_first(error)}") from error


def read_reported(path: Path) -> ReportedSource:
    """Reads one file of published figures.

    Raises:
        UsageError: it is missing, not TOML, or says something that it may not.
        EnvironmentProblem: it may not be read.
    """
    name, data = one_line(path), read_file(path)
    if len(data) > LARGEST:
        raise UsageError(f"{name} has {len(data)} bytes; a file of published figures has at most {LARGEST}. Split it")
    try:
        return ReportedSource.model_validate(tomllib.loads(data.decode(), parse_float=Decimal))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
        raise UsageError(f"{name} is not TOML ({one_line(error)}). {_MEND}") from error
    except ValidationError as error:
        raise UsageError(f"{name}: {_first(error)}. {_MEND}") from error


_MEND = "Mend that line, or take the file out of its folder"


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, with its place in the file."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    return one_line(f"{where}: {said}" if where else said)


def _joined(texts: list[str]) -> str:
    """Texts that hold for one figure, each once."""
    return " ".join(dict.fromkeys(text for text in texts if text))


def _identity(column: ReportedColumn) -> list[str]:
    return [
        text
        for text in (column.metric, column.params, column.dataset, column.split, column.attacker, column.protocol)
        if text
    ]


def _only_once(what: str, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{what} '{twice[0]}' is there twice")
