"""Single rounds of EDI-Anon under explanations that stand in a table, and rounds that lead nowhere."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from anonymizers.edi_anon import EdiAnon
from anonymizers.edi_anon.perturbations import Painted, build
from anonymizers.edi_anon.rounds import Rounds, round_seed
from anonymizers.edi_anon.saliency import Explained
from anonymizers.edi_anon.selection import Selection
from benchmark.images import ImageSet, Labels
from tests.anonymizers.edi_anon_oracle import (
    COUNT,
    HEIGHT,
    NAMES,
    NETWORK,
    PROBES,
    WIDTH,
    Array,
    anonymized,
    count_of,
    largest_that_move,
)


@dataclass(frozen=True)
class Planted:
    """Names everybody, and explains by ranks that stand in a table."""

    saliency: torch.Tensor
    deterministic: bool = True

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, keys: Any, seed: int) -> Explained:
        rows = torch.tensor([int(key.split()[1]) for key in keys])
        return Explained(torch.ones(len(images), dtype=torch.bool), self.saliency[rows])


def ranks(count: int, height: int, width: int) -> torch.Tensor:
    """A permutation of all values per image: no ties."""
    generator = torch.Generator().manual_seed(3)
    values = [torch.randperm(3 * height * width, generator=generator) for _ in range(count)]
    return torch.stack(values).reshape(count, 3, height, width).float()


def noise_set(count: int, side: int, low: int = 0) -> ImageSet:
    images = torch.randint(low, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(9))
    return ImageSet(images.to(torch.uint8), tuple(f"image {row}" for row in range(count)))


def planted_rounds(images: ImageSet, saliency: torch.Tensor, **more: Any) -> Rounds:
    return Rounds(images, torch.zeros(len(images), dtype=torch.int64), Planted(saliency), **more)  # type: ignore[arg-type]


STRENGTHS: dict[str, dict[str, Any]] = {
    "blur": {"kernel": 6},
    "pixelate": {"size": 5},
    "dp-pix": {"b": 6, "m": 2},
    "dp-blur": {"b": 6, "kernel": 5},
    "noise": {"sigma": 70.0},
}


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("perturb", STRENGTHS)
def test_a_round_is_one_minus_m_times_x_plus_m_times_p(perturb: str, reference: bool) -> None:
    """Acceptance check 1, per channel, for a known M."""
    images, saliency = noise_set(3, 24), ranks(3, 24, 24)
    base = build(perturb, STRENGTHS[perturb], 24, reference)
    rounds = planted_rounds(images, saliency, perturb=base, select=Selection(90, reference=reference), limit=1, seed=5)
    rounds.run()
    perturbed = base(images, round_seed(5, 0))
    if reference:
        mask = saliency >= 3 * 24 * 24 - count_of(3 * 24 * 24, 90)
    else:
        pairs = zip(saliency.numpy(), (perturbed != images.images).numpy(), strict=True)
        mask = torch.from_numpy(np.stack([largest_that_move(part, moves, 90) for part, moves in pairs]))
    expected = (1 - mask.double()) * images.images + mask.double() * perturbed
    for channel in range(3):
        assert torch.equal(rounds.images[:, channel].double(), expected[:, channel])
    assert not torch.equal(rounds.images, images.images)


@pytest.mark.parametrize(("q", "count"), [(90, 15_053), (95, 7_527), (99, 1_506), (99.9, 151)])
@pytest.mark.parametrize("reference", [False, True])
def test_a_round_changes_just_as_many_values_as_the_percentile_leaves(q: float, count: int, reference: bool) -> None:
    """Acceptance check 2: at 224 x 224, all where P changes everything, at most so many where it does not."""
    black, saliency = Painted((0, 0, 0)), ranks(2, 224, 224)
    bright = noise_set(2, 224, low=1)
    chosen = Selection(q, reference=reference)
    trace = planted_rounds(bright, saliency, perturb=black, select=chosen, limit=1).run()
    assert trace.changed.tolist() == [count, count]
    half = ImageSet(bright.images * (bright.images > 127), bright.keys)
    changed = planted_rounds(half, saliency, perturb=black, select=chosen, limit=1).run().changed
    assert (changed == count).all() if not reference else (changed < 0.6 * count).all()


def test_pixelated_images_end_at_once() -> None:
    """What P leaves as it is can never change: no 200 rounds, and the count is told."""
    images = PROBES.with_images(torch.from_numpy(np.stack([flat_cells(row) for row in range(COUNT)])))
    assert images.identity is not None
    named = Labels(NETWORK(images.images.double() / 255).argmax(1), NAMES)
    images = dataclasses.replace(images, identity=named)
    for mode in ("standard", "reference"):
        entrant = EdiAnon(perturb="pixelate", size=7, variant="mean", mode=mode)
        released, trace = anonymized(entrant, images)
        assert torch.equal(released.images, images.images)
        assert trace.risk.tolist() == [1.0]
        assert trace.rounds.tolist() == [0] * COUNT
        assert trace.recognised.all()
        assert released.notes["not converged"] == "14 of 14 images are still recognised; no further round changes them"


def flat_cells(seed: int) -> Array:
    cells = np.random.default_rng(seed).integers(0, 256, (3, 3, 4)).astype(np.uint8)
    return cells.repeat(7, 1).repeat(7, 2)[:, :HEIGHT, :WIDTH]


def test_published_pixelation_stalls_where_the_standard_goes_on() -> None:
    images, saliency = noise_set(2, 24), ranks(2, 24, 24)
    base = build("pixelate", {"size": 6}, 24, False)
    # The ranks never change, so the published rule chooses the same values again once they are those of their cells.
    published = planted_rounds(images, saliency, perturb=base, select=Selection(90, reference=True)).run()
    standard = planted_rounds(images, saliency, perturb=base, select=Selection(90))
    trace = standard.run()
    assert published.changed.max() <= count_of(3 * 24 * 24, 90)
    assert len(published.risk) < len(trace.risk) < 200
    assert torch.equal(base(ImageSet(standard.images, images.keys), 0), standard.images), "pixelated to the end"


def test_a_draw_that_changes_nothing_is_followed_by_others() -> None:
    """One value is chosen, and most draws round to nothing: the image is not given up."""
    images, saliency = noise_set(6, 8), ranks(6, 8, 8)
    slight = build("noise", {"sigma": 0.5}, 8, reference=True)
    rounds = planted_rounds(images, saliency, perturb=slight, select=Selection(99.6, reference=True), limit=40)
    trace = rounds.run()
    assert trace.rounds.tolist() == [40] * 6
    assert trace.changed.tolist() == [1] * 6
    first = planted_rounds(images, saliency, perturb=slight, select=Selection(99.6, reference=True), limit=1).run()
    assert not first.changed.all(), "the first draw left some as they were"
