"""Closed-set identification: who of the people in the gallery a probe is. Ties are broken at random, in expectation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from metrics.attackers.matching import Matches


@dataclass(frozen=True, eq=False)
class Standing:
    """Where the true person of each probe stands among the people of the gallery.

    Attributes:
        better: int64 ``[N]``, people who are strictly more alike; everybody where the true person cannot be compared.
        tied: int64 ``[N]``, people who are just as alike, the true one included; at least 1.
    """

    better: torch.Tensor
    tied: torch.Tensor

    def credit(self, k: int) -> torch.Tensor:
        """Probability that the true person is among the first ``k``, float64 ``[N]``."""
        return ((k - self.better).double() / self.tied).clamp(0, 1)


def person_similarity(matches: Matches, people: int) -> torch.Tensor:
    """The most alike gallery entry of each person: float32 ``[N, people]``, -inf for who cannot be compared.

    Args:
        matches: the similarities; owners are below ``people``.
        people: number of names, in the gallery or not.
    """
    index = matches.owner.expand_as(matches.similarity)
    most = torch.full((len(matches.similarity), people), -torch.inf)
    return most.scatter_reduce_(1, index, matches.similarity, "amax")


def standing(similarity: torch.Tensor, truth: torch.Tensor) -> Standing:
    """Where the true people stand: ``[N, C]`` similarities to people, and int64 ``[N]``."""
    own = similarity.gather(1, truth[:, None])
    lost = (own == -torch.inf).squeeze(1)
    better, tied = (similarity > own).sum(1), (similarity == own).sum(1)
    return Standing(torch.where(lost, similarity.shape[1], better), torch.where(lost, 1, tied))


def average_precision(matches: Matches, truth: torch.Tensor) -> torch.Tensor:
    """Average precision of each probe's ranking of the gallery entries it may be compared with.

    Tied entries are in random order: of ``m`` tied entries behind ``g`` others, ``r`` of the ``m`` and ``b`` of the ``g``
    belonging to the probe's person, each of the ``r`` adds the mean over its places j = 1..m of
    (b + 1 + (j - 1) (r - 1) / (m - 1)) / (g + j), in closed form with harmonic numbers.

    Args:
        matches: the similarities.
        truth: int64 ``[N]``, who the probes are.

    Returns:
        float64 ``[N]``; 0 where nothing of the probe's person can be compared.
    """
    own = _of_own_person(matches, truth)
    g, m = _places(matches.similarity, own)
    b, r = _places(own, own)
    inverse = 1 / torch.arange(matches.similarity.shape[1] + 1, dtype=torch.float64)
    harmonic = inverse.index_fill_(0, torch.tensor(0), 0.0).cumsum(0)
    rise = harmonic[g + m] - harmonic[g]
    step = (r - 1).double() / (m - 1).clamp(min=1)
    precision = ((b + 1) * rise + step * (m - (g + 1) * rise)) / m.clamp(min=1)
    there = own > -torch.inf
    return torch.where(there, precision, 0.0).sum(1) / there.sum(1).clamp(min=1)


def _of_own_person(matches: Matches, truth: torch.Tensor) -> torch.Tensor:
    """Similarities to the entries of the probe's own person, filled up with -inf: float32 ``[N, R]``, ascending."""
    names = int(torch.cat([matches.owner, truth]).max()) + 1
    counts = torch.bincount(matches.owner, minlength=names)
    order = matches.owner.argsort(stable=True)
    most = max(1, int(counts.max()))
    slots = (counts.cumsum(0) - counts)[:, None] + torch.arange(most)
    columns = order[slots.clamp(max=len(order) - 1)][truth]
    empty = (torch.arange(most) >= counts[:, None])[truth]
    return matches.similarity.gather(1, columns).masked_fill(empty, -torch.inf).sort(1).values


def _places(ranked: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How many of ``ranked`` (``[N, G]``) are above each of ``own`` (``[N, R]``), and how many are equal."""
    ascending = torch.from_numpy(np.ascontiguousarray(np.sort(ranked.numpy(), axis=1)))
    below, upto = (torch.searchsorted(ascending, own, side=side) for side in ("left", "right"))
    return ranked.shape[1] - upto, upto - below
