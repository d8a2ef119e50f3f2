"""Pixel means, as in k-Same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from anonymizers.kanonymity.surrogates.base import Request, group_means
from benchmark.filters import to_bytes


@dataclass(frozen=True)
class Pixels:
    """The mean image of a group: cheap, and full of ghosts where faces are not aligned."""

    uses: ClassVar[frozenset[str]] = frozenset({"identity"})
    source: ClassVar[str] = "Newton, Sweeney and Malin, Preserving Privacy by De-identifying Face Images, TKDE 2005"

    def render(self, request: Request) -> torch.Tensor:
        """Means over persons, rounded half to even, uint8 ``[G, 3, H, W]``."""
        return to_bytes(group_means(request)).reshape(request.count, *request.images.images.shape[1:])
