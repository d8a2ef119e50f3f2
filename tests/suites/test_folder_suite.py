"""The suite made of a folder: splits, referees, and a hash over all that can change a score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.learning.training import MTF_RECIPE
from benchmark.protocols import SuiteOptions
from suites.definition import Definition, read_definition
from suites.folder.suite import ATTACKERS_OF_PEOPLE, FolderSuite


def photograph(path: Path, shade: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-20, 21, (24, 24, 3))
    Image.fromarray((shade + noise).clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for person in range(4):
        for number in range(4):
            photograph(tmp_path / "people" / f"p{person}" / f"{number}.png", 40 + 50 * person, 10 * person + number)
    return tmp_path / "people"


def quick() -> Definition:
    definition = read_definition("folder")
    plan = definition.recogniser.model_copy(update={"params": {"width": 4}, "recipe": {"epochs": 4, "batch": 8}})
    return definition.model_copy(update={"recogniser": plan, "attribute_classifier": plan})


def open_suite(people: Path, tmp_path: Path, **options: object) -> FolderSuite:
    return FolderSuite("folder", quick(), SuiteOptions(store=tmp_path / "store", data=people, size=24, **options))  # type: ignore[arg-type]


def test_metrics_follow_what_the_data_know(people: Path, tmp_path: Path) -> None:
    always = list(read_definition("folder").metrics)
    ladder = list(ATTACKERS_OF_PEOPLE)
    assert list(open_suite(people, tmp_path).metrics) == [*ladder, *always]
    rows = [f"p{person}/{number}.png,{'ab'[person % 2]}" for person in range(4) for number in range(4)]
    (people / "attributes.csv").write_text("path,kind\n" + "\n".join(rows) + "\n")
    suite = open_suite(people, tmp_path)
    ladder.insert(2, "embedding(network=background)")
    assert list(suite.metrics) == [*ladder, "f1(attribute=kind)", "f1-train(attribute=kind)", *always]
    assert suite.facts.attributes == {"kind": ("a", "b")}
    background, probe = suite.images("background"), suite.images("probe")
    assert background.identity is not None
    assert probe.identity is not None
    assert not set(background.identity.classes) & set(probe.identity.classes)


def test_the_same_photographs_give_the_same_suite_without_training_again(people: Path, tmp_path: Path) -> None:
    first = open_suite(people, tmp_path).facts
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.safetensors")}
    assert open_suite(people, tmp_path).facts == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.safetensors")} == files


def test_another_photograph_gives_another_suite(people: Path, tmp_path: Path) -> None:
    before = open_suite(people, tmp_path).facts.suite_hash
    photograph(people / "p0" / "0.png", 200, 99)
    assert open_suite(people, tmp_path).facts.suite_hash != before


def test_data_sets_of_the_size_of_mtf_use_the_published_recipe(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANONBENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    suite = FolderSuite("mtf", quick(), SuiteOptions(store=tmp_path / "store", data=people))
    assert suite.size == 224
    plan = suite.plans["recogniser"]
    assert plan.architecture == "convnext-base"
    assert plan.as_recipe() == MTF_RECIPE
    with pytest.raises(EnvironmentProblem, match="ANONBENCH_WEIGHTS"):
        suite.referees()


def test_unknown_referee_is_refused(people: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'small-resnet'"):
        open_suite(people, tmp_path, referee="small-resnt")
