"""Several threads share out the batches: what goes wrong in one of them, and what another draw can still change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from anonymizers.edi_anon.perturbations import Painted
from anonymizers.edi_anon.rounds import Rounds
from anonymizers.edi_anon.saliency import Explained, Explainer
from anonymizers.edi_anon.selection import Selection
from benchmark.images import ImageSet

COUNT, SIDE = 40, 8


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def images() -> ImageSet:
    values = torch.randint(1, 256, (COUNT, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1))
    return ImageSet(values.to(torch.uint8), tuple(f"image {row}" for row in range(COUNT)))


def rounds(explain: Any, **more: Any) -> Rounds:
    labels = torch.zeros(COUNT, dtype=torch.int64)
    return Rounds(images(), labels, explain, Painted((0, 0, 0)), Selection(90, "max"), batch=8, **more)


class Failing:
    """Explains everything but one image."""

    deterministic = True

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, given: torch.Tensor, labels: torch.Tensor, keys: list[str], seed: int) -> Explained:
        if "image 33" in keys:
            raise self.error
        return Explained(torch.ones(len(given), dtype=torch.bool), given)


@pytest.mark.parametrize("error", [ValueError("planted"), KeyboardInterrupt()])
def test_what_a_worker_raises_comes_out_and_the_threads_are_given_back(error: BaseException, two_threads: None) -> None:
    loop = rounds(Failing(error))
    with pytest.raises(type(error)):
        loop.run()
    assert torch.get_num_threads() == 2
    assert torch.equal(loop.images, images().images), "nobody is left half changed"


class Drawing:
    """Finds nothing to explain before the third round."""

    def __init__(self, deterministic: bool) -> None:
        self.deterministic, self.passes = deterministic, 0

    def __call__(self, given: torch.Tensor, labels: torch.Tensor, keys: list[str], seed: int) -> Explained:
        self.passes += "image 0" in keys
        value = torch.zeros_like(given) if self.passes < 3 else given
        named = torch.full((len(given),), self.passes < 5)
        return Explained(named, value + 1e-9 * torch.arange(SIDE))  # never constant


class Told(Selection):
    """Selects nothing while the saliency is small."""

    def __call__(self, saliency: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
        return super().__call__(saliency, moves) & (saliency.amax((1, 2, 3)) > 1e-3)[:, None, None, None]


def test_an_explanation_with_draws_may_still_change_what_it_left() -> None:
    waiting, giving_up = (
        Rounds(images(), torch.zeros(COUNT, dtype=torch.int64), Drawing(fixed), Painted((0, 0, 0)), Told(90, "max"))
        for fixed in (False, True)
    )
    assert waiting.run().risk.tolist() == [1, 1, 1, 1, 0]
    assert giving_up.run().risk.tolist() == [1]


def test_only_smoothgrad_draws() -> None:
    methods = ("signed", "abs", "integrated-gradients", "smoothgrad", "occlusion")
    drawing = [method for method in methods if not Explainer(torch.nn.Identity(), method).deterministic]
    assert drawing == ["smoothgrad"]
