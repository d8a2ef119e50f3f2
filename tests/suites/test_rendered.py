"""The portraits suites: pinned bytes, disjoint people, frozen referees."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.hashing import sha256_file
from benchmark.learning.classifier import load_classifier
from benchmark.protocols import SuiteOptions
from suites.definition import read_definition, weights_folder
from suites.pin import pin
from suites.referees import ATTACKERS, RECOGNISER
from suites.rendered import SPLITS, RenderedSuite

NAMES = ("portraits-smoke", "portraits-v1")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def open_suite(name: str, store: Path) -> RenderedSuite:
    return RenderedSuite(read_definition(name), SuiteOptions(store=store))


@pytest.mark.parametrize(("name", "splits"), [("portraits-smoke", SPLITS), ("portraits-v1", ("probe",))])
def test_pinned_manifest_holds(name: str, splits: tuple[str, ...], store: Path) -> None:
    suite = open_suite(name, store)
    pinned = {split.name: split for split in suite.facts.splits}
    for split in splits:
        images = suite.images(split)
        assert images.content == pinned[split].manifest_sha256
        assert len(images) == pinned[split].n_images
        assert images.landmarks is not None


def test_other_bytes_are_refused(store: Path) -> None:
    definition = read_definition("portraits-smoke").model_copy(update={"manifest": {"probe": "0" * 64}})
    with pytest.raises(EnvironmentProblem, match="pinned"):
        RenderedSuite(definition, SuiteOptions(store=store)).images("probe")


def test_people_are_disjoint_and_enrol_and_probe_share_theirs(store: Path) -> None:
    suite = open_suite("portraits-smoke", store)
    sets = {name: suite.images(name) for name in SPLITS}
    people = {name: set(images.identity.classes) for name, images in sets.items() if images.identity}
    assert people["enrol"] == people["probe"]
    assert not people["enrol"] & people["background"]
    assert not people["enrol"] & people["spare"]
    assert not people["background"] & people["spare"]
    keys = [key for images in sets.values() for key in images.keys]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("name", NAMES)
def test_the_suite_hash_covers_what_can_change_a_score(name: str) -> None:
    definition = read_definition(name)
    assert definition.model_copy(update={"title": "another"}).suite_hash == definition.suite_hash
    for change in ({"seed": 1}, {"metrics": ("static",)}, {"weights": {}}, {"manifest": {}}, {"version": "0"}):
        assert definition.model_copy(update=change).suite_hash != definition.suite_hash


@pytest.mark.parametrize("name", NAMES)
def test_frozen_referees_are_the_pinned_ones(name: str) -> None:
    definition = read_definition(name)
    assert set(definition.weights) == {RECOGNISER, *definition.attributes, *ATTACKERS}
    for referee, sha256 in definition.weights.items():
        loaded = load_classifier(referee, weights_folder(name) / f"{referee}.safetensors", sha256=sha256)
        assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


def test_another_weight_file_is_refused_with_the_command_that_mends_it(
    store: Path,
) -> None:
    definition = read_definition("portraits-smoke")
    folder = weights_folder("portraits-smoke")
    kept = folder / "gender.safetensors"
    spoiled = store / "spoiled"
    shutil.copytree(folder, spoiled)
    (spoiled / "gender.safetensors").write_bytes(kept.read_bytes()[:-1] + b"\0")
    suite = RenderedSuite(definition, SuiteOptions(store=store))
    suite.weights = spoiled
    with pytest.raises(EnvironmentProblem, match="make weights"):
        suite.referees()


def test_options_that_do_not_apply_are_refused(store: Path) -> None:
    with pytest.raises(UsageError, match="run folder"):
        RenderedSuite(read_definition("portraits-v1"), SuiteOptions(store=store, size=64))


@pytest.mark.parametrize("name", NAMES)
def test_the_simulated_panel_ships_pinned(name: str, store: Path) -> None:
    definition = read_definition(name)
    assert set(definition.files) == {"panel.safetensors", "panel.json"}
    assert definition.model_copy(update={"files": {}}).suite_hash != definition.suite_hash
    suite = open_suite(name, store)
    assert set(suite.referees().files) == set(definition.files)
    assert {part.name: part.sha256 for part in suite.facts.referees} == {**definition.weights, **definition.files}


def test_another_file_of_a_metric_is_refused(store: Path) -> None:
    definition = read_definition("portraits-smoke").model_copy(update={"files": {"panel.json": "0" * 64}})
    with pytest.raises(EnvironmentProblem, match="not the pinned file"):
        RenderedSuite(definition, SuiteOptions(store=store)).referees()


def test_pinning_a_file_keeps_the_other_pins(tmp_path: Path) -> None:
    shutil.copy(weights_folder("portraits-smoke") / "pins.json", tmp_path)
    before = json.loads((tmp_path / "pins.json").read_text())
    hashes = pin(tmp_path, {"made.bin": b"made"})
    after = json.loads((tmp_path / "pins.json").read_text())
    assert after == {**before, "files": {**before.get("files", {}), **hashes}}
    assert hashes == {"made.bin": sha256_file(tmp_path / "made.bin")}
