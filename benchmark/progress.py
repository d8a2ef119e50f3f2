"""Progress bars on a terminal, one plain line per finished piece of work in a log file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmark.protocols import Progress as Advance
from benchmark.protocols import Report

PATIENCE = 3.0
"""Seconds of work before a log hears of it."""


def reporter(console: Console, patience: float = PATIENCE) -> Report:
    """A report on ``console``: bars where it is a terminal, lines about work longer than ``patience`` s where not."""
    return _bars(console) if console.is_terminal else _lines(console, patience)


def _bars(console: Console) -> Report:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )

    @contextmanager
    def report(title: str, total: int) -> Iterator[Advance]:
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task(title, total=total)
            yield lambda count: bars.advance(task, count)

    return report


def _lines(console: Console, patience: float) -> Report:
    @contextmanager
    def report(title: str, total: int) -> Iterator[Advance]:
        counter = _Quarters(console, title, total, patience)
        yield counter.advance

    return report


class _Quarters:
    """Prints a line whenever another quarter of the work is done."""

    def __init__(self, console: Console, title: str, total: int, patience: float) -> None:
        self.console, self.title, self.total, self.done, self.quarter = console, title, total, 0, 0
        self.loud_from = time.monotonic() + patience

    def advance(self, count: int) -> None:
        self.done += count
        quarter = 4 * self.done // max(1, self.total)
        if quarter > self.quarter and time.monotonic() >= self.loud_from:
            self.quarter = quarter
            self.console.print(f"{self.title}: {self.done} of {self.total}", markup=False, highlight=False)
