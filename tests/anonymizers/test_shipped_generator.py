"""The generator that ships: what it keeps of people it was not trained on, and what it makes of groups."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.metrics import f1_score

from anonymizers.kanonymity import Kanon
from anonymizers.kanonymity.generator.files import load_generator
from anonymizers.kanonymity.generator.latents import drawn, latents_of
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import load_classifier
from benchmark.protocols import Controller
from suites.definition import read_definition, weights_folder
from suites.portraits import CLASSES, render_portraits

SUITE = "portraits-v1"
PEOPLE, PHOTOGRAPHS = 120, range(24, 26)


@pytest.fixture(scope="module")
def probes() -> ImageSet:
    """The first two probe photographs of every evaluated person of the suite."""
    definition = read_definition(SUITE)
    made = render_portraits(
        seed=definition.seed, people="evaluated", identities=range(PEOPLE), photographs=PHOTOGRAPHS, size=96
    )
    return ImageSet(
        made.images,
        tuple(f"{row:04d}" for row in range(len(made.images))),
        Labels(made.identity, tuple(map(str, range(PEOPLE)))),
        {name: Labels(made.labels[name], CLASSES[name]) for name in definition.attributes},
        made.landmarks,
    )


@pytest.fixture(scope="module")
def projected(probes: ImageSet) -> torch.Tensor:
    generator = load_generator("portraits")
    return drawn(generator, latents_of(generator, probes.images), probes.size)


def test_photographs_of_others_come_back(probes: ImageSet, projected: torch.Tensor) -> None:
    error = (probes.images.double() - projected.double()).square().mean(dim=(1, 2, 3))
    psnr = 10 * torch.log10(255**2 / error)
    assert psnr.mean() >= 25
    assert psnr.min() >= 20


@pytest.mark.parametrize("attribute", read_definition(SUITE).attributes)
def test_attributes_come_back(probes: ImageSet, projected: torch.Tensor, attribute: str) -> None:
    """Macro F1 of the suite's own classifiers, which had no part in the training, within 10 points of the originals'."""
    classifier = load_classifier(attribute, Path(weights_folder(SUITE)) / f"{attribute}.safetensors")
    wanted = probes.attributes[attribute].values
    before, after = (
        f1_score(wanted, classifier.predictions(images), average="macro") for images in (probes.images, projected)
    )
    assert after >= before - 0.10


def test_a_group_shares_a_face_that_is_nearer_to_it_than_to_others(probes: ImageSet) -> None:
    released = Kanon(k=5).anonymize(probes, Controller())
    group = released.notes["group"]
    assert isinstance(group, torch.Tensor)
    faces = torch.stack([released.images[(group == number).nonzero()[0, 0]] for number in range(24)])
    assert torch.equal(released.images, faces[group])
    means = torch.stack([probes.images[group == number].double().mean(dim=0) for number in range(24)])
    distances = torch.cdist(faces.double().flatten(1), means.flatten(1))
    assert (distances.argmin(dim=1) == torch.arange(24)).double().mean() > 0.9


def test_faces_are_sharper_than_the_mean_of_their_members(probes: ImageSet) -> None:
    """Edges about the eyes and the mouth, where a mean of photographs has ghosts."""
    edges = {}
    for surrogate in ("style", "pixels"):
        made = Kanon(k=5, surrogate=surrogate).anonymize(probes, Controller()).images.double()
        centre = made[:, :, 36:76, 24:72]
        edges[surrogate] = float(centre.diff(dim=2).abs().mean() + centre.diff(dim=3).abs().mean())
    assert edges["style"] > 1.2 * edges["pixels"]
