"""Random image sets for the tests of the anonymizers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from benchmark.images import ImageSet, Labels

MakeSet = Callable[..., ImageSet]


@pytest.fixture(scope="session")
def make_set() -> MakeSet:
    """Makes ``count`` random images of ``height`` x ``width`` px, optionally of ``persons`` persons in turn."""

    def make(count: int = 3, height: int = 20, width: int = 17, persons: int | None = None, seed: int = 0) -> ImageSet:
        pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, height, width), dtype=np.uint8)
        identity = None
        if persons is not None:
            names = tuple(f"person {number}" for number in range(persons))
            identity = Labels(torch.arange(count) % persons, names)
        keys = tuple(f"image-{index:04}" for index in range(count))
        return ImageSet(torch.from_numpy(pixels), keys, identity)

    return make
