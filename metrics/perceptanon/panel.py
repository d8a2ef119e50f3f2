"""A simulated panel: observers of limited acuity who try to pick a person out of a line-up of originals.

It stands in for human judges where their scores cannot be had, and is never mixed with them. An observer is a small
recogniser that sees every picture at a few pixels only and learned other people, half of the time partly covered. It
is shown a released image and a line-up of original photographs, one of them of the same person, and picks the most
similar one. The score of an image is ``1 + 9 x share of failures`` over all observers and line-ups: 1 = everybody always
finds the person.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from benchmark.hashing import sha256_json
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import SCORING_BATCH, Architecture, Classifier, load_classifier, serialise
from benchmark.learning.networks import embed
from benchmark.learning.training import Recipe, one_thread, train
from benchmark.protocols import Report, quiet
from benchmark.store import Store

FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """Who sits on a panel, and what they are asked.

    Attributes:
        acuities: sides in pixels at which observers see.
        seeds: one observer per acuity and seed.
        width: channels of an observer's network after the stem.
        epochs: passes over what an observer learns from.
        people: photographs in a line-up, each of another person.
        lineups: line-ups per observer and released image.
        seed: of the line-ups.
    """

    acuities: tuple[int, ...] = (12, 16, 24, 32)
    seeds: tuple[int, ...] = (1, 2, 3)
    width: int = 16
    epochs: int = 20
    people: int = 10
    lineups: int = 4
    seed: int = 20261121


@dataclass(frozen=True, eq=False)
class Observer:
    """One judge.

    Attributes:
        name: ``acuity24-seed1``.
        acuity: side in pixels at which it sees.
        classifier: of the people it learned; only its features are used.
    """

    name: str
    acuity: int
    classifier: Classifier

    @torch.inference_mode()
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Unit vectors float32 ``[N, D]`` of uint8 ``[N, 3, H, W]``."""
        network = self.classifier.network
        parts = [embed(network, seen(part, self.acuity).float() / 255) for part in images.split(SCORING_BATCH)]
        return nn.functional.normalize(torch.cat(parts), dim=1)


def seen(images: torch.Tensor, acuity: int) -> torch.Tensor:
    """What is left of uint8 images at ``acuity`` pixels a side: area means, uint8 ``[N, 3, acuity, acuity]``."""
    return nn.functional.interpolate(images.float(), size=(acuity, acuity), mode="area").round().to(torch.uint8)


def covered(images: torch.Tensor, seed: int) -> torch.Tensor:
    """The images, each with a random rectangle painted black or in one colour: uint8 ``[N, 3, H, W]``.

    Observers who never saw a covered face fail at any mask, which people do not.
    """
    generator = torch.Generator().manual_seed(seed)
    count, _, height, width = images.shape
    draw = torch.rand(count, 4, generator=generator)
    rows = _inside(height, draw[:, 0], 0.15 + 0.35 * draw[:, 1])
    columns = _inside(width, draw[:, 2], 0.15 + 0.60 * draw[:, 3])
    colour = torch.randint(256, (count, 3, 1, 1), generator=generator, dtype=torch.uint8)
    colour *= torch.randint(2, (count, 1, 1, 1), generator=generator, dtype=torch.uint8)
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], colour, images)


def _inside(side: int, centre: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Which of ``side`` pixels lie within ``share`` of the side around ``centre`` (both ``[N]``, 0..1): bool ``[N, side]``."""
    pixels = (torch.arange(side) + 0.5) / side
    return (pixels - centre[:, None]).abs() < share[:, None] / 2


def recruit(plan: Plan, people: ImageSet, store: Store, report: Report = quiet) -> list[Observer]:
    """Trains the observers on labelled photographs of people nobody will be asked about, and keeps them by content."""
    assert people.identity is not None

    def observer(acuity: int, seed: int) -> Observer:
        name = f"acuity{acuity}-seed{seed}"
        key = sha256_json([FORMAT, name, plan.width, plan.epochs, people.content])
        path = store.path("panel", f"{key}.safetensors")
        store.remember(path, lambda: _trained(plan, people, acuity, seed, report))
        remedy = f"Delete {path} and run the same command again."
        return Observer(name, acuity, load_classifier(name, path, remedy=remedy))

    return [observer(acuity, seed) for acuity in plan.acuities for seed in plan.seeds]


def _trained(plan: Plan, people: ImageSet, acuity: int, seed: int, report: Report) -> bytes:
    assert people.identity is not None
    known = _renumbered(people.identity)
    architecture = Architecture("small-resnet", known.classes, {"width": plan.width})
    torch.manual_seed(seed)
    network = architecture.build()
    lessons = seen(torch.cat([people.images, covered(people.images, seed)]), acuity)
    title = f"train observer {seed} of acuity {acuity}"
    with report(title, plan.epochs * len(lessons)) as progress, one_thread():
        train(network, lessons, known.values.repeat(2), Recipe(epochs=plan.epochs), seed, progress=progress)
    return serialise(architecture, network)


def _renumbered(labels: Labels) -> Labels:
    """The same labels with only the classes that occur."""
    present, values = torch.unique(labels.values, return_inverse=True)
    return Labels(values, tuple(labels.classes[index] for index in present.tolist()))
