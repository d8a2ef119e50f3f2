"""Which values a round of EDI-Anon selects, against numpy's percentile, brute force and Pillow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from anonymizers.edi_anon.selection import (
    Pool,
    Selection,
    at_percentile,
    blocks,
    explains,
    largest,
    selected_count,
)

PERCENTILES = st.floats(0.001, 99.999) | st.sampled_from([50.0, 90.0, 95.0, 97.5, 99.0, 99.9])
POOLS: tuple[Pool, ...] = ("none", "max", "sum", "red")


def saliency_of(seed: int, count: int = 4, height: int = 9, width: int = 7) -> torch.Tensor:
    values = np.random.default_rng(seed).standard_normal((count, 3, height, width))
    return torch.from_numpy(values)


def everything(saliency: torch.Tensor) -> torch.Tensor:
    return torch.ones(saliency.shape, dtype=torch.bool)


@pytest.mark.parametrize(("q", "count"), [(90, 15_053), (95, 7_527), (99, 1_506), (99.9, 151)])
def test_published_counts(q: float, count: int) -> None:
    """Acceptance check 2."""
    assert selected_count(3 * 224 * 224, q) == count


@given(st.integers(1, 3000), PERCENTILES)
def test_count_is_that_of_the_percentile(values: int, q: float) -> None:
    place = q * (values - 1) / 100
    assume(abs(place - round(place)) > 1e-9 or place == round(place) == q / 100 * (values - 1))
    ranks = np.arange(values, dtype=float)
    assert selected_count(values, q) == (ranks >= np.percentile(ranks, q)).sum()
    assert 1 <= selected_count(values, q) <= values


@given(st.integers(2, 400), PERCENTILES, st.integers(0, 10**6))
def test_untied_values_are_selected_alike_by_count_and_by_percentile(values: int, q: float, seed: int) -> None:
    place = q * (values - 1) / 100
    assume(abs(place - round(place)) > 1e-9)
    scores = torch.from_numpy(np.random.default_rng(seed).permuted(np.tile(np.arange(float(values)), (3, 1)), axis=1))
    expected = torch.stack([row >= np.percentile(row.numpy(), q) for row in scores])
    assert torch.equal(largest(scores, q), expected)
    assert torch.equal(at_percentile(scores, q), expected)


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=200), PERCENTILES)
def test_of_tied_values_never_more_are_selected_than_the_count(values: list[int], q: float) -> None:
    scores = torch.tensor([values], dtype=torch.float64)
    chosen, published = largest(scores, q), at_percentile(scores, q)
    assert int(chosen.sum()) == selected_count(len(values), q)
    assert published[0].tolist() == [value >= np.percentile(values, q) for value in values]
    assert scores[chosen].min() >= max(scores[~chosen].max().item() if (~chosen).any() else -3, -3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_rules_agree_on_gradients_of_an_image(dtype: torch.dtype) -> None:
    scores = saliency_of(0, 2, 96, 96).to(dtype).flatten(1)
    for q in (90.0, 95.0, 99.0, 99.9):
        assert torch.equal(largest(scores, q), at_percentile(scores, q))


def test_images_are_ranked_by_themselves() -> None:
    saliency = saliency_of(1)
    bright = saliency * torch.tensor([1.0, 100.0, 0.01, 1e6])[:, None, None, None]
    for pool in POOLS:
        for reference in (False, True):
            select = Selection(80, pool, reference)
            assert torch.equal(select(saliency, everything(saliency)), select(bright, everything(bright)))


def test_signed_saliency_selects_the_positive_tail_alone() -> None:
    saliency = saliency_of(2)
    chosen = Selection(90)(saliency, everything(saliency))
    assert saliency[chosen].min() > 0
    assert not (chosen & Selection(90)(-saliency, everything(saliency))).any()


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("pool", ["max", "sum"])
def test_pools_rank_pixels_and_select_all_their_channels(pool: Pool, reference: bool) -> None:
    saliency = saliency_of(3)
    chosen = Selection(90, pool, reference)(saliency, everything(saliency))
    for image, mask in zip(saliency.tolist(), chosen, strict=True):
        pixels = {
            (y, x): (max if pool == "max" else sum)(image[channel][y][x] for channel in range(3))
            for y in range(9)
            for x in range(7)
        }
        best = sorted(pixels, key=pixels.__getitem__, reverse=True)[: selected_count(63, 90)]
        expected = {(channel, y, x) for channel in range(3) for y, x in best}
        assert {tuple(place) for place in mask.nonzero().tolist()} == expected


def test_red_selects_pixels_whose_red_value_is_among_the_values() -> None:
    saliency = saliency_of(4)
    values = Selection(85)(saliency, everything(saliency))
    chosen = Selection(85, "red")(saliency, everything(saliency))
    assert torch.equal(chosen, values[:, :1].expand(-1, 3, -1, -1))
    published = Selection(85, "red", reference=True)(saliency, everything(saliency))
    assert torch.equal(published, blocks(values[:, 0])[:, None].expand(-1, 3, -1, -1))


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 10**6), st.floats(0, 1))
def test_blocks_are_rectangles_as_pillow_draws_them(height: int, width: int, seed: int, share: float) -> None:
    pixels = np.random.default_rng(seed).random((height, width)) < share
    plane = Image.new("L", (width, height))
    for y, x in np.argwhere(pixels).tolist():
        ImageDraw.Draw(plane).rectangle((x - 0.05, y - 0.05, x + 0.05, y + 0.05), fill=255)
    assert np.array_equal(blocks(torch.from_numpy(pixels)[None])[0].numpy(), np.array(plane) > 0)


@pytest.mark.parametrize("pool", POOLS)
def test_values_that_would_not_change_are_not_selected(pool: Pool) -> None:
    saliency = saliency_of(5)
    moves = torch.rand(saliency.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    chosen = Selection(90, pool)(saliency, moves)
    if pool == "none":
        assert (chosen <= moves).all()
        assert chosen.flatten(1).sum(1).tolist() == [selected_count(189, 90)] * 4, "the best of the others come instead"
        return
    assert (chosen[:, 0] <= moves.any(1)).all()
    if pool == "red":  # a pixel counts as a whole, though only its red value can name it
        assert (chosen[:, 0] & ~moves[:, 0]).any()
    else:
        assert chosen[:, 0].flatten(1).sum(1).tolist() == [selected_count(63, 90)] * 4


@pytest.mark.parametrize("pool", POOLS)
def test_where_little_moves_little_is_selected(pool: Pool) -> None:
    saliency = saliency_of(6)
    moves = torch.zeros(saliency.shape, dtype=torch.bool)
    assert not Selection(50, pool)(saliency, moves).any()
    moves[1, 0, 4, 4] = True
    chosen = Selection(50, pool)(saliency, moves)
    assert chosen.nonzero()[:, 0].unique().tolist() == [1]
    assert chosen.sum() == (1 if pool == "none" else 3)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("value", [0.0, 3.5])
def test_a_constant_saliency_explains_nothing_but_selects_everything_as_published(pool: Pool, value: float) -> None:
    saliency = torch.full((2, 3, 5, 6), value)
    assert not Selection(90, pool)(saliency, everything(saliency)).any()
    assert Selection(90, pool, reference=True)(saliency, everything(saliency)).all()


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_saliency_that_is_no_number_explains_nothing(pool: Pool, broken: float) -> None:
    saliency = saliency_of(7)
    clean = Selection(90, pool)(saliency, everything(saliency))
    saliency[2, 1, 3, 3] = broken
    chosen = Selection(90, pool)(saliency, everything(saliency))
    assert explains(saliency).tolist() == [True, True, False, True]
    assert not chosen[2].any()
    others = torch.tensor([0, 1, 3])
    assert torch.equal(chosen[others], clean[others]), "its neighbours do not suffer"


def test_a_percentile_of_nothing_but_nan_selects_nothing_as_published() -> None:
    saliency = torch.full((2, 3, 4, 4), math.nan)
    assert not Selection(90, reference=True)(saliency, everything(saliency)).any()


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("reference", [False, True])
def test_one_pixel(pool: Pool, reference: bool) -> None:
    saliency = torch.tensor([3.0, 1.0, 2.0]).reshape(1, 3, 1, 1)
    chosen = Selection(90, pool, reference)(saliency, everything(saliency))
    if pool == "none":
        assert chosen.flatten().tolist() == [True, False, False]
    elif reference or pool == "red":
        assert chosen.all()


def test_pixels_that_tie_at_the_edge_are_filled_up_to_the_count_and_no_further() -> None:
    saliency = torch.zeros(1, 3, 10, 10)
    saliency[0, 0, 0, :4] = 1
    assert int(Selection(90)(saliency, everything(saliency)).sum()) == selected_count(300, 90)
    assert Selection(90, reference=True)(saliency, everything(saliency)).all()
