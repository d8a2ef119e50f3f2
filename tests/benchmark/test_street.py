"""The street end to end: suite, anonymizers, released images, metrics, records, board."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import Result

from benchmark.errors import NothingComparable, UsageError
from benchmark.images import ImageSet, Released
from benchmark.pipeline import Pipeline, record_folder
from benchmark.protocols import Controller, SuiteOptions
from benchmark.records import EntrantFacts, Record, read_record
from benchmark.registry import Entrant, build_entrant
from benchmark.release import Settings, disguised
from benchmark.specs import parse_spec
from benchmark.store import Store
from suites.definition import read_definition
from suites.rendered import RenderedSuite

Invoke = Callable[..., Result]
Spawn = Callable[..., "subprocess.Popen[bytes]"]
SUITE = "portraits-smoke"


LIGHT = ("static", "transfer", "f1(attribute=gender)", "psnr", "ssim", "mse", "perceptual(features=recogniser)")
"""Metrics enough for tests of the street itself."""


def street_suite(cache: Path, metrics: tuple[str, ...] = LIGHT) -> RenderedSuite:
    definition = read_definition(SUITE)
    return RenderedSuite(
        definition.model_copy(update={"metrics": metrics or definition.metrics}), SuiteOptions(store=cache / "store")
    )


def records_in(out: Path) -> dict[str, Record]:
    found = [read_record(path) for path in sorted(out.glob("records/*/*/record.json"))]
    return {record.entry.name: record for record in found}


def values_of(record: Record) -> dict[str, float | None]:
    return {score.metric: score.value for score in record.scores}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


def test_run_ends_with_records_and_a_board(invoke: Invoke, out: Path) -> None:
    result = invoke(
        "run", SUITE, "-e", "identity", "-e", "black", "-e", "blur(kernel=15)", "--out", out, "--threads", 1
    )
    assert result.exit_code == 0, result.output
    assert set(records_in(out)) == {"identity", "black", "blur(kernel=15)"}
    page = (out / "board" / "index.html").read_text()
    assert "blur(kernel=15)" in page
    assert str(out / "board" / "index.html") in result.output


def test_identity_is_as_risky_and_as_useful_as_the_originals(out: Path) -> None:
    record = records_in(out)["identity"]
    risk = record.score("static")
    assert risk is not None
    assert risk.value == risk.anchors["originals"]
    assert risk.value is not None
    assert risk.value >= 0.95
    psnr = record.score("psnr")
    assert psnr is not None
    assert psnr.status == "not-applicable"
    assert psnr.details["identical images"] == record.coverage.n_expected
    floors = {"gender": 0.93, "age": 0.93, "skin_tone": 0.95, "expression": 0.85}
    for attribute, floor in floors.items():
        f1 = record.score(f"f1(attribute={attribute})")
        assert f1 is not None
        assert f1.value == f1.anchors["originals"]
        assert f1.value is not None
        assert f1.value >= floor, attribute


def test_black_is_at_chance(out: Path) -> None:
    record = records_in(out)["black"]
    risk = record.score("static")
    assert risk is not None
    assert risk.value == pytest.approx(risk.anchors["chance"])
    for attribute, classes in record.suite.attributes.items():
        f1 = record.score(f"f1(attribute={attribute})")
        assert f1 is not None
        assert f1.value is not None
        # One class for everybody: the F1 of that class, shared among all classes.
        assert f1.value <= 1 / len(classes)


def test_a_blur_lies_between_the_controls(out: Path) -> None:
    records = records_in(out)
    risks = [values_of(records[name])["static"] for name in ("black", "blur(kernel=15)", "identity")]
    assert None not in risks
    assert risks == sorted(risks)  # type: ignore[type-var]
    assert risks[0] != risks[2]


def test_a_second_run_changes_nothing(invoke: Invoke, out: Path) -> None:
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and "board" not in path.parts}
    result = invoke(
        "run", SUITE, "-e", "identity", "-e", "black", "-e", "blur(kernel=15)", "--out", out, "--threads", 1
    )
    assert result.exit_code == 0, result.output
    assert {path: path.read_bytes() for path in before} == before


def test_the_steps_do_what_run_does(invoke: Invoke, out: Path, tmp_path: Path) -> None:
    words = (SUITE, "-e", "blur(kernel=15)", "--out", tmp_path, "--threads", 1)
    for step in ("anonymize", "score"):
        result = invoke(step, *words)
        assert result.exit_code == 0, result.output
    result = invoke("leaderboard", SUITE, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert records_in(tmp_path)["blur(kernel=15)"].result_id == records_in(out)["blur(kernel=15)"].result_id
    table = invoke("leaderboard", SUITE, "--out", tmp_path, "--format", "csv")
    assert "blur(kernel=15)" in table.stdout


def test_scoring_before_anonymizing_says_what_to_type(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("score", SUITE, "-e", "blur(kernel=7)", "--out", tmp_path, "--threads", 1)
    assert result.exit_code == NothingComparable.exit_code
    assert "anonbench anonymize portraits-smoke" in result.output


def test_batch_size_changes_no_byte_and_no_score(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANONBENCH_CACHE", str(cache))
    specs = {"dp-pix(b=8, eps=5)": LIGHT, "gaussian-noise(sigma=25)": (), "mask(region=eyes)": LIGHT}
    made = [
        {spec: run_with(Settings(batch_size=size), spec, cache, tmp_path / str(size), specs[spec]) for spec in specs}
        for size in (1, 64)
    ]
    for spec in specs:
        one, many = made[0][spec], made[1][spec]
        assert one.release_sha256 == many.release_sha256
        assert one.scores == many.scores
        assert one.result_id == many.result_id


def run_with(settings: Settings, spec: str, cache: Path, root: Path, metrics: tuple[str, ...]) -> Record:
    """Runs one entrant with a store of its own, so that nothing is reused; no ``metrics`` are all of the suite's."""
    return Pipeline(street_suite(cache, metrics), Store(root / "store"), root / "out", settings).run(
        build_entrant(spec), 0
    )


def test_another_seed_gives_another_record_beside_the_first(invoke: Invoke, tmp_path: Path) -> None:
    for seed in (0, 1):
        result = invoke(
            "run", SUITE, "-e", "gaussian-noise(sigma=25)", "--seed", seed, "--out", tmp_path, "--threads", 1
        )
        assert result.exit_code == 0, result.output
    records = [read_record(path) for path in sorted(tmp_path.glob("records/*/*/record.json"))]
    assert [record.seed for record in records] == [0, 1]
    assert records[0].release_sha256 != records[1].release_sha256


def test_per_image_values_give_the_scores(out: Path) -> None:
    record = records_in(out)["blur(kernel=15)"]
    table = pd.read_parquet(record_folder(out, record) / "per_image.parquet")
    means = table.groupby("metric", observed=True)["value"].mean()
    for metric in ("static", "ssim", "psnr", "mse"):
        assert means[metric] == pytest.approx(values_of(record)[metric], rel=1e-6)  # kept at 24 bits
    assert set(table.columns) == {"image_id", "identity_id", "metric", "value", "status", "seed"}
    assert table["image_id"].nunique() == record.coverage.n_expected


class Raises:
    """An anonymizer that breaks."""

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        raise RuntimeError("out\nof order")


class DropsOne:
    """An anonymizer that loses an image."""

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(images.images[:-1])


class Leaves:
    """An anonymizer that ends the program, politely."""

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        sys.exit(0)


class BadNotes:
    """An anonymizer whose notes cannot be kept."""

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(images.images, {"odd": [1, 2]})  # type: ignore[dict-item]


class Vandal:
    """An anonymizer that destroys whatever it is handed."""

    uses = frozenset({"identity", "attributes", "landmarks", "train", "recogniser"})

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        assert controller.recogniser is not None
        assert controller.train is not None
        assert images.identity is not None
        assert images.landmarks is not None
        for parameter in controller.recogniser.network.parameters():
            parameter.data.zero_()
        for given in (images, controller.train):
            given.images.zero_()
            assert given.identity is not None
            given.identity.values.zero_()
            for labels in given.attributes.values():
                labels.values.zero_()
        images.landmarks.zero_()
        return Released(images.images)


class Peeks:
    """An anonymizer that looks for what it did not declare, and writes into its input."""

    seen: ImageSet
    controller: Controller

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        Peeks.seen, Peeks.controller = images, controller
        images.images.zero_()
        return Released(images.images)


def entrant_of(anonymizer: object, name: str) -> Entrant:
    uses = tuple(sorted(getattr(anonymizer, "uses", ())))
    facts = EntrantFacts(name=name, family=name, params={}, entry_hash=name, uses=uses)
    return Entrant(parse_spec(name), anonymizer, facts)  # type: ignore[arg-type]


def pipeline_at(cache: Path, tmp_path: Path) -> Pipeline:
    return Pipeline(street_suite(cache), Store(tmp_path / "store"), tmp_path / "out")


@pytest.mark.parametrize(
    ("anonymizer", "words"),
    [
        (Raises(), "RuntimeError: out of order"),
        (DropsOne(), "same order"),
        (Leaves(), "SystemExit"),
        (BadNotes(), "note 'odd'"),
    ],
)
def test_a_broken_entrant_is_recorded_and_counts_all_images(
    anonymizer: object, words: str, cache: Path, tmp_path: Path
) -> None:
    pipeline = pipeline_at(cache, tmp_path)
    record = pipeline.run(entrant_of(anonymizer, "broken"), 0)
    assert record.status == "failed"
    assert record.coverage.n_failed == record.coverage.n_expected > 0
    assert words in record.coverage.failures[0].message
    assert record.coverage.failures[0].kind == "entrant"
    assert record_folder(tmp_path / "out", record).joinpath("record.json").exists()
    assert pipeline.run(build_entrant("identity"), 0).status == "ok"


def test_an_entrant_gets_what_it_declared_and_nothing_else(cache: Path, tmp_path: Path) -> None:
    pipeline = pipeline_at(cache, tmp_path)
    record = pipeline.run(entrant_of(Peeks(), "peeks"), 0)
    assert record.status == "ok"
    assert Peeks.seen.identity is None
    assert not Peeks.seen.attributes
    assert Peeks.seen.landmarks is None
    assert not any("evaluated" in key for key in Peeks.seen.keys), "the names of people are in the keys"
    assert Peeks.controller.recogniser is None
    assert Peeks.controller.train is None
    assert pipeline.suite.images("probe").images.any(), "the originals must survive an entrant that writes into them"


def test_a_vandal_harms_itself_alone(cache: Path, tmp_path: Path) -> None:
    before = pipeline_at(cache, tmp_path / "before").run(build_entrant("mask(region=eyes)"), 0)
    pipeline = pipeline_at(cache, tmp_path / "after")
    assert pipeline.run(entrant_of(Vandal(), "vandal"), 0).status == "ok"
    assert pipeline.run(build_entrant("mask(region=eyes)"), 0).scores == before.scores


def test_neither_keys_nor_order_name_people(cache: Path, tmp_path: Path) -> None:
    pipeline = pipeline_at(cache, tmp_path)
    probe = pipeline.suite.images("probe")
    given = disguised(probe, frozenset({"identity"}), pipeline.suite.facts.suite_hash)
    assert given.identity is not None
    assert probe.identity is not None
    assert sorted(given.identity.values.tolist()) == sorted(probe.identity.values.tolist())
    neighbours = (given.identity.values[1:] == given.identity.values[:-1]).double().mean()
    assert neighbours < 0.15, "photographs of one person lie side by side"


def test_records_of_other_images_are_not_overwritten(cache: Path, tmp_path: Path) -> None:
    pipeline = pipeline_at(cache, tmp_path)
    record = pipeline.run(build_entrant("identity"), 0)
    path = record_folder(tmp_path / "out", record) / "record.json"
    other = record.model_copy(update={"suite": record.suite.model_copy(update={"name": "other"})}).identified()
    path.write_text(other.model_dump_json())
    with pytest.raises(UsageError, match="--out"):
        pipeline.run(build_entrant("identity"), 0)
    assert read_record(path).suite.name == "other"


@pytest.mark.parametrize("text", ["{}", "[]", "null", "{"])
def test_damaged_files_of_the_store_count_as_absent(text: str, cache: Path, tmp_path: Path) -> None:
    first = pipeline_at(cache, tmp_path).run(build_entrant("pixelate(size=8)"), 0)
    for path in [*(tmp_path / "store").glob("scores/*.json"), *(tmp_path / "store").glob("releases/*/*.json")]:
        path.write_text(text)
    again = pipeline_at(cache, tmp_path).run(build_entrant("pixelate(size=8)"), 0)
    assert again.result_id == first.result_id


def test_examples_come_back_when_the_store_lost_its_images(cache: Path, tmp_path: Path) -> None:
    first = pipeline_at(cache, tmp_path).run(build_entrant("pixelate(size=8)"), 0)
    shutil.rmtree(tmp_path / "store" / "objects")
    shutil.rmtree(tmp_path / "out")
    again = pipeline_at(cache, tmp_path).run(build_entrant("pixelate(size=8)"), 0)
    assert again.result_id == first.result_id
    assert all((record_folder(tmp_path / "out", again) / example.released).exists() for example in again.examples)


def test_damaged_released_images_are_made_again(cache: Path, tmp_path: Path) -> None:
    pipeline = pipeline_at(cache, tmp_path)
    first = pipeline.run(build_entrant("pixelate(size=8)"), 0)
    shutil.rmtree(tmp_path / "store" / "scores")
    for path in list((tmp_path / "store" / "objects").rglob("*.png"))[:5]:
        path.write_bytes(b"damaged")
    again = pipeline_at(cache, tmp_path).run(build_entrant("pixelate(size=8)"), 0)
    assert again.result_id == first.result_id


def test_a_killed_run_resumes_to_the_same_record(spawn: Spawn, cache: Path, tmp_path: Path) -> None:
    words = ["run", SUITE, "--threads", "1", *[word for spec in KILLED for word in ("-e", spec)]]
    quiet = spawn(*words, "--out", tmp_path / "quiet", cache_at=tmp_path / "quiet-cache")
    assert quiet.wait(300) == 0, (tmp_path / "said").read_text()
    for seconds in (3.0, 6.0, 12.0, 20.0):
        process = spawn(*words, "--out", tmp_path / "killed", cache_at=tmp_path / "killed-cache")
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    last = spawn(*words, "--out", tmp_path / "killed", cache_at=tmp_path / "killed-cache")
    assert last.wait(300) == 0, (tmp_path / "said").read_text()
    assert comparable(tmp_path / "killed") == comparable(tmp_path / "quiet")


KILLED = ("dp-pix(b=8, eps=5)", "ksame-pixel(k=5)")


def comparable(out: Path) -> dict[str, tuple[str, bytes]]:
    """What must not depend on interruptions: record ids and per-image values."""
    return {
        name: (record.result_id, record_folder(out, record).joinpath("per_image.parquet").read_bytes())
        for name, record in records_in(out).items()
    }


def test_two_runs_may_share_a_store_and_a_folder(spawn: Spawn, tmp_path: Path) -> None:
    words = ["run", SUITE, "--threads", "1", "-e", "dp-pix(b=8, eps=5)", "-e", "ksame-pixel(k=5)"]
    processes = [spawn(*words, "--out", tmp_path / "both", cache_at=tmp_path / "cache") for _ in range(2)]
    assert [process.wait(400) for process in processes] == [0, 0], (tmp_path / "said").read_text()
    alone = spawn(*words, "--out", tmp_path / "alone", cache_at=tmp_path / "cache-2")
    assert alone.wait(300) == 0
    assert comparable(tmp_path / "both") == comparable(tmp_path / "alone")
    assert not list((tmp_path / "cache").rglob(".part-*"))


def test_released_files_are_what_was_scored(cache: Path, tmp_path: Path) -> None:
    from benchmark.release import cell_key, find_release, load_released

    pipeline, entrant = pipeline_at(cache, tmp_path), build_entrant("blur(kernel=9)")
    record = pipeline.run(entrant, 0)
    release = find_release(pipeline.store, cell_key(pipeline.suite, entrant, 0))
    assert release is not None
    probe = pipeline.suite.images("probe")
    released = load_released(pipeline.store, release, probe)
    assert released is not None
    recogniser = pipeline.suite.referees().recogniser
    assert recogniser is not None
    assert probe.identity is not None
    hits = (recogniser.predictions(released.images) == probe.identity.values).double()
    assert values_of(record)["static"] == float(hits.mean())
    expected = entrant.anonymizer.anonymize(probe, Controller()).images
    assert torch.equal(released.images, expected)
