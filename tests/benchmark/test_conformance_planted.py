"""Every way to break the protocol is found by the check that is for it, and by no other."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager
from typing import ClassVar

import pytest
import torch

from benchmark.conformance import Examination, examine
from benchmark.errors import EntrantError, EnvironmentProblem, UsageError
from benchmark.filters import Filter
from benchmark.images import ImageSet, Released
from benchmark.protocols import Controller, Progress, quiet


def inverted(images: ImageSet) -> torch.Tensor:
    return 255 - images.images


def flat(images: torch.Tensor) -> torch.Tensor:
    """Which pictures have one colour."""
    return (images.flatten(2).amax(2) == images.flatten(2).amin(2)).all(1)


class Sound(Filter):
    """Breaks nothing: the others differ from it in one thing."""

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        return inverted(images)


class Whole:
    """Breaks nothing, and sees the whole set."""

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(inverted(images))


class Reversed(Filter):
    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(inverted(images).flip(0))


class SortedByBrightness(Filter):
    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        order = images.images.double().mean((1, 2, 3)).argsort(stable=True)
        return Released(inverted(images)[order])


class SetLevelInOrder:
    """Every image takes something of the one before it."""

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(images.images // 2 + images.images.roll(1, 0) // 4)


class MeanOfTheSet(Filter):
    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released((images.images // 2 + images.images.double().mean(0) / 4).to(torch.uint8))


class MeanOfTheBatch(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        return (images.images // 2 + images.images.double().mean(0) / 4).to(torch.uint8)


class Drops:
    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(inverted(images)[1:])


class DropsASingleOne(Filter):
    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(inverted(images)[: len(images) if len(images) > 1 else 0])


class Floats(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        return images.images.float() / 255


class NotANumber(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        return torch.full(images.images.shape, float("nan"))


class Smaller(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        return inverted(images)[:, :, ::2, ::2]


class Bare(Filter):
    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return inverted(images)  # type: ignore[return-value]


class OddFields(Filter):
    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(inverted(images), missing=[False] * len(images))  # type: ignore[arg-type]


class Mutates(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        released = inverted(images)
        images.images[:, 0, 0, 0] += 1
        return released


class MutatesLabels:
    uses: ClassVar[frozenset[str]] = frozenset({"identity"})

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        assert images.identity is not None
        released = (inverted(images) // 2 + images.identity.values[:, None, None, None]).to(torch.uint8)
        images.identity.values.zero_()
        return Released(released)


class Unseeded(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        return torch.randint(0, 256, images.images.shape).to(torch.uint8)


class UnseededAndSaysSo(Unseeded):
    deterministic = False


class Counts(Filter):
    """Remembers how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        self.calls += 1
        return Released(inverted(images) // self.calls)


class CrashesOnGrey(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        spread = images.images.amax(1).int() - images.images.amin(1).int()
        if bool(((spread.flatten(1).amax(1) == 0) & ~flat(images.images)).any()):
            raise ZeroDivisionError("no colour")
        return inverted(images)


class CrashesWithoutAFace(Filter):
    """As one that looks for edges where hair begins."""

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        sky = flat(images.images[:, :, : images.size[0] // 3])
        if bool((sky & ~flat(images.images)).any()):
            raise IndexError("list index out of range")
        return inverted(images)


class CrashesOnOddSizes(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        if images.size[0] % 2:
            raise ValueError("cannot be halved")
        return inverted(images)


class CrashesOnFlatOnes(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        if bool(flat(images.images).any()):
            raise SystemExit(3)
        return inverted(images)


class RefusesOddSizes(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        if images.size[0] % 2:
            raise EntrantError("it takes even sizes alone")
        return inverted(images)


class CommandThatStopsOnOddSizes(RefusesOddSizes):
    kind = "process"


class CommandThatStopsOnFlatOnes(Filter):
    """A command cannot say why it stops; what is an error of its own in Python is a crash here."""

    kind = "process"

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        if bool(flat(images.images).any()):
            raise EntrantError("the command ended with 1")
        return inverted(images)


class PythonThatRefusesFlatOnes(CommandThatStopsOnFlatOnes):
    kind = "python"


class CrashesOnMixtures(Filter):
    """Each kind alone is fine; flat and other ones together are not."""

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        if 4 <= int(flat(images.images).sum()) < len(images):
            raise RuntimeError("too mixed")
        return inverted(images)


class TouchesIdentity(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        return (inverted(images) // 2 + images.identity.values[:, None, None, None]).to(torch.uint8)  # type: ignore[union-attr]


class TouchesTrain(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        return inverted(images) // len(controller.train)  # type: ignore[arg-type]


class TouchesTwo(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        if images.landmarks is None or controller.recogniser is None:
            raise KeyError("landmarks")
        return inverted(images)


class NeverWorks(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        raise RuntimeError("two\nlines")


class Declares(Filter):
    uses: ClassVar[frozenset[str]] = frozenset({"identity", "attributes", "landmarks", "train", "recogniser"})

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        return inverted(images)


class UsesAll(Filter):
    """Depends on everything it declares."""

    uses: ClassVar[frozenset[str]] = Declares.uses

    def fit(self, train: ImageSet, controller: Controller) -> None:
        self.level = int(train.images.long().sum()) % 251

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        assert images.identity is not None
        assert images.landmarks is not None
        assert controller.recogniser is not None
        marks = images.identity.values + sum(part.values for part in images.attributes.values())
        marks = marks + images.landmarks.sum((1, 2)).long() + controller.recogniser.predictions(images.images)
        return (inverted(images) + (marks + self.level)[:, None, None, None]).to(torch.uint8)


class Claims:
    """Claims that three share an image, and says who."""

    uses: ClassVar[frozenset[str]] = frozenset({"identity"})
    k_anonymity: ClassVar[int] = 3
    people: ClassVar[int] = 4

    def notes(self, group: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"group": group}

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        assert images.identity is not None
        group = images.identity.values // self.people
        means = torch.stack([images.images[group == number].double().mean(0) for number in group.unique()])
        place = torch.unique(group, return_inverse=True)[1]
        return Released(means.to(torch.uint8)[place], self.notes(group))


class ClaimsWithoutGroups(Claims):
    def notes(self, group: torch.Tensor) -> dict[str, torch.Tensor]:
        return {}


class ClaimsWithFractions(Claims):
    def notes(self, group: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"group": group.double()}


class ClaimsTooMuch(Claims):
    people: ClassVar[int] = 2


class NoOp(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        return images.images.clone()


class HandsBackItsInput(Filter):
    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(images.images)


class Flat(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        return torch.full_like(images.images, 7)


class DeliversNothing(Filter):
    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(inverted(images), missing=torch.ones(len(images), dtype=torch.bool))


class MissesFlatOnes(Filter):
    """As a tool that finds no face there."""

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(inverted(images), missing=flat(images.images))


class NoWeights(Filter):
    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        raise EnvironmentProblem("weights are missing. Try: anonbench weights fetch x")


@dataclasses.dataclass(frozen=True)
class Strong(Filter):
    strength: int = 1

    def __post_init__(self) -> None:
        if self.strength > 3:
            raise ValueError("strength is at most 3")


def tried(kind: type) -> Examination:
    return examine(f"{__file__}:{kind.__name__}")


def verdicts(found: Examination, verdict: str) -> list[str]:
    return [part.check for part in found.findings if part.verdict == verdict]


def text_of(found: Examination, check: str) -> str:
    return next(part.text for part in found.findings if part.check == check)


@pytest.mark.parametrize("kind", [Sound, Whole, UsesAll, Claims], ids=lambda kind: kind.__name__)
def test_sound_entrants_pass_without_a_note(kind: type) -> None:
    found = tried(kind)
    assert found.ok
    assert {part.verdict for part in found.findings} == {"pass"}, found.text()


@pytest.mark.parametrize(
    ("kind", "checks", "words"),
    [
        (Reversed, ["order"], "n-th released image"),
        (SortedByBrightness, ["order"], "n-th released image"),
        (MeanOfTheSet, ["parts"], "shardable = False"),
        (MeanOfTheBatch, ["batches"], "batch_size"),
        (Drops, ["protocol"], "one released image per original"),
        (DropsASingleOne, ["single image"], "one released image per original"),
        (Floats, ["protocol"], "uint8 tensor, not torch.float32"),
        (NotANumber, ["protocol"], "uint8 tensor, not torch.float32"),
        (Smaller, ["protocol"], "same size"),
        (Bare, ["protocol"], "must return benchmark.images.Released, not Tensor"),
        (OddFields, ["protocol"], "AttributeError"),
        (Mutates, ["input"], "work on a copy"),
        (MutatesLabels, ["input"], "work on a copy"),
        (Unseeded, ["determinism"], "benchmark.seeding"),
        (Counts, ["order"], "differently"),
        (CrashesOnGrey, ["grey"], "ZeroDivisionError: no colour"),
        (CrashesWithoutAFace, ["no face"], "IndexError: list index out of range"),
        (CrashesOnFlatOnes, ["one colour"], "SystemExit: 3"),
        (CommandThatStopsOnFlatOnes, ["one colour"], "the command ended with 1"),
        (CrashesOnOddSizes, ["size 33 x 33", "size 61 x 97"], "ValueError: cannot be halved"),
        (CrashesOnMixtures, ["mixed pictures"], "RuntimeError: too mixed"),
        (TouchesIdentity, ["uses"], "does not declare (identity)"),
        (TouchesTrain, ["uses"], "does not declare (train)"),
        (TouchesTwo, ["uses"], "attributes, identity, landmarks, recogniser, train"),
        (NeverWorks, ["protocol"], "RuntimeError: two lines"),
        (ClaimsWithoutGroups, ["k-anonymity"], "publishes no groups"),
        (ClaimsWithFractions, ["k-anonymity"], "publishes no groups"),
        (ClaimsTooMuch, ["k-anonymity"], "the smallest has 2"),
        (DeliversNothing, ["effect"], "delivers none of 16"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_is_broken_is_found_by_its_check_alone(kind: type, checks: list[str], words: str) -> None:
    found = tried(kind)
    assert list(found.failed) == checks, found.text()
    assert words in text_of(found, checks[0])
    assert not found.ok
    assert all(part.text.isprintable() for part in found.findings)


@pytest.mark.parametrize(
    ("kind", "checks", "words"),
    [
        (SetLevelInOrder, ["order"], "not cut into parts"),
        (UnseededAndSaysSo, ["determinism", "order"], "differ from run to run"),
        (RefusesOddSizes, ["size 33 x 33", "size 61 x 97"], "it refuses: it takes even sizes alone"),
        (CommandThatStopsOnOddSizes, ["size 33 x 33", "size 61 x 97"], "it takes even sizes alone"),
        (PythonThatRefusesFlatOnes, ["one colour"], "the command ended with 1"),
        (NoOp, ["effect"], "16 of 16 plain faces are released unchanged"),
        (HandsBackItsInput, ["effect"], "16 of 16 plain faces are released unchanged"),
        (Flat, ["effect"], "16 of 16 plain faces are released as one colour"),
        (MissesFlatOnes, ["one colour"], "missing: 4 of 4"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_is_odd_is_noted_and_fails_nothing(kind: type, checks: list[str], words: str) -> None:
    found = tried(kind)
    assert found.ok, found.text()
    assert verdicts(found, "note") == checks, found.text()
    assert words in text_of(found, checks[0])


def test_every_use_that_changes_nothing_is_noted() -> None:
    found = tried(Declares)
    assert found.ok
    assert verdicts(found, "note") == [f"uses {name}" for name in sorted(Declares.uses)]


def test_what_is_not_repeatable_is_not_blamed_for_order() -> None:
    assert {"batches", "order"} <= set(verdicts(tried(Unseeded), "note"))


def test_what_the_machine_lacks_is_no_fault_of_the_entrant() -> None:
    with pytest.raises(EnvironmentProblem, match="weights fetch"):
        tried(NoWeights)


def test_errors_of_building_keep_their_class() -> None:
    with pytest.raises(UsageError, match="strength is at most 3"):
        examine(f"{__file__}:Strong(strength=4)")
    with pytest.raises(UsageError, match="defines no class"):
        examine(f"{__file__}:Stron")


def test_a_ready_made_entrant_is_tried_as_it_is() -> None:
    from benchmark.registry import build_entrant

    built = build_entrant("blur(kernel=9)")
    assert examine(built).text().splitlines()[:-3] == examine("blur(kernel=9)").text().splitlines()[:-3]


@pytest.mark.parametrize(("kind", "calls"), [(Sound, 8), (Whole, 8), (CrashesOnGrey, 13)])
def test_calls_are_few_because_a_command_takes_a_second_for_each(kind: type, calls: int) -> None:
    """One per check; kinds of pictures are tried one by one only where all together failed."""
    titles: list[str] = []

    def report(title: str, total: int) -> AbstractContextManager[Progress]:
        titles.append(title)
        return quiet(title, total)

    examine(f"{__file__}:{kind.__name__}", report)
    assert len(titles) == calls


def test_seconds_are_those_of_the_plain_faces() -> None:
    found = tried(Sound)
    assert found.seconds_per_image is not None
    assert 0 < found.seconds_per_image < 1
    assert tried(Drops).seconds_per_image is None
