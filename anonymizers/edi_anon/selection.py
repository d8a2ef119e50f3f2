"""Which values of an image a round perturbs: the largest saliency, by percentile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

Pool = Literal["none", "max", "sum", "red"]


def selected_count(values: int, q: float) -> int:
    """How many of ``values`` untied values lie at or above their ``q``-th percentile (0 < q < 100)."""
    return values - math.ceil(q * (values - 1) / 100)


def largest(scores: torch.Tensor, q: float) -> torch.Tensor:
    """The ``selected_count`` largest scores per row, never more: bool ``[N, D]`` of ``[N, D]``."""
    chosen = scores.topk(selected_count(scores.shape[1], q), dim=1, sorted=False).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, chosen, True)


def at_percentile(scores: torch.Tensor, q: float) -> torch.Tensor:
    """All scores at or above the row's percentile, interpolated linearly; ties may make them many: bool ``[N, D]``."""
    found = scores.cpu().numpy()
    return torch.from_numpy(found >= np.percentile(found, q, axis=1, keepdims=True)).to(scores.device)


def explains(saliency: torch.Tensor) -> torch.Tensor:
    """Images whose saliency says anything: neither constant nor, somewhere, no number; bool ``[N]``."""
    flat = saliency.flatten(1)
    return flat.isfinite().all(1) & (flat.amax(1) > flat.amin(1))


def blocks(pixels: torch.Tensor) -> torch.Tensor:
    """Every pixel with its neighbours above, to the left, and between them: bool ``[N, H, W]``.

    A rectangle of half-width 0.05 px, drawn with whole numbers, covers these (the published masks).
    """
    grown = pixels.clone()
    grown[:, :, :-1] |= pixels[:, :, 1:]
    rows = grown.clone()
    grown[:, :-1] |= rows[:, 1:]
    return grown


@dataclass(frozen=True)
class Selection:
    """The rule by which a round picks values.

    Attributes:
        q: percentile, between 0 and 100.
        pool: ``none`` ranks the values of all channels together, each selected by itself; ``max`` and ``sum`` rank
            pixels by their pooled saliency and select all three channels; ``red`` ranks values and selects the pixels
            whose red value is among them.
        reference: as published: ties at the percentile all belong, a constant saliency selects everything, values that
            the perturbation leaves as they are may be selected, and ``red`` selects blocks of 2 x 2 px.
    """

    q: float
    pool: Pool = "none"
    reference: bool = False

    def __call__(self, saliency: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
        """The mask M.

        Args:
            saliency: float ``[N, 3, H, W]``.
            moves: which values the perturbation would change, bool ``[N, 3, H, W]``.

        Returns:
            bool ``[N, 3, H, W]``.
        """
        scores = self._pooled(saliency)
        if self.reference:
            chosen = at_percentile(scores.flatten(1), self.q).reshape(scores.shape)
            return self._spread(chosen).expand_as(saliency)
        able = moves if self.pool == "none" else moves.any(1, keepdim=True)
        flat = scores.masked_fill(~able, -math.inf).flatten(1)
        chosen = largest(flat, self.q).reshape(scores.shape) & able & explains(saliency)[:, None, None, None]
        return self._spread(chosen).expand_as(saliency)

    def _pooled(self, saliency: torch.Tensor) -> torch.Tensor:
        if self.pool == "max":
            return saliency.amax(1, keepdim=True)
        return saliency.sum(1, keepdim=True) if self.pool == "sum" else saliency

    def _spread(self, chosen: torch.Tensor) -> torch.Tensor:
        """From the plane that decides to all channels."""
        if self.pool != "red":
            return chosen
        red = chosen[:, 0]
        return (blocks(red) if self.reference else red)[:, None]
