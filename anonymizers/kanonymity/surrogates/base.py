"""What is asked of a maker of surrogates, and means over groups that no order can change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch

from anonymizers.conventional.ksame import number_persons
from benchmark.errors import EntrantError
from benchmark.hashing import sha256_json, sha256_tensor
from benchmark.images import ImageSet
from benchmark.protocols import Controller

FINE, COARSE = 2.0**32, 2.0**16
"""Parts of a unit: what single photographs are rounded to before they are added up, and what their mean is."""

Describe = Callable[[ImageSet], torch.Tensor]
"""Takes a batch of B images to float64 ``[B, D]``, each image by itself."""


@dataclass(frozen=True, eq=False)
class Request:
    """One surrogate per group, please.

    Attributes:
        images: N originals; landmarks and attributes are there where they were declared in ``uses``.
        of_image: int64 ``[N]``, the person of each image, 0 to P - 1; everybody has an image.
        groups: int64 ``[P]``, the group of each person, 0 to G - 1; every group has a person.
        controller: device, batch size, seed, and what else was declared.
        notes: what the record should say about the surrogates; makers add to it.
    """

    images: ImageSet
    of_image: torch.Tensor
    groups: torch.Tensor
    controller: Controller
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of groups G."""
        return int(self.groups.max()) + 1

    @property
    def group_of_image(self) -> torch.Tensor:
        """The group of each image, int64 ``[N]``."""
        return self.groups[self.of_image]

    @cached_property
    def contents(self) -> list[str]:
        """What each person is known by, whatever they are called: the content of their photographs."""
        return contents_of([sha256_tensor(image) for image in self.images.images], self.of_image)

    @property
    def shares(self) -> torch.Tensor:
        """What each image counts in its group, float64 ``[N]``: all persons the same, and so all images of a person."""
        photographs = self.of_image.bincount(minlength=len(self.groups))
        persons = self.groups.bincount()
        return 1.0 / (photographs[self.of_image] * persons[self.group_of_image]).double()


@runtime_checkable
class Surrogate(Protocol):
    """Makes the one face that all members of a group share.

    A surrogate is a function of the photographs of the group's members alone, and of what the maker learned
    beforehand: neither batch size nor the order of images, persons or groups changes a byte of it. Optional method
    ``fit(train, controller)``: learns what can be learned before the set is known; ``render`` does so where it was not
    called.
    """

    @property
    def uses(self) -> frozenset[str]:
        """What it needs of ``benchmark.protocols.USES``."""
        ...

    @property
    def source(self) -> str:
        """The paper."""
        ...

    def render(self, request: Request) -> torch.Tensor:
        """The surrogates, uint8 ``[G, 3, H, W]``."""
        ...


def pixel_values(images: ImageSet) -> torch.Tensor:
    """Grey levels as they are, float64 ``[N, 3 * H * W]``."""
    return images.images.flatten(1).double()


def group_means(request: Request, describe: Describe = pixel_values) -> torch.Tensor:
    """Means over the persons of each group, where a person is the mean of their photographs.

    Terms are rounded to ``FINE`` parts of a unit and added up as integers, so that the sum is the same in every order;
    the mean is rounded to ``COARSE`` parts, which gives back the exact value where it is a short binary fraction.

    Args:
        request: who is in which group.
        describe: what is averaged; magnitudes below 2^30.

    Returns:
        float64 ``[G, D]``.
    """
    group, shares, totals, start = request.group_of_image, request.shares, None, 0
    for batch in request.images.batches(request.controller.batch_size):
        rows = slice(start, start + len(batch))
        terms = (describe(batch).cpu() * shares[rows, None] * FINE).round().long()
        if totals is None:
            totals = terms.new_zeros(request.count, terms.shape[1])
        totals.index_add_(0, group[rows], terms)
        start += len(batch)
    assert totals is not None
    return settled(totals.double() / FINE)


def settled(values: torch.Tensor) -> torch.Tensor:
    """Rounds to ``COARSE`` parts of a unit: what differs by an error of rounding is equal, and a half is a half."""
    return (values * COARSE).round() / COARSE


def in_content_order(images: ImageSet) -> ImageSet:
    """The same images in an order that neither keys nor numbers have a part in.

    They are sorted by the hash of their pixels; where persons have the same photograph, by all of the person's.
    """
    digests = [sha256_tensor(image) for image in images.images]
    person = number_persons(images)
    owned, of_image = contents_of(digests, person), person.tolist()
    order = sorted(range(len(images)), key=lambda row: (digests[row], owned[of_image[row]], of_image[row]))
    return images.select(torch.tensor(order, dtype=torch.int64))


def contents_of(digests: Sequence[str], of_image: torch.Tensor) -> list[str]:
    """What persons are told apart by without their names: a hash of their photographs in any order, per person.

    Args:
        digests: hash of every image.
        of_image: int64 ``[N]``, the person of each.
    """
    owned: dict[int, list[str]] = {}
    for digest, who in sorted(zip(digests, of_image.tolist(), strict=True)):
        owned.setdefault(who, []).append(digest)
    return [sha256_json(owned[who]) for who in range(len(owned))]


def other_people(surrogate: str, controller: Controller) -> ImageSet:
    """The images of other people, in the order of their content.

    Raises:
        EntrantError: there are fewer than two.
    """
    train = controller.train
    if train is None or len(train) < 2:
        raise EntrantError(
            f"surrogate={surrogate} learns from images of other people, and the suite has none: use surrogate=pixels, "
            "or a suite with background people"
        )
    return in_content_order(train)
