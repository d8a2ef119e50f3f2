"""Tables of correlations: what is valid, and how a board shows them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchmark.board import render_board
from benchmark.correlations import Correlation, CorrelationTable, read_correlations
from benchmark.errors import UsageError
from tests.benchmark.test_board import CARDS, EVIL, NBSP, Tags, put, record, texts

ATTACK, SHARP = CARDS[0]["name"], CARDS[3]["name"]


def row(metric: str, split: str, rho: float | None, **more: Any) -> dict[str, Any]:
    return {"metric": metric, "split": split, "n": 40, "spearman": rho, "kendall": rho and rho / 2, **more}


def table(**more: Any) -> dict[str, Any]:
    """A table as plain data."""
    return {
        "name": "raters", "title": "Raters", "description": "Five people rated.", "scores_name": "mean rating",
        "panel": "human", "suite_name": "tiny", "suite_hash": "a" * 64, "splits": ["seen", "new"],
        "metrics": [CARDS[0], CARDS[3]], "sources": {"ratings.csv": "f" * 64}, "command": "anonbench correlate",
        "harness_version": "0.1", "created_utc": "2026-01-01T00:00:00Z",
        "rows": [
            row(ATTACK, "seen", -0.75), row(ATTACK, "new", 0.25),
            row(SHARP, "seen", 0.5), row(SHARP, "new", None, reason="All values are equal."),
        ],
        **more,
    }  # fmt: skip


def store(out: Path, data: dict[str, Any]) -> Path:
    path = out / "correlations" / f"{data['name']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def section(page: str) -> str:
    """The section as it stands in the page, or empty."""
    found = re.search(r'<section id="panel".*?</section>', page, re.DOTALL)
    return found[0] if found else ""


# The file


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = store(tmp_path, table())
    found = read_correlations(path)
    assert found == CorrelationTable.model_validate(table())
    path.write_text(found.model_dump_json())
    assert read_correlations(path) == found
    cell = found.row(ATTACK, "seen")
    assert cell is not None
    assert (cell.spearman, cell.kendall, cell.n) == (-0.75, -0.375, 40)
    assert found.row(ATTACK, "gone") is None


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row("stranger", "seen", 0.5)], "metric 'stranger'"),
        ([row(ATTACK, "gone", 0.5)], "split 'gone'"),
        ([row(ATTACK, "seen", 0.5), row(ATTACK, "seen", 0.25)], "is there twice"),
        ([row(ATTACK, "seen", 1.5)], "less than or equal to 1"),
        ([row(ATTACK, "seen", float("nan"))], "finite|less than"),
        ([row(ATTACK, "seen", None)], "a value or a reason"),
        ([row(ATTACK, "seen", 0.5, reason="why")], "a value or a reason"),
        ([row(ATTACK, "seen", 0.5, p=0.1)], "Extra inputs"),
    ],
)
def test_a_wrong_table_is_refused(rows: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        CorrelationTable.model_validate(table(rows=rows))


def test_names_occur_once() -> None:
    for more in ({"splits": ["seen", "new", "new"]}, {"metrics": [CARDS[0], CARDS[3], CARDS[3]]}):
        with pytest.raises(ValidationError, match="is there twice"):
            CorrelationTable.model_validate(table(**more))


def test_a_correlation_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Correlation(metric="m", split="s", spearman=0.5).n = 3  # type: ignore[misc]


# The board


def test_a_table_of_the_suite_is_shown(tmp_path: Path) -> None:
    put(tmp_path, record())
    store(tmp_path, table())
    shown = section(texts(tmp_path)["index.html"])
    for text in ("ρ \N{MINUS SIGN}0.750", "τ \N{MINUS SIGN}0.375", "ρ +0.250", "ρ +0.500", "All values are equal."):
        assert f">{text}<" in shown, text
    assert re.findall(r'<td class="best"><span class="rho">ρ (.*?)<', shown) == ["\N{MINUS SIGN}0.750", "+0.250"]
    words = " ".join(Tags(shown).text.split())
    assert "Raters human panel Five people rated. Correlated with: mean rating." in words
    assert "seenn = 40newn = 40" in words
    assert "anonbench correlate" in words
    assert "f" * 64 in words
    assert 'href="metrics/attack.html"' in shown


def test_a_simulated_panel_says_so(tmp_path: Path) -> None:
    put(tmp_path, record())
    store(tmp_path, table(panel="simulated"))
    assert '<span class="badge warn">simulated panel: not people</span>' in texts(tmp_path)["index.html"]


def test_splits_of_metrics_with_different_numbers_show_the_span(tmp_path: Path) -> None:
    put(tmp_path, record())
    rows = [row(ATTACK, "seen", 0.5), row(SHARP, "seen", 0.25, n=39)]
    store(tmp_path, table(rows=rows))
    shown = section(texts(tmp_path)["index.html"])
    assert "n = 39\N{EN DASH}40" in shown
    assert shown.count("The table holds no row for it.") == 2


def test_a_metric_without_any_correlation_says_why_once(tmp_path: Path) -> None:
    put(tmp_path, record())
    rows = [
        row(ATTACK, "seen", 0.5),
        *(row(SHARP, split, None, reason="No weights.", n=0) for split in ("seen", "new")),
    ]
    store(tmp_path, table(rows=rows))
    shown = section(texts(tmp_path)["index.html"])
    assert re.findall(
        r'<td colspan="2"><span class="missing">none</span><span class="sub why">(.*?)</span></td>', shown
    ) == ["No weights."]
    assert "n = 40<" in shown
    assert "n = 0<" in shown, "nobody has a value on the other split"


def test_tables_of_another_suite_are_counted_and_not_shown(tmp_path: Path) -> None:
    put(tmp_path, record())
    assert not section(texts(tmp_path)["index.html"])
    store(tmp_path, table(name="older", suite_hash="0" * 64))
    shown = section(texts(tmp_path)["index.html"])
    assert f"1{NBSP}table of another version" in shown.replace("1 table", f"1{NBSP}table")
    assert "Raters" not in shown


def test_tables_stand_in_the_order_of_their_names(tmp_path: Path) -> None:
    put(tmp_path, record())
    for name in ("b", "a", "c"):
        store(tmp_path, table(name=name, title=f"Table {name}"))
    assert re.findall("<h3>Table (.)", texts(tmp_path)["index.html"]) == ["a", "b", "c"]


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "raters"}'])
def test_a_broken_table_is_named_in_one_line(tmp_path: Path, content: str) -> None:
    put(tmp_path, record())
    path = store(tmp_path, table())
    path.write_text(content)
    with pytest.raises(UsageError, match=re.escape(str(path))) as caught:
        render_board(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "board").exists()


def test_boards_with_tables_are_equal_and_all_links_resolve(tmp_path: Path) -> None:
    boards = []
    for out, names in ((tmp_path / "one", "abc"), (tmp_path / "two", "cba")):
        put(out, record())
        for name in names:
            store(out, table(name=name))
        board = render_board(out).parent
        boards.append({path.relative_to(board): path.read_bytes() for path in board.rglob("*") if path.is_file()})
    assert boards[0] == boards[1]
    page = tmp_path / "one" / "board" / "index.html"
    links = [attrs.get("href") or "" for tag, attrs in Tags(section(page.read_text())).tags if tag == "a"]
    assert len(links) == 9
    assert all((page.parent / link).exists() for link in links)


@pytest.mark.parametrize("evil", EVIL)
def test_text_of_a_table_never_becomes_markup(tmp_path: Path, evil: str) -> None:
    put(tmp_path, record())
    texts_of = ("title", "description", "scores_name", "direction", "command", "harness_version", "created_utc")
    rows = [row(ATTACK, evil, None, reason=evil)]
    data = table(splits=[evil], sources={evil: evil}, rows=rows) | dict.fromkeys(texts_of, evil)
    store(tmp_path, data)
    shown = section(texts(tmp_path)["index.html"])
    assert Tags(shown).text.count(evil) == len(texts_of) + 4
    for mark in ("<script>alert", "<img src=x", "<b>"):
        assert mark not in shown
