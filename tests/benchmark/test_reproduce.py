"""``reproduce``: a claim that is true gets its badge, one that is not changes nothing."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from benchmark.records import Record, read_record
from benchmark.registry import build_metric
from benchmark.submission.comparing import Comparison, compared
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


def test_nothing_that_is_kept_is_believed(invoke: Invoke, result: Path, cache: Path) -> None:
    """Scores and releases in the store of earlier runs, all of them changed, change nothing."""
    kept = {path: path.read_bytes() for path in (cache / "store" / "scores").glob("*.json")}
    releases = {path: path.stat().st_mtime_ns for path in (cache / "store" / "releases").glob("*/*")}
    try:
        for path, data in kept.items():
            found = json.loads(data)
            if "score" in found and found["score"]["value"] is not None:
                found["score"].update(value=0.5, interval=None)
                path.write_text(json.dumps(found))
        told = again(invoke, result)
    finally:
        for path, data in kept.items():
            path.write_bytes(data)
    assert told.exit_code == 0, told.output
    assert read_record(result / BLUR / "record.json").claims.max_abs_diff == 0.0
    assert releases == {path: path.stat().st_mtime_ns for path in (cache / "store" / "releases").glob("*/*")}


def shifted(metric: str, by: float) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        score = score_of(data, metric)
        score["value"] += by
        score["interval"].update(low=score["interval"]["low"] + by, high=score["interval"]["high"] + by)

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
    told = again(invoke, result, "--tolerance", "0.001")
    assert told.exit_code == 1
    assert "psnr" in told.output
    told = again(invoke, result)
    assert told.exit_code == 0, told.output
    claims = read_record(result / BLUR / "record.json").claims
    assert (claims.max_abs_diff, claims.max_abs_diff_metric) == (pytest.approx(0.1), "psnr")


def test_a_wide_tolerance_marks_nothing(invoke: Invoke, result: Path) -> None:
    rewrite(result / BLUR, shifted("psnr", 5.0))
    before = (result / BLUR / "record.json").read_bytes()
    told = again(invoke, result, "--tolerance", "1")
    assert (told.exit_code, "nothing was marked" in told.output) == (0, True), told.output
    assert (result / BLUR / "record.json").read_bytes() == before


@pytest.mark.parametrize("name", ["Ada", " ada ", "ADA"])
def test_nobody_certifies_their_own_claim(invoke: Invoke, result: Path, name: str) -> None:
    told = invoke("reproduce", result / BLUR, "--by", name, "--threads", 1)
    assert (told.exit_code, "reproduced by somebody else" in told.output) == (2, True), told.output


def in_score(metric: str, part: str, **fields: Any) -> Callable[[Data], None]:
    return lambda data: score_of(data, metric)[part].update(fields)


def told_unavailable(metric: str) -> Callable[[Data], None]:
    return lambda data: score_of(data, metric).update(
        value=None, interval=None, status="unavailable", reason="lpips weights unavailable"
    )


UNTRUE: list[tuple[str, Callable[[Data], object], str]] = [
    ("status", lambda data: data.update(status="partial"), "status"),
    ("flags of the record", lambda data: data["flags"].update(constant="x"), "flags"),
    ("flags of a score", lambda data: score_of(data, "static")["flags"].update(certified="x"), "static: flags"),
    ("lost images", set_in("coverage", n_output=1, n_failed=191), "coverage: n_output"),
    ("not applicable", lambda data: score_of(data, "ssim").update(
        value=None, interval=None, status="not-applicable", reason="no"), "ssim"),
    ("unavailable in the record", told_unavailable("psnr"), "psnr"),
    ("left out", lambda data: data["scores"].remove(score_of(data, "mse")), "mse"),
    ("a value", shifted("adaptive", -0.02), "adaptive"),
    ("images behind it", lambda data: score_of(data, "mse").update(n=3), "mse: n"),
    ("people behind it", lambda data: score_of(data, "mse").update(n_clusters=3), "mse: n_clusters"),
    ("an anchor", in_score("static", "anchors", chance=0.9), "static: anchors chance"),
    ("a detail", in_score("static", "details", AUC=0.5), "static: details AUC"),
    ("a detail that is none", in_score("ssim", "details", quality=1.0), "ssim: details quality"),
    ("a detail that is missing", lambda data: score_of(data, "static")["details"].pop("EER"), "static: details EER"),
    ("end of an interval", in_score("ssim", "interval", low=0.0), "ssim: interval, low end"),
    ("level of an interval", in_score("ssim", "interval", level=0.5), "ssim: interval, level"),
    ("no interval", lambda data: score_of(data, "ssim").update(interval=None), "ssim: interval"),
    ("rounds", lambda data: data.update(trace={"risk": [0.0], "target": 0.1, "recognised": 0, "rounds_median": 1,
                                               "rounds_max": 1, "changed_mean": 0.1}), "rounds"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "what"), [case[1:] for case in UNTRUE], ids=[case[0] for case in UNTRUE])
def test_whatever_a_record_says_is_compared(result: Path, change: Callable[[Data], object], what: str) -> None:
    right = read_record(result / BLUR / "record.json")
    assert [part for part in compared(right, right, {}, 0.01) if not part.agrees] == []
    rewrite(result / BLUR, change)
    untrue = [
        part.what for part in compared(read_record(result / BLUR / "record.json"), right, {}, 0.01) if not part.agrees
    ]
    assert what in untrue


def test_only_what_cannot_be_computed_here_is_excused(result: Path) -> None:
    right = read_record(result / BLUR / "record.json")
    rewrite(result / BLUR, told_unavailable("ssim"))
    here = read_record(result / BLUR / "record.json")
    (part,) = (part for part in compared(right, here, {"ssim": "unavailable here: x"}, 0.01) if part.what == "ssim")
    assert (part.agrees, part.left_out, part.difference) == (True, "unavailable here: x", None)
    assert "ssim" in [part.what for part in compared(right, here, {}, 0.01) if not part.agrees]


def test_handed_in_images_must_be_the_same_bytes(result: Path) -> None:
    right = read_record(result / BLUR / "record.json")
    other = right.model_copy(update={"release_sha256": "0" * 64})
    assert all(part.agrees for part in compared(right, other, {}, 0.01))
    entry = right.entry.model_copy(update={"kind": "precomputed"})
    handed = [record.model_copy(update={"entry": entry}) for record in (right, other)]
    assert [part.what for part in compared(*handed, {}, 0.01) if not part.agrees] == ["released images"]


def single(data: Data) -> None:
    """A record with one metric left."""
    data["metrics"] = [card for card in data["metrics"] if card["name"] == "ssim"]
    data["scores"] = [score_of(data, "ssim")]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (set_in("suite", suite_hash="0" * 64), 5, "here it is"),
        (set_card("static", version=9), 5, "static has version 9"),
        (set_card("static", definition="x"), 5, "static has another card"),
        (single, 5, "the record has no risk"),
        (set_in("entry", entry_hash="f" * 64), 5, "the entry_hash of"),
        (set_in("entry", kind="precomputed"), 5, "the kind of"),
        (set_in("entry", params={"kernel": 17}), 5, "the params of"),
        (set_in("entry", uses=["identity"]), 5, "the uses of"),
        (set_in("entry", deterministic=False), 5, "the deterministic of"),
        (set_in("entry", k_anonymity=50), 5, "the k_anonymity of"),
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
        data["metrics"].append(build_metric(name).card.model_dump(mode="json"))
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


@given(st.floats(-1e3, 1e3), st.floats(0, 2), st.booleans())
def test_agreement_is_symmetric_in_direction_and_turns_at_the_limit(value: float, times: float, up: bool) -> None:
    limit = max(1e-6, 0.01 * abs(value))
    other = value + (1 if up else -1) * times * limit
    found = Comparison("m", value, other, limit)
    if not math.isclose(times, 1, rel_tol=2e-3):
        assert found.agrees == (times < 1)


def test_the_record_of_a_reproduction_is_json_as_before(invoke: Invoke, result: Path) -> None:
    again(invoke, result)
    data = json.loads((result / BLUR / "record.json").read_bytes())
    assert Record.model_validate(data).identified().result_id == data["result_id"]
