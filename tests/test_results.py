"""What is committed under ``results/``: valid records of the current suite, and just the board they make."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmark.board import load_records, render_board
from benchmark.correlations import read_correlations
from benchmark.pipeline import record_folder
from benchmark.records import Record, read_record, result_id
from suites.definition import read_definition

RESULTS = Path(__file__).parents[1] / "results"
SUITE = "portraits-v1"


STRANGERS = {"deface": "process", "inpainting": "precomputed"}
"""Rows beyond the suite's own list, and how they entered."""


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    paths = sorted((RESULTS / SUITE).glob("records/*/*/record.json"))
    found = {path: read_record(path) for path in paths}
    for path, record in found.items():
        assert record_folder(RESULTS / SUITE, record) == path.parent, "a record's path says what is inside"
        assert result_id(record) == record.result_id
    return {record.entry.name: record for record in found.values()}


def test_every_default_entrant_has_a_record_of_the_current_suite(records: dict[str, Record]) -> None:
    definition = read_definition(SUITE)
    assert set(records) == {*definition.entrants, *STRANGERS}
    assert {record.suite.suite_hash for record in records.values()} == {definition.suite_hash}
    assert {record.status for record in records.values()} == {"ok"}


def test_strangers_came_in_by_every_other_way(records: dict[str, Record]) -> None:
    assert {name: records[name].entry.kind for name in STRANGERS} == STRANGERS
    for name in STRANGERS:
        assert value_of(records[name], "static") < 0.2
        assert value_of(records[name], "adaptive") > 0.7
    assert records["deface"].run.isolation.startswith("bubblewrap: no network")


def value_of(record: Record, metric: str) -> float:
    score = record.score(metric)
    assert score is not None
    assert score.value is not None, f"{record.entry.name} {metric}: {score.reason}"
    return score.value


def rungs_of(record: Record) -> list[str]:
    return [card.name for card in record.metrics if card.rung]


def test_the_ladder_is_whole(records: dict[str, Record]) -> None:
    for record in records.values():
        rungs = {card.rung for card in record.metrics} - {""}
        assert rungs == {"static", "transfer", "embedding", "adaptive", "reversal"}


def test_risk_is_the_worst_of_the_ladder_by_name(records: dict[str, Record]) -> None:
    for record in records.values():
        values = {name: value_of(record, name) for name in rungs_of(record)}
        risk = record.score("risk")
        assert risk is not None
        assert risk.value == max(values.values()) == values[risk.by]
        assert not risk.flags, "an attacker too weak on originals is no attacker"


@pytest.mark.parametrize(("control", "anchor"), [("identity", "originals"), ("black", "chance")])
def test_the_controls_land_where_they_must(records: dict[str, Record], control: str, anchor: str) -> None:
    for rung in rungs_of(records[control]):
        score = records[control].score(rung)
        assert score is not None
        assert score.value == pytest.approx(score.anchors[anchor])
    assert set(records[control].flags) == {"no-op" if control == "identity" else "constant"}


def test_only_controls_are_flagged(records: dict[str, Record]) -> None:
    assert {name for name, record in records.items() if record.flags} == {"identity", "black"}


def test_utility_of_originals_is_high(records: dict[str, Record]) -> None:
    floors = {"gender": 0.93, "age": 0.93, "skin_tone": 0.95, "expression": 0.85}
    for attribute, floor in floors.items():
        assert value_of(records["identity"], f"f1(attribute={attribute})") >= floor
    assert value_of(records["identity"], "static") >= 0.95


def test_a_blur_that_blinds_the_static_attacker_does_not_blind_the_adaptive_one(records: dict[str, Record]) -> None:
    blurs = [record for record in records.values() if record.entry.family in ("blur", "gaussian-blur")]
    blinding = [record for record in blurs if value_of(record, "static") < 0.2]
    assert blinding
    for record in blinding:
        assert value_of(record, "adaptive") >= 0.7, record.entry.name


def at_static_risk(records: dict[str, Record], family: str, risk: float, metric: str) -> float:
    """What a conventional family reaches at a static risk: between its entrants linear in the logarithm of the risk.

    Below its smallest risk it is the value there, which is too good for the family.
    """
    members = [record for record in records.values() if record.entry.family == family]
    points = sorted((value_of(record, "static"), value_of(record, metric)) for record in members)
    risks, values = zip(*points, strict=True)
    return float(np.interp(np.log(risk), np.log(risks), values))


EDI = {
    "blur": "edi-anon(perturb=blur, preset=paper)",
    "pixelate": "edi-anon(perturb=pixelate, size=24, variant=mean)",
}


@pytest.mark.parametrize("family", sorted(EDI))
def test_edi_anon_keeps_more_than_its_filter_at_equal_static_risk(records: dict[str, Record], family: str) -> None:
    record = records[EDI[family]]
    risk = value_of(record, "static")
    assert risk < 0.02
    assert value_of(record, "psnr") >= at_static_risk(records, family, risk, "psnr") + 3.0


@pytest.mark.parametrize("metric", ["psnr", "f1(attribute=gender)", "f1(attribute=age)"])
def test_edi_anon_is_ahead_of_its_filter_in_every_row(records: dict[str, Record], metric: str) -> None:
    for record in records.values():
        if record.entry.family == "edi-anon":
            perturb, risk = str(record.entry.params["perturb"]), value_of(record, "static")
            family = "gaussian-noise" if perturb == "noise" else perturb
            assert value_of(record, metric) > at_static_risk(records, family, risk, metric), record.entry.name


def test_edi_anon_reaches_its_target_or_says_how_many_images_it_failed(records: dict[str, Record]) -> None:
    traced = [record for record in records.values() if record.entry.family == "edi-anon"]
    assert {record.entry.params["perturb"] for record in traced} == {
        "blur", "pixelate", "dp-pix", "dp-blur", "noise", "mask",
    }  # fmt: skip
    for record in traced:
        trace = record.trace
        assert trace is not None
        n = record.coverage.n_expected
        assert abs(trace.risk[-1] - value_of(record, "static")) <= 1 / n + 1e-12, (
            "the risk in memory is that of the files"
        )
        assert trace.recognised == round(trace.risk[-1] * n)
        assert all(later <= earlier for earlier, later in itertools.pairwise(trace.risk))
        assert trace.converged != any("are still recognised" in note for note in record.notes.values())


def test_who_beats_one_recogniser_does_not_beat_the_others(records: dict[str, Record]) -> None:
    for record in records.values():
        if record.entry.family == "edi-anon" and value_of(record, "static") < 0.02:
            assert value_of(record, "adaptive") >= 0.5, record.entry.name


def test_k_same_keeps_its_promise(records: dict[str, Record]) -> None:
    for name, record in records.items():
        if record.entry.family.startswith("ksame"):
            k = int(record.entry.params["k"])
            # One surrogate for at least k people: at most one of them can be named, whoever asks.
            assert value_of(record, "risk") <= 1 / k + 1e-9, name
            assert value_of(record, "k-anonymity") >= k


def test_metrics_against_the_panel_are_of_the_current_suite() -> None:
    found = [read_correlations(path) for path in sorted((RESULTS / SUITE / "correlations").glob("*.json"))]
    assert [(table.name, table.panel) for table in found] == [("simulated-panel-HA2", "simulated")]
    assert found[0].suite_hash == read_definition(SUITE).suite_hash
    for part in found[0].splits:
        psnr, mse = found[0].row("psnr", part), found[0].row("mse", part)
        assert psnr is not None
        assert mse is not None
        if psnr.spearman is not None and mse.spearman is not None:
            assert psnr.spearman == -mse.spearman


def test_the_committed_board_is_the_one_its_records_make(tmp_path: Path) -> None:
    for part in ("records", "correlations", "originals", "tuning"):
        shutil.copytree(RESULTS / SUITE / part, tmp_path / SUITE / part)
    shutil.copytree(RESULTS / "reported", tmp_path / "reported")
    assert load_records(tmp_path / SUITE)
    board = render_board(tmp_path / SUITE).parent
    committed = RESULTS / SUITE / "board"
    pages = sorted(path.relative_to(board) for path in board.rglob("*") if path.is_file())
    assert pages == sorted(path.relative_to(committed) for path in committed.rglob("*") if path.is_file())
    for page in pages:
        assert (board / page).read_bytes() == (committed / page).read_bytes(), page
