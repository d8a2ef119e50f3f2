"""Pages of metrics, numbers of images, and columns without any value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmark.board import board_table, load_records
from tests.benchmark.test_board import CARDS, NBSP, Tags, card, put, record, score, texts

DISTANCE = card("fid(features=own)", "quality", "1", False, (0, None)) | {"per_count": True}
PAGE = "metrics/fid-features=own.html"


def measured(name: str, *scores: dict[str, Any], **about: Any) -> dict[str, Any]:
    """A record with one more metric, and its score."""
    data = record(name)
    return data | {"metrics": [*CARDS, DISTANCE | about], "scores": [*data["scores"], *scores]}


def missing(reason: str = "No weights", remedy: str = "anonbench data own") -> dict[str, Any]:
    return {"metric": DISTANCE["name"], "status": "unavailable", "reason": reason, "remedy": remedy, "n": 40}


def facts(page: str) -> dict[str, str]:
    """Terms and descriptions of the first list of facts."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page, re.DOTALL)
    return {term: " ".join(Tags(text).text.split()) for term, text in found}


# Pages of metrics


def test_a_page_says_what_the_card_says(tmp_path: Path) -> None:
    about = {
        "version": 3,
        "source": "https://example.org/paper",
        "weights": {"mine": "d" * 64},
        "referees": ["recogniser", "stranger"],
        "calibration": "Equal to the reference to 1e-6.",
    }
    value = score(DISTANCE["name"], 12.34, anchors={"halves": 3.2})
    put(tmp_path, measured("blur(kernel=5)", value, **about))
    page = texts(tmp_path)[PAGE]
    assert "<h1>Title of fid(features=own)</h1>" in page
    assert 'href="https://example.org/paper"' in page
    found = facts(page)
    assert found["Name"] == "fid(features=own), version 3"
    assert (found["Direction"], found["Range"], found["Unit"]) == ("lower is better", "0 upward", "none")
    assert "d" * 64 in found["Models"]
    assert f"recogniser, sha256 {'c' * 64}" in found["Models"], "the suite pins its models"
    assert "stranger, which is not among the suite's models" in found["Models"]
    assert found["Calibration"] == "Equal to the reference to 1e-6."
    assert found["Reference values"] == "halves 3.20"
    assert "The value depends on it" in found["Number of images"]


def test_what_a_card_does_not_say_is_not_made_up(tmp_path: Path) -> None:
    put(tmp_path, record())
    found = facts(texts(tmp_path)["metrics/attack.html"])
    assert found["Range"] == "0 to 1"
    assert found["Unit"] == "share, shown in percent"
    assert (found["Source"], found["Models"], found["Calibration"]) == ("not stated", "none", "not stated")
    assert found["Number of images"] == "Values from different numbers of images compare."


def test_models_of_a_metric_nobody_has_are_not_said_to_be_none(tmp_path: Path) -> None:
    put(tmp_path, measured("without", missing()))
    assert facts(texts(tmp_path)[PAGE])["Models"] == "none recorded: no entrant has a value"


def test_entrants_stand_best_first_and_those_without_a_value_last(tmp_path: Path) -> None:
    put(tmp_path, measured("far", score(DISTANCE["name"], 90.0)))
    put(tmp_path, measured("without", missing()))
    put(tmp_path, measured("near", score(DISTANCE["name"], 2.0)))
    lost = {"stage": "fit", "kind": "entrant", "message": "too few images"}
    coverage = {"n_expected": 40, "n_output": 0, "n_scored": 0, "n_failed": 40, "failures": [lost]}
    put(tmp_path, measured("broken", score(DISTANCE["name"], 1.0)) | {"status": "failed", "coverage": coverage})
    page = texts(tmp_path)[PAGE]
    assert re.findall(r'<th scope="row"><a href="\.\./entrants/(\w+)\.html">', page) == [
        "near", "far", "without", "broken",
    ]  # fmt: skip
    assert "No weights. Type: <code>anonbench data own</code>" in page
    assert "fit: too few images" in page


def test_metrics_are_chained_and_linked_from_index_and_entrants(tmp_path: Path) -> None:
    put(tmp_path, measured("blur", score(DISTANCE["name"], 2.0)))
    pages = texts(tmp_path)
    metrics = {name for name in pages if name.startswith("metrics/")}
    assert len(metrics) == len(CARDS) + 2 + 2, "means and costs have pages, too"
    for name, prefix in (("index.html", ""), ("entrants/blur.html", "../")):
        links = {attrs.get("href") or "" for tag, attrs in Tags(pages[name]).tags if tag == "a"}
        assert {prefix + page.replace("=", "%3D") for page in metrics} == {
            link for link in links if link.startswith(prefix + "metrics/")
        }
    assert sum('rel="next"' in pages[name] for name in metrics) == len(metrics) - 1
    assert sum('rel="prev"' in pages[name] for name in metrics) == len(metrics) - 1


def test_two_versions_have_two_pages_and_two_headings(tmp_path: Path) -> None:
    put(tmp_path, record("old"))
    put(tmp_path, record("new", metrics=[CARDS[0] | {"version": 2}, *CARDS[1:]]))
    pages = texts(tmp_path)
    headings = [re.findall("<h1>(.*?)</h1>", page)[0] for name, page in pages.items() if "metrics/attack" in name]
    assert sorted(headings) == ["Title of attack, version 1", "Title of attack, version 2"]


# The number of images


def test_values_of_different_weights_never_share_a_column(tmp_path: Path) -> None:
    for name, digest in {"old": "a" * 64, "new": "b" * 64}.items():
        put(tmp_path, measured(name, score(DISTANCE["name"], 5.0), weights={"mine": digest}))
    table = board_table(load_records(tmp_path)).set_index("entrant")
    old, new = (table[f"{DISTANCE['name']}@v1-{digit * 8}.status"].to_dict() for digit in "ab")
    assert old == {"old": "ok", "new": "unavailable"}
    assert new == {"old": "unavailable", "new": "ok"}


def test_the_number_of_images_is_shown_where_it_matters(tmp_path: Path) -> None:
    put(tmp_path, measured("blur", score(DISTANCE["name"], 2.0, n=1960)))
    pages = texts(tmp_path)
    shown = f">N{NBSP}={NBSP}1{NBSP}960<"
    for name in ("index.html", "entrants/blur.html", PAGE):
        assert pages[name].count(shown) == 1, name
    table = board_table(load_records(tmp_path))
    assert table["fid(features=own).n"].tolist() == [1960]


def test_two_numbers_of_images_make_two_columns(tmp_path: Path) -> None:
    put(tmp_path, measured("all", score(DISTANCE["name"], 2.0, n=40)))
    put(tmp_path, measured("few", score(DISTANCE["name"], 3.0, n=20)))
    put(tmp_path, measured("a-without", missing()))
    table = board_table(load_records(tmp_path)).set_index("entrant")
    key = DISTANCE["name"]
    assert [name for name in table.columns if name.startswith(key) and name.endswith(".value")] == [
        f"{key}@n=20.value", f"{key}@n=40.value",
    ]  # fmt: skip
    assert table[f"{key}@n=40.status"].to_dict() == {"a-without": "unavailable", "all": "ok", "few": "unavailable"}
    assert table[f"{key}@n=20.status"].to_dict() == {"a-without": "unavailable", "all": "unavailable", "few": "ok"}
    index = texts(tmp_path)["index.html"]
    assert ">Title of fid(features=own), N = 20<" in index
    assert "Its value is of 20 images and stands in the column of that number." in index
    assert index.count("No weights. anonbench data own") == 4, "its own reason in both columns, spoken and pointed at"


def test_numbers_of_images_do_not_part_metrics_that_do_not_depend_on_them(tmp_path: Path) -> None:
    few = record("few")
    put(tmp_path, few | {"scores": [one | {"n": 20} for one in few["scores"]]})
    put(tmp_path, record("all"))
    assert not [name for name in board_table(load_records(tmp_path)).columns if "@n=" in name]


def test_an_entrant_without_a_value_opens_no_column(tmp_path: Path) -> None:
    put(tmp_path, measured("a-without", missing() | {"n": 7}))
    put(tmp_path, measured("all", score(DISTANCE["name"], 2.0)))
    values = [name for name in board_table(load_records(tmp_path)).columns if name.endswith(".value")]
    assert values.count("fid(features=own).value") == 1
    assert len(values) == len(CARDS) + 2 + 2


def test_a_card_that_cannot_name_its_missing_weights_opens_no_column(tmp_path: Path) -> None:
    put(tmp_path, measured("with", score(DISTANCE["name"], 2.0), weights={"inception": "d" * 64}))
    put(tmp_path, measured("without", missing()))
    table = board_table(load_records(tmp_path)).set_index("entrant")
    assert table["fid(features=own).status"].to_dict() == {"with": "ok", "without": "unavailable"}
    assert "No weights." in texts(tmp_path)["index.html"]


# Columns in which nobody has a value


def test_an_empty_column_is_narrow_and_its_reason_stands_once_below_the_table(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        put(tmp_path, measured(name, missing()))
    page = texts(tmp_path)["index.html"]
    assert Tags(page).text.count("No weights.") == 1, "below the table; headings and cells have it as their title"
    assert page.count('title="No weights. anonbench data own') == 1 + 3
    note = re.findall(r'<p class="absence">(.*?)</p>', page)
    words = [Tags(text).text.strip() for text in note]
    assert words[0] == "Title of fid(features=own): unavailable. No weights. Type: anonbench data own"
    assert words[1].startswith("Memory: unavailable. The cost of this release was not measured. Run")
    cells = [attrs.get("class") or "" for tag, attrs in Tags(page).tags if tag in ("th", "td")]
    assert sum("empty" in names for names in cells) == 2 * (2 + 3), "heading, reference values, three entrants"
    assert '"fid(features=own)"' not in page, "the plot does not offer it"


def test_an_empty_column_tells_different_reasons_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        put(tmp_path, measured(name, missing()))
    put(tmp_path, measured("three", missing("Too few images.", "")))
    note = re.findall(r'<p class="absence">(.*?)</p>', texts(tmp_path)["index.html"])
    words = " ".join(Tags(note[0]).text.split())
    assert "unavailable (2 entrants). No weights. Type: anonbench data own" in words.replace(NBSP, " ")
    assert words.endswith("unavailable (1 entrant). Too few images.")


def test_the_plot_leaves_out_what_nobody_has(tmp_path: Path) -> None:
    data = record()
    lost = {"metric": CARDS[2]["name"], "status": "unavailable", "reason": "No classifier."}
    data["scores"][2] = lost
    put(tmp_path, data)
    page = texts(tmp_path)["index.html"]
    options = re.findall(r'<option value="([^"]+)">', page.partition('id="scatter-y"')[2])
    assert options[0] == "useful(attribute=age)", "the default is the first usefulness that somebody has"
    assert not any("sex" in name or "mean" in name for name in options)


@pytest.mark.parametrize(
    ("remedy", "shown"),
    [
        ("anonbench weights fetch own", "No weights. Type: anonbench weights fetch own"),
        ("put own.pt into the cache", "No weights. To mend it: put own.pt into the cache"),
        ("Score this entrant again.", "No weights. Score this entrant again."),
        ("", "No weights."),
    ],
)
def test_remedies_read_as_what_they_are(tmp_path: Path, remedy: str, shown: str) -> None:
    put(tmp_path, measured("blur", missing("No weights", remedy)))
    for name, page in texts(tmp_path).items():
        if name in ("index.html", "entrants/blur.html", PAGE):
            assert shown in " ".join(Tags(page).text.split()), name
