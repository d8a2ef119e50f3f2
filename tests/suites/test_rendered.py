"""The portraits suites: pinned bytes, disjoint people, frozen referees."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.hashing import sha256_file, sha256_tensor
from benchmark.images import ImageSet
from benchmark.learning.classifier import load_classifier
from benchmark.protocols import Progress, SuiteOptions
from suites.definition import People, Splits, read_definition, weights_folder
from suites.pin import pin
from suites.portraits import render_portraits
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


@pytest.fixture(scope="module")
def small(store: Path) -> RenderedSuite:
    """As the smoke suite, with fewer people."""
    splits = Splits(
        background=People(identities=60, photographs=2),
        evaluated=People(identities=6, photographs=3),
        spare=People(identities=4, photographs=2),
        enrol=2,
    )
    definition = read_definition("portraits-smoke").model_copy(update={"splits": splits, "manifest": {}})
    return RenderedSuite(definition, SuiteOptions(store=store))


@pytest.fixture(scope="module")
def further(small: RenderedSuite) -> ImageSet:
    return small.further(60)


class TestFurtherPeople:
    """People whom no split holds, for whoever trains something that no attacker should know."""

    def test_are_in_no_split(self, further: ImageSet, small: RenderedSuite) -> None:
        made = {sha256_tensor(image) for image in further.images}
        assert len(made) == len(further) == 120
        for name in SPLITS:
            images = small.images(name)
            assert not made & {sha256_tensor(image) for image in images.images}
            assert not set(further.keys) & set(images.keys)
            assert images.identity is not None
            assert further.identity is not None
            assert not set(further.identity.classes) & set(images.identity.classes)

    def test_go_on_where_the_background_people_end(self, further: ImageSet) -> None:
        """Rendered one by one with the numbers behind theirs."""
        part = read_definition("portraits-smoke")
        for person in (0, 59):
            number = 60 + person
            alone = render_portraits(
                seed=part.seed, people="background", identities=range(number, number + 1),
                photographs=range(2), size=part.image_size,
            )  # fmt: skip
            assert torch.equal(further.images[2 * person : 2 * person + 2], alone.images)

    def test_are_always_the_same_and_more_go_on(self, further: ImageSet, small: RenderedSuite) -> None:
        again = small.further(60)
        assert again.content == further.content
        fewer = small.further(7)
        assert torch.equal(fewer.images, further.images[:14])
        assert fewer.keys == further.keys[:14]

    def test_are_whole_and_labelled(self, further: ImageSet) -> None:
        assert further.identity is not None
        assert further.identity.values.tolist() == [person for person in range(60) for _ in range(2)]
        assert len(further.identity.classes) == 60
        assert len(set(further.keys)) == 120
        assert further.landmarks is not None
        assert further.landmarks.shape == (120, 5, 2)
        assert float(further.landmarks.min()) > 0
        assert float(further.landmarks.max()) < further.size[0]

    @pytest.mark.parametrize("name", ["gender", "age", "skin_tone", "expression", "glasses"])
    def test_labels_are_as_mixed_as_those_of_the_background(
        self, name: str, further: ImageSet, small: RenderedSuite
    ) -> None:
        background = small.images("background")
        found, usual = (images.attributes[name] for images in (further, background))
        assert found.classes == usual.classes
        shares = [
            labels.values.bincount(minlength=len(labels.classes)) / len(labels.values) for labels in (found, usual)
        ]
        assert bool((shares[0] > 0).all())
        assert torch.allclose(shares[0], shares[1], atol=0.12)

    def test_of_a_person_differ_in_their_photographs_alone(self, further: ImageSet) -> None:
        for name in ("gender", "age", "skin_tone"):
            values = further.attributes[name].values.view(60, 2)
            assert torch.equal(values[:, 0], values[:, 1])

    def test_report_adds_up(self, small: RenderedSuite) -> None:
        told: list[tuple[str, int]] = []
        done: list[int] = []

        @contextmanager
        def report(title: str, total: int) -> Iterator[Progress]:
            told.append((title, total))
            yield done.append

        small.further(5, 3, report)
        assert told == [("render 5 more people", 15)]
        assert sum(done) == 15
