"""Utility, trained: what a classifier that learned from released photographs knows about originals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import nn

from benchmark.hashing import sha256_json, sha256_tensor
from benchmark.images import ImageSet, Labels
from benchmark.kept import Tensors, kept
from benchmark.learning.classifier import SCORING_BATCH
from benchmark.learning.training import Loss, Recipe, one_thread, train
from benchmark.protocols import EntrantCopy, Missing, Referees, Scores
from benchmark.records import MetricCard, ParamValue
from benchmark.specs import Spec
from metrics.answers import not_applicable, unavailable
from metrics.utility import DIRECTIONS, f1_scores, no_such_attribute

FORMAT = 1
FOLDER = "utility-train"
SMOOTHING = 0.05
DROPOUT = 0.1


class PlacedNet(nn.Module):
    """Three convolutions that each halve the resolution, and a linear layer that knows where on the face things are.

    After a second of training it knows more than a residual network with a global mean: portraits are aligned, so
    places mean something.

    Args:
        outputs: number of logits.
        side: of the images in pixels.
        width: channels after the first convolution; the others have 2 and 4 times as many.
    """

    def __init__(self, outputs: int, side: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, left = 3, side
        for number, kernel in enumerate((5, 3, 3)):
            more = width * 2**number
            layers += [nn.Conv2d(channels, more, kernel, 2, kernel // 2, bias=False), nn.BatchNorm2d(more), nn.ReLU()]
            channels, left = more, (left + 1) // 2
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(DROPOUT))
        self.heads = nn.Linear(channels * left * left, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Float RGB in [0, 1], ``[N, 3, side, side]``, to the logits of all heads, ``[N, outputs]``."""
        logits: torch.Tensor = self.heads(self.trunk((images - 0.5) * 4))
        return logits


def shrunk(images: torch.Tensor, side: int) -> torch.Tensor:
    """uint8 ``[N, 3, H, W]`` to uint8 ``[N, 3, side, side]`` by means over areas."""
    parts = [
        nn.functional.adaptive_avg_pool2d(part.float(), side).round().to(torch.uint8)
        for part in images.split(SCORING_BATCH)
    ]
    return torch.cat(parts)


def loss_of_heads(sizes: list[int]) -> Loss:
    """Sum of the cross-entropies of several heads, whose logits lie side by side.

    Args:
        sizes: classes per head; targets are int64 ``[N, heads]``.
    """

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        parts = zip(logits.split(sizes, 1), targets.unbind(1), strict=True)
        losses = [nn.functional.cross_entropy(head, truth, label_smoothing=SMOOTHING) for head, truth in parts]
        return torch.stack(losses).sum()

    return loss


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Lesson:
    """How the classifier is trained.

    Attributes:
        epochs: passes over the background photographs.
        batch: photographs per step.
        rate: peak learning rate.
        width: channels after the first convolution.
        side: photographs are averaged down to half their side, and to this many pixels at most.
        seed: of weights, order and dropout.
    """

    epochs: int
    batch: int
    rate: float
    width: int
    side: int
    seed: int

    def learned(self, images: torch.Tensor, labels: Mapping[str, Labels], asked: torch.Tensor) -> Tensors:
        """Trains on some images, and names the classes of others.

        Args:
            images: uint8 ``[N, 3, H, W]``.
            labels: of the same, by attribute.
            asked: uint8 ``[M, 3, H, W]``.

        Returns:
            int64 ``[M]`` by attribute. Where all images are the same there is nothing to learn, and the answer is
            the most frequent class.
        """
        if bool((images == images[:1]).all()):
            return {name: part.values.bincount().argmax().repeat(len(asked)) for name, part in labels.items()}
        names, sizes = list(labels), [len(part.classes) for part in labels.values()]
        side = max(1, min(self.side, images.shape[-1] // 2))
        targets = torch.stack([part.values for part in labels.values()], 1)
        network = self._trained(shrunk(images, side), targets, sizes, side)
        with torch.inference_mode(), one_thread():
            parts = [network(part.float() / 255) for part in shrunk(asked, side).split(SCORING_BATCH)]
        heads = torch.cat(parts).split(sizes, 1)
        return {name: head.argmax(1).clone() for name, head in zip(names, heads, strict=True)}

    def _trained(self, images: torch.Tensor, targets: torch.Tensor, sizes: list[int], side: int) -> nn.Module:
        recipe = Recipe(
            epochs=self.epochs, batch=self.batch, rate=self.rate, smoothing=SMOOTHING,
            shift=0.0, zoom=0.0, turn=0.0, gain=0.0, flip=False,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]), one_thread():
            torch.manual_seed(self.seed)
            network = PlacedNet(sum(sizes), side, self.width)
            return train(network, images, targets, recipe, self.seed, loss=loss_of_heads(sizes))

    def kept(
        self, images: torch.Tensor, labels: Mapping[str, Labels], asked: torch.Tensor, referees: Referees
    ) -> Tensors:
        """The same, kept by the content of all it depends on: equal photographs give equal answers, computed once."""
        named = {name: [list(part.classes), part.values.tolist()] for name, part in labels.items()}
        parts = [FORMAT, dataclasses.asdict(self), sha256_json(named), sha256_tensor(images), sha256_tensor(asked)]
        return kept(referees.store, FOLDER, parts, lambda: self.learned(images, labels, asked))

    @property
    def key(self) -> str:
        """The settings as a text."""
        return sha256_json(dataclasses.asdict(self))


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class F1Train:
    """Macro F1 of one attribute on originals, predicted by a classifier that was trained on released photographs.

    One network learns all attributes at once; see ``Lesson`` for its settings.
    """

    attribute: str
    epochs: Annotated[int, Field(ge=1)] = 8
    batch: Annotated[int, Field(ge=2)] = 64
    rate: Annotated[float, Field(gt=0)] = 0.02
    width: Annotated[int, Field(ge=1)] = 8
    side: Annotated[int, Field(ge=8, description="pixels, at most; never more than half the photographs' side")] = 48
    seed: Annotated[int, Field(ge=0)] = 6

    @property
    def lesson(self) -> Lesson:
        """How the classifier is trained."""
        return Lesson(**{part.name: getattr(self, part.name) for part in dataclasses.fields(Lesson)})

    @property
    def name(self) -> str:
        """Name on the card: the attribute, and what is not the default."""
        given: dict[str, ParamValue] = {}
        for part in dataclasses.fields(self):
            value: Any = getattr(self, part.name)
            if part.default != value:
                given[part.name] = value
        return str(Spec("f1-train", given))

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        return MetricCard(
            name=self.name,
            version=1,
            title=f"F1 {self.attribute.replace('_', ' ')}, trained on released",
            group="utility",
            unit="share",
            higher_is_better=True,
            range=(0.0, 1.0),
            definition=(
                f"Macro F1 of {self.attribute} on the original probes, predicted by a small network that was trained from "
                "scratch on released photographs of other people with their true labels: what the released images teach. "
                f"The interval is over probes, not over trainings. {DIRECTIONS} There, originals are the same network "
                "trained on the original photographs."
            ),
            needs_copy=True,
            calibration=(
                "Releasing originals gives the value on originals to the bit; releasing one image for all gives the F1 of "
                "one class; a colour that carries the label is learned where it is kept and not where it is destroyed."
            ),
            source="Yuan et al., Safe Fakes, 2021 (arXiv 2104.11721)",
        )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Macro F1 on the original probes, with ``originals``, ``always-majority`` and ``chance`` as anchors.

        Raises:
            EntrantFailed: the entrant raised on the background photographs.
            ValueError: background and probes have other classes.
        """
        labels, count = original.attributes.get(self.attribute), len(original)
        if referees.copy is None:
            reason = "this entrant can release nothing but the probe images, and this trains on others"
            remedy = "Enter it as a class or a command to have it run on background photographs"
            return unavailable(self.name, Missing(reason, remedy), count)
        background = None if referees.photographs is None else referees.photographs("background")
        if background is None or not len(background):
            reason = "the data hold no photographs of other people to train on"
            return not_applicable(self.name, reason, count)
        if labels is None or self.attribute not in background.attributes:
            return no_such_attribute(self.name, self.attribute, count)
        if background.attributes[self.attribute].classes != labels.classes:
            raise ValueError(f"the classes of {self.attribute} differ between background photographs and probes")
        predicted, clean = self._answers(referees.copy, background, original.images, referees)
        return f1_scores(self.name, original, labels, predicted[self.attribute], clean[self.attribute])

    def _answers(
        self, copy: EntrantCopy, background: ImageSet, asked: torch.Tensor, referees: Referees
    ) -> tuple[Tensors, Tensors]:
        """After a training on what the copy makes of the background, and on the background; all attributes share them."""

        def make() -> tuple[Tensors, Tensors]:
            released, labels = copy.released("background"), background.attributes
            taught = self.lesson.kept(released, labels, asked, referees)
            return taught, self.lesson.kept(background.images, labels, asked, referees)

        return copy.once(f"{FOLDER} {self.lesson.key}", make)
