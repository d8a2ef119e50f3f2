"""The two ends of every scale: nothing done, and nothing left."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from benchmark.filters import Filter
from benchmark.images import ImageSet
from benchmark.protocols import Controller


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Identity(Filter):
    """Control: releases the originals as they are (no privacy, full utility)."""

    control: ClassVar[bool] = True
    source: ClassVar[str] = "control of the harness"

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        """Returns a copy of uint8 ``[N, 3, H, W]``."""
        return images.images.clone()


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Black(Filter):
    """Control: releases black images (full privacy, no utility)."""

    control: ClassVar[bool] = True
    source: ClassVar[str] = "control of the harness"

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        """Returns zeros, uint8 ``[N, 3, H, W]``."""
        return torch.zeros_like(images.images)
