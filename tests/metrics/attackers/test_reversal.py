"""The attacker that restores, on planted people whose recogniser is exact and on releases that are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.errors import EnvironmentProblem
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Architecture, Classifier, load_classifier
from benchmark.protocols import Metric, Referees, Scores, Shared
from benchmark.store import Store
from metrics.attackers.reversal import Reversal

SIDE, PEOPLE = 8, 6
Release = Callable[[torch.Tensor], torch.Tensor]
NAMES = tuple(f"person {number}" for number in range(PEOPLE))


def faces(count: int, seed: int) -> torch.Tensor:
    """Smooth random pictures, float32 in [0, 1]."""
    rough = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(rough, SIDE, mode="bilinear")


def photographs(people: torch.Tensor, each: int, seed: int) -> ImageSet:
    """Every person ``each`` times, under another light and with a little noise."""
    who = torch.arange(len(people)).repeat_interleave(each)
    generator = torch.Generator().manual_seed(seed)
    light = 0.85 + 0.15 * torch.rand(len(who), 1, 1, 1, generator=generator)
    noise = 0.01 * torch.randn(len(who), 3, SIDE, SIDE, generator=generator)
    pixels = ((people[who] * light + noise) * 255).round().clamp(0, 255).to(torch.uint8)
    names = tuple(f"{seed} {row}" for row in range(len(who)))
    return ImageSet(pixels, names, Labels(who, tuple(f"person {number}" for number in range(len(people)))))


class Nearest(nn.Module):
    """Names whose face is nearest."""

    def __init__(self, people: torch.Tensor) -> None:
        super().__init__()
        self.people = nn.Parameter(people.flatten(1), requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return -torch.cdist(images.flatten(1), self.people)


KNOWN = faces(PEOPLE, 1)
PROBES = photographs(KNOWN, 8, 2)
SPLITS = {"enrol": photographs(KNOWN, 10, 3), "background": photographs(faces(150, 4), 2, 5)}


def recogniser() -> Classifier:
    return Classifier("planted", Architecture("planted", NAMES), Nearest(KNOWN), sha256="planted")


@dataclass
class Copy:
    """An entrant made of one function of uint8 images."""

    release: Release
    splits: dict[str, ImageSet]
    identity: str = "copy"
    asked: list[str] = field(default_factory=list)

    def released(self, split: str) -> torch.Tensor:
        self.asked.append(split)
        return self.release(self.splits[split].images)

    def once(self, name: str, make: Callable[[], Shared]) -> Shared:
        return make()


def attacked(release: Release, splits: dict[str, ImageSet] = SPLITS, **more: object) -> Scores:
    referees = Referees(
        recogniser=recogniser(),
        photographs=splits.__getitem__,
        copy=Copy(release, splits),  # type: ignore[arg-type]
    )
    released = PROBES.with_images(release(PROBES.images))
    return Reversal().score(PROBES, released, dataclasses.replace(referees, **more))  # type: ignore[arg-type]


def unchanged(images: torch.Tensor) -> torch.Tensor:
    return images.clone()


def shuffled(images: torch.Tensor) -> torch.Tensor:
    order = torch.randperm(SIDE * SIDE, generator=torch.Generator().manual_seed(9))
    return images.flatten(2)[:, :, order].reshape(images.shape)


def inverted(images: torch.Tensor) -> torch.Tensor:
    return 255 - images


def noisy(images: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(len(images))) * 90
    return (images + noise).round().clamp(0, 255).to(torch.uint8)


def picked(scores: Scores) -> str:
    (name,) = [name.removeprefix("picked: ") for name in scores.score.details if name.startswith("picked: ")]
    return name


def value(scores: Scores) -> float:
    assert scores.score.value is not None, scores.score.reason
    return scores.score.value


def test_it_is_a_metric_with_a_rung() -> None:
    assert isinstance(Reversal(), Metric)
    assert (Reversal().card.name, Reversal().card.rung, Reversal().card.needs_copy) == ("reversal", "reversal", True)
    assert Reversal(pairs=50).card.name == "reversal(pairs=50)"


@pytest.mark.parametrize("release", [shuffled, inverted])
def test_a_fixed_key_is_undone(release: Release) -> None:
    scores = attacked(release)
    assert scores.score.details["inverter none"] < 0.5
    assert value(scores) == scores.score.details["inverter linear"] == 1.0
    assert picked(scores) in ("linear", "network")


def test_releasing_originals_gives_the_result_on_originals_bit_for_bit() -> None:
    scores = attacked(unchanged)
    assert value(scores) == scores.score.anchors["originals"] == 1.0
    assert scores.score.details["EER"] == scores.score.details["EER on originals"]
    assert picked(scores) == "none"


@pytest.mark.parametrize("level", [0, 127, 255])
def test_one_colour_gives_exactly_chance(level: int) -> None:
    scores = attacked(lambda images: torch.full_like(images, level))
    assert value(scores) == scores.score.anchors["chance"] == pytest.approx(1 / PEOPLE)
    assert scores.score.details["inverter none"] == pytest.approx(1 / PEOPLE)


def test_probes_of_one_colour_give_chance_whatever_was_learned() -> None:
    def black(images: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(images) if len(images) == len(PROBES) else shuffled(images)

    scores = attacked(black)
    tried = [number for name, number in scores.score.details.items() if name.startswith("inverter ")]
    assert len(tried) >= 3
    assert [value(scores), *tried] == pytest.approx([1 / PEOPLE] * (len(tried) + 1))


def test_the_inverter_is_picked_before_a_probe_is_seen() -> None:
    """Probes released in another way than the attacker's photographs do not change the pick."""
    pick = picked(attacked(shuffled))
    assert picked(attacked(lambda images: images.clone() if len(images) == len(PROBES) else shuffled(images))) == pick


def test_noise_is_reduced_and_every_inverter_is_in_the_table() -> None:
    scores = attacked(noisy)
    table = {name: number for name, number in scores.score.details.items() if name.startswith("inverter ")}
    assert {"inverter none", "inverter linear", "inverter network"} <= set(table)
    assert value(scores) == table[f"inverter {picked(scores)}"]
    assert 0 <= scores.score.details[f"picked: {picked(scores)}"] <= 1


def test_missing_images_count_as_identified() -> None:
    release, gone = torch.zeros_like, torch.zeros(len(PROBES), dtype=torch.bool)
    gone[::2] = True
    released = dataclasses.replace(PROBES.with_images(release(PROBES.images)), missing=gone)
    referees = Referees(recogniser(), photographs=SPLITS.__getitem__, copy=Copy(release, SPLITS))
    scores = Reversal().score(PROBES, released, referees)
    assert value(scores) == pytest.approx(0.5 + 0.5 / PEOPLE)
    assert scores.score.details["inverter none"] == pytest.approx(0.5 + 0.5 / PEOPLE)


def test_without_other_people_it_learns_from_enrol_photographs_that_are_no_probes() -> None:
    nobody = SPLITS["background"][:0]
    both = ImageSet(
        torch.cat([PROBES.images[:8], SPLITS["enrol"].images]),
        tuple(map(str, range(68))),
        Labels(torch.cat([torch.zeros(8, dtype=torch.int64), SPLITS["enrol"].identity.values]), NAMES),  # type: ignore[union-attr]
    )
    plain = attacked(shuffled, {"enrol": SPLITS["enrol"], "background": nobody})
    assert value(plain) > plain.score.details["inverter none"]
    # Probes among the enrol photographs shift nothing but the draw: as many are left to learn from.
    repeated = attacked(shuffled, {"enrol": both, "background": nobody})
    assert value(repeated) > 0.8
    only = attacked(shuffled, {"enrol": PROBES, "background": nobody})
    assert only.score.status == "not-applicable"


def test_eight_photographs_are_enough_to_try() -> None:
    few = SPLITS["enrol"].select(torch.tensor([0, 1, 10, 20, 30, 40, 50, 51]))
    assert attacked(shuffled, {"enrol": few, "background": SPLITS["background"][:0]}).score.status == "ok"


@pytest.mark.parametrize("gap", ["recogniser", "identity", "photographs", "copy"])
def test_what_is_not_there_is_not_applicable(gap: str) -> None:
    referees = Referees(recogniser(), photographs=SPLITS.__getitem__, copy=Copy(unchanged, SPLITS))
    if gap != "identity":
        referees = dataclasses.replace(referees, **{gap: None})
    probes = PROBES.without(identity=True) if gap == "identity" else PROBES
    score = Reversal().score(probes, probes, referees).score
    assert (score.status, score.value, score.n) == ("not-applicable", None, len(PROBES))
    assert score.reason


def test_enrol_photographs_under_other_names_are_an_error() -> None:
    enrol = SPLITS["enrol"]
    assert enrol.identity is not None
    turned = Labels(PEOPLE - 1 - enrol.identity.values, NAMES[::-1])
    with pytest.raises(EnvironmentProblem, match="not the 6 of the images"):
        attacked(unchanged, {**SPLITS, "enrol": dataclasses.replace(enrol, identity=turned)})


def test_the_recogniser_of_the_suite_does_not_remember_restored_images() -> None:
    known = recogniser()
    copy = Copy(noisy, SPLITS)
    Reversal().score(PROBES, PROBES, Referees(known, photographs=SPLITS.__getitem__, copy=copy))
    assert not known._known


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def test_threads_and_earlier_draws_do_not_matter(tmp_path: Path) -> None:
    found = []
    for count in (1, 2):
        torch.manual_seed(count)
        with threads(count):
            found.append(attacked(noisy, store=Store(tmp_path / str(count))))
            assert torch.get_num_threads() == count
    assert found[0].score == found[1].score
    assert torch.equal(found[0].per_image["reversal"], found[1].per_image["reversal"])


def test_the_same_attack_is_not_computed_twice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = attacked(noisy, store=store)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(files) == 2  # on released photographs and on originals
    assert attacked(noisy, store=store).score == first.score
    attacked(inverted, store=store)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(after) == 3
    assert files.items() <= after.items()


def rendered(group: str, identities: int, photographs: range) -> ImageSet:
    """Some of the portraits-smoke photographs."""
    from suites.definition import read_definition
    from suites.portraits import render_portraits

    part = read_definition("portraits-smoke")
    made = render_portraits(
        seed=part.seed, people=group, identities=range(identities), photographs=photographs, size=part.image_size
    )
    names = tuple(f"person {number}" for number in range(identities))
    who = torch.arange(identities).repeat_interleave(len(photographs))
    return ImageSet(made.images, tuple(f"{group} {photographs} {row}" for row in range(len(who))), Labels(who, names))


def test_portraits_with_shuffled_pixels_are_found() -> None:
    from suites.definition import weights_folder

    probes = rendered("evaluated", 24, range(24, 26))
    splits = {"enrol": rendered("evaluated", 24, range(2)), "background": rendered("background", 300, range(1))}
    path = weights_folder("portraits-smoke") / "recogniser.safetensors"
    loaded = load_classifier("recogniser", path)
    assert probes.identity is not None
    names = Architecture(loaded.architecture.name, probes.identity.classes, loaded.architecture.params)
    model = dataclasses.replace(loaded, architecture=names)

    def release(images: torch.Tensor) -> torch.Tensor:
        order = torch.randperm(64 * 64, generator=torch.Generator().manual_seed(3))
        return images.flatten(2)[:, :, order].reshape(images.shape)

    referees = Referees(model, photographs=splits.__getitem__, copy=Copy(release, splits))
    scores = Reversal().score(probes, probes.with_images(release(probes.images)), referees)
    assert scores.score.details["inverter none"] < 0.15
    assert value(scores) > 0.9
    assert picked(scores) in ("linear", "network")
