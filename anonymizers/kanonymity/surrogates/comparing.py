"""Whether the members of a group resemble their surrogate: what the adjusted mix looks at."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizers.kanonymity import embeddings
from anonymizers.kanonymity.persons import Persons
from anonymizers.kanonymity.surrogates.base import Request, group_means
from benchmark.errors import EntrantError
from benchmark.faces import usable
from benchmark.images import ImageSet
from benchmark.statistics import equal_error_threshold, rows_of_some

PAIRED = 1500
"""Photographs whose pairs say where one person ends and another begins, at most."""


class Comparison:
    """Draws surrogates and says how far every person is from the one of their group.

    Args:
        request: the persons and their groups.
        embedding: by which they are compared; a surrogate has its group's mean landmarks.
        draw: latents ``[g, layers, style]`` to uint8 ``[g, 3, H, W]``.
    """

    def __init__(self, request: Request, embedding: str, draw: Callable[[Tensor], Tensor]) -> None:
        self.request, self.draw = request, draw
        self.space = embeddings.embedding(embedding, request.images, request.controller)
        self.persons = Persons(request.of_image, known=True)
        self.originals = self.space.describe(request.images)

    @cached_property
    def threshold(self) -> float:
        """Distance up to which a person counts as recognised.

        Raises:
            EntrantError: nothing says where that is.
        """
        if self.space.threshold is not None:
            return self.space.threshold
        contents = self.request.contents
        rank = torch.tensor(sorted(range(len(contents)), key=contents.__getitem__)).argsort()
        return same_person(self.originals, rank[self.request.of_image])

    @cached_property
    def landmarks(self) -> Tensor | None:
        """Mean landmarks of each group, float32 ``[G, 5, 2]``; None where not all images have them."""
        points = self.request.images.landmarks
        if points is None or not bool(usable(points).all()):
            return None
        return group_means(self.request, landmark_values).view(-1, *points.shape[1:]).float()

    def __call__(self, latents: Tensor, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean distance of every person's photographs from the surrogate, ``[P]``; NaN where there is none."""
        found = self.space.describe(self._surrogates(latents, groups))
        place = torch.full((self.request.count,), -1, dtype=torch.int64)
        place[torch.from_numpy(groups)] = torch.arange(len(groups))
        rows = place[self.request.group_of_image]
        distances = (self.originals - found[rows]).norm(dim=1)
        distances[rows < 0] = torch.nan
        unseen = torch.zeros(self.persons.count, dtype=torch.bool)
        unseen[self.request.of_image[distances.isnan()]] = True  # no surrogate, or no face on it: not a distance of 0
        return self.persons.means(distances.nan_to_num(0)[:, None])[:, 0].masked_fill(unseen, torch.nan).numpy()

    def _surrogates(self, latents: Tensor, groups: NDArray[np.int64]) -> ImageSet:
        points = None if self.landmarks is None else self.landmarks[torch.from_numpy(groups)]
        keys = tuple(f"surrogate-{group}" for group in groups.tolist())
        return ImageSet(self.draw(latents), keys, landmarks=points)


def landmark_values(images: ImageSet) -> Tensor:
    """Landmarks as they are, float64 ``[N, 10]``."""
    assert images.landmarks is not None
    return images.landmarks.flatten(1).double()


def same_person(values: Tensor, who: Tensor) -> float:
    """The distance at which as many pairs of one person lie beyond as pairs of two persons lie within.

    Args:
        values: embeddings ``[N, D]``.
        who: int64 ``[N]``; of more than ``PAIRED`` photographs those of the persons with the lowest numbers count, of
            persons with several photographs before others.

    Raises:
        EntrantError: nobody has two photographs, or there is one person only.
    """
    rows = rows_of_some(who, PAIRED)
    one, other = torch.triu_indices(len(rows), len(rows), 1)
    same = (who[rows][one] == who[rows][other]).numpy()
    if not same.any() or same.all():
        lacking = "two persons" if same.any() else "two photographs of anybody"
        raise EntrantError(
            f"mix=adjusted learns from pairs of photographs how far apart one person's are, and there are not {lacking}: "
            "use mix=naive, or an embedding with a threshold of its own"
        )
    distances = torch.nn.functional.pdist(values[rows]).numpy()
    return equal_error_threshold(distances[same], distances[~same])[0]
