"""The rounds of entrants that work in rounds, as a board shows them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image

from benchmark.board import render_board
from benchmark.records import Record
from tests.benchmark.test_board import EVIL, NBSP, Tags, put, record, shown_on, texts

RISK = [0.875, 0.5, 0.25, 0.0625]
TARGET = 0.1


def sequence(key: str = "p/1", afters: tuple[int, ...] = (0, 1, 3), folder: str = "rounds/0-") -> dict[str, Any]:
    return {"key": key, "steps": [{"after": after, "picture": f"{folder}{after}.webp"} for after in afters]}


def trace(**more: Any) -> dict[str, Any]:
    """Rounds as plain data."""
    return {
        "risk": RISK, "target": TARGET, "recognised": 2, "rounds_median": 2.5, "rounds_max": 3,
        "changed_mean": 0.1234, "sequences": [sequence()], **more,
    }  # fmt: skip


def put_pictures(folder: Path) -> dict[str, bytes]:
    """Draws the pictures that the record in ``folder`` names; their contents by name."""
    named = Record.model_validate_json((folder / "record.json").read_text()).trace
    assert named is not None
    steps = [step for part in named.sequences for step in part.steps]
    for number, step in enumerate(steps):
        path = folder / step.picture
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 16), (40 * number, 90, 20)).save(path, "webp")
    return {step.picture: (folder / step.picture).read_bytes() for step in steps}


def data_of(page: str) -> Any:
    found = re.search(r'<script id="rounds-data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def cells_of(page: str) -> list[list[str]]:
    """The rows of the table, as text."""
    table = re.search(r'<table class="values rounds">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert table
    rows = re.findall(r"<tr>(.*?)</tr>", table[1], re.DOTALL)
    return [[Tags(cell).text.strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in rows]


def captions_of(page: str) -> list[list[str]]:
    """Captions of the steps, by sequence."""
    lists = re.findall(r'<ol class="steps">(.*?)</ol>', page, re.DOTALL)
    return [re.findall(r"<figcaption>(.*?)</figcaption>", steps) for steps in lists]


# The page


def test_a_board_without_rounds_has_no_page_of_rounds(tmp_path: Path) -> None:
    put(tmp_path, record())
    pages = texts(tmp_path)
    assert "rounds.html" not in pages
    assert not any("rounds.html" in page or ">Rounds<" in page for page in pages.values())


def test_entrants_with_rounds_have_a_page_a_section_and_links(tmp_path: Path) -> None:
    put(tmp_path, record("loop", trace=trace()), slug="loop=a b")
    put(tmp_path, record("plain"))
    pages = texts(tmp_path)
    assert '<a href="rounds.html">Rounds</a>' in pages["index.html"]
    addresses = [attrs["href"] for tag, attrs in Tags(pages["entrants/loop=a b.html"]).tags if tag == "a"]
    assert "../rounds.html#loop%3Da%20b" in addresses
    assert "loop=a b" in [attrs.get("id") for _, attrs in Tags(pages["rounds.html"]).tags]
    assert ">Rounds<" not in pages["entrants/plain.html"]
    assert "plain" not in Tags(pages["rounds.html"]).text
    links = [attrs.get("href") or "" for _, attrs in Tags(pages["rounds.html"]).tags]
    assert {"index.html", "index.html#table", "entrants/loop%3Da%20b.html"} <= set(links)
    assert all("assets/" in link or "#" in link or "data:" in link or unquote(link) in pages for link in links if link)


def test_the_table_holds_the_numbers_of_the_record(tmp_path: Path) -> None:
    put(tmp_path, record("good", 0.2, trace=trace()))
    put(tmp_path, record("bad", 0.4, trace=trace(target=0.03, recognised=16, rounds_median=3)))
    good, bad = cells_of(texts(tmp_path)["rounds.html"])
    named = [f"87.5{NBSP}%", f"6.2{NBSP}%"]
    assert good == [
        "gooduses identity", "3", *named, f"below 10{NBSP}%", "reached: 2 images still named",
        "2.5", "3", f"12.3{NBSP}%",
    ]  # fmt: skip
    assert bad[4:7] == [f"below 3{NBSP}%", "not reached: 16 images still named", "3"]


def test_a_target_is_missed_by_an_equal_risk(tmp_path: Path) -> None:
    put(tmp_path, record(trace=trace(target=RISK[-1], recognised=1)))
    assert cells_of(texts(tmp_path)["rounds.html"])[0][5] == "not reached: 1 image still named"


def test_the_plot_is_drawn_from_the_numbers_of_the_records(tmp_path: Path) -> None:
    uneven = [1 / 3, 0.1, 1e-9]
    put(tmp_path, record("late", 0.4, trace=trace(risk=uneven, target=0.07)))
    put(tmp_path, record("first", 0.2, trace=trace()))
    assert data_of(texts(tmp_path)["rounds.html"]) == [
        {"name": "first", "href": "entrants/first.html", "risk": RISK, "target": TARGET},
        {"name": "late", "href": "entrants/late.html", "risk": uneven, "target": 0.07},
    ]


def test_the_section_of_an_entrant_says_how_it_went(tmp_path: Path) -> None:
    put(tmp_path, record("loop", trace=trace(risk=[0.5, 0.25], recognised=10)))
    text = Tags(texts(tmp_path)["entrants/loop.html"]).text.replace(NBSP, " ")
    assert "named 50.0 % of the images before the first round and 25.0 % after 1 round." in text
    assert "Target below 10 %, not reached: 10 images still named." in text


@pytest.mark.parametrize("more", [{"status": "failed"}, {"invalidated": {"by": "me", "when": "now", "reason": "no"}}])
def test_failed_and_withdrawn_records_do_not_show_their_rounds(tmp_path: Path, more: dict[str, Any]) -> None:
    put(tmp_path, record("plain"))
    folder = put(tmp_path, record("gone", trace=trace(), **more))
    put_pictures(folder)
    board = render_board(tmp_path).parent
    assert not (board / "rounds.html").exists()
    assert "rounds.html" not in (board / "index.html").read_text()
    assert not shown_on(board)
    put(tmp_path, record("loop", trace=trace()))
    pages = texts(tmp_path)
    assert [row[0] for row in cells_of(pages["rounds.html"])] == ["loopuses identity"]
    assert ">Rounds<" not in pages.get("entrants/gone.html", "")


# Pictures


def test_sequences_stand_in_order_with_their_pictures(tmp_path: Path) -> None:
    parts = [sequence("b/2", (0, 1, 4, 31), "rounds/0-"), sequence("a/1", (0,), "rounds/1-")]
    contents = list(put_pictures(put(tmp_path, record("loop", trace=trace(sequences=parts)))).values())
    board = render_board(tmp_path).parent
    for name in ("rounds.html", "entrants/loop.html"):
        page = board / name
        assert captions_of(page.read_text()) == [
            ["original", "after 1 round", "after 4 rounds", "released (31 rounds)"],
            ["released (0 rounds)"],
        ]
        pictures = [attrs for tag, attrs in Tags(page.read_text()).tags if tag == "img"]
        shown = [(page.parent / (attrs["src"] or "")).read_bytes() for attrs in pictures]
        assert shown == contents
        assert {(attrs["width"], attrs["height"]) for attrs in pictures} == {("8", "16")}
        assert page.read_text().index("b/2") < page.read_text().index("a/1")
    assert {path.suffix for path in shown_on(board)} == {".webp"}


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    folder = put(tmp_path, record("loop", trace=trace()))
    put_pictures(folder)
    (folder / "rounds" / "0-1.webp").unlink()
    board = render_board(tmp_path).parent
    for page in ("rounds.html", "entrants/loop.html"):
        named = re.findall(r'class="gone">([^<]*)<', (board / page).read_text())
        assert named == ["after 1 round: picture is missing from the record's folder"]
    assert len(shown_on(board)) == 2


@pytest.mark.parametrize(
    "name",
    ["../../x.webp", "../../../originals/x.webp", "/etc/hostname", "rounds/link.webp", "rounds/text.webp", "rounds", "",
     "rounds/wave.webp", "<script>alert(1)</script>"],
)  # fmt: skip
def test_only_pictures_beside_the_record_are_shown(tmp_path: Path, name: str) -> None:
    folder = put(
        tmp_path, record("loop", trace=trace(sequences=[{"key": "k", "steps": [{"after": 0, "picture": name}]}]))
    )
    for place in (tmp_path / "records" / "x.webp", tmp_path / "originals" / "x.webp"):
        place.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 16)).save(place, "webp")
    (folder / "rounds").mkdir()
    (folder / "rounds" / "link.webp").symlink_to(tmp_path / "originals" / "x.webp")
    (folder / "rounds" / "text.webp").write_text("<svg onload=alert(1)>")
    (folder / "rounds" / "wave.webp").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    board = render_board(tmp_path).parent
    page = (board / "rounds.html").read_text()
    assert page.count('class="gone"') == 1
    assert "<img" not in page
    assert "<script>alert" not in page
    assert not shown_on(board)


def test_a_picture_that_is_called_something_else_is_not_shown(tmp_path: Path) -> None:
    folder = put(tmp_path, record("loop", trace=trace(sequences=[sequence(afters=(0,))])))
    (folder / "rounds").mkdir()
    Image.new("RGB", (8, 16)).save(folder / "rounds" / "0-0.webp", "png")
    assert not shown_on(render_board(tmp_path).parent)


def test_no_pictures_of_rounds_where_the_licence_forbids_them(tmp_path: Path) -> None:
    data = record("loop", trace=trace())
    data["suite"]["shows_faces"] = False
    put_pictures(put(tmp_path, data))
    board = render_board(tmp_path).parent
    page = (board / "rounds.html").read_text()
    assert "does not allow" in page
    assert "<img" not in page
    assert "gone" not in page
    assert cells_of(page)
    assert not shown_on(board)


# Safety


@pytest.mark.parametrize("evil", EVIL)
def test_text_of_a_trace_never_becomes_markup(tmp_path: Path, evil: str) -> None:
    data = record(trace=trace(sequences=[{"key": evil, "steps": [{"after": 0, "picture": evil}]}]))
    data["entry"] |= {"name": evil}
    put(tmp_path, data, slug='"><b onclick=alert(4)>')
    pages = texts(tmp_path)
    for name in ("rounds.html", 'entrants/"><b onclick=alert(4)>.html'):
        found = Tags(pages[name])
        assert evil in found.text
        assert "<script>alert" not in pages[name]
        assert not any(tag == "b" and attrs for tag, attrs in found.tags)
        for tag, attrs in found.tags:
            assert not any(key.startswith("on") for key in attrs)
            assert tag != "script" or "src" in attrs or attrs.get("type") == "application/json"
            assert not (attrs.get("href") or "").startswith("javascript:")
    assert data_of(pages["rounds.html"])[0]["name"] == evil


def test_a_board_with_rounds_depends_on_its_records_alone(tmp_path: Path) -> None:
    entries = [record(name, trace=trace(sequences=[sequence(name)])) for name in ("one", "two", "three")]
    boards = []
    for out, order in ((tmp_path / "a", entries), (tmp_path / "b", entries[::-1])):
        for data in order:
            put_pictures(put(out, data))
        board = render_board(out).parent
        boards.append({path.relative_to(board): path.read_bytes() for path in board.rglob("*") if path.is_file()})
    assert boards[0] == boards[1]
