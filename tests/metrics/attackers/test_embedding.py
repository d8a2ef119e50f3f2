"""The embedding attacker: galleries, exclusions, shared work and alignments; real faces where they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.features import features_of
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.learning.networks import embed
from benchmark.protocols import Controller, Referees, SuiteOptions
from benchmark.registry import build_entrant, load
from benchmark.store import Store
from benchmark.weights import REGISTRY
from metrics.attackers.deepface import MODELS
from metrics.attackers.embedding import AGAIN, AS_ORIGINAL, Embedding, NetworkName, background_features

SHARED = Path(__file__).parents[3].parent / "shared"
WEIGHTS = SHARED / "weights"
ATT = SHARED / "data" / "att"
real = pytest.mark.skipif(
    not (ATT.is_dir() and (WEIGHTS / REGISTRY["mobilefacenet"].file).is_file()),
    reason="no AT&T faces or MobileFaceNet weights beside the repository",
)
PEOPLE = ("ann", "bob", "eve")


def people_set(per_person: int, seed: int, noise: int = 40) -> ImageSet:
    """People who are one random picture each, with noise of their own on every photograph."""
    base = torch.randint(0, 256, (3, 3, 6, 6), generator=torch.Generator().manual_seed(0)).float()
    faces = nn.functional.interpolate(base, (32, 32), mode="nearest").repeat_interleave(per_person, 0)
    generator = torch.Generator().manual_seed(seed)
    images = (faces + noise * torch.randn(faces.shape, generator=generator)).clamp(0, 255).to(torch.uint8)
    who = torch.arange(3).repeat_interleave(per_person)
    return ImageSet(images, tuple(f"{seed}-{i}" for i in range(len(who))), Labels(who, PEOPLE))


def classifier() -> Classifier:
    architecture = Architecture("small-resnet", tuple("abcd"), {"width": 8})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = architecture.build().eval().requires_grad_(False)
    return Classifier("embedding", architecture, network, "f" * 64)


def referees(gallery: ImageSet, store: Store | None = None, model: Classifier | None = None) -> Referees:
    attackers = {"embedding": model or classifier()}
    return Referees(attackers=attackers, photographs=lambda split: gallery, store=store)


def test_the_same_as_by_hand() -> None:
    gallery, probes = people_set(4, 1), people_set(5, 2)
    assert gallery.identity is not None
    assert probes.identity is not None
    network = classifier().network
    released = probes.with_images(probes.images.roll(1, 0))
    hits = []
    for image, person in zip(released.images, probes.identity.values.tolist(), strict=True):
        alike = []
        for other in gallery.images:
            pair = [embed(network, i[None] / 255) + embed(network, i.flip(2)[None] / 255) for i in (image, other)]
            alike.append(float(nn.functional.cosine_similarity(*pair)))
        hits.append(float(int(gallery.identity.values[int(torch.tensor(alike).argmax())]) == person))
    scores = Embedding().score(probes, released, referees(gallery))
    assert scores.per_image["embedding(network=background)"].tolist() == hits
    assert scores.score.anchors["chance"] == pytest.approx(1 / 3)


def test_originals_are_looked_at_once_for_all_entrants(tmp_path: Path) -> None:
    gallery, probes, model = people_set(4, 1), people_set(5, 2), classifier()
    seen: list[int] = []
    model.network.get_submodule("stem").register_forward_hook(lambda module, given, out: seen.append(len(out)))
    against = referees(gallery, Store(tmp_path), model)
    Embedding().score(probes, probes.with_images(255 - probes.images), against)
    assert sum(seen) == 2 * (12 + 15 + 15)  # gallery, originals, released; each with its mirror image
    Embedding().score(probes, probes.with_images(probes.images // 2), against)
    assert sum(seen) == 2 * (12 + 15 + 15 + 15)


def test_the_probes_own_original_is_not_in_the_gallery() -> None:
    """The planted twin belongs to the wrong person, so finding it would be a miss that only exclusion prevents."""
    gallery, probes = people_set(4, 1, noise=5), people_set(2, 2, noise=5)
    assert gallery.identity is not None
    planted = ImageSet(
        torch.cat([gallery.images, probes.images[:1]]),
        (*gallery.keys, "twin"),
        Labels(torch.cat([gallery.identity.values, torch.tensor([2])]), PEOPLE),
    )
    name = Embedding().card.name
    without = Embedding().score(probes, probes, referees(gallery)).per_image[name]
    excluded = Embedding().score(probes, probes, referees(planted)).per_image[name]
    assert without[0] == 1
    assert excluded[0] == 1
    twice = Embedding(same_photo=True)
    included = twice.score(probes, probes, referees(planted)).per_image[twice.card.name]
    assert included[0] < 1  # as alike as the probe's own original, which is there as well
    assert included[2:].tolist() == [1] * 4


def test_same_photo_finds_every_untouched_picture_and_is_no_part_of_the_risk() -> None:
    gallery, probes = people_set(4, 1, noise=400), people_set(5, 2, noise=400)
    metric = Embedding(same_photo=True)
    assert metric.score(probes, probes, referees(gallery)).score.value == 1
    assert (metric.card.name, metric.card.rung) == ("embedding(network=background, same_photo=True)", "")
    assert Embedding().card.rung == "embedding"


def test_features_do_not_depend_on_the_batch() -> None:
    images, network = people_set(25, 3).images, background_features(classifier())
    together = features_of(network, images, Referees())
    apart = torch.cat([features_of(network, image[None], Referees()) for image in images[-3:]])
    torch.testing.assert_close(together[-3:], apart, atol=1e-5, rtol=1e-4)


NOT_THERE: list[tuple[Callable[[ImageSet], Referees], str]] = [
    (lambda gallery: Referees(), "no clear photographs"),
    (lambda gallery: referees(gallery[:0]), "no clear photographs"),
    (lambda gallery: dataclasses.replace(referees(gallery), attackers={}), "no background people"),
]


@pytest.mark.parametrize(("given", "reason"), NOT_THERE)
def test_without_what_it_takes_it_does_not_apply(given: Callable[[ImageSet], Referees], reason: str) -> None:
    probes = people_set(2, 2)
    score = Embedding().score(probes, probes, given(people_set(2, 1))).score
    assert score.status == "not-applicable"
    assert reason in score.reason


def test_nobody_is_known() -> None:
    probes = people_set(2, 2).without(identity=True)
    assert Embedding().score(probes, probes, referees(people_set(2, 1))).score.status == "not-applicable"


def test_absent_weights_have_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    metric, probes = Embedding("mobilefacenet"), people_set(2, 2)
    lacking = metric.missing()
    assert lacking is not None
    score = metric.score(probes, probes, referees(people_set(2, 1))).score
    assert (score.status, score.reason, score.remedy) == ("unavailable", lacking.reason, lacking.remedy)
    assert Embedding().missing() is None


def test_every_network_has_a_name() -> None:
    assert set(NetworkName.__args__) == {"background", "mobilefacenet", *MODELS}  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="Input should be 'background'"):
        Embedding("mobilenet")  # type: ignore[arg-type]


@pytest.fixture
def att(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[ImageSet, Referees]:
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(WEIGHTS))
    suite = load("suites", "att")(SuiteOptions(store=tmp_path, data=ATT))
    gallery = suite.images("enrol")
    return suite.images("probe"), Referees(photographs=lambda split: gallery, store=Store(tmp_path))


@real
def test_att_is_recognised_and_black_images_earn_chance(att: tuple[ImageSet, Referees]) -> None:
    probes, against = att
    assert probes.identity is not None
    metric, people = Embedding("mobilefacenet"), len(probes.identity.classes)
    clean = metric.score(probes, probes, against).score
    assert clean.value is not None
    assert clean.value >= 0.95
    assert clean.value == clean.anchors["originals"] == clean.details[AGAIN] == clean.details[AS_ORIGINAL]
    few = probes[:12]
    black = metric.score(few, few.with_images(torch.zeros_like(few.images)), against).score
    assert black.details[AGAIN] == pytest.approx(1 / people)
    blurred = build_entrant("blur(kernel=15)").anonymizer.anonymize(few, Controller(seed=7)).images
    score = metric.score(few, few.with_images(blurred), against).score
    assert score.value == max(score.details[AGAIN], score.details[AS_ORIGINAL])


@real
def test_without_yunet_landmarks_have_to_come_from_the_suite(
    att: tuple[ImageSet, Referees], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes, against = att
    assert against.photographs is not None
    few, gallery = probes[:6], against.photographs("enrol")[:14]
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / REGISTRY["mobilefacenet"].file).symlink_to(WEIGHTS / REGISTRY["mobilefacenet"].file)
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(folder))
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    metric = Embedding("mobilefacenet")
    score = metric.score(few, few, against).score
    assert score.status == "unavailable"
    assert "yunet" in score.reason
    points = torch.tensor([[34.0, 50], [70, 50], [52, 70], [38, 88], [66, 88]])
    placed = [dataclasses.replace(part, landmarks=points.repeat(len(part), 1, 1)) for part in (few, gallery)]
    there = dataclasses.replace(against, photographs=lambda split: placed[1])
    alone = metric.score(placed[0], placed[0], there).score
    assert alone.status == "ok"
    assert AS_ORIGINAL in alone.details
    assert AGAIN not in alone.details
