"""``reproduce``: a claim that is true gets its badge, one that is not changes nothing."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from benchmark.records import MetricCard, Record, Score, read_record
from benchmark.submission.reproducing import Comparison
from benchmark.submission.validating import validate
from tests.benchmark.test_validation import BLUR, SUITE, Data, lines, make_result, rewrite, score_of, set_card, set_in

Invoke = Callable[..., Result]


def claimed(data: Data) -> None:
    said = {"self_reported": True, "submitted_by": "Ada", "conflict_of_interest": "none", "training_overlap": "none"}
    data["claims"].update(said, publishable=True)


@pytest.fixture(scope="module")
def made(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = make_result(cache, tmp_path_factory.mktemp("made") / SUITE, "identity", "black", "blur(kernel=15)")
    rewrite(out / BLUR, claimed)
    return out


@pytest.fixture
def result(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / SUITE))


def again(invoke: Invoke, result: Path, *words: str) -> Result:
    return invoke("reproduce", result / BLUR, "--by", "Bob", "--threads", 1, *words)


def test_a_true_claim_is_marked(invoke: Invoke, result: Path) -> None:
    before = read_record(result / BLUR / "record.json")
    told = again(invoke, result)
    assert told.exit_code == 0, told.output
    after = read_record(result / BLUR / "record.json")
    assert (after.claims.reproduced_by, after.claims.max_abs_diff) == ("Bob", 0.0)
    assert after.score(after.claims.max_abs_diff_metric) is not None
    assert after.model_copy(update={"claims": before.claims}) == before
    assert "the same, byte for byte" in told.output
    assert lines(validate([result])) == ""
    others = sorted(path for path in (result / BLUR).rglob("*") if path.is_file())
    assert [path.name for path in others if path.name.startswith(".")] == []


def test_it_really_runs_again(invoke: Invoke, result: Path, cache: Path) -> None:
    """The release that is kept from an earlier run is not what is compared."""
    kept = {path: path.stat().st_mtime_ns for path in (cache / "store" / "releases").glob("*/release.json")}
    assert again(invoke, result).exit_code == 0
    after = {path: path.stat().st_mtime_ns for path in (cache / "store" / "releases").glob("*/release.json")}
    assert len([path for path in kept if after[path] != kept[path]]) == 1


def shifted(metric: str, by: float) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        score_of(data, metric)["value"] += by
        score_of(data, metric)["interval"] = None

    return change


def test_a_false_claim_changes_nothing(invoke: Invoke, result: Path) -> None:
    rewrite(result / BLUR, shifted("adaptive", -0.3))
    before = (result / BLUR / "record.json").read_bytes()
    told = again(invoke, result)
    assert told.exit_code == 1
    assert (result / BLUR / "record.json").read_bytes() == before
    table = [line.split() for line in told.output.splitlines() if line.startswith(("metric", "adaptive"))]
    assert table[0] == ["metric", "claimed", "reproduced", "difference", "allowed"]
    claimed_value, made_value, apart = (float(cell) for cell in table[1][1:4])
    assert (apart, made_value - claimed_value) == (pytest.approx(0.3), pytest.approx(0.3, abs=1e-5))


def test_a_small_difference_is_named(invoke: Invoke, result: Path) -> None:
    rewrite(result / BLUR, shifted("psnr", 0.1))
    told = again(invoke, result)
    assert told.exit_code == 0, told.output
    claims = read_record(result / BLUR / "record.json").claims
    assert (claims.max_abs_diff, claims.max_abs_diff_metric) == (pytest.approx(0.1), "psnr")
    told = again(invoke, result, "--tolerance", "0.001")
    assert told.exit_code == 1
    assert "psnr" in told.output


def test_another_status_is_no_agreement(invoke: Invoke, result: Path) -> None:
    rewrite(result / BLUR, lambda data: score_of(data, "ssim").update(
        value=None, interval=None, status="not-applicable", reason="no"))  # fmt: skip
    told = again(invoke, result)
    assert told.exit_code == 1
    assert "not-applicable" in told.output


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (set_in("suite", suite_hash="0" * 64), 5, "here it is"),
        (set_card("static", version=9), 5, "static has version 9"),
        (set_in("suite", name="portraits-v9"), 2, "no suite is called"),
        (set_in("entry", name="blur(kernel=99999)"), 2, "kernel"),
    ],
)
def test_what_cannot_be_compared(
    invoke: Invoke, result: Path, change: Callable[[Data], None], code: int, words: str
) -> None:
    rewrite(result / BLUR, change)
    told = again(invoke, result)
    assert (told.exit_code, words in told.output) == (code, True), told.output


def test_another_entrant_is_refused(invoke: Invoke, result: Path) -> None:
    told = again(invoke, result, "-e", "blur(kernel=17)")
    assert told.exit_code == 2
    assert "-e names blur(kernel=17)" in told.output


def test_an_attacker_that_cannot_be_run_here_leaves_nothing_to_mark(invoke: Invoke, result: Path) -> None:
    """The record has the score of an attacker whose weights are not here."""
    name = "embedding(network=mobilefacenet)"

    def attacked(data: Data) -> None:
        card = next(card for card in data["metrics"] if card["rung"] == "embedding")
        data["metrics"].append({**card, "name": name})
        data["scores"].append({**score_of(data, card["name"]), "metric": name})

    rewrite(result / BLUR, attacked)
    told = again(invoke, result)
    assert told.exit_code == 5, told.output
    assert f"{name} cannot be run here" in told.output


def test_a_row_that_is_no_claim_is_compared_and_not_marked(invoke: Invoke, result: Path) -> None:
    before = (result / "records/black/seed-0/record.json").read_bytes()
    told = invoke("reproduce", result / "records/black", "--threads", 1)
    assert told.exit_code == 0, told.output
    assert "there is nothing to mark" in told.output
    assert (result / "records/black/seed-0/record.json").read_bytes() == before


def test_a_tampered_id_is_not_marked(invoke: Invoke, result: Path) -> None:
    rewrite(result / BLUR, set_in("entry", authors="x"), identified=False)
    told = again(invoke, result)
    assert told.exit_code == 2
    assert "anonbench validate" in told.output


def test_a_name_from_a_record_runs_no_file(invoke: Invoke, result: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass X: pass\n")
    rewrite(result / BLUR, set_in("entry", name=f"{tmp_path}/evil.py:X"))
    told = again(invoke, result)
    assert told.exit_code == 2
    assert "with -e" in told.output
    assert not (tmp_path / "ran").exists()


def card(unit: str) -> MetricCard:
    return MetricCard(
        name="m",
        version=1,
        title="m",
        group="quality",
        unit=unit,
        higher_is_better=True,
        range=(None, None),
        definition="m",
    )


@given(st.floats(-1e3, 1e3), st.floats(0, 2), st.booleans())
def test_agreement_is_symmetric_in_direction_and_turns_at_the_limit(value: float, times: float, up: bool) -> None:
    limit = max(1e-6, 0.01 * abs(value))
    other = value + (1 if up else -1) * times * limit
    found = Comparison(card("dB"), Score(metric="m", value=value), Score(metric="m", value=other), limit)
    if not math.isclose(times, 1, rel_tol=1e-6):
        assert found.agrees == (times < 1)


def test_the_record_of_a_reproduction_is_json_as_before(invoke: Invoke, result: Path) -> None:
    again(invoke, result)
    data = json.loads((result / BLUR / "record.json").read_bytes())
    assert Record.model_validate(data).identified().result_id == data["result_id"]
