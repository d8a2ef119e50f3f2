"""Recognition by a network that knew the people from clear photographs and learns them again from released ones."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import torch

from benchmark.learning.classifier import Classifier
from benchmark.learning.networks import with_more_classes
from benchmark.learning.training import Recipe, train
from benchmark.protocols import Progress, silent
from metrics.attackers.learners import Learned, Lesson, thinned

SEED = 20250102
RATES = {"small-resnet": 2e-3}
OTHER_RATE = 1e-4
"""Peak learning rate of an architecture nobody tried: large networks forget under the rate of a small one."""


@dataclass(frozen=True)
class Network:
    """Some more training of the suite's recogniser, without augmentation that would break up what a filter left.

    Attributes:
        recogniser: where it starts.
        most: photographs it learns from at most.
        shown: images it is shown at most, one whole pass excepted.
        epochs: passes at most, where there are ``steps``.
        steps: of the optimiser at least, whatever the number of photographs.
        device: torch device name.
        progress: told how many images were shown.
        others: released photographs of background people, who are classes of their own while it learns: uint8
            ``[B, 3, H, W]``; and int64 ``[B]``, who is on them, 0..; None where there are none.
    """

    recogniser: Classifier
    most: int
    shown: int
    epochs: int = 2
    steps: int = 30
    device: str = "cpu"
    progress: Progress = field(default=silent, repr=False)
    others: tuple[torch.Tensor, torch.Tensor] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """``network``."""
        return "network"

    def recipe(self, count: int) -> Recipe:
        """How it learns from so many photographs."""
        epochs = max(1, min(self.epochs, self.shown // max(1, count)))
        rate = RATES.get(self.recogniser.architecture.name, OTHER_RATE)
        return Recipe(
            epochs=epochs,
            min_steps=self.steps,
            batch=32,
            rate=rate,
            shift=0.0,
            zoom=0.0,
            turn=0.0,
            gain=0.05,
            flip=False,
        )

    def learn(self, lesson: Lesson) -> Learned:
        """Learns from the photographs that are not held out."""
        kept = (~lesson.checked).nonzero().flatten()
        kept = kept[thinned(lesson.people[kept], self.most)]
        images, people = lesson.images[kept], lesson.people[kept]
        network = copy.deepcopy(self.recogniser.network)
        if self.others is not None:
            images = torch.cat([images, self.others[0]])
            people = torch.cat([people, lesson.count + self.others[1]])
            with_more_classes(network, int(self.others[1].max()) + 1)
        network.requires_grad_(True)
        train(network, images, people, self.recipe(len(kept)), SEED, self.device, progress=self.progress)
        taught = Classifier(self.name, self.recogniser.architecture, network.to(self.device), sha256="")

        def read(images: torch.Tensor) -> torch.Tensor:
            return taught.logits(images)[:, : lesson.count].log_softmax(1)

        return Learned(read(lesson.images[lesson.checked]), read)

    def images_shown(self, lesson: Lesson) -> int:
        """How many images ``learn`` will show, for the report of progress."""
        count = min(int((~lesson.checked).sum()), self.most)
        recipe = self.recipe(count)
        count += 0 if self.others is None else len(self.others[0])
        return count * max(recipe.epochs, math.ceil(recipe.min_steps / math.ceil(count / recipe.batch)))
