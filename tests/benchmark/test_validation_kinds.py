"""Rows that are not the usual ones have no problems either: lost images, failures, rounds; and tampered rounds have."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.images import ImageSet, Released
from benchmark.pipeline import Pipeline
from benchmark.protocols import Controller, SuiteOptions
from benchmark.records import EntrantFacts, Record, read_record
from benchmark.registry import Entrant, load
from benchmark.release import Settings
from benchmark.specs import Spec
from benchmark.store import Store
from benchmark.submission.validating import validate
from tests.benchmark.test_validation import (
    RESULTS,
    SUITE,
    Data,
    lines,
    make_result,
    retable,
    rewrite,
    rules,
    score_of,
    set_in,
)


class Forgetful:
    """Loses every fifth image of the set, whatever set; releases the others inverted."""

    probes_alone = False

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        first = images.images[:, 0, 0, 0]
        return Released(255 - images.images, missing=first % 5 == 0)


class Precomputed(Forgetful):
    probes_alone = True


class Broken(Forgetful):
    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        raise ValueError("no")


@pytest.fixture(scope="module")
def beside(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_result(cache, tmp_path_factory.mktemp("made") / SUITE, "identity", "black")


def run(cache: Path, out: Path, anonymizer: Forgetful, name: str) -> Record:
    suite = load("suites", SUITE)(SuiteOptions(store=cache / "store"))
    facts = EntrantFacts(name=name, family=name, params={}, entry_hash="0" * 64)
    return Pipeline(suite, Store(cache / "store"), out, Settings(), command="x").run(
        Entrant(Spec(name, {}), anonymizer, facts), 0
    )


@pytest.mark.parametrize(
    ("anonymizer", "status"), [(Forgetful(), "partial"), (Precomputed(), "partial"), (Broken(), "failed")]
)
def test_lost_images_and_failures_are_no_problems(
    cache: Path, beside: Path, tmp_path: Path, anonymizer: Forgetful, status: str
) -> None:
    out = Path(shutil.copytree(beside, tmp_path / SUITE))
    record = run(cache, out, anonymizer, f"my-{type(anonymizer).__name__.lower()}")
    assert record.status == status
    assert lines(validate([out])) == ""
    risk = record.score("risk")
    assert (risk is not None and risk.status == "ok") == isinstance(anonymizer, Forgetful) * (
        type(anonymizer) is Forgetful
    )


def test_a_partial_row_that_calls_itself_whole(cache: Path, beside: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(beside, tmp_path / SUITE))
    run(cache, out, Forgetful(), "my-forgetful")
    rewrite(out / "records/my-forgetful/seed-0", lambda data: data.update(status="ok"))
    assert rules(validate([out])) == {"coverage"}


def leaves(value: Any, where: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the values of a record lie, of lists the first two."""
    parts = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for name, part in parts:
        yield (*where, name)
        yield from leaves(part, (*where, name))


ODD = (None, -1, 0, 1e308, 10**30, "", "x", "\u202e", [], {}, True, [[]], {"x": 1})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_stands_in_a_record_is_told_and_never_raised(beside: Path, data: st.DataObject) -> None:
    out = beside.parent / "fuzzed"
    if not out.exists():
        shutil.copytree(beside, out)
    whole = json.loads((beside / "records/black/seed-0/record.json").read_bytes())
    where = data.draw(st.sampled_from(list(leaves(whole))))
    within = whole
    for step in where[:-1]:
        within = within[step]
    within[where[-1]] = data.draw(st.sampled_from(ODD))
    (out / "records/black/seed-0/record.json").write_text(json.dumps(whole))
    report = validate([out / "records/black"])
    assert report.records == 1
    assert all(problem.line.isprintable() for problem in report.problems)


V1 = "portraits-v1"
EDI = "records/edi-anon-perturb=blur-preset=paper/seed-0"


@pytest.fixture
def official(tmp_path: Path) -> Path:
    for part in ("records/identity", "records/black", EDI, "originals"):
        shutil.copytree(RESULTS / V1 / part, tmp_path / V1 / part)
    return tmp_path / V1


def trace(**fields: object) -> Callable[[Data], object]:
    return lambda data: data["trace"].update(fields)


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (trace(recognised=0), "consistency", "recognised is 0"),
        (trace(rounds_max=1), "consistency", "most rounds is 1"),
        (trace(rounds_median=0.5), "consistency", "median of the rounds is 0.5"),
        (trace(changed_mean=0.9), "consistency", "mean of what changed is 0.9"),
        (lambda data: data["trace"]["risk"].append(0.0), "consistency", "last risk is 0"),
        (lambda data: data.update(trace=None), "values", "values of trace.rounds"),
        (lambda data: score_of(data, "detection").update(value=0.5, interval=None), "consistency", "detection is 0.5"),
        (lambda data: score_of(data, "nme").update(value=0.01, interval=None), "consistency", "nme is 0.01"),
        (set_in("suite", seed=1), "suite", "another version"),
    ],
)  # fmt: skip
def test_a_tampered_official_row_is_caught(
    official: Path, change: Callable[[Data], object], rule: str, words: str
) -> None:
    assert lines(validate([official])) == ""
    rewrite(official / EDI, change)
    report = validate([official / EDI])
    assert any(problem.rule == rule and words in problem.text for problem in report.problems), lines(report)


def test_rounds_of_images_are_held_against_the_record(official: Path) -> None:
    retable(
        official / EDI, lambda frame: frame.assign(value=frame.value.where(frame.metric != "trace.recognised", 1.0))
    )
    report = validate([official / EDI])
    assert rules(report) == {"consistency"}
    assert "last risk" in lines(report)
    assert read_record(official / EDI / "record.json").trace is not None
