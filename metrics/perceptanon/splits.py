"""Train, validation and test rows of a study.

Published rule (``paper=True``): rows are drawn one by one, so that variants of one photograph lie in several parts,
and a network may recognise the photograph instead of judging its anonymity. Default: variants of one photograph stay
together, at the same proportions. In both, rows are stratified by score, with seed 42.

| split | test | train and validation |
|---|---|---|
| ``all`` | 20 % | 60 % and 20 % |
| ``loov-<data set>`` | all rows of that data set | 75 % and 25 % of the others |
| ``anon-<method>`` | all rows of that method (default: of a fifth of the photographs) | 75 % and 25 % of the others |
| ``task-person``, ``task-face`` | 20 % of the rows of coco and voc, or of celeba and lfw | 60 % and 20 % |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.errors import UsageError, did_you_mean
from benchmark.store import write_atomic
from metrics.perceptanon.table import Table, read_table

SEED = 42
TASK_DATASETS = {"person": ("coco", "voc"), "face": ("celeba", "lfw")}
PARTS = ("train", "val", "test")
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """The three parts of a study.

    Attributes:
        name: as in the table above.
        train: rows to learn from.
        val: rows that choose the epoch.
        test: rows to report on.
    """

    name: str
    train: Table
    val: Table
    test: Table

    def parts(self) -> dict[str, Table]:
        """The parts by name."""
        return {name: getattr(self, name) for name in PARTS}

    @property
    def leaks(self) -> bool:
        """Whether variants of one photograph lie in several parts."""
        seen = [set(part.photographs.tolist()) for part in self.parts().values()]
        return len(set.union(*seen)) < sum(map(len, seen))


def strata(scores: ArrayLike) -> Rows:
    """Stratum of every score: 0 up to 4 (after rounding halves to even), then 1 per point, int64 ``[N]`` in 0..6."""
    rounded = np.rint(np.asarray(scores, dtype=np.float64)).astype(np.int64)
    return np.maximum(rounded - 4, 0)


def merged(values: Rows, least: int = 2) -> Rows:
    """The strata, with small ones merged upwards until every one has ``least`` rows.

    The topmost has no upper neighbour and is merged downwards. The published code looks up one step only and can leave
    a single row behind.
    """
    values = values.copy()
    while True:
        present, counts = np.unique(values, return_counts=True)
        small = np.flatnonzero(counts < least)
        if not len(small) or len(present) == 1:
            return values
        place = int(small[0])
        into = present[place + 1] if place + 1 < len(present) else present[place - 1]
        values[values == present[place]] = into


def known_splits(table: Table) -> list[str]:
    """Names of all splits that this study has rows for."""
    datasets, methods = sorted(set(table.datasets.tolist())), sorted(set(table.methods.tolist()))
    tasks = [f"task-{task}" for task, members in TASK_DATASETS.items() if set(members) & set(datasets)]
    held_out = [f"loov-{name}" for name in datasets] if len(datasets) > 1 else []
    left_out = [f"anon-{name}" for name in methods] if len(methods) > 1 else []
    return ["all", *held_out, *tasks, *left_out]


def split_table(table: Table, name: str, paper: bool = False) -> Split:
    """Splits a study.

    Args:
        table: all its rows; their order matters.
        name: ``all``, ``loov-<data set>``, ``task-person``, ``task-face`` or ``anon-<method>``.
        paper: the published rule, which lets variants of one photograph lie in several parts.

    Raises:
        UsageError: there is no such split, or there are too few rows.
    """
    known = known_splits(table)
    if name not in known:
        raise UsageError(f"{table.study} has no rows for a split '{name}'.{did_you_mean(name, known)}")
    try:
        train, val, test = (_row_wise if paper else _grouped)(table, name)
    except ValueError as error:  # scikit-learn's word for a stratum or a part without rows
        raise UsageError(f"{table.study} has too few rows for the split '{name}' ({error})") from error
    for part, rows in zip(PARTS, (train, val, test), strict=True):
        if not len(rows):
            raise UsageError(f"{table.study} has too few rows for the split '{name}': no {part} row is left")
    return Split(name, table.rows(train), table.rows(val), table.rows(test))


def _held_out(table: Table, name: str) -> NDArray[np.bool_] | None:
    """Rows of the data set or method that a split leaves out."""
    kind, _, value = name.partition("-")
    columns = {"loov": table.datasets, "anon": table.methods}
    return columns[kind] == value if kind in columns else None


def _members(table: Table, name: str) -> Rows:
    """Rows that take part in ``all`` and the tasks."""
    if name == "all":
        return np.arange(len(table))
    return np.flatnonzero(np.isin(table.datasets, TASK_DATASETS[name.removeprefix("task-")]))


def _row_wise(table: Table, name: str) -> tuple[Rows, Rows, Rows]:
    """The published rule."""
    levels, held = strata(table.scores), _held_out(table, name)
    if held is not None:
        return *_cut(np.flatnonzero(~held), levels, 0.25), np.flatnonzero(held)
    if name == "all":
        rest, test = _cut(_members(table, name), levels, 0.2)
        return *_cut(rest, levels, 0.25), test
    train, rest = _cut(_members(table, name), levels, 0.4)
    return train, *_cut(rest, levels, 0.5)


def _cut(rows: Rows, levels: Rows, share: float) -> tuple[Rows, Rows]:
    """Cuts off a stratified ``share``."""
    from sklearn.model_selection import train_test_split

    kept, cut = train_test_split(rows, test_size=share, random_state=SEED, stratify=merged(levels[rows]))
    return kept, cut


def _grouped(table: Table, name: str) -> tuple[Rows, Rows, Rows]:
    """Our rule: a photograph lies in one part only."""
    held = _held_out(table, name)
    if held is None:
        rows = _members(table, name)
        folds = _folds(table, rows, 5)
        return rows[folds > 1], rows[folds == 1], rows[folds == 0]
    test, rest = _without_shared(table, held)
    folds = _folds(table, rest, 4)
    return rest[folds > 0], rest[folds == 0], test


def _without_shared(table: Table, held: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Test rows and the rest, where what is held out shares photographs with the rest.

    A fifth of the shared photographs goes to the test, the others to the rest, each without the rows of the other
    side. Photographs that are not shared keep all their rows.
    """
    photographs = table.photographs
    both = np.isin(photographs, photographs[held]) & np.isin(photographs, photographs[~held])
    shared = np.flatnonzero(both)
    tested = np.zeros(len(table), dtype=bool)
    if len(shared):
        tested[shared[_folds(table, shared, 5) == 0]] = True
    return np.flatnonzero(held & (tested | ~both)), np.flatnonzero(~held & ~tested)


def _folds(table: Table, rows: Rows, count: int) -> Rows:
    """Number of the fold of every row: equal folds that keep photographs whole and strata even."""
    from sklearn.model_selection import StratifiedGroupKFold

    levels = merged(strata(table.scores[rows]), count)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=SEED)
    folds = np.empty(len(rows), dtype=np.int64)
    for number, (_, members) in enumerate(splitter.split(levels, levels, table.photographs[rows])):
        folds[members] = number
    return folds


def folder_of(out: Path, study: str, name: str) -> Path:
    """Where the tables of a split lie."""
    return out / "dataset_splits" / study / name


def write_split(split: Split, out: Path) -> None:
    """Writes ``train.csv``, ``val.csv`` and ``test.csv`` with the columns of the study."""
    for part, table in split.parts().items():
        path = folder_of(out, table.study, split.name) / f"{part}.csv"
        write_atomic(path, table.frame.to_csv(index=False, lineterminator="\n").encode())


def read_split(root: Path, study: str, name: str, saved: Path) -> Split:
    """Reads what ``write_split`` wrote.

    Raises:
        UsageError: a table is missing or broken.
    """
    folder = folder_of(saved, study, name)
    if not folder.is_dir():
        raise UsageError(
            f"there is no split '{name}' of {study} in {saved}; write it with: anonbench perceptanon splits"
        )
    return Split(name, *(read_table(root, study, folder / f"{part}.csv") for part in PARTS))


def choose_splits(table: Table, names: Sequence[str]) -> list[str]:
    """The splits that were asked for, or all there are."""
    return list(names) or known_splits(table)
