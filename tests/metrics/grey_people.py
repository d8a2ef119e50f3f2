"""Planted releases: images of one grey level, which a network sees as points on a half circle."""

from __future__ import annotations

import numpy as np
import torch

from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.learning.networks import SmallResNet
from benchmark.protocols import KAnonymityClaim, Metric, Referees
from benchmark.records import Score


class GreyOnACircle(SmallResNet):
    """Sees the mean grey level as an angle, so that distances are known."""

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        angle = images.mean((1, 2, 3)) * torch.pi
        return torch.stack([angle.cos(), angle.sin()], 1)


ON_A_CIRCLE = Classifier(
    "embedding", Architecture("small-resnet", ("a", "b"), {"width": 4}), GreyOnACircle(2, 4), "f" * 64
)


def grey(levels: list[int], names: str, **attributes: list[int]) -> ImageSet:
    """One image per level, of the person of that letter."""
    images = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4).contiguous()
    classes = tuple(sorted(set(names)))
    who = Labels(torch.tensor([classes.index(name) for name in names]), classes)
    kinds = {name: Labels(torch.tensor(values), ("0", "1", "2")) for name, values in attributes.items()}
    return ImageSet(images, tuple(f"{row:02d}" for row in range(len(names))), who, kinds)


def apart(one: float, other: float) -> float:
    """Distance of two levels: a chord of the circle."""
    return 2 * float(np.sin(abs(one - other) / 255 * np.pi / 2))


CALIBRATION = grey([0, 10, 100, 110, 200, 210], "uuvvww")
"""Pairs of one person are 10 levels apart, pairs of two at least 90."""


def referees(group: list[int] | None, k: int = 2, splits: dict[str, ImageSet] | None = None) -> Referees:
    empty = grey([0], "a")[:0]
    given = {"spare": CALIBRATION} if splits is None else splits
    return Referees(
        attackers={"embedding": ON_A_CIRCLE},
        photographs=lambda split: given.get(split, empty),
        claim=KAnonymityClaim(k, None if group is None else torch.tensor(group)),
    )


ORIGINAL = grey(
    [10, 20, 40, 60, 100, 140, 200, 210], "aabcdeff", mood=[0, 1, 1, 1, 0, 0, 0, 0], hat=[0, 0, 0, 0, 1, 1, 1, 2]
)
GROUP = [0, 0, 0, 0, 7, 7, 7, 7]
"""People a, b, c with 40 as their surrogate; d, e, f with 140, which is e's own photograph."""
RELEASED = ORIGINAL.with_images(grey([40] * 4 + [140] * 4, "aabcdeff").images)


def scored(metric: Metric, released: ImageSet = RELEASED, given: Referees | None = None) -> Score:
    return metric.score(ORIGINAL, released, given or referees(GROUP)).score
