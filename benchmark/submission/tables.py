"""Reads the values per image beside a record: a Parquet file of a stranger, which is believed nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("image_id", "identity_id", "metric", "value", "status", "seed")
MOST_ROWS = 5_000_000
MOST_BYTES = 1_000_000_000
"""Of the file unpacked, as it says itself."""
MOST_NAMES = 1_000_000
"""Different texts in a column."""


class BadTable(ValueError):
    """The file is not such a table; says why."""


@dataclass(frozen=True)
class Values:
    """The rows of one metric.

    Attributes:
        image, person: codes into the table's names, int64 ``[N]``.
        value: float64 ``[N]``, NaN where there is none.
        scored: whether the row's status is ``ok``, bool ``[N]``.
    """

    image: NDArray[np.int64]
    person: NDArray[np.int64]
    value: NDArray[np.float64]
    scored: NDArray[np.bool_]

    @cached_property
    def finite(self) -> NDArray[np.float64]:
        """The values that are there."""
        return self.value[~np.isnan(self.value)]

    @cached_property
    def people(self) -> int:
        """How many people, or images where nobody is named, the values that are there stand for."""
        return len(np.unique(self.person[~np.isnan(self.value)]))


@dataclass(frozen=True)
class Table:
    """The whole file.

    Attributes:
        images, people: names by code.
        metrics: rows by metric, in the order of the file.
        seeds: every seed that occurs.
    """

    images: tuple[str, ...]
    people: tuple[str, ...]
    metrics: dict[str, Values]
    seeds: frozenset[int]

    def keys(self, metric: str) -> list[tuple[str, str]]:
        """Image and person of the rows of a metric."""
        rows = self.metrics[metric]
        pairs = zip(rows.image.tolist(), rows.person.tolist(), strict=True)
        return [(self.images[image], self.people[person]) for image, person in pairs]


def read_table(path: Path) -> Table:
    """Reads the values per image; types are checked before anything is unpacked, and nothing is unpickled.

    Raises:
        BadTable: it is not a Parquet file, too large, or has other columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_schema(file.schema_arrow)
            _check_size(file.metadata)
            return _table(file.read(columns=list(COLUMNS), use_threads=False))
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        raise BadTable(f"cannot be read as Parquet ({type(error).__name__}: {error})") from error


def _check_schema(schema: pa.Schema) -> None:
    import pyarrow.types as kinds

    if tuple(schema.names) != COLUMNS:
        raise BadTable(f"has the columns {', '.join(schema.names)} instead of {', '.join(COLUMNS)}")
    right = {"value": kinds.is_float64, "seed": kinds.is_int64}
    for field in schema:
        if not right.get(field.name, _is_text)(field.type):
            raise BadTable(f"column '{field.name}' has the type {field.type}")


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as kinds

    inner = kind.value_type if kinds.is_dictionary(kind) else kind
    return bool(kinds.is_string(inner) or kinds.is_large_string(inner))


def _check_size(facts: Any) -> None:
    unpacked = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
    if facts.num_rows > MOST_ROWS or unpacked > MOST_BYTES:
        raise BadTable(f"unpacks to {facts.num_rows} rows and {unpacked} bytes; at most {MOST_ROWS} and {MOST_BYTES}")


def _table(table: pa.Table) -> Table:
    (images, image), (people, person) = _codes(table, "image_id"), _codes(table, "identity_id")
    (names, metric), (words, status) = _codes(table, "metric"), _codes(table, "status")
    if table["seed"].null_count:
        raise BadTable("column 'seed' has rows without a seed")
    person = np.where(
        np.array([*people, ""])[person] == "", image + len(people), person
    )  # nobody named: each by itself
    value = table["value"].to_numpy().astype(np.float64)
    # A null and a NaN are told apart by the status alone, which has to agree with both.
    scored = status == (words.index("ok") if "ok" in words else -1)
    rows = {name: np.flatnonzero(metric == code) for code, name in enumerate(names)}
    first = sorted((part[0], name) for name, part in rows.items() if len(part))
    parts = {name: _rows(rows[name], image, person, value, scored) for _, name in first}
    seeds = frozenset(np.unique(table["seed"].to_numpy()).tolist())
    unnamed = tuple("" for _ in images)
    return Table(images, (*people, *unnamed), parts, seeds)


def _rows(
    rows: NDArray[np.int64],
    image: NDArray[np.int64],
    person: NDArray[np.int64],
    value: NDArray[np.float64],
    scored: NDArray[np.bool_],
) -> Values:
    return Values(image[rows], person[rows], value[rows], scored[rows])


def _codes(table: pa.Table, name: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """A column of texts as its different texts and the code of every row."""
    column = table[name]
    if column.null_count:
        raise BadTable(f"column '{name}' has rows without a text")
    coded = column.unify_dictionaries().combine_chunks() if "dictionary" in str(column.type) else None
    coded = column.combine_chunks().dictionary_encode() if coded is None else coded
    if hasattr(coded, "num_chunks"):
        coded = coded.chunk(0)
    if len(coded.dictionary) > MOST_NAMES:
        raise BadTable(f"column '{name}' has {len(coded.dictionary)} different texts")
    return tuple(coded.dictionary.to_pylist()), coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
