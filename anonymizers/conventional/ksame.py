"""k-Same: every released image is shared by at least k persons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from benchmark.errors import EntrantError
from benchmark.filters import to_bytes
from benchmark.images import ImageSet, Released
from benchmark.protocols import Controller

GroupSize = Annotated[int, Field(ge=2, le=1_000_000, description="persons who share an image, at least")]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Components = Annotated[
    Share | Count, Field(description="below 1: share of variance to keep; else number of components, at most")
]

COLUMNS = 4096
"""Pixels per step of a matrix product, which bounds the memory in float64."""


@plain_dataclass(frozen=True)
class Persons:
    """The photographs of a set, added up per person.

    Attributes:
        of_image: int64 ``[N]``, the person of each image; persons are numbered by their first key in sorted order.
        sums: int32 ``[P, 3 * H * W]``, exact sums of grey levels.
        counts: float64 ``[P, 1]``, photographs per person.
    """

    of_image: torch.Tensor
    sums: torch.Tensor
    counts: torch.Tensor

    def means(self, index: torch.Tensor | slice = slice(None), columns: slice = slice(None)) -> torch.Tensor:
        """Mean images of some persons, float64 ``[M, D]``."""
        return self.sums[index, columns].double() / self.counts[index]

    def blocks(self) -> Iterator[slice]:
        """Consecutive columns, few enough for all persons to be held in float64."""
        for start in range(0, self.sums.shape[1], COLUMNS):
            yield slice(start, start + COLUMNS)


def number_persons(images: ImageSet) -> torch.Tensor:
    """Numbers persons by their first key in sorted order, int64 ``[N]``; without labels each image is a person."""
    labels = range(len(images)) if images.identity is None else images.identity.values.tolist()
    numbers: dict[int, int] = {}
    for row in sorted(range(len(images)), key=images.keys.__getitem__):
        numbers.setdefault(labels[row], len(numbers))
    return torch.tensor([numbers[label] for label in labels], dtype=torch.int64)


def add_up(images: ImageSet, batch_size: int) -> Persons:
    """Sums the photographs of each person, ``batch_size`` images at a time."""
    of_image = number_persons(images)
    counts = of_image.bincount()
    sums = torch.zeros(len(counts), images.images[:1].numel(), dtype=torch.int32)
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        sums.index_add_(0, of_image[part], images.images[part].flatten(1).int())
    return Persons(of_image, sums, counts.double()[:, None])


def gram_matrix(persons: Persons) -> torch.Tensor:
    """Inner products of the mean images, centred on the mean of all persons, float64 ``[P, P]``."""
    gram = torch.zeros(len(persons.sums), len(persons.sums), dtype=torch.float64)
    for columns in persons.blocks():
        centred = _centred(persons.means(columns=columns))
        gram += centred @ centred.T
    return gram


def _centred(means: torch.Tensor) -> torch.Tensor:
    return means - means.mean(dim=0)


def pixel_distances(gram: torch.Tensor) -> torch.Tensor:
    """Squared Euclidean distances, from inner products; both float64 ``[P, P]``."""
    squares = gram.diagonal()
    return squares[:, None] + squares - 2 * gram


def eigen_basis(gram: torch.Tensor, components: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Principal components of persons, from their inner products.

    With fewer persons than pixels this is the cheap way to a PCA (Sirovich and Kirby, JOSA A 1987): an eigenvector of
    the ``[P, P]`` products weighs the mean images to give an axis in pixel space.

    Args:
        gram: centred inner products, float64 ``[P, P]``.
        components: below 1, the share of variance to keep; else the number of components, at most.

    Returns:
        Scores ``[P, C]`` of the persons, and the weights ``[P, C]`` of their centred mean images in the C unit axes.
    """
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0), vectors.flip(1)
    real = int((values > values[0].clamp(min=0) * 1e-10).sum())
    if components >= 1:
        count = min(int(components), real)
    else:
        shares = values[:real].cumsum(0) / values[:real].sum()
        count = min(int((shares <= components).sum()) + 1, real)
    lengths = values[:count].sqrt()
    return vectors[:, :count] * lengths, vectors[:, :count] / lengths


def reconstruct(persons: Persons, weights: torch.Tensor) -> torch.Tensor:
    """Mean of all persons plus weighted sums of their centred mean images.

    Args:
        persons: P persons with D values each.
        weights: float64 ``[G, P]``.

    Returns:
        uint8 ``[G, D]``, rounded and clipped.
    """
    parts = []
    for columns in persons.blocks():
        means = persons.means(columns=columns)
        parts.append(to_bytes(means.mean(dim=0) + weights @ _centred(means)))
    return torch.cat(parts, dim=1)


def group_persons(distances: torch.Tensor, k: int) -> torch.Tensor:
    """Makes groups of the first ungrouped person and the ``k - 1`` nearest; fewer than ``2 k`` stay together.

    Args:
        distances: ``[P, P]``, P at least ``k``.
        k: least size of a group; none reaches ``2 k``.

    Returns:
        int64 ``[P]``, the group of each person.
    """
    groups = torch.empty(len(distances), dtype=torch.int64)
    left = torch.arange(len(distances))
    number = 0
    while len(left) >= 2 * k:
        near = distances[left[0], left[1:]].argsort(stable=True)[: k - 1] + 1
        chosen = torch.cat([torch.zeros(1, dtype=torch.int64), near])
        groups[left[chosen]] = number
        keep = torch.ones(len(left), dtype=torch.bool)
        keep[chosen] = False
        left, number = left[keep], number + 1
    groups[left] = number
    return groups


def check_enough(family: str, k: int, persons: int) -> None:
    """Raises EntrantError, naming the largest ``k`` that would do, where there are fewer than ``k`` persons."""
    if persons < k:
        remedy = f"use k={persons} or less" if persons >= 2 else "use a set with at least 2 persons"
        raise EntrantError(f"{family}(k={k}) needs at least {k} persons, and the set has {persons}: {remedy}")


def release(images: ImageSet, persons: Persons, groups: torch.Tensor, surrogates: torch.Tensor) -> Released:
    """Gives every image the surrogate of its person's group.

    Args:
        images: the originals.
        persons: who is on them.
        groups: int64 ``[P]``.
        surrogates: uint8 ``[G, 3 * H * W]``.
    """
    group = groups[persons.of_image]
    return Released(surrogates[group].reshape(images.images.shape), {"group": group})


def members(groups: torch.Tensor) -> list[torch.Tensor]:
    """The persons of each group, in order."""
    return [(groups == number).nonzero().flatten() for number in range(int(groups.max()) + 1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class KSamePixel:
    """k-Same in pixel space: groups of at least k persons share the mean of their mean images."""

    uses: ClassVar[frozenset[str]] = frozenset({"identity"})
    shardable: ClassVar[bool] = False
    source: ClassVar[str] = "Newton, Sweeney and Malin, Preserving Privacy by De-identifying Face Images, TKDE 2005"

    k: GroupSize = 5

    @property
    def k_anonymity(self) -> int:
        """It claims that at least ``k`` people share every released image."""
        return self.k

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Releases one surrogate per group; note ``group`` is int64 ``[N]``.

        Raises:
            EntrantError: the set has fewer than ``k`` persons.
        """
        persons = add_up(images, controller.batch_size)
        check_enough("ksame-pixel", self.k, len(persons.sums))
        groups = group_persons(pixel_distances(gram_matrix(persons)), self.k)
        surrogates = [to_bytes(persons.means(group).mean(dim=0)) for group in members(groups)]
        controller.progress(len(images))
        return release(images, persons, groups, torch.stack(surrogates))


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class KSameEigen:
    """k-Same in eigenface space: as ksame-pixel, with distances and means after a PCA of the mean images."""

    uses: ClassVar[frozenset[str]] = frozenset({"identity"})
    shardable: ClassVar[bool] = False
    source: ClassVar[str] = "Newton, Sweeney and Malin, Preserving Privacy by De-identifying Face Images, TKDE 2005"

    k: GroupSize = 5
    components: Components = 0.95

    @property
    def k_anonymity(self) -> int:
        """It claims that at least ``k`` people share every released image."""
        return self.k

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Releases one reconstructed surrogate per group; note ``group`` is int64 ``[N]``.

        Raises:
            EntrantError: the set has fewer than ``k`` persons.
        """
        persons = add_up(images, controller.batch_size)
        check_enough("ksame-eigen", self.k, len(persons.sums))
        scores, weights = eigen_basis(gram_matrix(persons), self.components)
        distances = torch.cdist(scores, scores, compute_mode="donot_use_mm_for_euclid_dist")
        groups = group_persons(distances, self.k)
        centres = torch.stack([scores[group].mean(dim=0) for group in members(groups)])
        surrogates = reconstruct(persons, centres @ weights.T)
        controller.progress(len(images))
        return release(images, persons, groups, surrogates)
