"""``attributes.csv``: which images there are, who they show, and what else is known about them."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from benchmark.decode import one_line, read_file
from benchmark.errors import UsageError
from suites.folder.listing import IDENTITY, PATH, by_folder, exists, folder_of, list_paths, some_of

CSV = "attributes.csv"


def read_table(root: Path) -> pd.DataFrame:
    """The images of a folder with everything said about them.

    With an ``attributes.csv`` its rows are the images and must match the files exactly; its ``identity`` column wins
    over the folders. Without one the images are listed by folder.

    Returns:
        Columns ``path``, ``identity`` (``""`` where unknown) and one per attribute, all strings.

    Raises:
        UsageError: the table and the folder do not fit together.
    """
    listed = list_paths(root)
    if not exists(root / CSV):
        return by_folder(root)
    table = read_csv(root / CSV)
    _check_paths(table, listed, root)
    if IDENTITY not in table:
        table.insert(1, IDENTITY, [folder_of(path) for path in table[PATH]])
    return table


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file with a header, every cell as a string.

    Raises:
        UsageError: it is not a CSV file in UTF-8, or a column name is missing or used twice.
    """
    name = one_line(path)
    try:
        # Read without a header, so that rows longer than it are refused rather than shifted or cut.
        cells = pd.read_csv(
            io.BytesIO(read_file(path)), header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise UsageError(f"{name} is not a CSV table in UTF-8 ({one_line(error).strip()}); save it again") from error
    header = [str(cell) for cell in cells.iloc[0]]
    _check_header(header, name)
    table = cells.iloc[1:].reset_index(drop=True)
    return table.set_axis(header, axis="columns")


def _check_header(header: list[str], name: str) -> None:
    if PATH not in header:
        columns = one_line(", ".join(header))
        raise UsageError(f"{name} has no column '{PATH}' (columns: {columns}); name the column of file paths '{PATH}'")
    twice = [column for column in header if header.count(column) > 1]
    if twice:
        raise UsageError(f"{name} has the column '{one_line(twice[0])}' twice; remove or rename one")
    if "" in header:
        raise UsageError(f"{name} has a column without a name (number {header.index('') + 1}); name or remove it")


def _check_paths(table: pd.DataFrame, listed: list[str], root: Path) -> None:
    name, rows = one_line(root / CSV), table[PATH]
    known, named = set(listed), set(rows)
    twice = rows[rows.duplicated()].tolist()
    if twice:
        raise UsageError(f"{name} has more than one row for {some_of(twice)}; keep one row per image")
    unknown = [path for path in rows if path not in known]
    if unknown:
        raise UsageError(
            f"{name} names {some_of(unknown)}, not among the images of the folder; remove the row or add the file "
            "(paths are relative, with forward slashes)"
        )
    missing = [path for path in listed if path not in named]
    if missing:
        raise UsageError(f"{name} has no row for {some_of(missing)}; add a row or remove the file")
