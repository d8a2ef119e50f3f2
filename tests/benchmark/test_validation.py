"""Every rule of ``validate`` catches the contradiction planted for it, in a result that the street itself made."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.pipeline import Pipeline, parquet
from benchmark.protocols import KAnonymityClaim, SuiteOptions
from benchmark.records import MetricCard, Record, Score
from benchmark.registry import build_entrant, load
from benchmark.release import Settings
from benchmark.statistics import mean_interval
from benchmark.store import Store
from benchmark.submission.flagged import BROKEN, WORDS, of_score
from benchmark.submission.problems import Report
from benchmark.submission.texts import looks_empty, most_marks
from benchmark.submission.validating import validate
from benchmark.submission.values import resampled
from metrics.attackers.verdict import _flags as attacker_flags
from metrics.kanonymity import flags as audit_flags

SUITE = "portraits-smoke"
BLUR = "records/blur-kernel=15/seed-0"
RESULTS = Path(__file__).parents[2] / "results"
Data = dict[str, Any]


def make_result(cache: Path, out: Path, *specs: str) -> Path:
    """A result of the installed suite, with all of its attackers; what the session made before is reused."""
    suite = load("suites", SUITE)(SuiteOptions(store=cache / "store"))
    pipeline = Pipeline(suite, Store(cache / "store"), out, Settings(), command=f"anonbench run {SUITE}")
    for spec in specs:
        assert pipeline.run(build_entrant(spec), 0).status == "ok"
    return out


@pytest.fixture(scope="module")
def made(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_result(cache, tmp_path_factory.mktemp("made") / SUITE, "identity", "black", "blur(kernel=15)")


@pytest.fixture
def result(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / SUITE))


def rewrite(folder: Path, change: Callable[[Data], object], identified: bool = True) -> None:
    """Changes the record in a folder, as somebody would who knows how its id is made."""
    path = folder / "record.json"
    data = json.loads(path.read_bytes())
    change(data)
    if identified:
        data["result_id"] = Record.model_validate(data).identified().result_id
    path.write_text(json.dumps(data))


def score_of(data: Data, metric: str) -> Data:
    return next(score for score in data["scores"] if score["metric"] == metric)


def retable(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = folder / "per_image.parquet"
    frame = change(pd.read_parquet(path).astype({"metric": str, "image_id": str, "identity_id": str, "status": str}))
    path.write_bytes(parquet(frame.to_dict("list")))  # type: ignore[arg-type]


def rules(report: Report) -> set[str]:
    return {problem.rule for problem in report.problems}


def lines(report: Report) -> str:
    return "\n".join(problem.line for problem in report.problems)


def test_what_the_street_makes_has_no_problems(made: Path) -> None:
    report = validate([made])
    assert lines(report) == ""
    assert (report.records, report.notes) == (3, ())


def test_committed_results_have_no_problems() -> None:
    report = validate([RESULTS])
    assert lines(report) == ""
    assert report.records == len(list(RESULTS.glob("*/records/*/*/record.json"))) > 40


def lowered(metric: str, value: float) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        score_of(data, metric).update(value=value, interval=None)

    return change


def lowered_ladder(data: Data) -> None:
    """Every attacker and the risk lowered alike: consistent in the record, not with the values per image."""
    names = {card["name"] for card in data["metrics"] if card["rung"]} | {"risk"}
    for score in data["scores"]:
        if score["metric"] in names:
            score["value"], score["interval"] = 0.25, None
    score_of(data, "risk")["by"] = next(
        score["metric"] for score in data["scores"] if score["metric"] in names - {"risk"}
    )
    for name in ("anchors", "n", "n_clusters"):
        score_of(data, "risk")[name] = score_of(data, score_of(data, "risk")["by"])[name]


def without(metric: str) -> Callable[[Data], None]:
    """An attacker taken out as if there were none, the risk's card and value made anew."""

    def change(data: Data) -> None:
        data["metrics"] = [card for card in data["metrics"] if card["name"] != metric]
        data["scores"] = [score for score in data["scores"] if score["metric"] != metric]

    return change


def unavailable(metric: str) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        score_of(data, metric).update(value=None, status="unavailable", reason="weights are not here", interval=None)

    return change


def set_score(of: str, **fields: Any) -> Callable[[Data], None]:
    return lambda data: score_of(data, of).update(fields)


def set_in(part: str, **fields: Any) -> Callable[[Data], None]:
    return lambda data: data[part].update(fields)


def set_top(**fields: Any) -> Callable[[Data], None]:
    return lambda data: data.update(fields)


def set_card(metric: str, **fields: Any) -> Callable[[Data], None]:
    return lambda data: next(card for card in data["metrics"] if card["name"] == metric).update(fields)


def set_detail(metric: str, name: str, value: float, part: str = "details") -> Callable[[Data], None]:
    return lambda data: score_of(data, metric)[part].update({name: value})


def narrowed(data: Data) -> None:
    for metric in ("risk", score_of(data, "risk")["by"]):
        score = score_of(data, metric)
        score["interval"].update(low=score["value"] - 1e-4, high=score["value"])


TAMPERED: list[tuple[str, Callable[[Data], None], str, str]] = [
    ("risk lowered", lowered("risk", 0.1), "consistency", "risk is 0.1"),
    ("worst attacker lowered", lowered("adaptive", 0.1), "consistency", "adaptive is 0.1"),
    ("whole ladder lowered", lowered_ladder, "consistency", "risk is 0.25"),
    ("another named as the worst", set_score("risk", by="static"), "consistency", "risk is"),
    ("quality raised", lowered("ssim", 0.99), "consistency", "ssim is 0.99"),
    ("decibels raised", lowered("psnr", 40.0), "consistency", "psnr is 40"),
    ("distance lowered", lowered("perceptual(features=recogniser)", 0.001), "consistency", "is 0.001"),
    ("panel pleased", lowered("perceptanon(panel=simulated)", 9.9), "consistency", "is 9.9"),
    ("utility beyond what any answers give", lowered("f1(attribute=gender)", 1.2), "ranges", "1.2 is outside"),
    ("share above one", set_score("static", value=1.5, interval=None), "ranges", "1.5 is outside 0.0..1.0"),
    ("negative distance", set_score("mse", value=-1.0, interval=None), "ranges", "-1 is outside"),
    ("sentinel", set_score("kid(features=recogniser)", value=-99.0, interval=None), "consistency", "'sentinel'"),
    ("share among the details", set_detail("static", "EER", 1.5), "ranges", "EER is 1.5"),
    ("anchor out of range", set_detail("static", "chance", 2.0, "anchors"), "ranges", "anchor chance 2"),
    ("anchor of chance moved", set_detail("transfer", "chance", 0.5, "anchors"), "controls", "the anchor chance"),
    ("anchor of originals moved", set_detail("transfer", "originals", 0.1, "anchors"), "controls", "anchor originals"),
    ("interval beside the value", lambda d: score_of(d, "ssim")["interval"].update(low=0.0, high=0.1), "ranges",
     "outside its interval"),
    ("interval too narrow", narrowed, "consistency", "the interval is"),
    ("fewer images behind a score", set_score("mse", n=10), "consistency", "mse counts 10 images"),
    ("fewer people behind a score", set_score("mse", n_clusters=3), "consistency", "of 3 people"),
    ("identical images hidden", set_detail("psnr", "identical images", 7.0), "consistency", "7 identical images"),
    ("identical images without the flag", set_detail("psnr", "identical images", 180.0), "consistency", "'no-op'"),
    ("an attacker left out", without("reversal"), "controls", "reversal is missing"),
    ("an attacker unavailable", unavailable("transfer"), "controls", "transfer is 'unavailable'"),
    ("an attacker called too weak", set_score("transfer", flags={"too-weak": "it is"}), "controls", "too weak"),
    ("card of another version", set_card("static", version=9), "cards", "static: version is 9"),
    ("card turned round", set_card("ssim", higher_is_better=False), "cards", "higher_is_better"),
    ("card with a wider range", set_card("mse", range=[None, None]), "cards", "mse: range"),
    ("card of the risk", set_card("risk", definition="the best attacker"), "cards", "risk is not that"),
    ("another suite hash", set_in("suite", suite_hash="0" * 64), "suite", "another version"),
    ("another version of the suite", set_in("suite", version="99"), "suite", "another version"),
    ("other people than probed", lambda d: d["suite"]["splits"][2].update(n_identities=3), "suite", "splits differs"),
    ("images that do not add up", set_in("coverage", n_output=5), "coverage", "are not 192 images"),
    ("fewer images expected", set_in("coverage", n_expected=100, n_output=100, n_scored=100), "coverage", "192 probe"),
    ("status too good", lambda d: (set_in("coverage", n_output=100, n_failed=92)(d)), "coverage", "should be 'partial'"),
    ("score removed", lambda d: d["scores"].pop(), "coverage", "one for every metric card"),
    ("another seed", set_top(seed=1), "path", "seed-1"),
    ("another name", set_in("entry", name="blur(kernel=17)"), "path", "records/blur-kernel=17"),
    ("another family", set_in("entry", family="mask"), "path", "its family mask"),
    ("made tomorrow", set_top(created_utc="2999-01-01T00:00:00Z"), "times", "lies ahead"),
    ("made at no time", set_top(created_utc="yesterday"), "times", "created_utc is yesterday"),
    ("text turned round", set_in("entry", authors="abc\u202edcb"), "text", "U+202E"),
    ("line break", set_in("entry", description="a\nb"), "text", "U+000A"),
    ("endless text", set_in("entry", description="x" * 5000), "text", "5000 characters"),
    ("a long text", set_in("entry", description="x" * 501), "text", "entry.description has 501 characters; at most 500"),
    ("long authors", set_in("entry", authors="x" * 201), "text", "entry.authors has 201 characters; at most 200"),
    ("long answers", set_in("claims", conflict_of_interest="x" * 501), "text", "at most 500"),
    ("a long note", set_top(notes={"a": "x" * 501}), "text", "notes.a has 501 characters; at most 500"),
    ("a long name of a note", set_top(notes={"x" * 501: "a"}), "text", "notes has 501 characters; at most 500"),
    ("many notes", set_top(notes={str(number): "x" for number in range(31)}), "text", "31 notes; at most 30"),
    ("marks upon marks", set_in("entry", authors="Zo\u0308\u0301\u0323\u0327e"), "text", "combining marks"),
    ("authors that show nothing", set_in("entry", authors="\u3164\u2800"), "text", "entry.authors looks like nothing"),
    ("a display name that shows nothing", set_in("entry", display_name=" "), "text", "looks like nothing"),
    ("the maintainers as submitters", set_in("claims", self_reported=True, submitted_by="The MAINTAINERS"), "claims",
     "do not submit claims"),
    ("a flag nobody raises", set_top(flags={"winner": "best method"}), "consistency", "raise no flag 'winner'"),
    ("a flag in other words", set_top(flags={"constant": "It is a very even picture."}), "consistency", "no flag 'constant'"),
    ("a flag that counts too few", set_top(flags={"no-op": "90 of 192 released images are their originals, bit for bit."}),
     "consistency", "no flag 'no-op'"),
    ("below chance without being so", set_top(flags={"below-chance": "It names at most 1.0% where guessing names 2.0%: the "
     "attack, or the labels, must be wrong."}), "consistency", "no flag 'below-chance'"),
    ("praise as a flag", set_score("ssim", flags={"certified": "GDPR compliant"}), "consistency", "no flag 'certified'"),
    ("another's flag", set_score("ssim", flags={"too-weak": "It names 1.0% of the originals"}), "consistency", "'too-weak'"),
    ("too weak in other numbers", set_score("transfer", flags={"too-weak": "It names 1.0% of the originals where guessing "
     "names 1.0%: less than 50% of what there is to find, so its failure on released images says nothing."}),
     "consistency", "transfer: its numbers raise no flag 'too-weak'"),
    ("missing images that nobody found", set_in("coverage", n_output=92, n_failed=100), "consistency",
     "100 that are missing count as named"),
    ("missing images that nobody counts", set_in("coverage", n_output=191, n_failed=1), "consistency",
     "static counts 0 missing images, and 1 failed"),
    ("failures of nothing", lambda d: d["coverage"].update(failures=[
        {"stage": "anonymize", "kind": "entrant", "message": "m", "key": "k"}]), "coverage", "names 1 failures"),
    ("a promise nobody audited", set_in("entry", k_anonymity=5), "consistency", "k-anonymity did not audit it"),
    ("a promise of more people than there are", set_in("entry", k_anonymity=10**6), "ranges", "it claims 1000000-anonymity"),
    ("an audit without values", lambda d: (set_in("entry", k_anonymity=5)(d), set_score(
        "k-anonymity", value=5.0, status="ok", reason="", n=192, n_clusters=24, details={"claimed": 5.0})(d)), "values",
     "holds no values of k-anonymity"),
    ("an audit of no promise", set_score("k-anonymity", value=5.0, status="ok", reason=""), "consistency",
     "nothing is claimed"),
    ("an audit of another promise", lambda d: (set_in("entry", k_anonymity=5)(d), set_score(
        "k-anonymity", value=9.0, status="ok", reason="", details={"claimed": 9.0})(d)), "consistency", "another claim than 5"),
    ("an audit that hides a broken promise", lambda d: (set_in("entry", k_anonymity=5)(d), set_score(
        "k-anonymity", value=2.0, status="ok", reason="", details={"claimed": 5.0})(d)), "consistency", "nothing says so"),
    ("interval of quality too narrow", lambda d: score_of(d, "ssim")["interval"].update(
        low=score_of(d, "ssim")["value"] - 1e-5, high=score_of(d, "ssim")["value"]), "consistency", "ssim: the interval is"),
    ("fewer people among five than first", set_detail("adaptive", "rank-5", 0.0), "ranges", "adaptive: more images"),
    ("share of a learner above one", set_detail("adaptive", "learner pixels", 1.5), "ranges", "learner pixels is 1.5"),
    ("script as a link", set_in("entry", code_url="javascript:alert(1)"), "text", "is no link"),
    ("released what a control releases", lambda d: d.update(release_sha256=BLACK["release_sha256"]), "consistency",
     "lacks its flag"),
    ("supersedes another's row", lambda d: d.update(supersedes=BLACK["result_id"]), "claims", "another row"),
    ("claimed without a word", set_in("claims", self_reported=True), "claims", "submitted_by is empty"),
    ("reproduced by nobody", set_in("claims", max_abs_diff=0.0), "claims", "half reproduced"),
    ("a cost below nothing", set_in("cost", seconds_per_image=-1.0), "ranges", "seconds_per_image is -1"),
    ("a promise of nothing", set_in("entry", k_anonymity=0), "ranges", "0-anonymity"),
    ("a promise of one", set_in("entry", k_anonymity=1), "ranges", "1-anonymity"),
    ("no hash of the method", set_in("entry", entry_hash="x"), "schema", "no hash of the method"),
    ("no hash of the images", set_top(release_sha256=""), "schema", "no hash of its released"),
    ("an image that is none", lambda d: d["examples"][0].update(key="x"), "consistency", "shows the image x"),
    ("an attacker without its interval", set_score("transfer", interval=None), "controls", "transfer has no interval"),
    ("a macro average called otherwise", lambda d: (set_card("ssim", definition="macro")(d), lowered("ssim", 0.9)(d)),
     "consistency", "ssim is 0.9"),
    ("example from elsewhere", lambda d: d["examples"][0].update(original="../../../../secret.png"), "pictures",
     "outside the folder"),
    ("example that is not there", lambda d: d["examples"][0].update(released="examples/9-released.png"), "schema",
     "named by the record and missing"),
]  # fmt: skip
BLACK: Data = {}


@pytest.mark.parametrize(
    ("change", "rule", "words"), [case[1:] for case in TAMPERED], ids=[case[0] for case in TAMPERED]
)
def test_a_tampered_record_is_caught(result: Path, change: Callable[[Data], None], rule: str, words: str) -> None:
    BLACK.update(json.loads((result / "records/black/seed-0/record.json").read_bytes()))
    rewrite(result / BLUR, change)
    report = validate([result / BLUR], result)
    assert rule in rules(report)
    assert any(problem.rule == rule and words in problem.text for problem in report.problems), lines(report)
    assert {problem.path for problem in report.problems} <= {
        f"{BLUR}/record.json", f"{BLUR}/per_image.parquet", f"{BLUR}/examples/0-released.png",
        f"{BLUR}/examples/9-released.png",
    }  # fmt: skip
    assert all(problem.remedy for problem in report.problems)


def test_a_changed_record_needs_its_new_id(result: Path) -> None:
    rewrite(result / BLUR, set_in("entry", authors="somebody else"), identified=False)
    report = validate([result])
    assert rules(report) == {"id"}
    rewrite(result / BLUR, set_in("entry", authors="somebody else"))
    assert not validate([result]).problems


def test_all_problems_are_told_and_not_the_first_alone(result: Path) -> None:
    rewrite(
        result / BLUR,
        lambda data: (set_score("mse", value=-1.0, interval=None)(data), set_in("entry", family="x")(data)),
    )
    rewrite(result / "records/black/seed-0", set_top(created_utc="never"))
    report = validate([result])
    assert {"ranges", "path", "times", "consistency"} <= rules(report)
    assert {Path(problem.path).parts[-3] for problem in report.problems} == {"black", "blur-kernel=15"}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '"many"'])
def test_a_number_that_is_none(result: Path, text: str) -> None:
    path = result / BLUR / "record.json"
    data = json.loads(path.read_bytes())
    path.write_text(path.read_text().replace(f'"value": {score_of(data, "mse")["value"]!r}', f'"value": {text}'))
    report = validate([result / BLUR])
    assert rules(report) == {"schema"}
    assert "is no record (scores." in lines(report)


@pytest.mark.parametrize(
    "text", ["", "{}", "[" * 100_000, '{"a":' * 100_000, "\x00", '{"schema_version": 2}'],
    ids=["nothing", "empty", "nested lists", "nested objects", "nul", "another schema"],
)  # fmt: skip
def test_a_record_that_is_none(result: Path, text: str) -> None:
    (result / BLUR / "record.json").write_text(text)
    assert rules(validate([result / BLUR])) == {"schema"}


def test_an_unknown_field_is_refused(result: Path) -> None:
    rewrite(result / BLUR, set_in("entry", rank=1), identified=False)
    assert "entry.rank" in lines(validate([result / BLUR]))


def test_controls_must_be_there(result: Path) -> None:
    shutil.rmtree(result / "records/black")
    report = validate([result / BLUR], result.parent)
    assert rules(report) == {"controls"}
    assert f"anonbench run {SUITE} -e identity -e black --out {SUITE}" in lines(report)


@pytest.mark.parametrize(("name", "metric", "value"), [("identity", "static", 0.5), ("black", "adaptive", 0.9)])
def test_controls_must_land_where_they_must(result: Path, name: str, metric: str, value: float) -> None:
    rewrite(result / f"records/{name}/seed-0", lowered(metric, value))
    report = validate([result])
    assert any(problem.rule == "controls" and metric in problem.text for problem in report.problems), lines(report)


@pytest.mark.parametrize(("name", "flag"), [("identity", "no-op"), ("black", "constant")])
def test_controls_must_be_flagged(result: Path, name: str, flag: str) -> None:
    rewrite(result / f"records/{name}/seed-0", set_top(flags={}))
    assert any(problem.rule == "controls" and flag in problem.text for problem in validate([result]).problems)


def test_rows_of_another_suite_do_not_stand_beside_the_controls(result: Path) -> None:
    for name in ("identity", "black"):
        rewrite(result / f"records/{name}/seed-0", set_in("suite", suite_hash="1" * 64))
    report = validate([result / BLUR])
    assert any(
        problem.rule == "suite" and "is not the suite of the control" in problem.text for problem in report.problems
    )


def test_an_unknown_metric_and_an_unknown_suite_are_notes(result: Path) -> None:
    for folder in (result / "records").glob("*/*"):
        rewrite(folder, lambda data: (
            set_in("suite", name="my-faces")(data), set_card("ssim", name="mine")(data), set_score("ssim", metric="mine")(data)
        ))  # fmt: skip
        retable(folder, lambda frame: frame.assign(metric=frame.metric.where(frame.metric != "ssim", "mine")))
    report = validate([result])
    assert not report.problems, lines(report)
    assert len(report.notes) == 2
    assert any("mine is not installed" in note for note in report.notes)
    assert any("my-faces needs data or is not installed" in note for note in report.notes)


def test_one_record_one_entrant_one_result_and_all_of_them(result: Path) -> None:
    counts = [validate([path]).records for path in (result / BLUR, (result / BLUR).parent, result, result.parent)]
    assert counts == [1, 1, 3, 3]


def test_the_folder_of_reported_figures_is_no_result(result: Path) -> None:
    (result.parent / "reported").mkdir()
    (result.parent / "reported" / "paper.toml").write_text("x")
    assert validate([result.parent]).records == 3


def test_files_of_others_may_not_be_read(result: Path) -> None:
    """A record that is a link to a file elsewhere is refused unread: its content appears in no message."""
    secret = result.parent / "secret"
    secret.write_text("swordfish")
    (result / BLUR / "record.json").unlink()
    (result / BLUR / "record.json").symlink_to(secret)
    report = validate([result / BLUR])
    assert rules(report) == {"schema"}
    assert "swordfish" not in lines(report)


def test_seeds_of_a_row_are_of_one_method(result: Path) -> None:
    other = (result / BLUR).parent / "seed-1"
    shutil.copytree(result / BLUR, other)
    rewrite(other, lambda data: (data.update(seed=1), data["run"].update(seed=1)))
    retable(other, lambda frame: frame.assign(seed=1))
    assert lines(validate([result])) == ""
    for change, name in (
        (set_in("entry", entry_hash="0" * 64), "entry_hash"), (set_in("entry", kind="process"), "kind"),
        (set_in("entry", uses=["identity"]), "uses"), (set_in("claims", submitted_by="Eve"), "submitted_by"),
    ):  # fmt: skip
        rewrite(other, change)
        assert f"its {name} is not that of seed-0" in lines(validate([other])), name
        shutil.copy(result / BLUR / "record.json", other / "record.json")
        rewrite(other, lambda data: (data.update(seed=1), data["run"].update(seed=1)))


def test_an_object_that_says_one_thing_twice_is_refused(result: Path) -> None:
    path = result / BLUR / "record.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 0, "seed": 0', 1))
    report = validate([result / BLUR])
    assert rules(report) == {"schema"}
    assert "seed stands there twice" in lines(report)


CLAIM = {"claimed": 5.0, "smallest group": 5.0, "people with several surrogates": 0.0}


@pytest.mark.parametrize(
    "counted",
    [
        {"smallest group": 2.0}, {"people with several surrogates": 3.0}, {"groups with several surrogates": 4.0},
        {"smallest group published": 1.0}, {},
    ],
)  # fmt: skip
def test_what_the_metrics_say_is_what_is_allowed(counted: dict[str, float]) -> None:
    """The sentences of the audit itself, each of them, against the patterns they are checked by."""
    claim = KAnonymityClaim(5, torch.zeros(1) if not counted else None)
    (text,) = audit_flags({**CLAIM, **counted}, claim, readable=False).values()
    assert re.fullmatch(WORDS[BROKEN], text)


@given(st.floats(0, 0.4), st.floats(0.45, 1), st.integers(1, 40))
def test_what_attackers_say_is_what_is_allowed(originals: float, chance: float, high: int) -> None:
    interval = {"level": 0.95, "method": "x", "low": 0.0, "high": high / 100, "seed": 0, "resamples": 1}
    score = Score(metric="a", value=0.0, anchors={"chance": chance, "originals": originals}, interval=interval)
    flags = attacker_flags(score, 1.0, chance)
    assert set(flags) == {"too-weak", "below-chance"}
    flagged = score.model_copy(update={"flags": flags})
    card = MetricCard(name="a", version=1, title="a", group="privacy", unit="share", higher_is_better=False,
                      range=(0, 1), definition="a", rung="static")  # fmt: skip
    assert list(of_score(card, flagged)) == []
    assert list(of_score(card, flagged.model_copy(update={"anchors": {"chance": chance, "originals": 1.0}})))


@given(st.lists(st.floats(-10, 10), min_size=30, max_size=60), st.integers(5, 10))
def test_intervals_are_those_of_the_harness(numbers: list[float], people: int) -> None:
    """Resampled here and by the harness, from other random numbers: the ends are close, measured by the width."""
    values = np.array(numbers)
    whose = np.arange(len(values)) % people
    right = mean_interval(torch.from_numpy(values), torch.from_numpy(whose))
    low, high = resampled(values, whose)
    assert right is not None
    slack = 0.2 * (right.high - right.low) + 1e-9
    assert abs(low - right.low) <= slack
    assert abs(high - right.high) <= slack


@given(st.text(max_size=40))
def test_a_text_looks_empty_only_if_nothing_is_in_it(text: str) -> None:
    assert not looks_empty(f"{text}a")
    assert looks_empty("".join(char for char in text if char.isspace()))
    assert most_marks(f"a{chr(0x301) * 7}{text}") >= 7
