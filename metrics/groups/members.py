"""Who belongs to which published group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from benchmark.images import ImageSet, Labels
from benchmark.protocols import KAnonymityClaim, Referees, Scores
from benchmark.statistics import clusters_of
from metrics.answers import not_applicable


@dataclass(frozen=True, eq=False)
class Members:
    """People in groups. Somebody whose images went into several groups is a member of each.

    Attributes:
        k: what is claimed.
        of_image: int64 ``[N]``, the member each image belongs to.
        person: int64 ``[M]``.
        group: int64 ``[M]``, numbered from 0 in the order of the published numbers.
    """

    k: int
    of_image: torch.Tensor
    person: torch.Tensor
    group: torch.Tensor

    def __len__(self) -> int:
        return len(self.person)

    @property
    def people(self) -> int:
        """How many different people there are."""
        return len(self.person.unique())

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(self.group.max()) + 1

    @property
    def clusters(self) -> torch.Tensor:
        """What is resampled for intervals, int64 ``[M]``: groups, whose members share a surrogate.

        Groups that have a person in common count as one.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        people = self.person.unique(return_inverse=True)[1]
        nodes = self.people + self.groups
        edges = (np.ones(len(self)), (people.numpy(), (self.people + self.group).numpy()))
        joined = connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)[1]
        found: torch.Tensor = torch.from_numpy(joined[people.numpy()]).unique(return_inverse=True)[1]
        return found

    def count(self, chosen: torch.Tensor) -> torch.Tensor:
        """How many images of each member are chosen (bool ``[N]``), int64 ``[M]``."""
        return torch.bincount(self.of_image[chosen], minlength=len(self))

    def mean(self, values: torch.Tensor, chosen: torch.Tensor | None = None) -> torch.Tensor:
        """Mean over the images of each member, float64.

        Args:
            values: ``[N]`` or ``[N, D]``.
            chosen: bool ``[N]``, images that count; default: all. A member without any has NaN.
        """
        chosen = torch.ones(len(self.of_image), dtype=torch.bool) if chosen is None else chosen
        sums = torch.zeros(len(self), *values.shape[1:], dtype=torch.float64)
        sums.index_add_(0, self.of_image[chosen], values[chosen].double())
        count = self.count(chosen).double()
        return sums / (count if values.dim() == 1 else count[:, None])

    def usual(self, labels: Labels) -> torch.Tensor:
        """The label that most images of a member have, the first of several; int64 ``[M]``."""
        table = torch.zeros(len(self), len(labels.classes), dtype=torch.int64)
        table.index_put_((self.of_image, labels.values), torch.ones_like(labels.values), accumulate=True)
        return table.argmax(1)

    @property
    def claim(self) -> dict[str, float]:
        """What stands in the details of every measure."""
        return {"claimed": float(self.k)}

    @property
    def facts(self) -> dict[str, float]:
        """The same, and how many groups of how many people there are."""
        sizes = self.group.bincount()
        found = {**self.claim, "groups": float(len(sizes)), "people in groups": float(len(self))}
        found |= {"smallest group": float(sizes.min()), "largest group": float(sizes.max())}
        several = len(self) - self.people
        return found | ({"further groups of the same people": float(several)} if several else {})


def members_of(original: ImageSet, claim: KAnonymityClaim) -> Members | None:
    """The members of the published groups; None where none are published, or the note is no group per image."""
    note = claim.group
    whole = note is not None and not (note.is_floating_point() or note.is_complex() or note.dtype == torch.bool)
    if note is None or not whole or note.shape != (len(original),) or not len(original):
        return None
    pairs = torch.stack([clusters_of(original), note.long()], 1)
    members, of_image = torch.unique(pairs, dim=0, return_inverse=True)
    return Members(claim.k, of_image, members[:, 0], torch.unique(members[:, 1], return_inverse=True)[1])


def published(metric: str, original: ImageSet, referees: Referees) -> Members | Scores:
    """The members of the published groups, or the score that says why there are none."""
    if referees.claim is None:
        return not_applicable(metric, "makes no claim of k-anonymity", len(original))
    found = members_of(original, referees.claim)
    return not_applicable(metric, "publishes no groups", len(original)) if found is None else found
