"""The Fréchet distance against pytorch-fid, against closed forms, and against itself."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.frechet import Gaussian, Moments, TooFew, distance, frechet_distance, frechet_infinity, halves

INCEPTION = 2048


def spectrum(dimensions: int = INCEPTION) -> torch.Tensor:
    """Eigenvalues with which two equal Gaussians read FID 109, 73, 51, 33 at 100, 250, 500, 1000 images."""
    return 44.678 * torch.arange(1, dimensions + 1, dtype=torch.float64) ** -1.2


def draw(count: int, seed: int, dimensions: int = INCEPTION, scale: torch.Tensor | float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, dimensions, generator=generator, dtype=torch.float64)
    return (rows * spectrum(dimensions).sqrt() * scale).float()


def rotation(dimensions: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator, dtype=torch.float64))[0]


def pytorch_fid(x: torch.Tensor, y: torch.Tensor) -> float:
    from pytorch_fid.fid_score import calculate_frechet_distance

    a, b = x.double().numpy(), y.double().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # scipy.linalg.sqrtm(disp=False)
        found = calculate_frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))
    return float(found)


@pytest.mark.parametrize(("n", "m", "d"), [(300, 300, 64), (500, 900, 128), (2000, 400, 32), (65, 65, 64)])
def test_equals_pytorch_fid(n: int, m: int, d: int) -> None:
    x, y = draw(n, 1, d), draw(m, 2, d) @ rotation(d, 3).float() + 0.3
    assert frechet_distance(x, y) == pytest.approx(pytorch_fid(x, y), rel=1e-5)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 300), (300, 40), (64, 64), (2, 2)])
def test_paths_for_few_and_for_many_images_agree(n: int, m: int) -> None:
    x, y = draw(n, 1, 64), draw(m, 2, 64) + 0.1
    streamed = [Gaussian.of_moments(Moments.of(part.split(7))) for part in (x, y)]
    assert frechet_distance(x, y) == pytest.approx(distance(*streamed), rel=1e-6)


@pytest.mark.parametrize("count", [15, 60])
def test_round_off_does_not_make_it_negative(count: int) -> None:
    for seed in range(10):
        rows = torch.randn(count, 20, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert 0 <= frechet_distance(rows, rows.flip(0)) < 1e-12


@pytest.mark.parametrize("count", [2, 300, 2500])
def test_identical_sets_are_at_distance_0(count: int) -> None:
    x = draw(count, 1).abs()
    assert frechet_distance(x, x.clone()) < 1e-6


@pytest.mark.parametrize("count", [20, 50, 400])
def test_identical_sets_of_low_rank_are_at_distance_0(count: int) -> None:
    x = draw(count, 1, 8) @ torch.randn(8, 128, generator=torch.Generator().manual_seed(2))
    assert frechet_distance(x, x.clone()) < 1e-6
    x[:, 100:] = 0
    assert frechet_distance(x, x[torch.randperm(count)]) < 1e-6


def test_sets_that_do_not_vary() -> None:
    x, flat = draw(300, 1, 64), torch.zeros(300, 64)
    spread = float(x.double().var(0).sum() + x.double().mean(0).square().sum())
    assert frechet_distance(flat, flat) == 0
    assert frechet_distance(flat, flat + 1) == pytest.approx(64)
    assert frechet_distance(x, flat) == pytest.approx(spread)
    assert frechet_distance(x[:30], flat[:30]) > 0


def test_shift_of_1_in_2048_dimensions_is_2048() -> None:
    identity = torch.eye(INCEPTION, dtype=torch.float64)
    zero, one = torch.zeros(INCEPTION, dtype=torch.float64), torch.ones(INCEPTION, dtype=torch.float64)
    there, here = (Gaussian.of_moments(Moments(mean, identity * 99, 100)) for mean in (zero, one))
    assert distance(here, there) == INCEPTION


def test_diagonal_covariances_have_a_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    means, deviations = torch.randn(2, 2, 40, generator=generator, dtype=torch.float64)
    expected = float((means[0] - means[1]).square().sum() + (deviations[0].abs() - deviations[1].abs()).square().sum())
    pair = [Moments(m, torch.diag(s.square()) * 9, 10) for m, s in zip(means, deviations, strict=True)]
    assert distance(*map(Gaussian.of_moments, pair)) == pytest.approx(expected, rel=1e-10)


def test_moments_in_batches_and_merged() -> None:
    x = draw(333, 1, 16) + 1000
    one, other = Moments.of(x[:200].split(31)), Moments.of(x[200:].split(50))
    one.merge(other)
    one.merge(Moments.empty(16))
    assert one.count == 333
    assert torch.allclose(one.mean, x.double().mean(0), rtol=1e-12)
    assert torch.allclose(one.covariance, x.double().T.cov(), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused(count: int) -> None:
    with pytest.raises(TooFew, match=f"at least 2 images, not {count}"):
        frechet_distance(draw(count, 1, 8), draw(9, 2, 8))
    with pytest.raises(TooFew):
        frechet_infinity(draw(50, 1, 8), draw(50, 2, 8), torch.arange(50), 0)


@pytest.mark.parametrize("count", [4, 40])
def test_broken_features_are_refused(count: int) -> None:
    x = draw(count, 1, 8)
    x[0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(x, draw(count, 2, 8))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 40), st.integers(2, 40), st.integers(1, 24), st.integers(1, 24), st.floats(-6, 6), st.integers(0, 99)
)
def test_it_is_a_distance(n: int, m: int, d: int, rank: int, exponent: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(rank, d, generator=generator) * 10**exponent
    x, y = (torch.randn(count, rank, generator=generator) @ mix for count in (n, m))
    value = frechet_distance(x, y)
    size = float(x.double().square().mean() + y.double().square().mean()) * d
    near = {"rel": 1e-6, "abs": 1e-6 * size + 1e-30}
    assert 0 <= value < float("inf")
    assert frechet_distance(y, x) == pytest.approx(value, **near)
    turn = rotation(d, seed)
    assert frechet_distance(x.double() @ turn, y.double() @ turn) == pytest.approx(value, **near)
    order = torch.randperm(n, generator=generator)
    assert frechet_distance(x[order], y) == pytest.approx(value, **near)


def test_plain_fid_of_500_images_is_51_for_equal_distributions() -> None:
    assert frechet_distance(draw(500, 1), draw(500, 2)) == pytest.approx(51.4, abs=1)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_infinity_of_equal_distributions_is_near_0(seed: int) -> None:
    x, y = draw(500, seed), draw(500, 100 + seed)
    assert abs(frechet_infinity(x, y, torch.arange(500), seed)) < 5


def blurred() -> torch.Tensor:
    factors = torch.ones(INCEPTION, dtype=torch.float64)
    factors[torch.randperm(INCEPTION, generator=torch.Generator().manual_seed(5))[: INCEPTION // 2]] = 0.1
    return factors


@pytest.mark.parametrize("factors", [torch.full((INCEPTION,), 0.5, dtype=torch.float64), blurred()])
def test_infinity_of_different_covariances_is_near_the_truth(factors: torch.Tensor) -> None:
    truth = float((spectrum() * (1 - factors) ** 2).sum())
    x, y = draw(500, 1), draw(500, 2, scale=factors)
    assert frechet_distance(x, y) > truth + 20
    assert frechet_infinity(x, y, torch.arange(500), 0) == pytest.approx(truth, abs=6)


def test_infinity_of_a_shift_is_near_the_truth() -> None:
    x, y = draw(500, 1), draw(500, 2)
    assert frechet_infinity(x, y + 0.2, torch.arange(500), 0) == pytest.approx(INCEPTION * 0.04, abs=6)


def test_infinity_equals_the_published_fit_where_images_are_many() -> None:
    x, y = draw(3000, 1, 24), draw(3000, 2, 24, scale=0.7)
    sizes = torch.linspace(900, 3000, 8).round().long().tolist()
    values = torch.tensor([frechet_distance(x[:n], y[:n]) for n in sizes], dtype=torch.float64)
    design = torch.stack([torch.ones(8, dtype=torch.float64), 1 / torch.tensor(sizes, dtype=torch.float64)], 1)
    published = float(torch.linalg.lstsq(design, values[:, None])[0][0])
    assert frechet_infinity(x, y, torch.arange(3000), 0) == pytest.approx(published, abs=0.5)


def test_infinity_of_an_unchanged_or_constant_release() -> None:
    x = draw(200, 1)
    spread = float(x.double().var(0).sum())
    assert abs(frechet_infinity(x, x.clone(), torch.arange(200), 0)) < 1e-6
    assert frechet_infinity(x, x * 0, torch.arange(200), 0) == pytest.approx(spread, rel=0.1)


def test_nobody_is_in_both_halves() -> None:
    people = torch.randint(0, 30, (300,), generator=torch.Generator().manual_seed(1))
    first, second = halves(people, torch.Generator().manual_seed(2))
    assert not set(people[first].tolist()) & set(people[second].tolist())
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(300))


def test_infinity_needs_people() -> None:
    x = draw(200, 1, 8)
    with pytest.raises(TooFew, match="of 10 people"):
        frechet_infinity(x, x, torch.arange(200) % 9, 0)
    with pytest.raises(TooFew, match="two groups"):
        frechet_infinity(x, x, (torch.arange(200) - 189).clamp(min=0), 0)
