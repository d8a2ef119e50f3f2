"""Filters: batches do not matter, progress is told, rounding is half to even."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from benchmark.filters import Filter, to_bytes
from benchmark.images import ImageSet, check_released
from benchmark.protocols import Anonymizer, Controller
from benchmark.seeding import normal


class Noisy(Filter):
    """Adds noise keyed by the image."""

    uses: ClassVar[frozenset[str]] = frozenset()

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        noise = normal(controller.seed, "noise", images.keys, tuple(images.images.shape[1:]))
        return to_bytes(images.images + 20 * noise)


def image_set(count: int) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, 6, 7), dtype=np.uint8)
    return ImageSet(torch.from_numpy(pixels), tuple(f"image {row}" for row in range(count)))


@pytest.mark.parametrize("batch", [1, 3, 7, 64])
def test_released_images_do_not_depend_on_the_batch(batch: int) -> None:
    images = image_set(7)
    whole = Noisy().anonymize(images, Controller(seed=4, batch_size=7))
    parts = Noisy().anonymize(images, Controller(seed=4, batch_size=batch))
    assert torch.equal(whole.images, parts.images)
    assert check_released(whole, images) is whole


def test_progress_is_told_for_every_image() -> None:
    told: list[int] = []
    Noisy().anonymize(image_set(7), Controller(batch_size=3, progress=told.append))
    assert told == [3, 3, 1]


def test_a_filter_is_an_anonymizer_whose_set_may_be_cut() -> None:
    assert isinstance(Noisy(), Anonymizer)
    assert Noisy.shardable


def test_bytes_are_rounded_half_to_even_and_clipped() -> None:
    values = torch.tensor([-3.0, -0.4, 0.5, 1.5, 2.5, 254.5, 255.4, 300.0], dtype=torch.float64)
    assert to_bytes(values).tolist() == [0, 0, 0, 2, 2, 254, 255, 255]
    assert to_bytes(values).dtype == torch.uint8
