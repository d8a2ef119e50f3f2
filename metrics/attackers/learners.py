"""What an attacker learns from, and the choice among several ways to learn: by photographs held out of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

Reader = Callable[[torch.Tensor], torch.Tensor]
"""Log-probabilities float32 ``[N, C]`` of the people, for uint8 ``[N, 3, H, W]``."""

SHARPNESS = (1.0, 0.01, 0.03, 0.1, 0.3, 0.5, 2.0, 4.0, 8.0)
"""Factors on log-probabilities to choose from; the first where nothing was held out."""
TOGETHER = "together"


@dataclass(frozen=True, eq=False)
class Lesson:
    """Photographs with the people on them.

    Attributes:
        images: uint8 ``[N, 3, H, W]``, N above 0.
        people: int64 ``[N]``, 0..count-1.
        count: number of people C; some may have no photograph.
        checked: bool ``[N]``, held out to judge what was learned from the others.
    """

    images: torch.Tensor
    people: torch.Tensor
    count: int
    checked: torch.Tensor

    @property
    def truth(self) -> torch.Tensor:
        """Who is on the photographs held out, int64 ``[H]``."""
        return self.people[self.checked]


@dataclass(frozen=True, eq=False)
class Learned:
    """What became of a lesson.

    Attributes:
        judged: float32 ``[H, C]``, log-probabilities of the photographs held out, by what had not seen them.
        reader: reads other images; it may have learned from the photographs held out as well.
    """

    judged: torch.Tensor
    reader: Reader


class Learner(Protocol):
    """A way to learn."""

    @property
    def name(self) -> str:
        """What the details of a score call it."""
        ...

    def learn(self, lesson: Lesson) -> Learned:
        """Learns from a lesson."""
        ...


@dataclass(frozen=True, eq=False)
class Opinion:
    """What one learner says.

    Attributes:
        name: of the learner.
        judged: float32 ``[H, C]``, log-probabilities of the photographs held out.
        found: float32 ``[N, C]``, log-probabilities of the probes.
    """

    name: str
    judged: torch.Tensor
    found: torch.Tensor


def opinions(learners: Sequence[Learner], lesson: Lesson, probes: torch.Tensor) -> list[Opinion]:
    """What every learner says of the probes, and what the first two say together.

    Args:
        learners: at least one. Probabilities of the first two are multiplied to ``together``, unless nothing was held out.
        lesson: to learn from.
        probes: uint8 ``[N, 3, H, W]``, looked at once.
    """
    said = [sharpened(learner.name, *_asked(learner, lesson, probes), lesson.truth) for learner in learners]
    if len(said) < 2 or not len(lesson.truth):
        return said
    judged, found = (sum_of([getattr(one, name) for one in said[:2]]) for name in ("judged", "found"))
    return [*said, sharpened(TOGETHER, judged, found, lesson.truth)]


def _asked(learner: Learner, lesson: Lesson, probes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    learned = learner.learn(lesson)
    return learned.judged, learned.reader(probes)


def sharpened(name: str, judged: torch.Tensor, found: torch.Tensor, truth: torch.Tensor) -> Opinion:
    """An opinion as sharp as the photographs held out show it to be right."""
    factor = sharpness(judged, truth)
    return Opinion(name, (judged * factor).log_softmax(1), (found * factor).log_softmax(1))


def sum_of(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The normalised product of probabilities, all ``[N, C]`` and logarithmic."""
    return torch.stack(list(parts)).sum(0).log_softmax(1)


def sharpness(judged: torch.Tensor, truth: torch.Tensor, factors: Sequence[float] = SHARPNESS) -> float:
    """The factor that gives the truth the largest mean log-probability; the first where nothing was held out."""
    if not len(truth):
        return factors[0]
    return max(factors, key=lambda factor: quality((judged * factor).log_softmax(1), truth)[1])


def quality(judged: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """Top-1 and mean log-probability of the truth, larger is better: ``[H, C]`` and int64 ``[H]``, H above 0."""
    hits = (judged.argmax(1) == truth).double().mean()
    return float(hits), float(judged.double().gather(1, truth[:, None]).mean())


def best(candidates: Sequence[torch.Tensor], truth: torch.Tensor) -> int:
    """Which of several log-probabilities ``[H, C]`` is the best by ``quality``; the first where nothing was held out."""
    if not len(truth):
        return 0
    return max(range(len(candidates)), key=lambda row: quality(candidates[row], truth))


def rank_within(people: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Number of each photograph among those of its person, and how many those are: int64 ``[N]`` to two of them."""
    order = people.argsort(stable=True)
    counts = torch.bincount(people)
    firsts = counts.cumsum(0) - counts
    ranks = torch.empty_like(people)
    ranks[order] = torch.arange(len(people)) - firsts[people[order]]
    return ranks, counts[people]


def held_out(people: torch.Tensor, every: int) -> torch.Tensor:
    """Which photographs are kept to judge by: the last of every so many of a person, at least one, never all.

    Args:
        people: int64 ``[N]``, who is on each photograph.
        every: 2 or more; who has fewer photographs keeps the last one, who has one keeps none.

    Returns:
        bool ``[N]``.
    """
    ranks, sizes = rank_within(people)
    few = (sizes < every) & (sizes > 1) & (ranks == sizes - 1)
    return (ranks % every == every - 1) | few


def thinned(people: torch.Tensor, most: int) -> torch.Tensor:
    """Which photographs to take if there may not be many: as many of everybody, at least two of who has them.

    Args:
        people: int64 ``[N]``, who is on each photograph.
        most: photographs in all.

    Returns:
        int64 ``[M]``, rows in their order.
    """
    if len(people) <= most:
        return torch.arange(len(people))
    each = max(2, most // len(people.unique()))
    return (rank_within(people)[0] < each).nonzero().flatten()
