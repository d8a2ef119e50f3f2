"""The trade-off on a board: who is on the front, what is left out, and the areas of families."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmark.board.cells import ColumnView
from benchmark.board.load import load_records, select
from benchmark.board.means import board_columns
from benchmark.board.rows import rows_of
from benchmark.board.tradeoffs import TradeOffs, tradeoffs_of
from tests.benchmark.test_board import Tags, card, score, texts
from tests.benchmark.test_board import put as stored
from tests.benchmark.test_board_risk import attacked

TRAIN = [card(f"useful-train(attribute={name})", "utility", "share", True, (0, 1)) for name in ("age", "sex")]


def placed(name: str, risk: float, utility: float, train: float | None = 0.5, **more: Any) -> dict[str, Any]:
    """A record at a place of the square; both its utility columns are ``utility`` on average."""
    data = attacked(name, 0.0, risk, **more)
    values = {"useful(attribute=age)": utility - 0.05, "useful(attribute=sex)": utility + 0.05}
    scores = [
        one | {"value": values[one["metric"]], "interval": None} if one["metric"] in values else one
        for one in data["scores"]
    ]
    if train is not None:
        scores += [score(one["name"], train) for one in TRAIN]
    return data | {"metrics": [*data["metrics"], *TRAIN], "scores": scores}


def found(out: Path) -> TradeOffs:
    selection = select(load_records(out))
    views = [ColumnView.of(column, selection.entrants) for column in board_columns(selection.runs)]
    return tradeoffs_of(views, rows_of(selection.entrants, views))


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Three strengths of a family, one method that beats the middle one, and everybody who has no place."""
    for kernel, risk, utility in ((3, 1.0, 0.8), (9, 0.5625, 0.6), (15, 0.125, 0.2)):
        stored(tmp_path, placed(f"blur(kernel={kernel})", risk, utility))
    stored(tmp_path, placed("better", 0.5625, 0.7, train=None))
    control = placed("control", 0.125, 0.9)
    control["entry"] |= {"control": True}
    stored(tmp_path, control)
    stored(tmp_path, placed("flagged", 0.125, 0.9, flags={"no-op": "Nothing happened."}))
    unranked = attacked("unranked", 0.2, None)
    stored(tmp_path, unranked)
    lost = {"n_expected": 40, "n_output": 0, "n_scored": 0, "n_failed": 40}
    stored(tmp_path, placed("failed", 0.125, 0.9, status="failed", coverage=lost))
    return tmp_path


def test_places_fronts_and_areas_are_the_planted_ones(board: Path) -> None:
    test, train = found(board).shown
    points = {one.row.name: one.point for one in test.placed}
    assert points == {
        "blur(kernel=15)": pytest.approx((1, 0.2)),
        "better": pytest.approx((0.5, 0.7)),
        "blur(kernel=9)": pytest.approx((0.5, 0.6)),
        "blur(kernel=3)": pytest.approx((0, 0.8)),
    }
    assert [one.row.name for one in test.front] == ["blur(kernel=15)", "better", "blur(kernel=3)"]
    assert test.volume == pytest.approx(0.2 + 0.5 * 0.5)
    assert [one.row.name for one in train.front] == ["blur(kernel=15)"]
    assert train.volume == pytest.approx(0.5)
    assert [row.name for row in train.without] == ["better"]


def test_families_need_three_strengths_and_share_their_code(board: Path) -> None:
    rows = found(board).families
    assert [(row.name, row.strengths) for row in rows] == [("blur", 3)]
    assert rows[0].areas == pytest.approx([0.2 + 0.5 * 0.4, 0.5])
    other = placed("blur(kernel=21)", 0.125, 0.9)
    other["entry"] |= {"entry_hash": "f" * 64}
    stored(board, other)
    assert [(row.name, row.strengths) for row in found(board).families] == [("blur · eeeeeeee", 3)]


def test_who_is_left_out_is_said(board: Path) -> None:
    parts = {part.word: [row.name for row in part.rows] for part in found(board).left_out}
    assert parts == {
        "failed": ["failed"], "control": ["control"], "flagged": ["flagged"], "not ranked by risk": ["unranked"],
    }  # fmt: skip
    words = " ".join(Tags(texts(board)["index.html"]).text.split())
    assert "are left out. Failed: failed; Control: control; Flagged: flagged; Not ranked by risk: unranked." in words
    assert "Without this utility, and left out: better." in words
    assert "Hypervolume 0.450 of 4 entrants." in words


def test_the_plot_starts_with_the_risk_and_marks_the_front(board: Path) -> None:
    page = texts(board)["index.html"]
    source = re.search(r'<script id="scatter-data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert source
    data = json.loads(source[1])
    assert data["x"][0]["key"] == "risk"
    assert [axis["key"] for axis in data["y"]][:2] == ["mean(useful)", "mean(useful-train)"]
    assert data["fronts"]["risk"]["mean(useful)"] == [
        "entrants/blur-kernel-15.html", "entrants/better.html", "entrants/blur-kernel-3.html",
    ]  # fmt: skip
    names = {point["name"] for family in data["families"] for point in family["points"]}
    assert not {"flagged", "failed"} & names


def test_one_person_alone_has_no_risk_above_guessing(tmp_path: Path) -> None:
    data = placed("blur(kernel=3)", 1.0, 0.5)
    data["scores"][0] |= {"anchors": {"chance": 1.0}}
    stored(tmp_path, data)
    assert not found(tmp_path).shown[0].placed
    assert "No entrant has both a risk and this utility." in texts(tmp_path)["index.html"]


def test_too_few_strengths_say_so(tmp_path: Path) -> None:
    stored(tmp_path, placed("blur(kernel=3)", 0.5, 0.5))
    page = texts(tmp_path)["index.html"]
    assert "No family has 3 strengths or more here." in page
    assert "there are none." in page


def test_two_versions_of_a_metric_have_no_common_mean(tmp_path: Path) -> None:
    stored(tmp_path, placed("one", 0.5, 0.5, train=None))
    two = placed("two", 0.5, 0.5, train=None)
    newer = [one | {"version": 2} if one["name"].startswith("useful(") else one for one in two["metrics"]]
    stored(tmp_path, two | {"metrics": newer})
    shown = found(tmp_path).shown
    assert [[one.row.name for one in part.placed] for part in shown] == [["one"], ["two"]]
    weighed = [one | {"weights": {"w": "d"}} if one["name"] == TRAIN[0]["name"] else one for one in two["metrics"]]
    for name, metrics in {"a": two["metrics"], "b": weighed}.items():
        stored(tmp_path / "weights", placed(name, 0.5, 0.5) | {"metrics": metrics})
    assert [part.utility.column.key for part in found(tmp_path / "weights").shown] == ["mean(useful)"]


def test_a_mean_without_all_its_columns_says_which_is_missing(tmp_path: Path) -> None:
    stored(tmp_path, placed("whole", 0.5, 0.5))
    part = placed("part", 0.5, 0.5)
    gap = {"metric": TRAIN[1]["name"], "status": "unavailable", "reason": "No classifier.", "remedy": "Train one."}
    stored(tmp_path, part | {"scores": [*part["scores"][:-1], gap]})
    page = texts(tmp_path)["entrants/part.html"]
    words = " ".join(Tags(page).text.split())
    assert "unavailable Title of useful-train(attribute=sex) has no value: No classifier. Train one." in words
