"""What is committed under ``results/``: valid records of the current suite, and just the board they make."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmark.board import load_records, render_board
from benchmark.correlations import read_correlations
from benchmark.pipeline import record_folder
from benchmark.records import Record, read_record, result_id
from suites.definition import read_definition

RESULTS = Path(__file__).parents[1] / "results"
SUITE = "portraits-v1"


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
    assert set(records) == set(definition.entrants)
    assert {record.suite.suite_hash for record in records.values()} == {definition.suite_hash}
    assert {record.status for record in records.values()} == {"ok"}


def test_the_controls_land_where_they_must(records: dict[str, Record]) -> None:
    for record, anchor in ((records["identity"], "originals"), (records["black"], "chance")):
        risk = record.score("static")
        assert risk is not None
        assert risk.value == pytest.approx(risk.anchors[anchor])
    floors = {"gender": 0.93, "age": 0.93, "skin_tone": 0.95, "expression": 0.85}
    for attribute, floor in floors.items():
        score = records["identity"].score(f"f1(attribute={attribute})")
        assert score is not None
        assert score.value is not None
        assert score.value >= floor
    clean = records["identity"].score("static")
    assert clean is not None
    assert clean.value is not None
    assert clean.value >= 0.95


def test_k_same_keeps_its_promise(records: dict[str, Record]) -> None:
    for name, record in records.items():
        if record.entry.family.startswith("ksame"):
            risk = record.score("static")
            assert risk is not None
            assert risk.value is not None
            # One surrogate for at least k people: at most one of them can be named.
            assert risk.value <= 1 / int(record.entry.params["k"]) + 1e-9, name


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
    for part in ("records", "correlations"):
        shutil.copytree(RESULTS / SUITE / part, tmp_path / SUITE / part)
    assert load_records(tmp_path / SUITE)
    board = render_board(tmp_path / SUITE).parent
    committed = RESULTS / SUITE / "board"
    pages = sorted(path.relative_to(board) for path in board.rglob("*") if path.is_file())
    assert pages == sorted(path.relative_to(committed) for path in committed.rglob("*") if path.is_file())
    for page in pages:
        if page.name != "plotly.min.js":  # comes from the installed package
            assert (board / page).read_bytes() == (committed / page).read_bytes(), page
