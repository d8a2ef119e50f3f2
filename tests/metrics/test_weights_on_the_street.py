"""A run without any weights completes and says what is missing; weights that appear fill their columns in."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmark.cli import cli
from benchmark.records import Record, read_record
from benchmark.registry import build_metric
from benchmark.weights import REGISTRY

WEIGHTS = Path(__file__).parents[2].parent / "shared" / "weights"
REMEDIES = {
    "lpips(net=squeeze)": "anonbench weights fetch squeezenet1_1",
    "fid(features=inception)": "anonbench weights fetch fid-inception",
    "kid(features=inception)": "anonbench weights fetch fid-inception",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("street")


def run(place: Path, monkeypatch: pytest.MonkeyPatch, weights: Path | None) -> Record:
    monkeypatch.setenv("ANONBENCH_CACHE", str(place / "cache"))
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(weights or ""))
    words = ["run", "portraits-smoke", "-e", "blur(kernel=9)", "--out", str(place / "out"), "--threads", "1"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    return read_record(place / "out" / "records" / "blur-kernel=9" / "seed-0" / "record.json")


def test_without_weights(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = run(place, monkeypatch, None)
    assert record.status == "ok"
    for name, remedy in REMEDIES.items():
        score = record.score(name)
        assert score is not None
        assert (score.status, score.value, score.remedy) == ("unavailable", None, remedy)
        assert "unavailable" in score.reason
        page = place / "out" / "board" / "metrics"
        assert any(remedy in file.read_text() for file in page.glob("*.html"))
    for name in ("perceptanon(panel=simulated)", "perceptual(features=recogniser)", "fid(features=recogniser)"):
        score = record.score(name)
        assert score is not None
        assert score.value is not None, name


def test_weights_that_appear_fill_their_column_in(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = WEIGHTS / REGISTRY["squeezenet1_1-fp16rounded"].file
    if not trunk.is_file():
        pytest.skip("no SqueezeNet weights beside the repository")
    record = run(place, monkeypatch, WEIGHTS)
    score = record.score("lpips(net=squeeze)")
    assert score is not None
    assert score.value is not None
    assert 0.05 < score.value < 1
    assert record.run.reused == ("released",), "nothing is anonymized again"
    card = next(card for card in record.metrics if card.name == "lpips(net=squeeze)")
    assert card.weights["squeezenet1_1-fp16rounded"] == REGISTRY["squeezenet1_1-fp16rounded"].sha256
    again = run(place, monkeypatch, WEIGHTS)
    assert again.result_id == record.result_id


def test_a_wrong_file_is_a_status_not_a_crash(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / REGISTRY["squeezenet1_1"].file).write_bytes(b"<!doctype html><html>Not found</html>")
    (tmp_path / REGISTRY["fid-inception"].file).write_bytes(b"\x80\x02")
    record = run(place, monkeypatch, tmp_path)
    lpips, fid = record.score("lpips(net=squeeze)"), record.score("fid(features=inception)")
    assert lpips is not None
    assert fid is not None
    assert lpips.status == fid.status == "unavailable"
    assert "HTML" in lpips.reason
    assert "truncated" in fid.reason or "smaller" in fid.reason


def test_every_card_is_whole() -> None:
    specs = [f"lpips(net={net})" for net in ("alex", "vgg", "squeeze")]
    specs += [
        f"{name}(features={network})"
        for name in ("fid", "kid", "fid-infinity")
        for network in ("inception", "recogniser")
    ]
    specs += ["perceptual", "perceptanon(panel=human)", "perceptanon(panel=simulated)", "psnr", "ssim", "mse", "static"]
    cards = [build_metric(spec).card for spec in specs]
    assert len({card.name for card in cards}) == len({card.title for card in cards}) == len(specs)
    for card in cards:
        assert card.definition
        assert card.calibration, card.name
        assert card.source, card.name
