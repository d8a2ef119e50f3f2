"""Means in the space of eigenfaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from anonymizers.conventional.ksame import number_persons
from anonymizers.kanonymity.surrogates.base import Request, group_means, in_content_order, other_people, settled
from anonymizers.kanonymity.surrogates.components import Components, enough, learn_components
from benchmark.filters import to_bytes
from benchmark.images import ImageSet

Basis = Literal["train", "set"]
"""Who a model is learned from: other people, or the people of the set itself."""


def basis_images(surrogate: str, basis: Basis, request: Request) -> ImageSet:
    """The images a model is learned from, in the order of their content.

    Raises:
        EntrantError: they should be of other people, and there are none.
    """
    return other_people(surrogate, request.controller) if basis == "train" else in_content_order(request.images)


def person_means(images: ImageSet) -> torch.Tensor:
    """Mean images of persons, float64 ``[M, 3 * H * W]``, in the order of their first image; enough to learn from."""
    found = number_persons(images)
    first = list(dict.fromkeys(found.tolist()))
    number = torch.empty(len(first), dtype=torch.int64)
    number[torch.tensor(first)] = torch.arange(len(first))
    counts = found.bincount()[torch.tensor(first)]
    chosen = enough(len(first), images.images[0].numel())
    sums = torch.zeros(chosen, images.images[0].numel(), dtype=torch.int32)
    rows = (number[found] < chosen).nonzero().flatten()
    for part in rows.split(64):
        sums.index_add_(0, number[found[part]], images.images[part].flatten(1).int())
    return sums.double() / counts[:chosen, None]


@dataclass(frozen=True)
class Eigenfaces:
    """The mean of a group after a principal component analysis of the persons' mean images.

    Attributes:
        components: below 1, the share of variance to keep; else the number of components, at most.
        basis: ``train`` learns the components from other people, so that a surrogate depends on its group alone;
            ``set`` learns them from the set itself, as k-Same does in its publication: then whoever else is in the set
            has a part in the axes, though not in the mean.
    """

    components: float = 0.95
    basis: Basis = "train"

    source: ClassVar[str] = "Newton, Sweeney and Malin, Preserving Privacy by De-identifying Face Images, TKDE 2005"

    @property
    def uses(self) -> frozenset[str]:
        """Who is on the images, and other people where the basis is theirs."""
        return frozenset({"identity"}) | ({"train"} if self.basis == "train" else frozenset())

    def render(self, request: Request) -> torch.Tensor:
        """Reconstructed means, uint8 ``[G, 3, H, W]``.

        Raises:
            EntrantError: the components should be learned from other people, and there are none.
        """
        surrogates = settled(self.learn(request).nearest(group_means(request)))
        return to_bytes(surrogates).reshape(request.count, *request.images.images.shape[1:])

    def learn(self, request: Request) -> Components:
        """The eigenfaces."""
        return learn_components(person_means(basis_images("eigenfaces", self.basis, request)), self.components)
