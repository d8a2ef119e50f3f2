"""Random image sets for the tests of the anonymizers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from benchmark.images import ImageSet, Labels
from benchmark.registry import Entrant
from tests.anonymizers.kanon_entrants import maker_of
from tests.anonymizers.tiny_generators import write_tiny

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


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small generator with random weights."""
    return str(write_tiny(tmp_path_factory.mktemp("generator") / "tiny.safetensors"))


@pytest.fixture(scope="session")
def make_kanon(tiny_file: str) -> Callable[..., Entrant]:
    """Builds a ``kanon`` from parameters; style draws with the tiny generator."""
    return maker_of(tiny_file)
