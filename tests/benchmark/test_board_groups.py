"""Measures that only some entrants have, pictures of groups and tuning reports, as a board shows them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmark.board import as_json, load_records, render_board
from benchmark.board.load import load_tunings
from benchmark.errors import UsageError
from benchmark.tuning import Tuning
from tests.benchmark.test_board import CARDS, EVIL, NBSP, Tags, card, put, record, score, shown_on

LOSS = card("loss(network=x)", "utility", "distance", False, (0, 2)) | {"about_claim": True}
NAMED = card("named", "privacy", "share", False, (0, 1)) | {"about_claim": True}
SHEET = {"picture": "groups.webp", "width": 212, "height": 96, "groups": [{"members": 7, "keys": ["p/1"]}]}


def grouped(name: str = "kanon(k=5)", loss: float = 0.7, **more: Any) -> dict[str, Any]:
    data = record(name, 0.1, **more)
    data["entry"]["k_anonymity"] = 5
    data["metrics"] = [*CARDS, LOSS, NAMED]
    data["scores"] += [score(LOSS["name"], loss), score("named", 0.125, anchors={"allowed": 0.2})]
    return data


def put_sheet(folder: Path) -> None:
    Image.new("RGBA", (212, 96)).save(folder / "groups.webp", "webp")


def pages_of(out: Path) -> dict[str, str]:
    board = render_board(out).parent
    return {path.relative_to(board).as_posix(): path.read_text() for path in board.rglob("*.html")}


def test_a_board_without_groups_has_no_pages_of_them(tmp_path: Path) -> None:
    put(tmp_path, record())
    pages = pages_of(tmp_path)
    assert not {"groups.html", "tuning.html"} & set(pages)
    assert not any("groups.html" in page or "tuning.html" in page for page in pages.values())
    assert "measures" not in json.loads(as_json(load_records(tmp_path)))


def test_measures_stand_apart_and_leave_other_rows_alone(tmp_path: Path) -> None:
    put(tmp_path, record("plain"))
    before = Tags(pages_of(tmp_path)["index.html"]).text
    put(tmp_path, grouped())
    pages = pages_of(tmp_path)
    assert "Title of loss" not in pages["index.html"]
    assert "Title of sharp" in before
    assert "Title of sharp" in pages["index.html"]
    assert '<a href="groups.html">Groups</a>' in pages["index.html"]
    assert "Title of loss" not in pages["entrants/plain.html"]
    for page in ("groups.html", "entrants/kanon-k-5.html"):
        text = Tags(pages[page]).text.replace(NBSP, " ")
        assert "Title of loss" in text
        assert "0.700" in text
        assert "12.5 %" in text
        assert "allowed 20.0 %" in text
    about = Tags(pages["metrics/loss-network=x.html"]).text
    assert "kanon(k=5)" in about
    assert "plain" not in about


def test_a_measure_that_every_row_has_is_a_column(tmp_path: Path) -> None:
    put(tmp_path, grouped("kanon(k=5)"))
    put(tmp_path, grouped("kanon(k=6)"))
    pages = pages_of(tmp_path)
    assert "Title of loss" in pages["index.html"]
    assert "groups.html" not in pages


def test_measures_are_there_for_machines(tmp_path: Path) -> None:
    put(tmp_path, record("plain"))
    put(tmp_path, grouped(loss=1 / 3))
    body = json.loads(as_json(load_records(tmp_path)))
    assert {row["metric"]: row["value"] for row in body["measures"]} == {LOSS["name"]: 1 / 3, "named": 0.125}
    assert {row["slug"] for row in body["measures"]} == {"kanon-k-5"}
    assert body["measures"][1]["anchors"] == {"allowed": 0.2}
    assert set(body["metrics"]) >= {LOSS["name"], "named"}
    assert not any("loss" in name for row in body["rows"] for name in row)


def test_sheets_are_shown_where_they_may_be(tmp_path: Path) -> None:
    put_sheet(put(tmp_path, record("shown", sheet=SHEET)))
    put(tmp_path, record("gone", sheet=SHEET))
    hidden = record("hidden", sheet=SHEET)
    pages = pages_of(tmp_path)
    assert {path.name for path in shown_on(tmp_path / "board")} == {"groups.webp"}
    assert "People in these groups, from the top: 7." in pages["entrants/shown.html"]
    assert "picture is missing" in pages["entrants/gone.html"]
    hidden["suite"]["shows_faces"] = False
    put_sheet(put(tmp_path / "other", hidden))
    assert "groups.webp" not in "".join(pages_of(tmp_path / "other").values())


# Tuning


def tuning(**more: Any) -> dict[str, Any]:
    none = [None, None, None]
    return {
        "name": "kanon-over-k", "entrant": "kanon", "family": "kanon", "params": {}, "entry_hash": "e" * 64,
        "parameter": "k", "values": [2, 5, 9], "seed": 0, "suite_name": "tiny", "suite_hash": "a" * 64,
        "metrics": [LOSS, NAMED, CARDS[1], CARDS[2]],
        "curves": [
            {"metric": LOSS["name"], "values": [0.5, 0.7, 0.75], "low": none, "high": none, "allowed": none},
            {"metric": "named", "values": [0.6, 0.125, 0.1], "low": [0.5, 0.1, 0.05], "high": [0.7, 0.2, 0.15],
             "allowed": [0.5, 0.2, 1 / 9]},
            {"metric": CARDS[1]["name"], "values": [0.75, 0.5, 0.25], "low": none, "high": none, "allowed": none},
            {"metric": CARDS[2]["name"], "values": [0.25, 0.25, None], "low": none, "high": none, "allowed": none},
        ],
        "knee": {"value": 5, "metric": LOSS["name"], "rule": "a rule"},
        "command": "anonbench tune", "harness_version": "0.1", "created_utc": "2026-01-01T00:00:00Z", **more,
    }  # fmt: skip


def put_tuning(out: Path, **more: Any) -> Path:
    path = out / "tuning" / "kanon-over-k.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(Tuning.model_validate(tuning(**more)).model_dump_json())
    return path


def test_a_tuning_report_has_a_page_a_plot_and_links(tmp_path: Path) -> None:
    put(tmp_path, grouped())
    put(tmp_path, record("plain"))
    put_tuning(tmp_path)
    pages = pages_of(tmp_path)
    assert '<a href="tuning.html">Tuning</a>' in pages["index.html"]
    assert "tuning.html#tuning-1-title" in pages["entrants/kanon-k-5.html"]
    assert "tuning.html" not in pages["entrants/plain.html"]
    text = Tags(pages["tuning.html"]).text.replace(NBSP, " ")
    assert "Suggested: k = 5" in text
    assert "Title of named too large" in text, "at k = 2 it is 60 %, and 50 % are allowed"
    assert "Mean useful of 2" in text
    found = re.search(r'<script id="tuning-1-data"[^>]*>(.*?)</script>', pages["tuning.html"], re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert (data["parameter"], data["x"], data["knee"]) == ("k", [2, 5, 9], 5)
    assert data["hrefs"] == ["", "entrants/kanon-k-5.html", ""]
    drawn = {panel["title"]: panel for panel in data["panels"]}
    assert drawn["Title of named"]["allowed"] == [50, 20, 11.1111]
    assert drawn["Mean useful of 2"]["values"] == [50, 37.5, None], "a mean of fewer is another mean"
    assert [part["values"] for part in drawn["Mean useful of 2"]["parts"]] == [[75, 50, 25], [25, 25, None]]


def test_a_value_that_was_not_measured_is_not_called_allowed(tmp_path: Path) -> None:
    put(tmp_path, grouped())
    data = tuning(knee=None, no_knee="not yet")
    data["curves"][1] |= {
        "values": [0.6, None, 0.1], "low": [None] * 3, "high": [None] * 3, "allowed": [0.5, None, 1 / 9],
        "reasons": {"5": "no photographs"},
        "details": {"groups": [12, None, 3], "groups above 1/size": [4, None, 0]},
    }  # fmt: skip
    put_tuning(tmp_path, **{name: data[name] for name in ("curves", "knee", "no_knee")})
    verdicts = verdicts_of(tmp_path)
    assert verdicts == ["Title of named too large", "Title of named not measured", "allowed"]
    text = Tags(pages_of(tmp_path)["tuning.html"]).text.replace(NBSP, " ")
    assert "Title of named not measured at k = 5: no photographs" in text
    assert "4 of 12 groups above 1/size" in text
    assert "0 of 3 groups above 1/size" in text


def test_where_nothing_bounds_no_value_is_called_allowed(tmp_path: Path) -> None:
    put(tmp_path, grouped())
    data = tuning()
    data["curves"][1]["allowed"] = [None] * 3
    put_tuning(tmp_path, curves=data["curves"])
    assert verdicts_of(tmp_path) == ["", "suggested", ""]
    assert "no value is called allowed" in pages_of(tmp_path)["tuning.html"]


def verdicts_of(out: Path) -> list[str]:
    return re.findall(r"<td>([^<]*)</td></tr>", pages_of(out)["tuning.html"])


def test_groups_above_one_in_their_size_stand_beside_the_measure(tmp_path: Path) -> None:
    put(tmp_path, record("plain"))
    data = grouped()
    data["scores"][-1]["details"] = {"groups": 24, "groups above 1/size": 7}
    put(tmp_path, data)
    text = Tags(pages_of(tmp_path)["groups.html"]).text.replace(NBSP, " ")
    assert "7 of 24 groups above 1/size" in text
    assert "by construction of k-anonymity" in text


@pytest.mark.parametrize("other", [{"entry_hash": "f" * 64}, {"weights": [{"name": "g", "sha256": "c" * 64}]}])
def test_rows_of_another_version_are_named_beside_the_report(tmp_path: Path, other: dict[str, Any]) -> None:
    put(tmp_path, grouped())
    put_tuning(tmp_path)
    assert "another version" not in pages_of(tmp_path)["tuning.html"]
    put_tuning(tmp_path, **other)
    text = Tags(pages_of(tmp_path)["tuning.html"]).text
    assert "another version" in text
    assert "than this report: kanon(k=5)" in " ".join(text.split())


def test_a_row_made_with_a_file_elsewhere_is_one_of_the_reports(tmp_path: Path) -> None:
    data = grouped()
    data["entry"]["params"] |= {"generator": "/home/me/x.pt"}
    put(tmp_path, data)
    put_tuning(tmp_path, params={"generator": "x.pt"})
    page = pages_of(tmp_path)["tuning.html"]
    assert "entrants/kanon-k-5.html" in page
    assert "/home" not in page


@pytest.mark.parametrize("code", ["e", "f"])
def test_rows_are_named_without_the_folders_of_their_files(tmp_path: Path, code: str) -> None:
    data = grouped()
    data["entry"]["name"] = "kanon(generator='/home/me/x.pt', k=5)"
    data["entry"]["params"] |= {"generator": "/home/me/x.pt"}
    put(tmp_path, data)
    put_tuning(tmp_path, params={"generator": "x.pt"}, entry_hash=64 * code)
    text = Tags(pages_of(tmp_path)["tuning.html"]).text
    assert ("another version" in text) == (code == "f")
    assert "kanon(generator=x.pt, k=5)" in " ".join(text.split())
    assert "/home" not in text


def test_pictures_of_linked_folders_are_shown(tmp_path: Path) -> None:
    put_sheet(put(tmp_path / "elsewhere", record("shown", sheet=SHEET)))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "records").symlink_to(tmp_path / "elsewhere" / "records")
    assert 'src="../../records/shown/seed-0/groups.webp"' in pages_of(tmp_path / "out")["entrants/shown.html"]


@pytest.mark.parametrize("other", [{"entry_hash": "f" * 64}, {"params": {"partition": "x"}}, {"family": "other"}])
def test_rows_of_other_code_or_parameters_are_not_those_of_the_report(tmp_path: Path, other: dict[str, Any]) -> None:
    put(tmp_path, grouped())
    put_tuning(tmp_path, **other)
    pages = pages_of(tmp_path)
    assert "tuning.html" not in pages["entrants/kanon-k-5.html"]
    assert "entrants/" not in pages["tuning.html"]


def test_a_report_of_another_suite_is_not_shown(tmp_path: Path) -> None:
    put(tmp_path, grouped())
    put_tuning(tmp_path, suite_hash="b" * 64)
    assert "tuning.html" not in pages_of(tmp_path)


def test_texts_of_a_report_stay_texts(tmp_path: Path) -> None:
    put(tmp_path, grouped())
    for evil in EVIL:
        put_tuning(tmp_path, entrant=evil, parameter=evil, failures={"2": evil}, command=evil)
        page = pages_of(tmp_path)["tuning.html"]
        assert evil not in page.replace("&#39;", "'") or "<" not in evil


def test_a_broken_report_is_named(tmp_path: Path) -> None:
    put(tmp_path, grouped())
    path = put_tuning(tmp_path)
    broken = json.loads(path.read_text())
    broken["curves"][0]["values"].pop()
    path.write_text(json.dumps(broken))
    with pytest.raises(UsageError, match=r"kanon-over-k\.json is not a readable tuning report.*one number per value"):
        load_tunings(tmp_path)
