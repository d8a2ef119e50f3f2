"""Progress: plain lines in a log, a bar that goes away on a terminal."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from benchmark.progress import reporter
from benchmark.protocols import quiet


def log_of(total: int, steps: list[int], title: str = "blur", patience: float = 0) -> list[str]:
    file = io.StringIO()
    with reporter(Console(file=file, force_terminal=False, width=200), patience)(title, total) as advance:
        for step in steps:
            advance(step)
    return file.getvalue().splitlines()


def test_log_has_a_line_for_every_quarter() -> None:
    assert log_of(100, [1] * 100) == [f"blur: {done} of 100" for done in (25, 50, 75, 100)]


def test_steps_over_several_quarters_are_one_line() -> None:
    assert log_of(10, [9, 1]) == ["blur: 9 of 10", "blur: 10 of 10"]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_log_is_short_and_ends_with_the_total(steps: list[int]) -> None:
    lines = log_of(sum(steps), steps)
    assert 1 <= len(lines) <= 4
    assert lines[-1] == f"blur: {sum(steps)} of {sum(steps)}"


def test_title_is_no_markup() -> None:
    assert log_of(1, [1], "mask(region=[red]eyes[/red])") == ["mask(region=[red]eyes[/red]): 1 of 1"]


def test_short_work_is_not_worth_a_line() -> None:
    assert log_of(100, [1] * 100, patience=60) == []


def test_no_work_has_no_line() -> None:
    assert log_of(0, []) == []


def bar_of(title: str) -> str:
    """What a terminal is sent, without the colours."""
    file = io.StringIO()
    with reporter(Console(file=file, force_terminal=True, width=120))(title, 3) as advance:
        advance(3)
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]|\r", "", file.getvalue())


@pytest.mark.parametrize("title", ["blur(kernel=9)", "mask(region=[red]eyes[/red])", "command(line=a[/]b)"])
def test_terminal_shows_the_title_as_it_is(title: str) -> None:
    assert title in bar_of(title)


def test_quiet_report_takes_everything() -> None:
    with quiet("work", 3) as advance:
        advance(3)
