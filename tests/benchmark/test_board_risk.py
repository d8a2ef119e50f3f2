"""Boards led by the risk: the worst attacker is named, nonsense is refused, flagged rows stay below."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmark.board import as_json, board_table, load_records
from benchmark.board.cells import short
from benchmark.board.ladder import split
from benchmark.cli.street import summary
from benchmark.records import Record
from tests.benchmark.test_board import CARDS, EVIL, Tags, card, put, record, score, texts

ANCHORS = {"chance": 0.125, "originals": 0.958}
RISK = card("risk", "privacy", "share", False, (0, 1))
STATIC = card("static", "privacy", "share", False, (0, 1)) | {"rung": "static"}
ADAPTIVE = card("adaptive(learner=all)", "privacy", "share", False, (0, 1)) | {"rung": "adaptive", "needs_copy": True}
OTHER = card("audit", "privacy", "share", False, (0, 1)) | {"about_claim": True}
WEAK = {"too-weak": "It names 20 % of originals."}


def attacked(name: str, static: float = 0.25, adaptive: float | None = 0.5, **more: Any) -> dict[str, Any]:
    """A record with two attackers and the risk; without the adaptive one its risk is only bounded."""
    data = record(name)
    rungs = [score("static", static, anchors=ANCHORS)]
    if adaptive is None:
        gap = {"status": "unavailable", "reason": "No copy in the attacker's hands.", "remedy": "Hand it in."}
        rungs.append({"metric": ADAPTIVE["name"], **gap})
        bound = {"details": {"at least": static}, "by": "static"}
        risk = {"metric": "risk", "status": "unavailable", "reason": "adaptive could not be run.", **bound}
    else:
        rungs.append(score(ADAPTIVE["name"], adaptive, anchors=ANCHORS))
        worst = max(rungs, key=lambda one: one["value"])
        risk = worst | {"metric": "risk", "by": worst["metric"]}
    scores = [risk, *rungs, *data["scores"][1:]]
    return data | {"metrics": [RISK, STATIC, ADAPTIVE, OTHER, *CARDS[1:]], "scores": scores} | more


def changed(data: dict[str, Any], metric: str, **more: Any) -> dict[str, Any]:
    """The record with other fields in one score."""
    return data | {"scores": [one | more if one["metric"] == metric else one for one in data["scores"]]}


def rows(page: str) -> list[str]:
    return re.findall(r'<tr[^>]* data-name="([^"]+)"', page)


def cells_of(page: str, name: str) -> list[str]:
    """The texts of an entrant's cells."""
    line = re.findall(rf'<tr[^>]* data-name="{re.escape(name)}".*?</tr>', page, re.DOTALL)[0]
    return [" ".join(Tags(cell).text.split()) for cell in re.findall(r"<td.*?</td>", line, re.DOTALL)]


# The table


def test_the_risk_leads_and_names_the_worst_attacker(tmp_path: Path) -> None:
    put(tmp_path, attacked("leaky", 0.9, 0.8))
    put(tmp_path, attacked("tight", 0.1, 0.2))
    page = texts(tmp_path)["index.html"]
    assert rows(page) == ["tight", "leaky"]
    assert cells_of(page, "tight")[1].startswith("20.0 % by adaptive 18.0")
    assert cells_of(page, "leaky")[1].startswith("90.0 % by static")
    heads = re.findall(r'<th scope="col" class="head[^>]*data-title="Title of ([^"]+)"', page)
    assert heads[:3] == ["risk", "static", "adaptive(learner=all)"], "attackers stand beside the risk"
    assert "no overall ranking" in page


def test_order_is_ranked_unranked_flagged_failed_whatever_their_values(tmp_path: Path) -> None:
    lost = {"stage": "fit", "kind": "entrant", "message": "too few"}
    coverage = {"n_expected": 40, "n_output": 0, "n_scored": 0, "n_failed": 40, "failures": [lost]}
    put(tmp_path, attacked("a-failed", 0.0, 0.0, status="failed", coverage=coverage))
    put(tmp_path, attacked("b-flagged", 0.01, 0.02, flags={"constant": "All of one colour."}))
    put(tmp_path, attacked("c-unranked", 0.3, None))
    put(tmp_path, attacked("d-leaky", 0.9, 0.95))
    page = texts(tmp_path)["index.html"]
    assert rows(page) == ["d-leaky", "c-unranked", "b-flagged", "a-failed"]
    bodies = re.findall(r'<tbody class="([^"]+)">(.*?)</tbody>', page, re.DOTALL)
    assert [(name, rows(body)) for name, body in bodies[:3]] == [
        ("ordered", ["d-leaky", "c-unranked"]), ("ordered flagged", ["b-flagged"]), ("failures", ["a-failed"]),
    ]  # fmt: skip
    assert cells_of(page, "c-unranked")[1] == "not ranked: adaptive could not be run. at least 30.0 %"
    for name in ("metrics/risk.html", "metrics/static.html"):
        found = re.findall(r'<th scope="row"><a href="\.\./entrants/([\w-]+)\.html">', texts(tmp_path)[name])
        assert found[-2:] == ["b-flagged", "a-failed"], name


def test_flagged_rows_open_no_tied_group(tmp_path: Path) -> None:
    put(tmp_path, attacked("honest", 0.5, 0.6))
    alone = texts(tmp_path)["index.html"]
    put(tmp_path, attacked("nothing", 0.01, 0.02, flags={"constant": "All of one colour."}))
    page = texts(tmp_path)["index.html"]
    assert cells_of(page, "honest")[0] == cells_of(alone, "honest")[0] == "A"
    assert cells_of(page, "nothing")[0] == "none"
    assert 'data-t="B"' not in page


def test_claimed_rows_stand_below_what_others_measured_until_they_are_reproduced(tmp_path: Path) -> None:
    put(tmp_path, attacked("honest", 0.5, 0.6))
    claims = {"self_reported": True, "submitted_by": "A. Researcher"}
    put(tmp_path, attacked("perfect", 0.01, 0.02, claims=claims))
    put(tmp_path, attacked("nothing", 0.01, 0.02, flags={"constant": "All of one colour."}, claims=claims))
    page = texts(tmp_path)["index.html"]
    assert rows(page) == ["honest", "perfect", "nothing"]
    bodies = re.findall(r'<tbody class="([^"]+)">', page)
    assert bodies[:3] == ["ordered", "ordered claimed", "ordered flagged"]
    assert cells_of(page, "honest")[0] == "A"
    assert cells_of(page, "perfect")[0] == "none"
    assert "measured by whoever handed it in and by nobody else" in page
    put(tmp_path / "later", attacked("honest", 0.5, 0.6))
    put(tmp_path / "later", attacked("perfect", 0.01, 0.02, claims=claims | {"reproduced_by": "B. Maintainer"}))
    page = texts(tmp_path / "later")["index.html"]
    assert rows(page) == ["perfect", "honest"]
    assert cells_of(page, "perfect")[0] == "A"


def test_a_single_record_cannot_lead_the_board_with_a_column_of_its_own(tmp_path: Path) -> None:
    put(
        tmp_path,
        attacked("first", 0.01, 0.02, metrics=[RISK | {"weights": {"mine": "0" * 64}}, STATIC, ADAPTIVE, *CARDS[1:]]),
    )
    for name in ("one", "two"):
        put(tmp_path, attacked(name, 0.5, 0.6))
    assert rows(texts(tmp_path)["index.html"]) == ["one", "two", "first"]


@pytest.mark.parametrize("flag", ["too-weak", "below-chance"])
def test_values_that_mean_nothing_say_so_and_tie_with_nobody(tmp_path: Path, flag: str) -> None:
    put(tmp_path, changed(attacked("weak", 0.001, 0.5), "static", flags={flag: "It names 20 % of originals."}))
    put(tmp_path, attacked("strong", 0.9, 0.95))
    pages = texts(tmp_path)
    weak = cells_of(pages["index.html"], "weak")
    assert weak[2] == f"0.1 % {flag}: It names 20 % of originals."
    assert re.findall(r'data-v="0.9" data-t="(\w)"', pages["index.html"]) == ["A"]
    assert 'data-v="0.001"' not in pages["index.html"], "sorting leaves it among those without a value"
    found = re.findall(r'<th scope="row"><a href="\.\./entrants/(\w+)\.html">', pages["metrics/static.html"])
    assert found == ["strong", "weak"]
    assert f"{flag}, Title of static: It names 20 % of originals." in Tags(pages["entrants/weak.html"]).text


def test_flags_are_badges_and_stand_in_full_on_the_page(tmp_path: Path) -> None:
    data = attacked("liar", flags={"sentinel": "nme = -1 is no measurement.", "no-op": "40 of 40 are originals."})
    audit = {"metric": "audit", "value": 0.5, "n": 40, "flags": {"claim broken": "2 people, not 5."}}
    data["entry"] |= {"k_anonymity": 5}
    put(tmp_path, data | {"scores": [*data["scores"], audit]})
    pages = texts(tmp_path)
    badges = re.findall(r'<span class="badge (\w+)" title="([^"]*)">([^<]*)<', pages["index.html"])
    assert badges[:3] == [
        ("bad", "40 of 40 are originals.", "no-op"),
        ("bad", "nme = -1 is no measurement.", "sentinel"),
        ("warn", "Title of audit: 2 people, not 5.", "claim broken"),
    ]
    words = Tags(pages["entrants/liar.html"]).text
    assert "Flagged: no-op. 40 of 40 are originals." in words
    assert "claim broken. Title of audit: 2 people, not 5." in words
    assert "5-anonymity: at least 5 people share every released image" in words


def test_a_broken_claim_alone_keeps_its_rank(tmp_path: Path) -> None:
    data = attacked("liar", 0.1, 0.2)
    audit = {"metric": "audit", "value": 0.5, "n": 40, "flags": {"claim broken": "2 people, not 5."}}
    put(tmp_path, data | {"scores": [*data["scores"], audit]})
    put(tmp_path, attacked("leaky", 0.8, 0.9))
    assert rows(texts(tmp_path)["index.html"]) == ["liar", "leaky"]


def test_boards_without_a_risk_lead_with_the_first_attacker(tmp_path: Path) -> None:
    put(tmp_path, record("leaky", 0.9))
    put(tmp_path, record("tight", 0.1))
    page = texts(tmp_path)["index.html"]
    assert rows(page) == ["tight", "leaky"]
    assert "ordered by one attacker" in page
    assert "Hypervolume" not in page


def test_means_and_attackers_are_there_at_first_and_the_rest_can_be_brought_back(tmp_path: Path) -> None:
    put(tmp_path, attacked("blur"))
    page = texts(tmp_path)["index.html"]
    boxes = [attrs for tag, attrs in Tags(page).tags if tag == "input" and "data-section" in attrs]
    shown = {attrs["data-titles"]: "checked" in attrs for attrs in boxes}
    assert shown == {
        "Title of risk, Title of static, Title of adaptive(learner=all)": True,
        "Title of audit": True,
        "Mean useful of 2 attributes": True,
        "Title of useful(attribute=age), Title of useful(attribute=sex)": False,
        "Title of sharp": True,
        "Time, Memory": False,
    }
    cells = [attrs["data-s"] for tag, attrs in Tags(page).tags if tag in ("th", "td") and "data-s" in attrs]
    assert {attrs["data-section"] for attrs in boxes} == set(cells)
    assert not any("hidden" in attrs for tag, attrs in Tags(page).tags if tag in ("th", "td")), "all, without a script"


def test_columns_of_a_kind_stand_together(tmp_path: Path) -> None:
    data = attacked("blur")
    quality = [card(name, "quality", "1", False, (0, None)) for name in ("fid(features=own)", "late")]
    put(tmp_path, data | {"metrics": [*data["metrics"], *quality]})
    page = texts(tmp_path)["index.html"]
    titles = [attrs["data-titles"] for tag, attrs in Tags(page).tags if "data-titles" in attrs]
    assert titles[-3:] == ["Title of sharp, Title of late", "Title of fid(features=own)", "Time, Memory"]


# The page of an entrant


def ladder(page: str) -> dict[str, list[str]]:
    """Cells of the ladder by attacker."""
    table = re.findall(r'<table class="ladder">(.*?)</table>', page, re.DOTALL)[0]
    lines = [re.findall(r"<t[hd].*?</t[hd]>", line, re.DOTALL) for line in re.findall(r"<tr.*?</tr>", table, re.DOTALL)]
    texts_of = [[" ".join(Tags(cell).text.split()) for cell in line] for line in lines]
    return {line[0]: line[1:] for line in texts_of}


def test_the_ladder_shows_every_attacker_with_what_it_reports(tmp_path: Path) -> None:
    details = {"rank-10": 0.75, "rank-5": 0.5, "D_sys": 0.25, "D_sys floor": 0.012, "AUC": 0.625, "epochs": 12}
    refused = {"TAR@FAR=0.001": "Needs 10 000 pairs."}
    data = changed(attacked("blur", 0.25, 0.5), ADAPTIVE["name"], details=details, refused=refused)
    put(tmp_path, data)
    page = texts(tmp_path)["entrants/blur.html"]
    found = ladder(page)
    measures = ["rank-5", "rank-10", "TAR@FAR=0.001", "AUC", "D_sys"]
    assert found["Attacker"] == ["Top-1", "Interval", "On originals", "Chance", *measures]
    assert found["Title of adaptive(learner=all) adaptive the risk"] == [
        "50.0 %", "45.0\N{EN DASH}55.0", "95.8 %", "12.5 %",
        "50.0 %", "75.0 %", "refused: Needs 10 000 pairs.", "0.625", "0.250 floor 0.012",
    ]  # fmt: skip
    assert found["Title of static static"][4:] == ["none: This attacker does not report it."] * 5
    words = " ".join(Tags(page).text.split())
    assert "TAR@FAR=0.001: Needs 10 000 pairs. (adaptive)" in words
    assert "Title of adaptive(learner=all)epochs: 12" in words


def test_attackers_that_could_not_be_run_say_why(tmp_path: Path) -> None:
    put(tmp_path, attacked("blur", 0.25, None))
    found = ladder(texts(tmp_path)["entrants/blur.html"])
    assert found["Title of adaptive(learner=all) adaptive"] == [
        "unavailable No copy in the attacker's hands. Hand it in."
    ]
    assert not any("the risk" in name for name in found)


@pytest.mark.parametrize(
    ("detail", "parts"),
    [
        ("rank-5", ("rank-5", "")),
        ("D_sys floor", ("D_sys", "floor")),
        ("EER (on originals)", ("EER", "on originals")),
        ("TAR@FAR=1e-3, on originals", ("TAR@FAR=1e-3", "on originals")),
        ("epochs", ("", "epochs")),
        ("AUCs", ("", "AUCs")),
    ],
)
def test_details_are_told_apart(detail: str, parts: tuple[str, str]) -> None:
    assert split(detail) == parts


# Tables and safety


def test_tables_name_attacker_and_flags(tmp_path: Path) -> None:
    put(tmp_path, attacked("a", 0.25, 0.5, flags={"sentinel": "s", "no-op": "n"}))
    put(tmp_path, changed(attacked("b", 0.25, None), "static", details={"AUC": 0.5}, flags=WEAK))
    records = load_records(tmp_path)
    table = board_table(records).set_index("entrant")
    assert table["flags"].to_dict() == {"a": "no-op;sentinel", "b": ""}
    assert table["risk.by"].to_dict() == {"a": ADAPTIVE["name"], "b": "static"}
    assert "static.by" not in table
    assert table["mean(useful).value"].to_dict() == {"a": 0.625, "b": 0.625}
    body = json.loads(as_json(records))
    assert body["attackers"] == [
        {"slug": "b", "seed": 0, "metric": "risk", "details": {"at least": 0.25}, "refused": {}, "flags": {}},
        {"slug": "b", "seed": 0, "metric": "static", "details": {"AUC": 0.5}, "refused": {}, "flags": WEAK},
    ]
    assert as_json(records[::-1]) == as_json(records)


@pytest.mark.parametrize("evil", EVIL)
def test_flags_and_details_never_become_markup(tmp_path: Path, evil: str) -> None:
    names = {evil: evil}
    data = attacked("blur", flags={"no-op": evil} | names)
    more = {"details": {evil: 0.5, f"D_sys {evil}": 0.5}, "refused": {f"D_sys {evil}": evil}, "flags": WEAK | names}
    data = changed(data, "static", **more)
    data = changed(data, "risk", by=evil)
    put(tmp_path, json.loads(Record.model_validate(data).model_dump_json()))
    pages = {name: page for name, page in texts(tmp_path).items() if name.endswith(".html")}
    assert Tags(pages["entrants/blur.html"]).text.count(evil) >= 8
    for page in pages.values():
        for mark in ("<script>alert", "<img src=x", "<b>'"):
            assert mark not in page


def test_a_record_that_a_metric_failed_on_does_not_blame_the_images(tmp_path: Path) -> None:
    broken = changed(attacked("odd"), STATIC["name"], value=None, status="failed", reason="No.", interval=None)
    put(tmp_path, broken | {"status": "partial"})
    badges = re.findall(r'<span class="badge warn" title="([^"]*)">partial<', texts(tmp_path)["index.html"])
    assert badges == ["Could not be scored with: static."]


def test_two_attackers_of_a_kind_are_told_apart() -> None:
    names = ("static", "embedding(network=background)", "embedding(network=mobilefacenet)")
    assert [short(name) for name in names] == ["static", "embedding background", "embedding mobilefacenet"]


# The line that a run prints


def test_the_line_of_a_run_names_the_attacker_and_the_flags() -> None:
    line = summary(Record.model_validate(attacked("leaky", 0.25, 0.5, flags={"no-op": "40 of 40 are originals."})))
    assert line.startswith("leaky [no-op]: ")
    assert "50.0 % by adaptive(learner=all)" in line


def test_no_other_attacker_stands_in_for_a_missing_risk() -> None:
    line = summary(Record.model_validate(attacked("handed in", 0.25, None)))
    assert "not ranked: adaptive could not be run." in line
    assert "25.0 %" not in line
