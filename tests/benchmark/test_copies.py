"""An entrant in other hands: whose photographs, seed, people and recogniser it gets, and how often it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from benchmark import copies
from benchmark.copies import OwnCopy, own_seed
from benchmark.images import ImageSet, Labels, Released
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.protocols import Controller, Referees, Report, quiet
from benchmark.records import EntrantFacts, SuiteFacts
from benchmark.registry import Entrant
from benchmark.release import EntrantFailed, Settings, _controller, make_release, share_of
from benchmark.specs import Spec
from benchmark.store import Store


def people(split: str, count: int, photographs: int) -> ImageSet:
    generator = torch.Generator().manual_seed(len(split))
    images = torch.randint(0, 256, (count * photographs, 3, 8, 8), dtype=torch.uint8, generator=generator)
    names = tuple(f"{split}-{number}" for number in range(count))
    keys = tuple(f"{name}/{row}" for name in names for row in range(photographs))
    return ImageSet(images, keys, Labels(torch.arange(count).repeat_interleave(photographs), names))


SETS = {"enrol": people("enrol", 4, 3), "probe": people("enrol", 4, 2), "background": people("background", 6, 2)}


def classifier(name: str, classes: Sequence[str]) -> Classifier:
    architecture = Architecture("small-resnet", tuple(classes), {"width": 2})
    return Classifier(name, architecture, architecture.build(), f"sha of {name}")


def classes_of(split: str) -> tuple[str, ...]:
    identity = SETS[split].identity
    assert identity is not None
    return identity.classes


REFEREES = Referees(
    recogniser=classifier("recogniser", classes_of("enrol")),
    attackers={
        "parrot": classifier("parrot", classes_of("enrol")),
        "embedding": classifier("embedding", classes_of("background")),
    },
)


class Suite:
    metrics = ()
    entrants = ()
    facts = SuiteFacts(name="s", version="1", suite_hash="salt", title="s", image_size=8, splits=())

    def images(self, split: str, report: Report = quiet) -> ImageSet:
        return SETS[split]

    def referees(self, report: Report = quiet) -> Referees:
        return REFEREES


class Spy:
    """Releases negatives and remembers what it was handed."""

    uses = frozenset({"train", "recogniser", "identity"})
    shardable = False

    def __init__(self) -> None:
        self.handed: list[tuple[ImageSet, Controller]] = []

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        self.handed.append((images, controller))
        return Released(255 - images.images)


def entrant_of(spy: Spy) -> Entrant:
    facts = EntrantFacts(name="spy", family="spy", params={}, entry_hash="0", uses=tuple(sorted(spy.uses)))
    return Entrant(Spec("spy", {}), spy, facts)


def copy_of(spy: Spy, store: Store, seed: int = 0) -> OwnCopy:
    def photographs(split: str) -> ImageSet:
        return share_of(SETS[split], "attacker") if split == "background" else SETS[split]

    return OwnCopy(entrant_of(spy), "cell", seed, photographs, REFEREES.attackers, "salt", Settings(), store)


def names_of(images: ImageSet | None) -> set[str]:
    assert images is not None
    assert images.identity is not None
    return {images.identity.classes[value] for value in images.identity.values.tolist()}


@pytest.mark.parametrize("split", ["enrol", "background"])
def test_released_in_the_order_of_the_photographs(split: str, tmp_path: Path) -> None:
    copy = copy_of(Spy(), Store(tmp_path))
    assert torch.equal(copy.released(split), 255 - copy.photographs(split).images)


def test_runs_once_per_split(tmp_path: Path) -> None:
    spy = Spy()
    copy = copy_of(spy, Store(tmp_path))
    for split in ("enrol", "background", "enrol", "background"):
        copy.released(split)
    assert len(spy.handed) == 2
    assert not (tmp_path / "copies").exists()


def test_expensive_output_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "WORTH_KEEPING", -1.0)
    first, second, other = Spy(), Spy(), Spy()
    made = copy_of(first, Store(tmp_path)).released("enrol")
    assert torch.equal(copy_of(second, Store(tmp_path)).released("enrol"), made)
    assert not second.handed
    copy_of(other, Store(tmp_path)).released("background")
    assert len(other.handed) == 1


def test_damaged_output_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "WORTH_KEEPING", -1.0)
    made = copy_of(Spy(), Store(tmp_path)).released("enrol")
    (path,) = (tmp_path / "copies").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert torch.equal(copy_of(Spy(), Store(tmp_path)).released("enrol"), made)
    assert path.read_bytes() == whole


def test_every_split_meets_an_anonymizer_without_memories(tmp_path: Path) -> None:
    used, made = Spy(), []
    used.handed.append((SETS["probe"], Controller()))

    def make() -> Spy:
        made.append(Spy())
        return made[-1]

    copy = copy_of(used, Store(tmp_path))
    copy.entrant = dataclasses.replace(copy.entrant, make=make)
    for split in ("enrol", "background"):
        copy.released(split)
    assert [len(spy.handed) for spy in (used, *made)] == [1, 1, 1]


@pytest.mark.parametrize(("lost", "broken"), [(6, False), (7, True), (12, True)])
def test_who_delivers_next_to_nothing_was_not_attacked(lost: int, broken: bool, tmp_path: Path) -> None:
    class Withholds(Spy):
        def anonymize(self, images: ImageSet, controller: Controller) -> Released:
            return Released(images.images, missing=torch.arange(len(images)) < lost)

    copy = copy_of(Withholds(), Store(tmp_path))
    with pytest.raises(EntrantFailed, match=f"only {12 - lost} of 12") if broken else nullcontext():
        copy.released("enrol")


def test_real_and_attackers_controller_share_nothing(tmp_path: Path) -> None:
    spy, store = Spy(), Store(tmp_path)
    make_release(store, Suite(), entrant_of(spy), 0, Settings())
    copy_of(spy, store).released("enrol")
    (probes, real), (enrol, own) = spy.handed
    assert real.seed != own.seed
    assert names_of(real.train).isdisjoint(names_of(own.train))
    assert names_of(real.train) | names_of(own.train) == set(classes_of("background"))
    assert real.recogniser is not None
    assert own.recogniser is not None
    assert (real.recogniser.name, own.recogniser.name) == ("recogniser", "parrot")
    assert own.recogniser.network is not REFEREES.attackers["parrot"].network
    assert set(probes.keys).isdisjoint(enrol.keys)


def test_recogniser_of_background_knows_the_background(tmp_path: Path) -> None:
    spy = Spy()
    copy_of(spy, Store(tmp_path)).released("background")
    (images, controller) = spy.handed[0]
    assert controller.recogniser is not None
    assert images.identity is not None
    assert controller.recogniser.for_labels(images.identity).name == "embedding"


def test_nothing_undeclared_is_handed_over(tmp_path: Path) -> None:
    class Modest(Spy):
        uses = frozenset()

    spy = Modest()
    copy_of(spy, Store(tmp_path)).released("enrol")
    images, controller = spy.handed[0]
    assert (images.identity, controller.train, controller.recogniser) == (None, None, None)


@pytest.mark.parametrize("seed", [0, 1, 77])
def test_own_seed_is_another_one(seed: int) -> None:
    assert own_seed(seed) != seed
    assert own_seed(seed) == own_seed(seed)


def test_identity_depends_on_the_models_it_hands_over_alone(tmp_path: Path) -> None:
    class Modest(Spy):
        uses = frozenset()

    store = Store(tmp_path)
    spy, modest = copy_of(Spy(), store), copy_of(Modest(), store)
    before = spy.identity, modest.identity
    spy.attackers = modest.attackers = {"parrot": classifier("another", classes_of("enrol"))}
    assert spy.identity != before[0]
    assert modest.identity == before[1]


def test_halves_of_the_background_are_disjoint_and_whole() -> None:
    background = SETS["background"]
    halves = [share_of(background, "controller"), share_of(background, "attacker")]
    assert names_of(halves[0]).isdisjoint(names_of(halves[1]))
    assert sorted([*halves[0].keys, *halves[1].keys]) == sorted(background.keys)


def test_halves_of_photographs_of_unknown_people() -> None:
    background = SETS["background"].without(identity=True)
    halves = [share_of(background, "controller"), share_of(background, "attacker")]
    assert [len(half) for half in halves] == [6, 6]


def test_train_is_the_controllers_half() -> None:
    controller = _controller(Suite(), entrant_of(Spy()), 0, Settings(), quiet)
    assert names_of(controller.train) == names_of(share_of(SETS["background"], "controller"))
