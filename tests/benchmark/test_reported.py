"""Published figures: files, what they may say, and their page."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.board import render_board
from benchmark.board.reported import load_reported
from benchmark.errors import UsageError
from benchmark.reported import ReportedRow, ReportedSource, read_reported
from tests.benchmark.test_board import Tags, put, record

RESULTS = Path(__file__).parents[2] / "results"
COMMITTED = RESULTS / "reported"
FILE = """
title = "A paper"
entered = 2026-01-02
[[tables]]
title = "Table 7"
dataset = "Faces"
place = "page 3"
columns = [{metric = "top-1", unit = "%", higher_is_better = false}, {metric = "SSIM", note = "Which one is not said."}]
lines = [
  {method = "blur", params = "k=9", values = [40.80, {value = 0.5125, errata = "Swapped."}]},
  {method = "mask", values = [-7, "The paper prints a dash."]},
]
"""


def sources() -> dict[str, ReportedSource]:
    return {path.stem: read_reported(path) for path in sorted(COMMITTED.glob("*.toml"))}


def results(folder: Path, *files: tuple[str, str]) -> Path:
    """A result folder with one record, beside published figures where there are any."""
    put(folder / "suite", record())
    for name, text in files:
        (folder / "reported").mkdir(exist_ok=True)
        (folder / "reported" / name).write_text(text, encoding="utf-8")
    return folder / "suite"


# Committed figures


@pytest.mark.parametrize(
    ("source", "where", "value"),
    [
        ("edials", {"method": "EDIALS", "metric": "F1 age"}, "84.66"),
        ("edials", {"method": "DeepPrivacy2", "metric": "re-identification risk (RIR)"}, "16.27"),
        ("mtf", {"metric": "accuracy, face recognition"}, "79.87"),
        ("edi-anon", {"method": "box blur", "params": "k=70"}, "38.45"),
        ("edi-anon", {"params": "pixelate n=20, round 68"}, "1.15"),
        ("penalty-driven", {"params": "B=0.9", "metric": "F1 private attributes", "dataset": "PA-HMDB51"}, "0.173"),
        ("penalty-driven", {"params": "2x", "metric": "cMAP private attributes", "dataset": "VP-HMDB51"}, "0.601"),
        ("penalty-driven", {"params": "2x", "metric": "F1 private attributes", "dataset": "VP-HMDB51"}, "71.35"),
        ("penalty-driven", {"params": "B=0.5", "metric": "top-1 action", "dataset": "VP-HMDB51 to VP-UCF101"}, "87.58"),
        ("pridentity", {"method": "PrIdentity", "attacker": "ArcFace", "dataset": "LFW"}, "0.0020"),
        ("gddiff", {"method": "CPP-DeID", "params": "0.9", "metric": "AUC", "dataset": "LFW"}, "0.60"),
        ("gddiff", {"method": "FAMS", "metric": "accuracy, gender"}, "0.40"),
        ("caiamar", {"method": "CAIAMAR", "metric": "FID"}, "9.1"),
        ("fams-celeba-hq", {"method": "FAMS", "metric": "pose distance"}, "6.58"),
        ("adversarial-watermarking", {"method": "CIAGAN", "metric": "PSNR"}, "18.90"),
        ("safe-fakes", {"method": "DeepPrivacy"}, "88.3"),
        ("hifd", {"method": "CIAGAN"}, "0.377"),
        ("ted-spad", {"metric": "change of AUC, UCF-Crime"}, "-3.69"),
        (
            "anonfaces",
            {"params": "hierarchical partition, FaceNet, k = 10", "metric": "re-identification (RI)"},
            "0.0633",
        ),
        ("anonfaces", {"method": "k-Same", "params": "k = 2", "metric": "re-identification (RI)"}, "0.851"),
    ],
)
def test_a_committed_figure_is_the_published_one(source: str, where: dict[str, str], value: str) -> None:
    rows = sources()[source].rows
    found = [row for row in rows if all(getattr(row, name) == text for name, text in where.items())]
    assert [str(row.value) for row in found] == [value]


def test_agreement_with_people_is_the_published_one() -> None:
    rows = [row for row in sources()["perceptanon"].rows if "alone" in row.protocol and row.split == "loov-lfw"]
    found = {(row.method, row.metric[:8]): row.value for row in rows}
    assert found["PSNR", "Spearman"] == Decimal("-0.7354") == -(found["MSE", "Spearman"] or 0)
    assert found["PerceptAnon", "Kendall'"] == Decimal("0.6353")


def test_what_is_known_to_be_wrong_is_said() -> None:
    rows = {
        (row.params, row.metric, row.dataset): row
        for row in sources()["penalty-driven"].rows
        if row.dataset == "VP-HMDB51"
    }
    for metric in ("cMAP private attributes", "F1 private attributes"):
        assert "Swapped" in rows["2x", metric, "VP-HMDB51"].errata
        assert "Swapped" not in rows["4x", metric, "VP-HMDB51"].errata


def test_marks_of_the_sources_are_kept() -> None:
    found = {name: {row.status for row in source.rows} for name, source in sources().items()}
    assert found["edi-anon"] == {"author-note"}
    assert found["edials"] == found["penalty-driven"] == found["gddiff"] == {"reported"}
    assert found["pridentity"] == found["caiamar"] == found["hifd"] == {"second-hand"}


def test_committed_figures_say_where_they_stand_and_are_small() -> None:
    rows = [row for source in sources().values() for row in source.rows]
    assert len(rows) > 900
    assert all(row.place and row.dataset for row in rows)
    assert not any("HKBU" in source.title or "FDeID" in source.title for source in sources().values())
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) < 60_000


# Files


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(FILE)
    first, second, third, fourth = read_reported(tmp_path / "a.toml").rows
    common = {"dataset": "Faces", "place": "page 3", "status": "reported"}
    assert first == ReportedRow(
        method="blur", params="k=9", metric="top-1", value=Decimal("40.80"), unit="%", higher_is_better=False, **common
    )
    assert (second.value, second.errata, second.note) == (Decimal("0.5125"), "Swapped.", "Which one is not said.")
    assert str(first.value) == "40.80", "all digits stay"
    assert (third.value, third.params) == (Decimal(-7), "")
    assert (fourth.value, fourth.note) == (None, "The paper prints a dash.")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("40.80", "nan", "finite"),
        ("40.80", "inf", "finite"),
        ("40.80", "true", "must be a number"),
        ("40.80", '""', "needs a note that says why"),
        ("40.80, ", "", "1 values for 2 columns"),
        ("40.80", "1." + "1" * 40, "at most 24 characters"),
        ('title = "A paper"', 'title = "A paper"\nurl = "javascript:alert(1)"', "no web address"),
        ('title = "A paper"', 'title = "A paper"\nurl = "https://a b"', "no web address"),
        ('title = "A paper"', 'title = "A \\u202e paper"', "cannot be printed"),
        ('title = "A paper"', 'title = "A paper"\ncolour = 1', "colour: Extra inputs"),
        ('title = "A paper"', 'title = "A paper"\nstatus = "measured"', "status: Input should be"),
        ('title = "A paper"', 'title = "A paper"\nstatus = "second-hand"', "needs quoted_by"),
        ('dataset = "Faces"', "", "dataset"),
        ('method = "mask"', 'method = "blur", params = "k=9"', "line 'blur k=9' is there twice"),
        ("entered = 2026-01-02", "", "entered: Field required"),
        ("[[tables]]", "[[tables", "is not TOML"),
        ("Table 7", "\udcff", "is not TOML"),
    ],
)
def test_a_broken_file_is_named_with_the_rule_and_the_next_step(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in FILE
    suite = results(tmp_path)
    (tmp_path / "reported").mkdir()
    path = tmp_path / "reported" / "bad.toml"
    path.write_bytes(FILE.replace(old, new, 1).encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        render_board(suite)
    said = str(caught.value)
    assert said.startswith(str(path))
    assert said.endswith("Mend that line, or take the file out of its folder")
    assert "\n" not in said
    assert not (suite / "board").exists()


def test_a_file_without_end_is_not_parsed(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(FILE + "#" * 200_000)
    with pytest.raises(UsageError, match="at most 200000"):
        read_reported(tmp_path / "long.toml")


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    suite = results(tmp_path)
    (tmp_path / "reported").mkdir()
    make(tmp_path / "reported" / "a.toml")
    with pytest.raises(UsageError, match=r"does not exist|is a folder"):
        load_reported(suite)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_every_number_keeps_its_digits(value: Decimal) -> None:
    data: dict[str, Any] = {"method": "m", "dataset": "d", "metric": "x", "status": "reported", "value": value}
    assert str(ReportedRow.model_validate(data).value) == str(value)


# The page


def test_without_the_folder_there_is_no_page_and_no_link(tmp_path: Path) -> None:
    board = render_board(results(tmp_path)).parent
    assert not (board / "reported.html").exists()
    assert "reported.html" not in "".join(page.read_text() for page in board.rglob("*.html"))


def test_files_of_other_kinds_are_no_sources(tmp_path: Path) -> None:
    assert load_reported(results(tmp_path, ("README.md", "text"))) == []


def test_the_page_holds_the_table_with_its_remarks(tmp_path: Path) -> None:
    suite = results(tmp_path, ("a.toml", FILE))
    board = render_board(suite).parent
    page = (board / "reported.html").read_text()
    rows = [
        [Tags(cell).text for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in re.findall("<tr>.*?</tr>", page)
    ]
    assert rows == [
        ["Method", "top-1%, lower is better", "SSIM1direction not stated"],
        ["blurk=9", "40.80", "0.51252"],
        ["mask", "\N{MINUS SIGN}7", "none3"],
    ]
    remarks = re.findall("<li>(<em.*?)</li>", page)
    assert [Tags(one).text for one in remarks] == [
        "note: Which one is not said.", "wrong: Swapped.", "note: The paper prints a dash.",
    ]  # fmt: skip
    assert "never ranked with the measured ones" in page
    assert (
        '<a href="reported.html">Published figures, not measured here</a>: what 1 source says'
        in (board / "index.html").read_text()
    )
    links = [attrs["href"] or "" for tag, attrs in Tags(page).tags if tag == "a"]
    ids = {f"#{attrs['id']}" for _, attrs in Tags(page).tags if "id" in attrs}
    for link in links:
        assert link in ids or (board / link.partition("#")[0]).exists(), link


def test_published_figures_stay_out_of_what_was_measured(tmp_path: Path) -> None:
    """The board with them differs from the one without in its links and their page alone."""
    boards = []
    for name, files in (("without", ()), ("with", (("a.toml", FILE),))):
        board = render_board(results(tmp_path / name, *files)).parent
        boards.append({str(path.relative_to(board)): path.read_bytes() for path in board.rglob("*") if path.is_file()})
    without, having = boards
    assert set(having) - set(without) == {"reported.html"}
    changed = [name for name in without if having[name] != without[name]]
    assert changed == ["index.html"]
    index = having["index.html"].decode()
    assert re.sub(
        r' <a href="reported.html">Published figures</a>|<p[^>]*><a href="reported.html">.*?</p>\n', "", index
    ) == (without["index.html"].decode())


def test_no_committed_figure_is_on_the_main_table(tmp_path: Path) -> None:
    for part in ("records", "correlations", "originals"):
        shutil.copytree(RESULTS / "portraits-v1" / part, tmp_path / "portraits-v1" / part)
    shutil.copytree(COMMITTED, tmp_path / "reported")
    board = render_board(tmp_path / "portraits-v1").parent
    index = Tags((board / "index.html").read_text()).text
    assert "PrIdentity" not in index
    assert "penalty-driven" not in index
    measured = {row["entrant"] for row in csv.DictReader(io.StringIO((board / "board.csv").read_text()))}
    assert not measured & {row.method for source in sources().values() for row in source.rows}
    assert len(json.loads((board / "board.json").read_text())["rows"]) == len(measured)
    assert (board / "reported.html").stat().st_size < 100_000


def test_a_board_depends_on_the_files_alone(tmp_path: Path) -> None:
    pages = []
    for name, order in (("one", "ab"), ("two", "ba")):
        files = [(f"{key}.toml", FILE.replace("A paper", f"Paper {key}")) for key in order]
        suite = results(tmp_path / name, *files)
        os.utime(tmp_path / name / "reported" / "a.toml", (0, 0))
        pages.append((render_board(suite).parent / "reported.html").read_bytes())
    assert pages[0] == pages[1]
