"""From photographs to persons: k-Same holds for persons, so persons are grouped, not photographs.

Newton, Sweeney and Malin (TKDE 2005) ask for one photograph per person: with two of them in two groups, somebody who sees
both released knows that the person is in both, and 1/k no longer holds. Here all photographs of a person (the frames of
a clip, too) follow the person, who is described by the mean of their embeddings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from anonymizers.conventional.ksame import number_persons
from benchmark.errors import EntrantError
from benchmark.images import ImageSet, Labels

PARTS = 40
"""Binary places that what is computed of a photograph is rounded to before it is added up."""


@dataclass(frozen=True, eq=False)
class Persons:
    """Who is on which image.

    Attributes:
        of_image: int64 ``[N]``, persons numbered by their first key in sorted order.
        known: whether labels said so; otherwise every image is taken for a person.
    """

    of_image: torch.Tensor
    known: bool

    @property
    def count(self) -> int:
        """The number of persons P."""
        return int(self.of_image.max()) + 1 if len(self.of_image) else 0

    @property
    def photographs(self) -> torch.Tensor:
        """Images per person, int64 ``[P]``."""
        return self.of_image.bincount(minlength=self.count)

    def means(self, values: torch.Tensor) -> torch.Tensor:
        """Mean per person of ``[N, ...]``, float64 ``[P, ...]``; numbers are rounded so that no order can change a sum.

        To ``PARTS`` of a unit, whoever else is in the set; coarser only where sums would not fit 63 bits.

        Raises:
            EntrantError: a value is NaN or infinite.
        """
        flat = values.double().flatten(1)
        broken = (~flat.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if broken:
            raise EntrantError(
                f"what was computed of {len(broken)} of {len(flat)} images is not finite, the first of image {broken[0]}: "
                "leave them out, or use another embedding or generator"
            )
        largest = math.frexp(float(flat.abs().max()))[1] + int(self.photographs.max()).bit_length()
        scale = 2.0 ** min(PARTS, 62 - largest)
        sums = torch.zeros(self.count, flat.shape[1], dtype=torch.int64)
        sums.index_add_(0, self.of_image, (flat * scale).round().long())
        means: torch.Tensor = (sums.double() / self.photographs[:, None] / scale).unflatten(1, values.shape[1:])
        return means


def persons_of(images: ImageSet) -> Persons:
    """Who is on which image: as the labels say, or every image a person."""
    return Persons(number_persons(images), images.identity is not None)


def attribute_of(persons: Persons, images: ImageSet, names: tuple[str, ...]) -> tuple[torch.Tensor, list[str]]:
    """The value of attributes per person: the most frequent one among their photographs.

    Args:
        persons: P persons.
        images: with their labels.
        names: attributes; several together count as one with all combinations.

    Returns:
        int64 ``[P]``, and what each value is called.

    Raises:
        EntrantError: the images have no such attribute.
    """
    absent = sorted(set(names) - set(images.attributes))
    if absent:
        known = ", ".join(sorted(images.attributes)) or "none"
        raise EntrantError(f"select={'+'.join(names)}: the images have no attribute '{absent[0]}'; they have: {known}")
    joint, classes = torch.zeros(persons.count, dtype=torch.int64), [""]
    for name in names:
        labels = images.attributes[name]
        joint = joint * len(labels.classes) + _usual(persons, labels)
        classes = [
            ", ".join(filter(None, (before, f"{name}={value}"))) for before in classes for value in labels.classes
        ]
    return joint, classes


def _usual(persons: Persons, labels: Labels) -> torch.Tensor:
    counts = torch.zeros(persons.count, len(labels.classes), dtype=torch.int64)
    counts.index_put_((persons.of_image, labels.values), torch.ones_like(labels.values), accumulate=True)
    return counts.argmax(dim=1)


def varies(persons: Persons, labels: Labels) -> int:
    """Persons whose photographs differ in an attribute."""
    seen = torch.zeros(persons.count, len(labels.classes), dtype=torch.bool)
    seen[persons.of_image, labels.values] = True
    return int((seen.sum(dim=1) > 1).sum())


def described(persons: Persons) -> str:
    """What the record says about persons and photographs."""
    least, most = int(persons.photographs.min()), int(persons.photographs.max())
    if not persons.known:
        return (
            "every image counted as a person of its own, as there are no labels: k images share a face, and nothing is "
            "promised about persons, as a group may hold one person alone"
        )
    if most == 1:
        return "one photograph per person"
    several = f"{least}" if least == most else f"{least} to {most}"
    return f"persons, by the mean embedding of {several} photographs each; all photographs of a person are in one group"


def twins(means: torch.Tensor) -> int:
    """Persons whose embedding is exactly that of another, who may be the same person under two names."""
    _, where, counts = torch.unique(means, dim=0, return_inverse=True, return_counts=True)
    return int((counts[where] > 1).sum())
