"""DeepFace as judge of attributes: the same answers as the package's own ``analyze``, on graphs made here."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.hashing import sha256_file
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Missing, Referees
from benchmark.weights import REGISTRY
from metrics.judges import ATTRIBUTES, DeepfaceJudge, age_cuts, deepface_judge
from metrics.utility import F1
from suites.folder.attributes import YOUNG_OLD, grouping
from tests.metrics.attackers.tiny_onnx import bgr, deepface_home, put, tiny_graph, weights_folder

TAKES: dict[str, tuple[int | str, ...]] = {
    "age": ("n", 224, 224, 3),
    "gender": ("n", 224, 224, 3),
    "race": ("n", 224, 224, 3),
    "emotion": ("n", 48, 48, 1),
}
CLASSES: dict[str, tuple[str, ...]] = {
    "gender": ("Woman", "Man"),
    "race": ("asian", "indian", "black", "white", "middle eastern", "latino hispanic"),
    "emotion": ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
}
"""As deepface's documentation lists them, in the order of its networks' outputs."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return weights_folder(tmp_path, monkeypatch)


def graph_of(attribute: str, seed: int = 0, takes: tuple[int | str, ...] | None = None) -> bytes:
    outputs = 101 if attribute == "age" else len(CLASSES[attribute])
    return tiny_graph(takes or TAKES[attribute], outputs, softmax=True, scale=5.0, seed=seed)


def faces(count: int = 8, height: int = 64, width: int = 64) -> torch.Tensor:
    """Coarse coloured patterns with noise; the last is all black."""
    made = torch.Generator().manual_seed(5)
    coarse = torch.rand(count, 3, 4, 4, generator=made)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    noisy = smooth * 220 + torch.rand(count, 3, height, width, generator=made) * 35
    noisy[-1] = 0
    return noisy.to(torch.uint8)


def judge(attribute: str, classes: tuple[str, ...] = ()) -> DeepfaceJudge:
    made = deepface_judge(attribute, classes)
    assert isinstance(made, DeepfaceJudge), made
    return made


def official(attribute: str, path: Path, images: torch.Tensor, patch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """``analyze`` of the package, one image at a time."""
    from deepface.modules import demography

    with deepface_home(path, patch):
        found: Any = [
            demography.analyze(image, actions=[attribute], detector_backend="skip", silent=True)
            for image in bgr(images)
        ]
    return [face for (face,) in found]


@pytest.mark.parametrize("size", [(64, 64), (90, 70)])
@pytest.mark.parametrize("attribute", CLASSES)
def test_answers_are_those_of_the_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, attribute: str, size: tuple[int, int]
) -> None:
    path = put(folder, f"deepface-{attribute}", graph_of(attribute))
    ours, images = judge(attribute), faces(8, *size)
    theirs = official(attribute, path, images, monkeypatch)
    found = ours.predictions(images, None)
    assert (found.dtype, found.shape) == (torch.int64, (8,))
    assert [ours.classes[row] for row in found.tolist()] == [face[f"dominant_{attribute}"] for face in theirs]
    assert len(set(found.tolist())) > 1
    shares = [[face[attribute][name] for name in ours.classes] for face in theirs]
    np.testing.assert_allclose(ours.outputs(images) * 100, shares, rtol=0, atol=1e-3)
    assert ours.weights == {f"deepface-{attribute}": sha256_file(path)}


@pytest.mark.parametrize("size", [(64, 64), (90, 70)])
def test_ages_are_those_of_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    path = put(folder, "deepface-age", graph_of("age"))
    images = faces(8, *size)
    ages = [face["age"] for face in official("age", path, images, monkeypatch)]
    ours = judge("age")
    assert ours.classes == YOUNG_OLD.names
    assert [int(age) for age in ours.outputs(images)[:, 0]] == ages
    assert ours.predictions(images).tolist() == [int(age >= 45) for age in ages]


def test_ages_fall_into_the_groups_of_the_data(folder: Path) -> None:
    put(folder, "deepface-age", graph_of("age"))
    images = faces(12)
    years = np.trunc(judge("age").outputs(images)[:, 0])
    cuts = np.quantile(years, [0.3, 0.7]).round().tolist()
    ours = judge("age", grouping(cuts).names)
    expected = np.digitize(years, cuts)
    assert len(set(expected.tolist())) == 3
    assert ours.classes == grouping(cuts).names
    assert ours.predictions(images).tolist() == expected.tolist()


@given(st.lists(st.integers(0, 120), min_size=1, max_size=6, unique=True), st.data())
def test_cut_points_are_read_from_the_names_of_groups(cuts: list[int], data: st.DataObject) -> None:
    names = grouping([float(cut) for cut in cuts]).names
    assert age_cuts(names) == tuple(sorted(cuts))
    kept = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    assert set(age_cuts(kept)) <= set(cuts)


def test_a_group_that_nobody_is_in_stays_a_group(folder: Path) -> None:
    put(folder, "deepface-age", graph_of("age"))
    assert judge("age", ("<30", ">=60")).classes == ("<30", ">=30 <60", ">=60")


@pytest.mark.parametrize("classes", [("adult", "child"), ("<x", ">=x"), ("<30", ">=20 <40"), ("young", "<30"), ("",)])
def test_words_that_are_no_ages_are_refused(folder: Path, classes: tuple[str, ...]) -> None:
    put(folder, "deepface-age", graph_of("age"))
    with pytest.raises(UsageError, match="--group age="):
        deepface_judge("age", classes)


@pytest.mark.parametrize("attribute", CLASSES)
def test_classes_are_deepfaces_own(folder: Path, attribute: str) -> None:
    from deepface.models.demography import DemographyUtils

    put(folder, f"deepface-{attribute}", graph_of(attribute))
    assert judge(attribute).classes == CLASSES[attribute]
    assert list(CLASSES[attribute]) == getattr(DemographyUtils, f"{attribute.upper()}_LABELS")


def test_classes_take_the_names_of_the_data_and_keep_their_order(folder: Path) -> None:
    put(folder, "deepface-gender", graph_of("gender"))
    put(folder, "deepface-race", graph_of("race"))
    assert judge("gender", ("male", "female")).classes == ("female", "male")
    assert judge("race", ("Asian", "others", "white")).classes == ("Asian", *CLASSES["race"][1:])
    images = faces()
    assert judge("gender", ("male", "female")).predictions(images).equal(judge("gender").predictions(images))


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_a_batch_is_its_images_one_by_one(folder: Path, attribute: str) -> None:
    put(folder, f"deepface-{attribute}", graph_of(attribute))
    ours, images = judge(attribute), faces(19)
    whole = ours.predictions(images)
    assert torch.cat([ours.predictions(image[None]) for image in images]).equal(whole)
    assert ours.predictions(images.flip(0)).flip(0).equal(whole)
    landmarks = torch.zeros(19, 5, 2)
    assert ours.predictions(images, landmarks).equal(whole)
    assert ours.predictions(images[:0]).shape == (0,)
    single = np.concatenate([ours.outputs(image[None]) for image in images])
    np.testing.assert_allclose(single, ours.outputs(images), rtol=0, atol=1e-4)


def test_a_graph_that_takes_one_image_gets_one_image(folder: Path) -> None:
    put(folder, "deepface-race", graph_of("race"))
    images = faces(5)
    whole = judge("race").predictions(images)
    put(folder, "deepface-race", graph_of("race", takes=(1, 224, 224, 3)))
    assert judge("race").predictions(images).equal(whole)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_a_missing_file_says_what_to_do(folder: Path, attribute: str) -> None:
    found = deepface_judge(attribute)
    assert isinstance(found, Missing)
    assert f"deepface-{attribute} weights unavailable" in found.reason
    assert "ANONBENCH_WEIGHTS" in found.remedy
    assert REGISTRY[f"deepface-{attribute}"].url in found.remedy


@pytest.mark.parametrize(("asked", "there"), list(itertools.permutations(ATTRIBUTES, 2)))
def test_the_file_of_another_attribute_is_refused(folder: Path, asked: str, there: str) -> None:
    put(folder, f"deepface-{asked}", graph_of(there))
    where = r"input 'image' is \[any" if "emotion" in (asked, there) else r"output 'out' is \[any, \d+\] where"
    ours = judge(asked)
    with pytest.raises(EnvironmentProblem, match=f"is not the graph of deepface-{asked}: its {where}"):
        ours.predictions(faces(1))


@pytest.mark.parametrize("attribute", ["age", "race"])
def test_a_broken_network_is_refused(folder: Path, attribute: str) -> None:
    outputs = 101 if attribute == "age" else 6
    put(folder, f"deepface-{attribute}", tiny_graph(TAKES[attribute], outputs, scale=float("nan")))
    ours = judge(attribute)
    with pytest.raises(EnvironmentProblem, match=f"deepface-{attribute} gives numbers that are not finite"):
        ours.predictions(faces(1))


def test_what_is_no_graph_is_refused(folder: Path) -> None:
    put(folder, "deepface-race", b"\x00\x01")
    ours = judge("race")
    with pytest.raises(EnvironmentProblem, match="cannot be read as an ONNX graph"):
        ours.predictions(faces(1))


@pytest.mark.parametrize("content", [b"\x00\x01", graph_of("race")], ids=["no graph", "another graph"])
def test_a_wrong_file_makes_the_metric_unavailable_and_no_other(folder: Path, content: bytes) -> None:
    put(folder, "deepface-gender", content)
    labels = Labels(torch.tensor([0, 1, 0]), ("man", "woman"))
    original = ImageSet(faces(3), ("a", "b", "c"), attributes={"gender": labels})
    score = F1("gender", judge="deepface").score(original, original, Referees()).score
    assert (score.status, score.value, score.n) == ("unavailable", None, 3)
    assert "ONNX graph" in (score.reason or "") or "is not the graph of deepface-gender" in (score.reason or "")
    assert score.remedy == "anonbench weights verify deepface-gender"


def test_an_unknown_attribute_is_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'gender'"):
        deepface_judge("gendre")


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_the_registry_has_deepfaces_own_addresses(attribute: str) -> None:
    module = importlib.import_module(f"deepface.models.demography.onnx.{attribute.capitalize()}")
    entry = REGISTRY[f"deepface-{attribute}"]
    assert entry.url in module.WEIGHTS_URL
    assert entry.url.rpartition("/")[2] == entry.file
