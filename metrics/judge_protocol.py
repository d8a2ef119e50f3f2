"""Whoever names a class for every image: the suite's own classifier, or networks from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from benchmark.errors import UsageError
from benchmark.images import Labels
from benchmark.learning.classifier import Classifier

NO_CLASS = -1
"""The prediction for an image that shows no class: it was never released, or no face was found on it."""


class Judge(Protocol):
    """Whoever names a class for every image."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...

    @property
    def weights(self) -> dict[str, str]:
        """sha256 by name of the models, those of the suite excepted."""
        ...

    def predictions(self, images: torch.Tensor, landmarks: torch.Tensor | None) -> torch.Tensor:
        """Indices into ``classes``, int64 ``[N]``; -1 where no face was found.

        Args:
            images: uint8 ``[N, 3, H, W]``.
            landmarks: of the originals, float32 ``[N, 5, 2]`` as in ``ImageSet``, or None.
        """
        ...


@dataclass(frozen=True)
class SuiteJudge:
    """The suite's own classifier as a judge; the suite pins its weights."""

    classifier: Classifier

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.classifier.classes

    @property
    def weights(self) -> dict[str, str]:
        """None but the suite's."""
        return {}

    def predictions(self, images: torch.Tensor, landmarks: torch.Tensor | None) -> torch.Tensor:
        """Most likely class per image, int64 ``[N]``; landmarks are not looked at."""
        return self.classifier.predictions(images)


def in_classes_of(labels: Labels, judge: Judge) -> torch.Tensor:
    """The label class of each of the judge's classes by name, whatever its case: int64 ``[C]``, ``NO_CLASS`` for others.

    Raises:
        UsageError: the judge does not know a class of the labels.
    """
    own = [name.casefold() for name in labels.classes]
    known = [name.casefold() for name in judge.classes]
    unknown = [name for name in labels.classes if name.casefold() not in known]
    if unknown:
        raise UsageError(
            f"the judge does not know the class '{unknown[0]}'; it knows {', '.join(judge.classes)}. Rename the classes of "
            "the data, or take the suite's classifier: judge=suite"
        )
    return torch.tensor([own.index(name) if name in own else NO_CLASS for name in known], dtype=torch.int64)


def placed(answers: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """A judge's answers (int64 ``[N]``) as classes of the labels, by the table of ``in_classes_of``."""
    return torch.where(answers == NO_CLASS, NO_CLASS, place[answers.clamp(min=0)])
