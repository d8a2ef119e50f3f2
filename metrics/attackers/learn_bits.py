"""Recognition from single bits of single pixels: what somebody hides there, no network and no regression sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from metrics.attackers.learners import Learned, Lesson, best

COLUMNS = 4096
"""Pixels held as floating point at a time."""
PLANES = 8
FACTORS = (1, 0x1F123BB5, 0x5851F42D4C957)
"""Mix sums of random numbers over the images whose bit is 1 (exact up to 16000 images) to one mark."""
ABSENT = 1e5
"""Minus the log-likelihood of a person without photographs: less likely than anybody who has some."""


@dataclass(frozen=True)
class Bits:
    """Naive Bayes on the bits that tell people apart best.

    Attributes:
        counts: numbers of bits to choose from; the first where nothing was held out.
    """

    counts: tuple[int, ...] = (8, 2, 3, 4, 5, 6, 7, 10, 12, 16, 32, 128, 512, 2048)

    @property
    def name(self) -> str:
        """``bits``."""
        return "bits"

    def learn(self, lesson: Lesson) -> Learned:
        """Ranks bits by the photographs kept, chooses their number by those held out, then learns from all."""
        kept, checked = ~lesson.checked, lesson.checked
        pixels = lesson.images.flatten(1)
        places = strongest(pixels[kept], lesson.people[kept], lesson.count, max(self.counts))
        bits = bits_at(pixels, places)
        rates = bit_rates(bits[kept], lesson.people[kept], lesson.count)
        judged = [posterior(bits[checked], rates, count) for count in self.counts]
        row = best(judged, lesson.truth)
        final = bit_rates(bits, lesson.people, lesson.count)

        def read(images: torch.Tensor) -> torch.Tensor:
            return posterior(bits_at(images.flatten(1), places), final, self.counts[row])

        return Learned(judged[row], read)


def strongest(pixels: torch.Tensor, people: torch.Tensor, count: int, most: int) -> torch.Tensor:
    """The bits that tell people apart best, each once however many pixels repeat it.

    Args:
        pixels: uint8 ``[N, D]``.
        people: int64 ``[N]``, 0..count-1.
        count: number of people.
        most: number of bits.

    Returns:
        int64 ``[B]``, places in the order of ``telling``, the best first.
    """
    shares, marks = telling(pixels, people, count)
    order = shares.argsort(descending=True, stable=True)
    _, group = torch.unique(marks[order], return_inverse=True)
    first = torch.full((int(group.max()) + 1,), len(order)).scatter_reduce_(0, group, torch.arange(len(order)), "amin")
    return order[first.sort().values[:most]]


def telling(pixels: torch.Tensor, people: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Share of each bit's variance that lies between people, and a mark that equal bits share.

    Args:
        pixels: uint8 ``[N, D]``.
        people: int64 ``[N]``, 0..count-1.
        count: number of people.

    Returns:
        float32 and int64 ``[D * 8]``, the eight bits of a pixel beside each other, lowest first; the share is 0 for a bit
        that never changes.
    """
    who = nn.functional.one_hot(people, count).float().T
    random = torch.randint(0, 1024, (len(FACTORS), len(people)), generator=torch.Generator().manual_seed(0)).float()
    shares, marks = [], []
    for part in pixels.split(COLUMNS, 1):
        planes = [(part >> plane & 1).float() for plane in range(PLANES)]
        shares.append(torch.stack([_between(bits, who) for bits in planes], 1))
        marks.append(torch.stack([(random @ bits).long().T @ torch.tensor(FACTORS) for bits in planes], 1))
    return torch.cat(shares).flatten(), torch.cat(marks).flatten()


def _between(bits: torch.Tensor, who: torch.Tensor) -> torch.Tensor:
    """Between-person over whole variance: bits ``[N, D]`` and one-hot people ``[C, N]`` to ``[D]``."""
    ones, sizes = who @ bits, who.sum(1).clamp(min=1)
    rate = ones.sum(0) / len(bits)
    between = (ones.square() / sizes[:, None]).sum(0) / len(bits) - rate.square()
    whole = rate * (1 - rate)
    return torch.where(whole > 0, between / whole.clamp(min=1e-9), 0.0)


def bits_at(pixels: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Bits float32 ``[N, B]`` of uint8 ``[N, D]`` at places int64 ``[B]`` in the order of ``telling``."""
    shifts = (places % PLANES).to(torch.uint8)
    return (pixels[:, places // PLANES] >> shifts & 1).float()


def bit_rates(bits: torch.Tensor, people: torch.Tensor, count: int) -> torch.Tensor:
    """How often each bit is 1 for each person, with half an observation of either value.

    Returns:
        float32 ``[C, B]``; NaN for a person without photographs.
    """
    who = nn.functional.one_hot(people, count).float().T
    sizes = who.sum(1, keepdim=True)
    return ((who @ bits + 0.5) / (sizes + 1)).masked_fill(sizes == 0, torch.nan)


def posterior(bits: torch.Tensor, rates: torch.Tensor, count: int) -> torch.Tensor:
    """Log-probabilities ``[N, C]`` of the people given their first ``count`` bits, as if bits were independent."""
    bits, rates = bits[:, :count], rates[:, :count]
    found = bits @ rates.log().T + (1 - bits) @ (1 - rates).log().T
    return found.nan_to_num(nan=-ABSENT).log_softmax(1)
