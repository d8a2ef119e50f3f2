"""Line-ups: which originals an observer is shown beside a released image, and how often it picks the wrong person."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchmark.errors import UsageError
from benchmark.images import ImageSet
from benchmark.seeding import uniform
from metrics.perceptanon.panel import Observer, Plan

AT_A_TIME = 512
"""Images whose line-ups are drawn and judged together."""


class Album:
    """Original photographs to draw line-ups from.

    Args:
        photographs: images with identities and unique keys.
        people: photographs a line-up needs, each of another person.

    Raises:
        UsageError: too few people.
    """

    def __init__(self, photographs: ImageSet, people: int) -> None:
        assert photographs.identity is not None
        values = photographs.identity.values
        self.images = photographs.images
        self.order = torch.argsort(values, stable=True)
        self.persons, self.counts = torch.unique(values, return_counts=True)
        self.starts = self.counts.cumsum(0) - self.counts
        self.size = people
        place = {photographs.keys[row]: index for index, row in enumerate(self.order.tolist())}
        self._place = place
        if len(self.persons) < people:
            raise UsageError(f"a line-up needs {people} people, and there are {len(self.persons)}")

    def lineups(self, keys: Sequence[str], persons: torch.Tensor, plan: Plan, stream: str) -> torch.Tensor:
        """Draws line-ups; the draws depend on seed, stream and key alone.

        Args:
            keys: of the N images that are judged.
            persons: who is on each, int64 ``[N]``.
            plan: number and size of the line-ups, and the seed.
            stream: tells observers apart.

        Returns:
            int64 ``[N, lineups, people]``, rows of the photographs; the first is of the right person, and never the
            photograph that is judged.

        Raises:
            UsageError: somebody has no photograph in the album, or no other than the one that is judged.
        """
        if not torch.isin(persons, self.persons).all():
            raise UsageError("somebody has no photograph in the album, so no line-up can show them")
        own = torch.searchsorted(self.persons, persons)
        draws = uniform(plan.seed, stream, keys, (plan.lineups, len(self.persons) + self.size))
        chances, picks = draws.split([len(self.persons), self.size], dim=2)
        chances.scatter_(2, own[:, None, None].expand(-1, plan.lineups, 1), -1.0)
        who = chances.topk(self.size, dim=2, largest=False).indices
        counts, shown = self.counts[who].clone(), self._position(keys)
        same = shown >= 0
        counts[same, :, 0] -= 1
        if (counts < 1).any():
            raise UsageError("somebody has a single photograph, so no line-up of other ones can show them")
        which = (picks * counts).long()
        within = torch.where(same, shown - self.starts[own], torch.iinfo(torch.int64).max)
        which[:, :, 0] += which[:, :, 0] >= within[:, None]
        return self.order[self.starts[who] + which]

    def _position(self, keys: Sequence[str]) -> torch.Tensor:
        """Where each judged photograph stands in the album, -1 where it is not there."""
        return torch.tensor([self._place.get(key, -1) for key in keys], dtype=torch.int64)


class Jury:
    """Observers with an album: they look at its photographs once.

    Args:
        observers: R judges.
        album: the originals they choose from.
        plan: of the line-ups.
    """

    def __init__(self, observers: Sequence[Observer], album: Album, plan: Plan) -> None:
        self.observers, self.album, self.plan = observers, album, plan
        self.known = [observer.features(album.images) for observer in observers]

    def failures(self, released: ImageSet) -> torch.Tensor:
        """Share of its line-ups in which each observer picks somebody else.

        Args:
            released: what they see, with true identities, under the keys of the originals.

        Returns:
            float64 ``[N, R]``, 0..1.
        """
        columns = []
        for observer, known in zip(self.observers, self.known, strict=True):
            columns.append(torch.cat([self._wrong(observer, known, part) for part in released.batches(AT_A_TIME)]))
        return torch.stack(columns, 1)

    def _wrong(self, observer: Observer, known: torch.Tensor, part: ImageSet) -> torch.Tensor:
        assert part.identity is not None
        shown = self.album.lineups(part.keys, part.identity.values, self.plan, f"line-up {observer.name}")
        likeness = torch.einsum("nd,nlpd->nlp", observer.features(part.images), known[shown])
        return (~_found(likeness)).double().mean(1)


def _found(likeness: torch.Tensor) -> torch.Tensor:
    """Where the first of a line-up is more alike than all others: bool ``[N, L]`` of ``[N, L, P]``.

    Who cannot tell people apart has not found anybody: equal likeness, or none at all (NaN), is a failure.
    """
    return (likeness[..., :1] > likeness[..., 1:]).all(-1)


def scores(failures: torch.Tensor) -> torch.Tensor:
    """From shares of failures to the human scale: 1 (always found) to 10 (never found)."""
    return 1 + 9 * failures
