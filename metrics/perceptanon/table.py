"""The tables of a study: ``HA1.csv`` (people saw the released image) and ``HA2.csv`` (they saw both).

Columns: the original's path, the released image's path, then by name ``dataset``, ``scope``, ``method``, one column per
annotator, and ``score_mean``. Paths are relative to the data folder.
"""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from benchmark.decode import one_line
from benchmark.errors import UsageError, did_you_mean
from benchmark.hashing import sha256_bytes
from metrics.perceptanon.labels import checked_scores

if TYPE_CHECKING:
    import pandas as pd

Study = Literal["HA1", "HA2"]
STUDIES: tuple[Study, ...] = get_args(Study)
NAMED = ("dataset", "method", "score_mean")
"""Columns that are found by name; the two paths are found by position."""


@dataclass(frozen=True, eq=False)
class Table:
    """Some rows of a study.

    Attributes:
        root: the folder that paths start from.
        study: ``HA1`` or ``HA2``.
        frame: the rows as text, just as they stand in the file, numbered from 0.
        scores: mean scores float64 ``[N]`` in 1..10.
    """

    root: Path
    study: Study
    frame: pd.DataFrame
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def photographs(self) -> NDArray[np.str_]:
        """Names of the originals ``[N]``: equal for all variants of one photograph."""
        return np.array([str(PurePosixPath(name)) for name in self.frame.iloc[:, 0]], dtype=np.str_)

    @property
    def originals(self) -> list[Path]:
        """Files of the originals."""
        return [self.root / name for name in self.frame.iloc[:, 0]]

    @property
    def released(self) -> list[Path]:
        """Files of the released images."""
        return [self.root / name for name in self.frame.iloc[:, 1]]

    @property
    def datasets(self) -> NDArray[np.str_]:
        """Data set of every row ``[N]``."""
        return self.frame["dataset"].to_numpy(dtype=np.str_)

    @property
    def methods(self) -> NDArray[np.str_]:
        """Anonymization method of every row ``[N]``."""
        return self.frame["method"].to_numpy(dtype=np.str_)

    @property
    def content(self) -> str:
        """Hash of the rows (not of the images)."""
        return sha256_bytes(self.frame.to_csv(index=False).encode())

    def rows(self, index: NDArray[np.int64]) -> Table:
        """The rows of these numbers, in this order."""
        frame = self.frame.iloc[index].reset_index(drop=True)
        return dataclasses.replace(self, frame=frame, scores=self.scores[index])


def check_study(name: str) -> Study:
    """The study of this name.

    Raises:
        UsageError: there is no such study.
    """
    for study in STUDIES:
        if name == study:
            return study
    raise UsageError(f"no study is called '{name}'.{did_you_mean(name, STUDIES)}")


def read_table(root: Path, study: str, file: Path | None = None, originals: bool | None = None) -> Table:
    """Reads a study, or a saved part of it.

    Args:
        root: the data folder.
        study: ``HA1`` or ``HA2``.
        file: the table, if it is not ``<root>/<study>.csv``.
        originals: whether the files of the originals must be there; by default only ``HA2`` needs them.

    Raises:
        UsageError: the table or one of its images is missing, or a row is not as described above.
    """
    known = check_study(study)
    file = file or root / f"{study}.csv"
    name = one_line(file.name)
    frame = _frame(file)
    _check_columns(frame, file)
    _check_names(frame, name)
    table = Table(root, known, frame, _scores(frame, name))
    needed = [1] if not (known == "HA2" if originals is None else originals) else [0, 1]
    for column in (0, 1):
        _check_paths(table, column, name, column in needed)
    return table


def _frame(file: Path) -> pd.DataFrame:
    """The cells of a table as text."""
    import pandas as pd

    name = one_line(file)
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # cells without a column
            frame = pd.read_csv(file, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError(f"{name} does not exist; name the folder that holds HA1.csv or HA2.csv") from error
    except NotADirectoryError as error:
        raise UsageError(f"{one_line(file.parent)} is a file; name the folder that holds HA1.csv or HA2.csv") from error
    except IsADirectoryError as error:
        raise UsageError(f"{name} is a folder, not a table; name the folder that holds HA1.csv or HA2.csv") from error
    except pd.errors.EmptyDataError as error:
        raise UsageError(f"{name} is empty; replace it by the table of the study") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeError) as error:
        raise UsageError(f"{name} is not a table of comma-separated UTF-8 ({one_line(error).strip()})") from error
    if frame.empty:
        raise UsageError(f"{name} has no rows; replace it by the table of the study")
    return frame.fillna("")  # cells that a short row lacks


def _check_columns(frame: pd.DataFrame, file: Path) -> None:
    twice = [name for name in NAMED if f"{name}.1" in frame.columns]  # so pandas calls the second of two
    if twice:
        raise UsageError(f"{one_line(file)} has the column {', '.join(twice)} twice; keep one of them")
    missing = [name for name in NAMED if name not in frame.columns[2:]]
    if missing:
        raise UsageError(
            f"{one_line(file)} lacks the column {', '.join(missing)}; it must begin with the paths of original and "
            f"released image, and have the columns {', '.join(NAMED)}"
        )


def _check_names(frame: pd.DataFrame, name: str) -> None:
    """Data sets and methods name splits, and splits name folders: no name may lead elsewhere."""
    for column in ("dataset", "method"):
        for row, text in enumerate(frame[column], 1):
            if not text or "/" in text or "\\" in text or not text.isprintable():
                raise UsageError(
                    f"{name} row {row}: {column} is '{one_line(text)}'; write a plain name without slashes"
                )


def _scores(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    numbers = []
    for row, text in enumerate(frame["score_mean"], 1):
        try:
            numbers.append(float(text))
        except ValueError as error:
            raise UsageError(
                f"{name} row {row}: score_mean is '{one_line(text)}'; write a number from 1 to 10"
            ) from error
    return checked_scores(numbers, name)


def _check_paths(table: Table, column: int, name: str, needed: bool) -> None:
    """Every path stays inside the data folder and, if needed, names a file."""
    seen: set[str] = set()
    for row, text in enumerate(table.frame.iloc[:, column], 1):
        if text in seen:
            continue
        seen.add(text)
        if not _inside(text):
            raise UsageError(
                f"{name} row {row}: path '{one_line(text)}' leads out of the data folder; write it relative to "
                f"{one_line(table.root)}"
            )
        if needed and not (table.root / text).is_file():
            raise UsageError(
                f"{name} row {row}: {one_line(table.root / text)} does not exist; put the image there, or take the row "
                "out"
            )


def _inside(text: str) -> bool:
    """Whether a path is relative and never goes up; what links inside the folder point to is its owner's business."""
    if not text or "\0" in text or "\\" in text:
        return False
    return not (PurePosixPath(text).is_absolute() or PureWindowsPath(text).drive or ".." in PurePosixPath(text).parts)
