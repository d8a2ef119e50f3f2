"""The board: a static leaderboard site made from result records, tables of correlations and nothing else."""

from __future__ import annotations

from benchmark.board.load import LoadedRecord, LoadedTable, load_correlations, load_records
from benchmark.board.render import render_board
from benchmark.board.table import as_csv, as_json, board_table

__all__ = [
    "LoadedRecord",
    "LoadedTable",
    "as_csv",
    "as_json",
    "board_table",
    "load_correlations",
    "load_records",
    "render_board",
]
