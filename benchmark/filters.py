"""Base class of anonymizers that treat every image by itself."""

from __future__ import annotations

from typing import ClassVar

import torch

from benchmark.images import ImageSet, Released
from benchmark.protocols import Controller


class Filter:
    """An anonymizer made of one function of a batch; subclasses implement ``filter``.

    The harness may cut the set anywhere: ``filter`` must treat each image by itself and draw randomness from
    ``benchmark.seeding``, keyed by the image.
    """

    uses: ClassVar[frozenset[str]] = frozenset()
    shardable: ClassVar[bool] = True

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        """Returns uint8 ``[N, 3, H, W]`` for the ``[N, 3, H, W]`` given."""
        raise NotImplementedError

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Filters the set batch by batch."""
        parts = []
        for batch in images.batches(controller.batch_size):
            parts.append(self.filter(batch, controller))
            controller.progress(len(batch))
        return Released(torch.cat(parts))


def to_bytes(values: torch.Tensor) -> torch.Tensor:
    """Rounds float grey levels (0..255) half to even, clips them to the range and returns uint8."""
    return values.round().clamp(0, 255).to(torch.uint8)
