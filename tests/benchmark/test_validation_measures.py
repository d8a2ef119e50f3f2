"""Measures of groups in a record: what metrics really say has no problems, what contradicts itself has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.protocols import SuiteOptions
from benchmark.records import EntrantFacts, MetricCard, Record, Sheet, SheetGroup
from benchmark.registry import build_entrant, build_metric, load
from benchmark.release import Settings, make_release
from benchmark.scoring import Scorer
from benchmark.store import Store
from benchmark.submission.admission import refusals
from benchmark.submission.handing_in import _without_pictures
from benchmark.submission.known import Known
from benchmark.submission.measures import findings_of_brought, findings_of_measures
from benchmark.submission.sweeps import findings_of_reports, notes_of_reports
from benchmark.submission.unchecked import not_recomputed
from benchmark.tuning import Tuning
from tests.benchmark.test_board import record as board_record
from tests.benchmark.test_board_groups import put_tuning, tuning
from tests.benchmark.test_validation import Data, score_of, set_card, set_score

SUITE = "portraits-smoke"
MEASURES = ("k-anonymity", "information-loss", "re-identification", "homogeneity", "silhouette", "sse-sst")
LOSS, NAMED = "information-loss(network=background)", "re-identification(network=background)"
KNOWN = Known(suite_of=lambda _: None)


@pytest.fixture(scope="module")
def measured(cache: Path) -> Data:
    """A record of which scores and cards of the measures are those that the metrics really give."""
    suite = load("suites", SUITE)(SuiteOptions(store=cache / "store"))
    scorer = Scorer(Store(cache / "store"), suite, only=MEASURES)
    entrant = build_entrant("ksame-pixel(k=5)")
    release = make_release(scorer.store, suite, entrant, 0, Settings(), scorer.report)
    scores = [part.score for part in scorer.score(entrant, 0, release, Settings())]
    data = board_record("ksame-pixel(k=5)", 0.1)
    data["metrics"] = [card.model_dump(mode="json") for card in scorer.cards_of(entrant)]
    data["scores"] = [score.model_dump(mode="json") for score in scores]
    data["entry"]["k_anonymity"] = 5
    return data


def problems(data: Data, known: Known = KNOWN) -> list[str]:
    return [f"{rule}: {text}" for rule, text, _ in findings_of_measures(Record.model_validate(data), known)]


def changed(data: Data, change: Callable[[Data], Any]) -> Data:
    copy: Data = Record.model_validate(data).model_dump(mode="json")
    change(copy)
    return copy


def test_what_the_metrics_say_has_no_problems(measured: Data) -> None:
    assert {score["status"] for score in measured["scores"]} == {"ok"}
    assert problems(measured) == []


def detail(metric: str, name: str, value: float) -> Callable[[Data], Any]:
    return lambda data: score_of(data, metric)["details"].update({name: value})


def dropped(metric: str, part: str, name: str) -> Callable[[Data], Any]:
    return lambda data: score_of(data, metric)[part].pop(name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: score_of(d, NAMED)["anchors"].update(allowed=0.5), "allowed is 0.5"),
        (dropped(NAMED, "anchors", "allowed"), "does not say how many may be"),
        (set_score(NAMED, value=0.01), "0.01 of 24 people are not the"),
        (detail(NAMED, "people matched", 2.5), "people matched are 2.5, no whole number"),
        (detail(NAMED, "people matched", 0.0), "people are not the 0 it counts"),
        (detail(NAMED, "people in groups", 1000.0), "do not hold 1000"),
        (detail(NAMED, "people without surrogate", 12.0), "of 12 people are not"),
        (detail(NAMED, "groups above 1/size", 99.0), "groups above 1/size are more than groups"),
        (dropped(NAMED, "details", "groups above 1/size"), "does not say of how many groups"),
        (detail(NAMED, "groups above 1/size", -1.0), "-1, no whole number"),
        (detail(NAMED, "people matched by any photograph", 0.0), "people matched are more than people matched by any"),
        (detail(NAMED, "rank-1", 0.9), "rank-1 are more than rank-1 allowed"),
        (detail(NAMED, "rank-1 allowed, surrogates over people", 8.0), "surrogates over people is 8, not a share"),
        (detail(NAMED, "rank-1", -0.1), "rank-1 is -0.1, not a share"),
        (detail(NAMED, "smallest group", 2.0), "smallest group are 2, and 5 in k-anonymity"),
        (detail("homogeneity", "groups", 5.0), "groups are 5, and 4 in k-anonymity"),
        (detail("homogeneity", "people in groups", 20.0), "people in groups are 20, and 24 in re-identification"),
        (detail("k-anonymity", "smallest group published", 6.0), "smallest group are 5, and 6 in k-anonymity"),
        (detail("homogeneity", "of one age", 1.5), "of one age is 1.5, not a share"),
        (set_score(LOSS, value=1.99), "1.99 is no mean"),
        (detail(LOSS, "people without surrogate", 3.0), "people without surrogate are 0, and 3 in information-loss"),
    ],
)  # fmt: skip
def test_a_tampered_measure_is_caught(measured: Data, change: Callable[[Data], Any], words: str) -> None:
    found = problems(changed(measured, change))
    assert any(words in text for text in found), found


def test_two_matched_in_each_group_above_its_share(measured: Data) -> None:
    score = next(score for score in measured["scores"] if score["metric"] == NAMED)
    most = int(score["details"]["people matched"]) // 2
    assert problems(changed(measured, detail(NAMED, "groups above 1/size", min(4.0, float(most))))) == []
    assert problems(changed(measured, detail(NAMED, "groups above 1/size", most + 1.0)))


def test_a_measure_is_made_with_the_weights_that_are_here(measured: Data) -> None:
    card = build_metric("information-loss").card

    def known(weights: dict[str, str]) -> Known:
        cards: dict[str, MetricCard] = {LOSS: card.model_copy(update={"weights": weights})}
        return Known(card_of=cards.get, suite_of=lambda _: None)

    other = changed(measured, set_card(LOSS, weights={"eyes": "a" * 64}))
    assert problems(other, known({"eyes": "a" * 64})) == []
    assert problems(other, known({})) == [], "the file is not here, so nothing is known of it"
    assert problems(other, known({"eyes": "a" * 64, "detector": "c" * 64})) == [], "one that needed no detector"
    for data in (other, measured):
        (text,) = problems(data, known({"eyes": "b" * 64}))
        assert "computed with other weights eyes than those installed" in text


def test_numbers_that_nothing_checks_are_told(measured: Data) -> None:
    told = not_recomputed(Record.model_validate(measured))
    assert {"information-loss", "re-identification", "homogeneity", "silhouette", "sse-sst"} <= set(told)
    assert "k-anonymity" not in told


def test_what_an_installed_entrant_brings_along_is_not_left_out(measured: Data) -> None:
    record = Record.model_validate(measured)
    assert list(findings_of_brought(record, [LOSS, NAMED])) == []
    ((rule, text, _),) = findings_of_brought(record, [LOSS, "mine"])
    assert (rule, text) == ("cards", "ksame-pixel(k=5) brings mine along, and the record has none of it")


# An installed entrant's row that is handed in


def kanon_row(**fields: Any) -> Record:
    entry = build_entrant("kanon(k=5)").facts.model_copy(update=fields)
    names = [build_metric(spec).card for spec in build_entrant("kanon").measures]
    record = Record.model_validate(board_record("kanon(k=5)", 0.1))
    return record.model_copy(update={"entry": entry, "metrics": (*record.metrics, *names)})


def refused(record: Record) -> str:
    return "\n".join(text for rule, text, _ in refusals(record, KNOWN) if rule in ("entry", "cards"))


def test_a_row_of_kanon_has_its_measures_and_its_generator() -> None:
    row = kanon_row()
    assert refused(row) == ""
    assert "kanon(k=5) brings" in refused(row.model_copy(update={"metrics": row.metrics[:-1]}))
    model = row.entry.weights[0].model_copy(update={"sha256": "0" * 64})
    assert "its weights is not that of the installed one" in refused(kanon_row(weights=(model,)))
    assert "its weights" in refused(kanon_row(weights=()))


def test_a_sheet_of_groups_is_a_picture_of_people() -> None:
    group = SheetGroup(members=5, keys=("p/1",))
    sheet = Sheet(picture="groups.webp", width=212, height=96, groups=(group,))
    shown = kanon_row().model_copy(update={"sheet": sheet, "examples": ()})
    assert "pictures" in {rule for rule, *_ in refusals(shown, KNOWN)}
    bare = _without_pictures(shown)
    assert bare.sheet is None
    assert "pictures" not in {rule for rule, *_ in refusals(bare, KNOWN)}


# Tuning reports


def of_installed(text: str) -> dict[str, Any]:
    facts: EntrantFacts = build_entrant(text).facts
    params = {name: value for name, value in facts.params.items() if name != "k"}
    found = dict(getattr(build_entrant(text).anonymizer, "found", dict)())
    weights = [model.model_dump() for model in facts.weights]
    method = {"family": facts.family, "params": params, "entry_hash": facts.entry_hash}
    return {**method, "weights": weights, "found": found}


def test_a_report_is_held_against_what_is_installed(tmp_path: Path) -> None:
    kanon = of_installed("kanon(k=2)")
    put_tuning(tmp_path, **kanon)
    assert list(notes_of_reports(tmp_path)) == []
    for name, other in (
        ("source", {"entry_hash": "f" * 64}),
        ("weights", {"weights": []}),
        ("hash of what it found", {"found": {**kanon["found"], "conventional": "0"}}),
    ):
        put_tuning(tmp_path, **kanon | other)
        (note,) = notes_of_reports(tmp_path)
        assert note.startswith(f"tuning/kanon-over-k.json: its {name}")
    for unknown in ({"family": "nobody"}, {"params": {"gone": 1}}):
        put_tuning(tmp_path, **kanon | unknown)
        assert list(notes_of_reports(tmp_path)) == []


@pytest.mark.parametrize("named", ["{folder}/x.pt", "../x.pt", "a\\x.pt"])
def test_files_that_a_submission_names_by_path_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    named = named.format(folder=tmp_path)
    Path(named).write_text("what is hashed differs from the report's weights")
    put_tuning(tmp_path, **of_installed("kanon(k=2)") | {"params": {"generator": named}})
    assert list(notes_of_reports(tmp_path)) == []
    text = refused(kanon_row(name=f"kanon(k=5, generator={named!r})"))
    assert "names a file by its path" in text


def test_a_report_that_is_none_is_a_problem(tmp_path: Path) -> None:
    path = put_tuning(tmp_path)
    assert list(findings_of_reports(tmp_path)) == []
    path.rename(path.with_name("other.json"))
    ((_, (rule, text, remedy)),) = findings_of_reports(tmp_path)
    assert (rule, text, remedy) == ("path", "holds the report kanon-over-k", "Rename it to kanon-over-k.json")
    path.with_name("other.json").write_text("{}")
    path.symlink_to(tmp_path / "secret.json")
    (tmp_path / "secret.json").write_text(Tuning.model_validate(tuning()).model_dump_json())
    assert [rule for _, (rule, *_) in findings_of_reports(tmp_path)] == ["schema", "schema"]
