"""Writes a board: everything into a folder beside the old one, then one swap."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from filelock import FileLock

from benchmark.board.load import (
    LoadedRecord,
    LoadedTable,
    LoadedTuning,
    load_correlations,
    load_records,
    load_tunings,
    select,
)
from benchmark.board.pages import board_texts
from benchmark.board.pictures import Pictures
from benchmark.board.reported import LoadedSource, load_reported
from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.hashing import sha256_bytes
from benchmark.store import cache_root

ASSETS = (
    "board.css",
    "theme.js",
    "board.js",
    "plot.js",
    "scatter.js",
    "rounds.js",
    "tuning.js",
    "plotly-basic.min.js",
    "plotly-basic.LICENSE.txt",
)
MARKER = Path("assets") / "board.css"
"""A folder that holds it was written by this module and may be replaced."""


def render_board(out: Path) -> Path:
    """Renders the records of the result folder ``out`` as a static site into ``out/board``.

    Published figures in ``reported`` beside ``out`` get a page of their own.

    Returns:
        The path of its ``index.html``.

    Raises:
        NothingComparable: there are no records.
        UsageError: a record, a table of correlations or a file of published figures is broken, or ``out/board`` is a
            folder that is not a board.
        EnvironmentProblem: the board cannot be written.
    """
    records, correlations, reported = load_records(out), load_correlations(out), load_reported(out)
    tunings = load_tunings(out)
    board = out / "board"
    if board.exists() and any(board.iterdir()) and not (board / MARKER).is_file():
        raise UsageError(f"{board} exists and is not a board. Move it away, then render again.")
    try:
        with _alone(out), tempfile.TemporaryDirectory(dir=out, prefix=".board-") as scratch:
            fresh = Path(scratch) / "board"
            write_board(records, correlations, fresh, reported, tunings)
            _swap(fresh, board, Path(scratch) / "old")
    except OSError as error:
        raise EnvironmentProblem(
            f"the board cannot be written to {out}: {error.strerror or error}. The records are kept; mend it and run "
            f"the same command again"
        ) from error
    return board / "index.html"


def _alone(out: Path) -> FileLock:
    """Lets two runs that share a folder swap their boards one after the other."""
    name = sha256_bytes(str(out.resolve()).encode())[:16]
    locks = cache_root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{name}.lock")


def write_board(
    records: Sequence[LoadedRecord],
    correlations: Sequence[LoadedTable],
    folder: Path,
    reported: Sequence[LoadedSource] = (),
    tunings: Sequence[LoadedTuning] = (),
) -> None:
    """Writes all files of a board into a new folder."""
    pictures = Pictures.of(select(records).entrants)
    for name in ("entrants", "metrics", "assets"):
        (folder / name).mkdir(parents=True)
    for address, text in board_texts(records, pictures, correlations, reported, tunings):
        (folder / address).write_text(text, encoding="utf-8", newline="\n")
    _write_assets(folder / "assets")


def _write_assets(folder: Path) -> None:
    package = files("benchmark.board") / "assets"
    for name in ASSETS:
        (folder / name).write_bytes((package / name).read_bytes())


def _swap(fresh: Path, board: Path, old: Path) -> None:
    if board.exists():
        board.rename(old)
    try:
        fresh.rename(board)
    except OSError:
        if old.exists():
            old.rename(board)
        raise
