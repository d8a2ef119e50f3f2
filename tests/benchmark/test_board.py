from __future__ import annotations

import io
import json
import random
import re
import subprocess
import sys
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import pandas as pd
import pytest
from PIL import Image

from benchmark.board import as_csv, as_json, board_table, load_correlations, load_records, render_board
from benchmark.board.load import select
from benchmark.board.pages import board_texts
from benchmark.board.pictures import Pictures
from benchmark.board.scatter import strength
from benchmark.board.templating import is_link
from benchmark.errors import NothingComparable, UsageError
from benchmark.records import Group, Record, Status

NBSP = "\N{NO-BREAK SPACE}"
EVIL = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "javascript:alert(3)", "</script><b>'&")
MACHINE = {"system": "Linux", "machine": "x86_64", "processor": "CPU", "cores": 2, "memory_gib": 8.0}
RUN = {
    "seed": 0, "batch_size": 8, "scoring_batch": 8, "threads": 2, "device": "cpu", "harness_version": "0.1",
    "python": "3.12", "packages": {"numpy": "2.3"}, "machine": MACHINE, "command": "anonbench run",
    "started_utc": "2026-01-01T00:00:00Z", "ended_utc": "2026-01-01T00:01:00Z",
}  # fmt: skip


def card(name: str, group: str, unit: str, higher: bool, limits: tuple[float | None, float | None]) -> dict[str, Any]:
    return {
        "name": name, "version": 1, "title": f"Title of {name}", "group": group, "unit": unit,
        "higher_is_better": higher, "range": limits, "definition": f"Definition of {name}.",
    }  # fmt: skip


CARDS = [
    card("attack", "privacy", "share", False, (0, 1)),
    card("useful(attribute=age)", "utility", "share", True, (0, 1)),
    card("useful(attribute=sex)", "utility", "share", True, (0, 1)),
    card("sharp", "quality", "dB", True, (0, None)),
]


def score(metric: str, value: float, **more: Any) -> dict[str, Any]:
    bounds = {"level": 0.95, "method": "bootstrap", "low": value * 0.9, "high": value * 1.1, "seed": 0, "resamples": 9}
    return {"metric": metric, "value": value, "n": 40, "n_clusters": 8, "interval": bounds, **more}


def record(name: str = "blur(kernel=5)", risk: float = 0.25, **more: Any) -> dict[str, Any]:
    """A record as plain data: the parts a test is about are passed in."""
    family, _, params = name.rstrip(")").partition("(")
    pairs = dict(pair.split("=") for pair in params.split(",") if pair)
    return {
        "result_id": f"id of {name}",
        "created_utc": "2026-01-02T00:00:00Z",
        "status": "ok",
        "entry": {
            "name": name, "family": family, "params": {key: int(text) for key, text in pairs.items()},
            "entry_hash": "e" * 64, "code_url": "https://example.org/code", "uses": ["identity"],
        },
        "suite": {
            "name": "tiny", "version": "1", "suite_hash": "a" * 64, "title": "Tiny", "image_size": 8,
            "splits": [{"name": "test", "n_images": 40, "n_identities": 8, "manifest_sha256": "b" * 64}],
            "attributes": {"age": ["old", "young"]}, "referees": [{"name": "recogniser", "sha256": "c" * 64}],
            "synthetic": True,
        },
        "seed": 0,
        "metrics": CARDS,
        "scores": [
            score("attack", risk, anchors={"chance": 0.125, "originals": 0.958}),
            score("useful(attribute=age)", 0.5, details={"classes": 2}),
            score("useful(attribute=sex)", 0.75),
            score("sharp", 23.456),
        ],
        "coverage": {"n_expected": 40, "n_output": 40, "n_scored": 40, "n_failed": 0},
        "run": RUN,
        "cost": {"seconds_per_image": 0.0125},
        **more,
    }  # fmt: skip


def put(out: Path, data: dict[str, Any], slug: str = "") -> Path:
    """Writes a record where the harness would."""
    slug = slug or re.sub(r"\W+", "-", data["entry"]["name"]).strip("-")
    folder = out / "records" / slug / f"seed-{data['seed']}"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(Record.model_validate(data).model_dump_json())
    return folder


def texts(out: Path) -> dict[str, str]:
    records = load_records(out)
    return dict(board_texts(records, Pictures.of(select(records).entrants), load_correlations(out)))


class Tags(HTMLParser):
    """All start tags of a page with their attributes, and the plain text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


# What a board shows


def test_the_numbers_of_the_page_are_those_of_the_records(tmp_path: Path) -> None:
    put(tmp_path, record(risk=0.2583))
    page = texts(tmp_path)["index.html"]
    cells = [float(attrs["data-v"] or "") for tag, attrs in Tags(page).tags if "data-v" in attrs]
    assert cells == [0.2583, 0.625, 0.5, 0.75, 23.456, 12.5], "the mean of usefulness stands before its columns"
    for shown in (f"25.8{NBSP}%", "23.2\N{EN DASH}28.4", f"50.0{NBSP}%", "23.5", "12.5", f"95.8{NBSP}%"):
        assert f">{shown}<" in page


def test_missing_values_are_words_with_reason_and_remedy(tmp_path: Path) -> None:
    data = record()
    data["scores"][1] = {
        "metric": CARDS[1]["name"],
        "status": "unavailable",
        "reason": "No weights.",
        "remedy": "Fetch!",
    }
    data["scores"][3] = {"metric": "sharp", "status": "not-applicable", "reason": "Nothing changed."}
    del data["scores"][2]
    put(tmp_path, data)
    pages = texts(tmp_path)
    assert 'title="No weights. Fetch!"><span class="missing">unavailable<' in pages["index.html"]
    assert ">not applicable<" in pages["index.html"]
    assert "The record holds no score for this metric." in pages["index.html"]
    assert "The cost of this release was not measured." in pages["index.html"]
    assert "No weights." in pages["entrants/blur-kernel-5.html"]
    for page in pages.values():
        assert re.search(r"\b(nan|None|Undefined)\b", Tags(page).text) is None


def test_rows_are_ordered_by_protection_and_failures_come_last(tmp_path: Path) -> None:
    put(tmp_path, record("leaky", 0.9))
    put(tmp_path, record("tight", 0.1))
    lost = {"stage": "fit", "kind": "entrant", "message": "ValueError: too few images"}
    coverage = {"n_expected": 40, "n_output": 0, "n_scored": 0, "n_failed": 40, "failures": [lost]}
    put(tmp_path, record("broken", 0.0, status="failed", coverage=coverage))
    put(tmp_path, record("unmeasured", scores=[]))
    page = texts(tmp_path)["index.html"]
    assert re.findall(r'<tr[^>]* data-name="(\w+)"', page) == ["tight", "leaky", "unmeasured", "broken"]
    assert re.findall(r'<td class="tier">(\w+)<', page) == ["A", "B", "none", "none"]
    assert "fit: ValueError: too few images" in page


def test_badges_tell_what_a_reader_has_to_know(tmp_path: Path) -> None:
    data = record(status="partial", claims={"self_reported": True})
    data["entry"] |= {"control": True, "deterministic": False, "kind": "precomputed"}
    put(tmp_path, data)
    put(tmp_path, record(seed=1))
    page = texts(tmp_path)["index.html"]
    found = re.findall(r'<span class="badge [^>]*>([^<]*)<', page)
    assert found == ["partial", "claimed", "control", "non-deterministic", "precomputed", "uses identity", "2 seeds"]


def test_other_seeds_stand_on_the_page_of_the_entrant(tmp_path: Path) -> None:
    put(tmp_path, record(risk=0.25))
    put(tmp_path, record(risk=0.375, seed=1))
    pages = texts(tmp_path)
    assert f"37.5{NBSP}%" in pages["entrants/blur-kernel-5.html"]
    assert f"37.5{NBSP}%" not in pages["index.html"]


def test_scores_of_another_metric_version_get_their_own_column(tmp_path: Path) -> None:
    put(tmp_path, record("old"))
    put(tmp_path, record("new", metrics=[CARDS[0] | {"version": 2}, *CARDS[1:]]))
    table = board_table(load_records(tmp_path)).set_index("entrant")
    assert table["attack@v1.status"].to_dict() == {"old": "ok", "new": "unavailable"}
    assert table["attack@v2.status"].to_dict() == {"old": "unavailable", "new": "ok"}


# What belongs on one board


def test_records_of_another_suite_are_counted_and_not_shown(tmp_path: Path) -> None:
    put(tmp_path, record("new"))
    older = record("older", created_utc="2025-01-01T00:00:00Z")
    put(tmp_path, older | {"suite": older["suite"] | {"suite_hash": "0" * 64}})
    assert list(board_table(load_records(tmp_path)).entrant) == ["new"]
    assert "1 record of another version of the suite is not shown" in texts(tmp_path)["index.html"]


def test_withdrawn_and_replaced_records_are_not_shown(tmp_path: Path) -> None:
    put(tmp_path, record("good"))
    put(tmp_path, record("replaced"))
    put(tmp_path, record("better", supersedes="id of replaced"))
    put(tmp_path, record("wrong", invalidated={"by": "me", "when": "2026-01-03", "reason": "Leaked labels."}))
    assert set(board_table(load_records(tmp_path)).entrant) == {"good", "better"}
    assert "Leaked labels." in texts(tmp_path)["index.html"]


def test_nothing_to_show_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(NothingComparable, match="anonbench run"):
        render_board(tmp_path)
    assert not list(tmp_path.iterdir())
    put(tmp_path, record(invalidated={"by": "me", "when": "now", "reason": "wrong"}))
    with pytest.raises(NothingComparable):
        render_board(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": 2}'])
def test_a_broken_record_is_named(tmp_path: Path, content: str) -> None:
    path = put(tmp_path, record()) / "record.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=re.escape(str(path))):
        load_records(tmp_path)


def test_a_missing_result_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No result folder"):
        load_records(tmp_path / "nowhere")


# Files


def files_of(board: Path) -> dict[str, bytes]:
    return {path.relative_to(board).as_posix(): path.read_bytes() for path in board.rglob("*") if path.is_file()}


def test_a_board_depends_on_its_records_alone(tmp_path: Path) -> None:
    entries = [record(f"blur(kernel={kernel})", kernel / 40) for kernel in (3, 5, 9, 15)]
    boards = []
    for out, order in ((tmp_path / "one", entries), (tmp_path / "two", entries[::-1])):
        for data in order:
            put(out, data)
        boards.append(files_of(render_board(out).parent))
    assert boards[0] == boards[1]
    assert {"index.html", "board.csv", "board.json", "assets/plotly-basic.min.js"} <= set(boards[0])
    records = load_records(tmp_path / "one")
    shuffled = random.Random(1).sample(records, len(records))
    assert as_csv(shuffled) == as_csv(records)
    assert dict(board_texts(shuffled, Pictures())) == dict(board_texts(records, Pictures()))


def test_rendering_again_replaces_the_board_and_leaves_nothing_behind(tmp_path: Path) -> None:
    first = put(tmp_path, record("first"))
    render_board(tmp_path)
    (first / "record.json").unlink()
    put(tmp_path, record("second"))
    index = render_board(tmp_path)
    assert index == tmp_path / "board" / "index.html"
    assert [page.name for page in (tmp_path / "board" / "entrants").iterdir()] == ["second.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["board", "records"]


def test_a_folder_that_is_not_a_board_is_left_alone(tmp_path: Path) -> None:
    put(tmp_path, record())
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a board"):
        render_board(tmp_path)
    assert (tmp_path / "board" / "thesis.txt").read_text() == "mine"


def with_pictures(tmp_path: Path, shows_faces: bool) -> list[str]:
    names = ("examples/a.png", "examples/text.png", "../../../outside.png", "examples/gone.png")
    data = record(examples=[{"key": "k", "original": names[0], "released": name} for name in names])
    data["suite"]["shows_faces"] = shows_faces
    folder = put(tmp_path, data)
    (folder / "examples").mkdir()
    Image.new("RGB", (8, 8), "red").save(folder / names[0])
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "outside.png")
    (folder / names[1]).write_text("<svg onload=alert(1)>")
    return sorted(path.relative_to(folder).as_posix() for path in shown_on(render_board(tmp_path).parent))


def shown_on(board: Path) -> set[Path]:
    """The files behind all pictures of all pages."""
    pages = [(path, path.read_text()) for path in board.rglob("*.html")]
    return {
        (path.parent / unquote(attrs["src"] or "")).resolve()
        for path, text in pages
        for tag, attrs in Tags(text).tags
        if tag == "img"
    }


def test_originals_that_all_records_share_are_shown(tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\nshared"
    (tmp_path / "originals").mkdir()
    (tmp_path / "originals" / "a.png").write_bytes(png)
    (tmp_path / "secret.png").write_bytes(png + b"secret")
    names = ("../../../originals/a.png", "../../../originals/../secret.png")
    for number, name in enumerate(names):
        folder = put(
            tmp_path, record(name=f"e{number}", examples=[{"key": "k", "original": name, "released": "r.png"}])
        )
        (folder / "r.png").write_bytes(png)
    shown = shown_on(render_board(tmp_path).parent)
    assert {path.read_bytes() for path in shown} == {png}
    assert {path.name for path in shown} == {"a.png", "r.png"}


def test_only_pictures_beside_the_record_are_shown(tmp_path: Path) -> None:
    assert with_pictures(tmp_path, shows_faces=True) == ["examples/a.png"]
    page = (tmp_path / "board" / "entrants" / "blur-kernel-5.html").read_text()
    shown = {attrs["src"] for tag, attrs in Tags(page).tags if tag == "img"}
    assert shown == {"../../records/blur-kernel-5/seed-0/examples/a.png"}
    assert page.count("picture is missing") == 3


def test_no_pictures_where_the_licence_forbids_them(tmp_path: Path) -> None:
    assert with_pictures(tmp_path, shows_faces=False) == []
    assert "does not allow" in (tmp_path / "board" / "entrants" / "blur-kernel-5.html").read_text()


# Tables


def test_csv_and_json_hold_the_same_table(tmp_path: Path) -> None:
    put(tmp_path, record("a", 1 / 3))
    put(tmp_path, record("b", 0.1, scores=[]))
    records = load_records(tmp_path)
    table = board_table(records)
    assert table["attack.value"].iloc[0] == 1 / 3
    assert list(table.columns[:7]) == ["entrant", "slug", "family", "seed", "status", "control", "result_id"]
    assert table.columns[7] == "flags"
    read = pd.read_csv(io.StringIO(as_csv(records)), keep_default_na=False, na_values={"flags": []})
    read = pd.read_csv(io.StringIO(as_csv(records))).assign(flags=read["flags"].astype(str))
    pd.testing.assert_frame_equal(read, table, check_dtype=False)
    body = json.loads(as_json(records))
    pd.testing.assert_frame_equal(pd.DataFrame(body["rows"]).astype(table.dtypes), table)
    assert body["metrics"]["attack"]["unit"] == "share"


# The plot


def test_the_plot_shows_means_over_attributes_and_joins_families(tmp_path: Path) -> None:
    for kernel in (15, 3, 9):
        put(tmp_path, record(f"blur(kernel={kernel})", kernel / 40))
    page = texts(tmp_path)["index.html"]
    found = re.search(r'<script id="scatter-data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert data["y"][0]["title"] == "Mean useful of 2 attributes"
    points = data["families"][0]["points"]
    assert [point["name"] for point in points] == ["blur(kernel=3)", "blur(kernel=9)", "blur(kernel=15)"]
    assert points[0]["values"]["mean(useful)"][0] == 62.5
    assert points[0]["values"]["attack"][0] == 7.5


def test_a_family_that_varies_in_two_parameters_has_no_strength(tmp_path: Path) -> None:
    put(tmp_path, record("m(a=1,b=1)"))
    put(tmp_path, record("m(a=2,b=2)"))
    assert strength(select(load_records(tmp_path)).entrants) == ""


# Safety

WORDS = {*get_args(Group), *get_args(Status), "partial", "python", "process", "precomputed", "fit", "entrant"}


def poisoned(value: Any, evil: str) -> Any:
    """``value`` with ``evil`` in front of every string and key that is free text."""
    if isinstance(value, str):
        return value if value in WORDS else evil + value
    if isinstance(value, list | tuple):
        return [poisoned(item, evil) for item in value]
    if isinstance(value, dict):
        free = value and not any(key in value for key in ("name", "seed", "metric", "cores", "key", "n_expected", "by"))
        return {(evil + key if free and key in FREE_KEYS else key): poisoned(item, evil) for key, item in value.items()}
    return value


FREE_KEYS = {"kernel", "chance", "originals", "classes", "numpy", "age", "model", "fact"}


def evil_record(evil: str) -> dict[str, Any]:
    """A record in which every string field is filled, and filled with ``evil``."""
    failure = {"stage": "fit", "kind": "entrant", "message": "message", "key": "image"}
    weights = {"name": "w", "sha256": "d", "licence": "l", "url": "u"}
    data = record(
        status="partial",
        notes={"fact": "note"},
        examples=[{"key": "k", "original": "o.png", "released": "r.png"}],
        claims={"self_reported": True, "reproduced_by": "me", "reproduced_utc": "now"},
        supersedes="older",
    )
    data["entry"] |= dict.fromkeys(("version", "display_name", "description", "source", "authors", "licence"), "text")
    data["entry"] |= {"weights": [weights], "training_data": ["faces"], "params": {"kernel": "text"}}
    data["suite"] |= {"description": "d", "licence": "l", "image_rule": "i", "referees": [weights]}
    data["coverage"] = data["coverage"] | {"failures": [failure]}
    data["cost"] = {"seconds_per_image": None, "note": "note"}
    data["run"] = RUN | {"harness_commit": "c", "reused": ["scores"], "machine": MACHINE | {"gpus": ["gpu"]}}
    more = {"source": "s", "weights": {"model": "d"}, "referees": ["w"], "calibration": "c", "per_count": True}
    data["metrics"] = [one | more for one in CARDS]
    data["scores"][2] = {"metric": CARDS[2]["name"], "status": "failed", "reason": "why", "remedy": "what"}
    return {key: poisoned(value, evil) for key, value in data.items()}


@pytest.fixture(params=EVIL)
def evil_pages(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, str]]:
    data = evil_record(request.param)
    put(tmp_path, data, slug='"><b onclick=alert(4)>')
    withdrawn = data | {"invalidated": dict.fromkeys(("by", "when", "reason"), request.param), "seed": 1}
    put(tmp_path, withdrawn, slug="withdrawn")
    put(tmp_path, data | {"status": "failed"}, slug="failed")
    pages = {name: page for name, page in texts(tmp_path).items() if name.endswith(".html")}
    return request.param, pages


def test_text_of_a_record_never_becomes_markup(evil_pages: tuple[str, dict[str, str]]) -> None:
    evil, pages = evil_pages
    assert len(pages) == 3 + len(CARDS) + 2
    for name, page in pages.items():
        assert Tags(page).text.count(evil) > (5 if name.startswith("metrics/cost.") else 20 - 5 * ("metrics/" in name))
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<b " not in page
        for tag, attrs in Tags(page).tags:
            assert not any(name.startswith("on") for name in attrs)
            assert tag != "script" or "src" in attrs or attrs.get("type") == "application/json"
            assert not (attrs.get("href") or "").startswith("javascript:")


def test_only_web_addresses_become_links() -> None:
    assert is_link("https://example.org/a?b=c")
    for text in (
        "javascript:alert(1)",
        "data:text/html,x",
        "//example.org",
        "see https://example.org",
        "https://a b",
        "",
    ):
        assert not is_link(text)


def test_nothing_is_loaded_from_the_network(tmp_path: Path) -> None:
    put(tmp_path, record())
    board = render_board(tmp_path).parent
    for page in board.rglob("*.html"):
        for tag, attrs in Tags(page.read_text()).tags:
            for name in ("src", "href", "srcset", "data", "poster"):
                address = attrs.get(name) or ""
                assert tag == "a" or not re.match(r"(https?:)?//", address)
                if tag in ("a", "script", "img", "link") and not re.match(r"https?:|#|data:", address) and address:
                    assert (page.parent / unquote(address)).resolve().exists(), address
    ours = [path for path in board.glob("assets/*") if not path.name.startswith("plotly")]
    names = {"board.css", "board.js", "plot.js", "rounds.js", "scatter.js", "theme.js", "tuning.js"}
    assert names == {path.name for path in ours}
    for asset in ours:
        assert not re.search(r"//\w+\.|url\(|@import|fetch\(|XMLHttp", asset.read_text())


def test_plotly_is_the_file_of_its_package_and_comes_with_its_licence(tmp_path: Path) -> None:
    put(tmp_path, record())
    assets = render_board(tmp_path).parent / "assets"
    bundle = (assets / "plotly-basic.min.js").read_bytes()
    assert sha256(bundle).hexdigest() == "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"
    assert b"plotly.js (basic - minified) v4.1.1" in bundle[:200]
    assert (assets / "plotly-basic.LICENSE.txt").read_text().startswith("MIT License")


def test_rendering_needs_no_torch() -> None:
    code = "import sys, benchmark.board; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
