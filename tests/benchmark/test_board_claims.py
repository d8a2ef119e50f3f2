"""What a board says of rows that somebody else handed in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmark.board import render_board
from benchmark.board.badges import provenance
from benchmark.records import Claims
from tests.benchmark.test_board import EVIL, RUN, put, record

SAID = {
    "self_reported": True, "submitted_by": "Ada", "conflict_of_interest": "I wrote it",
    "training_overlap": "20 of its people", "publishable": True,
}  # fmt: skip
AGAIN = {
    "reproduced_by": "Bob", "reproduced_utc": "2026-02-01T00:00:00Z", "max_abs_diff": 0.002,
    "max_abs_diff_metric": "useful(attribute=age)",
}  # fmt: skip


def pages(out: Path, **more: Any) -> tuple[str, str]:
    """The table and the entrant's page of a board with one row."""
    put(out, record(**more))
    board = render_board(out).parent
    (page,) = (board / "entrants").glob("*.html")
    return (board / "index.html").read_text(), page.read_text()


def badges(page: str) -> list[str]:
    return re.findall(r'<span class="badge[^"]*"[^>]*>([^<]*)</span>', page)


def test_a_claim_says_so_and_shows_the_answers(tmp_path: Path) -> None:
    table, page = pages(tmp_path, claims=SAID)
    assert "claimed" in badges(table)
    assert "reproduced" not in badges(table)
    assert "Claimed by Ada, and not reproduced by anybody else." in page
    for question, answer in (
        ("Submitted by", "Ada"),
        ("Conflict of interest", "I wrote it"),
        ("Training data also in the suite", "20 of its people"),
    ):
        assert f"<dt>{question}</dt><dd>{answer}</dd>" in page


def test_a_reproduced_claim_names_the_metric_that_differs_most(tmp_path: Path) -> None:
    table, page = pages(tmp_path, claims={**SAID, **AGAIN})
    assert "reproduced" in badges(table)
    assert "claimed" not in badges(table)
    assert (
        "Claimed by Ada, reproduced by Bob on 2026-02-01T00:00:00Z, largest difference 0.002 in useful(attribute=age)."
        in page
    )


def test_rows_of_the_maintainers_ask_nothing(tmp_path: Path) -> None:
    table, page = pages(tmp_path)
    assert not {"claimed", "reproduced"} & set(badges(table))
    assert "Conflict of interest" not in page
    assert "Kept apart" not in page


def test_how_a_command_was_kept_apart_is_shown(tmp_path: Path) -> None:
    _, page = pages(tmp_path, run={**RUN, "isolation": "no network; memory limited"})
    assert "<dt>Kept apart</dt><dd>no network; memory limited</dd>" in page


@pytest.mark.parametrize("evil", EVIL)
def test_answers_never_become_markup(tmp_path: Path, evil: str) -> None:
    said = dict.fromkeys(("submitted_by", "conflict_of_interest", "training_overlap", "reproduced_by"), evil)
    table, page = pages(
        tmp_path, claims={**SAID, **AGAIN, **said, "max_abs_diff_metric": evil}, run={**RUN, "isolation": evil}
    )
    for text in (table, page):
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "</script><b>" not in text


def test_a_difference_without_a_metric() -> None:
    """Records from before the metric was kept."""
    said = provenance(Claims(self_reported=True, submitted_by="Ada", reproduced_by="Bob", max_abs_diff=0.0))
    assert said == "Claimed by Ada, reproduced by Bob, largest difference 0."


def test_a_claim_of_nobody_says_so() -> None:
    assert provenance(Claims(self_reported=True)).startswith("Claimed by somebody who is not named,")
