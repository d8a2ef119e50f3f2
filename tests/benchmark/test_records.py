"""Records: strict, immutable, the same schema as exported, and an identity without what is volatile."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark.records import Record, Score, json_schema, read_record, result_id
from benchmark.schema import main as schema_command

SCHEMA = Path(__file__).parents[2] / "docs" / "record.schema.json"


def card(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "version": 1,
        "title": name.upper(),
        "group": "quality",
        "unit": "dB",
        "higher_is_better": True,
        "range": [0, None],
        "definition": "How much changed.",
    }


RECORD: dict[str, Any] = {
    "schema_version": 1,
    "created_utc": "2026-01-02T03:04:05Z",
    "status": "partial",
    "supersedes": "a" * 64,
    "invalidated": {"by": "somebody", "when": "2026-02-01", "reason": "wrong images"},
    "entry": {
        "name": "blur(kernel=9)",
        "family": "blur",
        "params": {"kernel": 9, "sigma": 0.5, "word": "eyes", "flag": True},
        "entry_hash": "b" * 64,
        "uses": ["landmarks"],
        "weights": [{"name": "detector", "sha256": "c" * 64, "licence": "MIT"}],
    },
    "suite": {
        "name": "tiny",
        "version": "1",
        "suite_hash": "d" * 64,
        "title": "Tiny",
        "image_size": 64,
        "splits": [{"name": "probe", "n_images": 4, "n_identities": 2, "manifest_sha256": "e" * 64}],
        "attributes": {"gender": ["female", "male"]},
        "referees": [{"name": "recogniser", "sha256": "f" * 64}],
    },
    "seed": 3,
    "metrics": [card(name) for name in ("ssim", "psnr", "psnr2", "static", "static2")],
    "scores": [
        {
            "metric": "psnr",
            "value": 21.5,
            "n": 4,
            "n_clusters": 2,
            "interval": {"level": 0.95, "method": "m", "low": 20.1, "high": 23.0, "seed": 1, "resamples": 2000},
            "anchors": {"chance": 0.5},
            "details": {"identical images": 1},
        },
        {"metric": "static", "status": "unavailable", "reason": "no weights", "remedy": "fetch them"},
    ],
    "release_sha256": "1" * 64,
    "notes": {"groups": "of five"},
    "coverage": {
        "n_expected": 4,
        "n_output": 4,
        "n_scored": 3,
        "n_failed": 1,
        "failures": [{"stage": "anonymize", "kind": "entrant", "message": "no face", "key": "a.png"}],
    },
    "examples": [{"key": "a.png", "original": "o.png", "released": "r.png"}],
    "run": {
        "seed": 3,
        "batch_size": 64,
        "scoring_batch": 64,
        "threads": 2,
        "device": "cpu",
        "harness_version": "0.1.0",
        "python": "3.11.7",
        "packages": {"torch": "2.8"},
        "machine": {"system": "Linux", "machine": "x86_64", "processor": "CPU", "cores": 2, "memory_gib": 8.0},
        "command": "anonbench run tiny",
        "started_utc": "2026-01-02T03:00:00Z",
        "ended_utc": "2026-01-02T03:04:05Z",
    },
    "cost": {"seconds_per_image": 0.01, "seconds_fit": None, "peak_memory_mb": 12.5},
    "claims": {"self_reported": True},
}
VOLATILE = ("created_utc", "supersedes", "invalidated", "run", "cost", "claims", "result_id")


def record(data: dict[str, Any] = RECORD) -> Record:
    return Record.model_validate_json(json.dumps(data))


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all plain values."""
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, (*path, name))
    else:
        yield path


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def with_value(path: tuple[str | int, ...], new: Any) -> dict[str, Any]:
    data = copy.deepcopy(RECORD)
    at(data, path[:-1])[path[-1]] = new
    return data


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return 1 if value is None else CHOICES.get(value, f"{value}2")


CHOICES = {
    "partial": "ok",
    "unavailable": "failed",
    "anonymize": "fit",
    "entrant": "environment",
    "quality": "cost",
}
ALIKE = (*VOLATILE, "schema_version")
IDENTIFYING = [path for path in leaves(RECORD) if path[0] not in ALIKE and path[0] != "metrics"]
IDENTIFYING += [path for path in leaves(RECORD) if path[:2] == ("metrics", 0)]
FREE = {
    ("entry", "params"),
    ("notes",),
    ("run", "packages"),
    ("scores", 0, "anchors"),
    ("scores", 0, "details"),
    ("suite", "attributes"),
}
PARTS = sorted(
    {path[:-1] for path in leaves(RECORD) if path[:-1] not in FREE and isinstance(at(RECORD, path[:-1]), dict)}, key=str
)
NUMBERS = [path for path in leaves(RECORD) if isinstance(at(RECORD, path), float)]


def name_of(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


def test_exported_schema_is_the_one_of_the_code() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema()
    assert CliRunner().invoke(schema_command, [str(SCHEMA), "--check"]).exit_code == 0


def test_old_schema_is_noticed_and_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text("{}\n")
    found = CliRunner().invoke(schema_command, [str(path), "--check"])
    assert (found.exit_code, found.output) == (1, f"{path} is not the schema of the code. Run: make schema\n")
    assert CliRunner().invoke(schema_command, [str(path)]).exit_code == 0
    assert path.read_bytes() == SCHEMA.read_bytes()


def test_written_record_obeys_the_exported_schema() -> None:
    jsonschema.validate(json.loads(record().identified().model_dump_json()), json.loads(SCHEMA.read_text()))


def test_schema_refuses_what_the_code_refuses() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    for data in (with_value(("status",), "good"), {**RECORD, "more": 1}, {"schema_version": 1}):
        assert not validator.is_valid(data)
        with pytest.raises(ValidationError):
            Record.model_validate(data)


def test_record_survives_a_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(record().identified().model_dump_json(indent=1))
    again = read_record(path)
    assert again == record().identified()
    assert again.result_id == result_id(again)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_survives_a_file(value: float) -> None:
    score = Score(metric="x", value=value)
    assert Score.model_validate_json(score.model_dump_json()) == score


@pytest.mark.parametrize("path", NUMBERS, ids=name_of)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_refused(path: tuple[str | int, ...], value: float) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate(with_value(path, value))


@pytest.mark.parametrize("path", PARTS, ids=name_of)
def test_unknown_fields_are_refused(path: tuple[str | int, ...]) -> None:
    data = copy.deepcopy(RECORD)
    at(data, path)["surprise"] = "x"
    with pytest.raises(ValidationError, match="surprise"):
        Record.model_validate(data)


def test_records_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        record().seed = 4  # type: ignore[misc]


@pytest.mark.parametrize("path", IDENTIFYING, ids=name_of)
def test_result_id_changes_with_every_part_that_counts(path: tuple[str | int, ...]) -> None:
    changed = record(with_value(path, other(at(RECORD, path))))
    assert result_id(changed) != result_id(record())


@pytest.mark.parametrize("part", VOLATILE)
def test_result_id_ignores_what_is_volatile(part: str) -> None:
    new = {
        "run": {**RECORD["run"], "device": "cuda", "threads": 9},
        "cost": {},
        "claims": {"reproduced_by": "another"},
        "invalidated": None,
    }.get(part, "changed")
    assert result_id(record({**RECORD, part: new})) == result_id(record())


def test_result_id_is_stable() -> None:
    identified = record().identified()
    assert len(identified.result_id) == 64
    assert identified.identified() == identified


def test_score_is_found_by_its_metric() -> None:
    found = record().score("psnr")
    assert found is not None
    assert found.value == 21.5
    assert record().score("ssim") is None


@pytest.mark.parametrize("name", ["schema_version", "status", "entry", "suite", "coverage", "run"])
def test_needed_parts_and_values_are_checked(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Record.model_validate({**RECORD, name: "?"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"value": None}, "if and only if"),
        ({"status": "failed"}, "if and only if"),
        ({"value": None, "status": "failed"}, "needs a reason"),
    ],
)
def test_a_score_has_a_value_or_a_reason(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Score.model_validate({"metric": "psnr", "value": 1.5, **change})


def test_score_without_a_card_is_refused() -> None:
    with pytest.raises(ValidationError, match="score 'lpips' has no metric card"):
        Record.model_validate(with_value(("scores", 0, "metric"), "lpips"))


def test_interval_upside_down_is_refused() -> None:
    with pytest.raises(ValidationError, match="upside down"):
        Record.model_validate(with_value(("scores", 0, "interval", "low"), 30.5))
