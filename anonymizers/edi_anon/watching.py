"""Keeps a few images of a run at a few of their rounds, for whoever wants to see what happened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

from benchmark.trace import Sequence

WATCHED = 3
"""Images, the first that are recognised in the order of the set: nobody chose them."""
PICTURES = 5
"""Of one image, at most."""
BRIGHT = 0.995
"""Share of pixels below full brightness in a saliency picture."""

Seen = tuple[int, torch.Tensor, torch.Tensor]
"""Rounds behind it, the image, its saliency."""


@dataclass
class Watch:
    """The watched images by row, each with what was seen at the start and after 1, 2, 4, 8, ... rounds."""

    seen: dict[int, list[Seen]] = field(default_factory=dict)

    def seen_in(
        self, number: int, rows: torch.Tensor, images: torch.Tensor, saliency: torch.Tensor
    ) -> list[tuple[int, Seen]]:
        """What there is to keep of recognised images after ``number`` rounds; nothing is kept yet.

        Args:
            number: rounds behind them.
            rows: which images, int64 ``[A]``.
            images: uint8 ``[A, 3, H, W]``.
            saliency: float ``[A, 3, H, W]``.
        """
        if number & (number - 1):  # neither 0 nor a power of two
            return []
        places = [place for place, row in enumerate(rows.tolist()) if number == 0 or row in self.seen]
        shown = places[:WATCHED] if number == 0 else places
        return [(int(rows[place]), (number, images[place].clone(), picture(saliency[place]))) for place in shown]

    def keep(self, found: Iterable[tuple[int, Seen]]) -> None:
        """Keeps what was seen; before the first round of the first images alone."""
        for row, seen in found:
            if row in self.seen or (len(self.seen) < WATCHED and seen[0] == 0):
                self.seen.setdefault(row, []).append(seen)

    def sequences(self, rounds: torch.Tensor, images: torch.Tensor) -> tuple[Sequence, ...]:
        """What was seen of each watched image and how it ended; ``rounds`` int64 ``[N]``, ``images`` uint8 ``[N, 3, H, W]``."""
        return tuple(
            _sequence(row, seen, int(rounds[row]), images[row]) for row, seen in self.seen.items() if int(rounds[row])
        )


def picture(saliency: torch.Tensor) -> torch.Tensor:
    """Saliency as brightness: float32 ``[H, W]`` in 0..1 of ``[3, H, W]``; the largest channel, nothing below zero."""
    positive = saliency.detach().float().cpu().amax(0).clamp(min=0)
    brightest = positive.flatten().quantile(BRIGHT)
    return (positive / brightest).clamp(max=1) if brightest > 0 else torch.zeros_like(positive)


def _sequence(row: int, seen: list[Seen], last: int, image: torch.Tensor) -> Sequence:
    before, at_end = [part for part in seen if part[0] < last], [part for part in seen if part[0] == last]
    asked = at_end[0][2] if at_end else torch.zeros(image.shape[1:])  # of an image that is recognised to the end
    places = torch.linspace(0, len(before) - 1, min(PICTURES - 1, len(before))).round().long().tolist()
    shown = [*(before[place] for place in places), (last, image, asked)]
    after, images, saliency = zip(*shown, strict=True)
    return Sequence(row, torch.tensor(after), torch.stack(images), torch.stack(saliency))
