"""The same command on real photographs. Skipped where they are absent; nothing of them is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmark.cli import cli
from benchmark.records import Record, read_record
from suites.definition import read_definition
from suites.folder.suite import ATTACKERS_OF_PEOPLE

DATA = Path(__file__).parents[2].parent / "shared" / "data"
ENTRANTS = ("identity", "black", "blur(kernel=15)", "mask(region=eyes)")


def run(suite: str, data: Path, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Record]:
    if not data.is_dir():
        pytest.skip(f"real faces are absent: put them into {data.relative_to(DATA.parents[1])} beside the checkout")
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    words = ["run", suite, "--data", data, "--size", size, "--out", tmp_path / "out", "--threads", 1]
    words += [word for entrant in ENTRANTS for word in ("-e", entrant)]
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "board" / "index.html").exists()
    records = [read_record(path) for path in (tmp_path / "out").glob("records/*/*/record.json")]
    return {record.entry.name: record for record in records}


def value(record: Record, metric: str) -> float:
    score = record.score(metric)
    assert score is not None
    assert score.value is not None, score.reason
    return score.value


def test_a_folder_of_faces_without_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = run("folder", DATA / "att", 48, tmp_path, monkeypatch)
    assert value(records["identity"], "static") >= 0.85
    assert value(records["black"], "static") == pytest.approx(1 / 20)
    assert value(records["black"], "static") <= value(records["blur(kernel=15)"], "static") <= 1
    assert "landmarks" in records["mask(region=eyes)"].notes
    expected = ["risk", *ATTACKERS_OF_PEOPLE, *read_definition("folder").metrics]
    assert [card.name for card in records["identity"].metrics] == expected
    for rung in ("static", "transfer", "adaptive", "reversal"):
        clean, nothing = records["identity"].score(rung), records["black"].score(rung)
        assert clean is not None
        assert nothing is not None
        assert clean.value == clean.anchors["originals"]
        assert nothing.value == pytest.approx(1 / 20)
    assert value(records["blur(kernel=15)"], "risk") > value(records["blur(kernel=15)"], "static")


def test_a_data_set_by_name_with_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = run("london", DATA / "london", 48, tmp_path, monkeypatch)
    identity = records["identity"]
    people = {split.name: split.n_identities for split in identity.suite.splits}
    assert people["background"] + people["probe"] == 51
    assert value(identity, "static") > 5 / people["probe"]
    assert value(identity, "f1(attribute=gender)") > value(records["black"], "f1(attribute=gender)")
