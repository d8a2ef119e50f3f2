"""The attacker with the anonymizer in its hands, on people of its own and on rendered portraits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.learning.training import Recipe, train
from benchmark.protocols import Controller, Referees, Scores, Shared, SuiteOptions
from benchmark.registry import build_entrant
from benchmark.store import Store
from metrics.attackers.adaptive import Adaptive
from metrics.attackers.recognition import Static
from suites.definition import read_definition
from suites.rendered import RenderedSuite

COUNT = 10
NAMES = tuple(f"person {number}" for number in range(COUNT))
Anonymize = Callable[[ImageSet, int], torch.Tensor]


@dataclasses.dataclass
class Copy:
    """An entrant that is a function of images and seed."""

    anonymize: Anonymize
    photographs: Callable[[str], ImageSet]
    identity: str = "planted"

    def released(self, split: str) -> torch.Tensor:
        return self.anonymize(self.photographs(split), 7)

    def once(self, name: str, make: Callable[[], Shared]) -> Shared:
        return make()


def identity(images: ImageSet, seed: int) -> torch.Tensor:
    return images.images


def black(images: ImageSet, seed: int) -> torch.Tensor:
    return torch.zeros_like(images.images)


def noise(images: ImageSet, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, images.images.shape, dtype=torch.uint8, generator=generator)


def blurred(images: ImageSet, seed: int) -> torch.Tensor:
    means = images.images.float().mean((2, 3), keepdim=True) // 8 * 8
    return means.expand(images.images.shape).to(torch.uint8)


def shuffled(images: ImageSet, seed: int) -> torch.Tensor:
    flat = images.images.flatten(1)
    order = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(1))
    return flat[:, order].view_as(images.images)


def leaking(cover: Anonymize) -> Anonymize:
    def anonymize(images: ImageSet, seed: int) -> torch.Tensor:
        made = cover(images, seed).clone()
        assert images.identity is not None
        made[:, 2, 5, 6] = made[:, 2, 5, 6] // 32 * 32 + images.identity.values.to(torch.uint8)
        return made

    return anonymize


def photographs(each: int, seed: int, side: int = 16, name: str = "photograph") -> ImageSet:
    """A coarse pattern per person, moved by a pixel or none, under noise."""
    generator = torch.Generator().manual_seed(seed)
    people = torch.arange(COUNT).repeat_interleave(each)
    patterns = torch.rand(COUNT, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    clear = torch.nn.functional.interpolate(patterns, size=(side, side), mode="bilinear")[people]
    grain = torch.randn(clear.shape, generator=generator) * 0.15
    images = ((clear + grain).clamp(0, 1) * 255).to(torch.uint8)
    return ImageSet(images, tuple(f"{name} {seed} {row}" for row in range(len(people))), Labels(people, NAMES))


@cache
def recogniser() -> Classifier:
    architecture = Architecture("small-resnet", NAMES, {"width": 4})
    torch.manual_seed(0)
    taught = photographs(12, 1)
    assert taught.identity is not None
    plan = Recipe(epochs=12, batch=20, rate=1e-2, shift=0.0, zoom=0.0, turn=0.0, flip=False)
    network = train(architecture.build(), taught.images, taught.identity.values, plan, 0)
    return Classifier("recogniser", architecture, network, sha256="planted")


def splits(enrol: ImageSet, background: ImageSet | None = None) -> Callable[[str], ImageSet]:
    return {"enrol": enrol, "background": enrol[:0] if background is None else background}.__getitem__


def attacked(
    anonymize: Anonymize, probe: ImageSet | None = None, enrol: ImageSet | None = None, store: Store | None = None
) -> Scores:
    probe = probe or photographs(6, 2)
    known = splits(enrol or photographs(12, 1))
    referees = Referees(recogniser(), photographs=known, copy=Copy(anonymize, known), store=store)
    return Adaptive().score(probe, probe.with_images(anonymize(probe, 3)), referees)


def top_1(scores: Scores) -> float:
    assert scores.score.value is not None, scores.score.reason
    return scores.score.value


def static(anonymize: Anonymize) -> float:
    probe = photographs(6, 2)
    assert probe.identity is not None
    return float((recogniser().predictions(anonymize(probe, 3)) == probe.identity.values).double().mean())


def learner(scores: Scores, name: str) -> float:
    return scores.score.details[f"learner {name}"]


def test_releasing_originals_gives_the_result_on_originals_exactly(tmp_path: Path) -> None:
    scores = attacked(identity, store=Store(tmp_path))
    assert top_1(scores) == scores.score.anchors["originals"] >= 0.9
    assert scores.score.details["EER"] == scores.score.details["EER on originals"]
    assert len(list((tmp_path / "attackers").glob("*"))) == 1


def test_releasing_nothing_gives_chance_exactly() -> None:
    scores = attacked(black)
    assert top_1(scores) == pytest.approx(scores.score.anchors["chance"], abs=1e-12)
    assert scores.score.anchors["chance"] == 1 / COUNT


@pytest.mark.parametrize("cover", [black, noise])
def test_a_number_in_the_lowest_bits_of_one_pixel_is_found(cover: Anonymize) -> None:
    assert static(leaking(cover)) < 0.35
    assert top_1(attacked(leaking(cover))) >= 0.9


def test_a_number_is_found_in_strongly_blurred_images() -> None:
    assert static(leaking(blurred)) < 0.35
    scores = attacked(leaking(blurred))
    assert top_1(scores) >= 0.9
    assert learner(scores, "bits") >= 0.9


def test_a_fixed_permutation_of_all_pixels_does_not_help() -> None:
    scores = attacked(shuffled)
    assert static(shuffled) < 0.4
    assert top_1(scores) >= 0.9
    assert learner(scores, "pixels") >= 0.9


def mixed(images: ImageSet, seed: int) -> ImageSet:
    assert images.identity is not None
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return dataclasses.replace(images, identity=images.identity[order])


def test_random_labels_stay_at_chance() -> None:
    score = attacked(identity, mixed(photographs(12, 2), 4), mixed(photographs(12, 1), 3)).score
    assert score.interval is not None
    assert score.interval.low <= 1 / COUNT <= score.interval.high


def test_the_same_again_whatever_the_threads(tmp_path: Path) -> None:
    first = attacked(leaking(noise), store=Store(tmp_path / "first"))
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        second = attacked(leaking(noise), store=Store(tmp_path / "second"))
    finally:
        torch.set_num_threads(threads)
    assert first.score == second.score


def test_a_probe_among_the_photographs_is_not_learned_from(tmp_path: Path) -> None:
    probe, enrol = photographs(6, 2), photographs(12, 1)
    both = ImageSet(torch.cat([enrol.images, probe.images[:7]]), enrol.keys + probe.keys[:7], _joined(enrol, probe[:7]))
    with_them, without = (attacked(identity, probe, part, Store(tmp_path)) for part in (both, enrol))
    assert with_them.score == without.score
    assert len(list((tmp_path / "attackers").glob("*"))) == 1


def _joined(left: ImageSet, right: ImageSet) -> Labels:
    assert left.identity is not None
    assert right.identity is not None
    return Labels(torch.cat([left.identity.values, right.identity.values]), left.identity.classes)


def test_with_nothing_but_the_probes_it_is_not_applicable() -> None:
    probe = photographs(6, 2)
    score = attacked(identity, probe, probe).score
    assert (score.status, score.value) == ("not-applicable", None)
    assert "no other photographs" in score.reason


@pytest.mark.parametrize("each", [1, 2, 3])
def test_few_photographs_are_enough_to_run(each: int) -> None:
    scores = attacked(identity, enrol=photographs(each, 5))
    picked = [name for name in scores.score.details if name.startswith("picked: ")]
    assert len(picked) == 1
    assert picked == ["picked: network"] or each > 1
    assert top_1(scores) > 0.5


def test_background_people_are_learned_along_and_never_named() -> None:
    probe, enrol = photographs(6, 2), photographs(12, 1)
    others = photographs(3, 9, name="stranger")
    assert others.identity is not None
    background = others.with_images(255 - others.images)
    learned = []
    for known in (splits(enrol), splits(enrol, background)):
        asked: list[str] = []

        def entrant(images: ImageSet, seed: int, asked: list[str] = asked) -> torch.Tensor:
            asked.append(images.keys[0].split()[0])
            return images.images

        referees = Referees(recogniser(), photographs=known, copy=Copy(entrant, known))
        learned.append((Adaptive().score(probe, probe, referees), asked))
    assert [asked for _, asked in learned] == [["photograph"], ["photograph", "stranger"]]
    alone, along = (scores for scores, _ in learned)
    assert top_1(along) > 0.9
    assert learner(alone, "pixels") == learner(along, "pixels"), "the background is the network's alone"


def test_missing_images_count_as_identified() -> None:
    probe = photographs(6, 2)
    gone = torch.arange(len(probe)) % 2 == 0
    known = splits(photographs(12, 1))
    referees = Referees(recogniser(), photographs=known, copy=Copy(black, known))
    released = dataclasses.replace(probe, images=torch.zeros_like(probe.images), missing=gone)
    scores = Adaptive().score(probe, released, referees)
    assert top_1(scores) == pytest.approx(0.5 + 0.5 / COUNT)
    assert learner(scores, "pixels") >= 0.5


@pytest.mark.parametrize("lacking", ["recogniser", "copy", "photographs", "identity"])
def test_without_what_it_needs_it_is_not_applicable(lacking: str) -> None:
    probe = photographs(2, 2)
    known = splits(photographs(3, 1))
    whole = Referees(recogniser(), photographs=known, copy=Copy(identity, known))
    referees = {
        "recogniser": dataclasses.replace(whole, recogniser=None),
        "copy": dataclasses.replace(whole, copy=None),
        "photographs": dataclasses.replace(whole, photographs=None),
        "identity": whole,
    }[lacking]
    original = probe.without(identity=lacking == "identity")
    score = Adaptive().score(original, original, referees).score
    assert (score.status, score.value, score.n) == ("not-applicable", None, len(probe))
    assert score.reason


def test_card_tells_parameters_apart() -> None:
    card = Adaptive().card
    assert (card.name, card.rung, card.needs_copy, card.version) == ("adaptive", "adaptive", True, 1)
    assert Adaptive(every=4).card.name == "adaptive(every=4)"


def test_portraits_are_recognised_where_the_recogniser_fails(portraits: RenderedSuite, tmp_path: Path) -> None:
    anonymizer = build_entrant("blur(kernel=25)").anonymizer

    def entrant(images: ImageSet, seed: int) -> torch.Tensor:
        return anonymizer.anonymize(images, Controller(seed=seed)).images

    probe = portraits.images("probe")
    released = probe.with_images(entrant(probe, 3))
    referees = dataclasses.replace(
        portraits.referees(),
        photographs=portraits.images,
        copy=Copy(entrant, portraits.images),
        store=Store(tmp_path),
    )
    assert top_1(Static().score(probe, released, referees)) <= 0.3
    scores = Adaptive().score(probe, released, referees)
    assert top_1(scores) >= 0.95
    assert scores.score.anchors["originals"] >= 0.98


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> RenderedSuite:
    options = SuiteOptions(store=tmp_path_factory.mktemp("portraits"))
    return RenderedSuite(read_definition("portraits-smoke"), options)
