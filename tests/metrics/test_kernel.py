"""KID against scikit-learn's kernel summed pair by pair, and its error against leaving people out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import polynomial_kernel

from metrics import kernel
from metrics.frechet import TooFew
from metrics.kernel import kernel_distance

Rows = torch.Tensor


def draw(count: int, seed: int, dimensions: int = 16) -> Rows:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)).exp()


def binkowski(x: Rows, y: Rows) -> float:
    """The usual unbiased estimate, as in the reference code: diagonals of the two symmetric blocks left out."""
    a, b = x.double().numpy(), y.double().numpy()
    xx, yy, xy = (polynomial_kernel(p, q, degree=3, coef0=1) for p, q in ((a, a), (b, b), (a, b)))
    n, m = len(a), len(b)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def paired_by_loops(x: Rows, y: Rows) -> float:
    """Gretton et al. 2012, eq. 4."""
    a, b = x.double().numpy(), y.double().numpy()
    core = polynomial_kernel(a, a, degree=3) + polynomial_kernel(b, b, degree=3)
    core -= polynomial_kernel(a, b, degree=3) + polynomial_kernel(b, a, degree=3)
    pairs = [core[i, j] for i in range(len(a)) for j in range(len(a)) if i != j]
    return float(np.mean(pairs))


def alone(count: int) -> torch.Tensor:
    return torch.arange(count)


@pytest.mark.parametrize("block", [7, 1024])
def test_paired_sets_equal_the_sum_over_pairs(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(kernel, "BLOCK", block)
    x, y = draw(40, 1), draw(40, 2) * 1.2
    assert kernel_distance(x, y, alone(40), alone(40), True).value == pytest.approx(paired_by_loops(x, y), rel=1e-9)


@pytest.mark.parametrize("block", [7, 1024])
def test_sets_of_different_size_equal_the_usual_estimate(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(kernel, "BLOCK", block)
    x, y = draw(40, 1), draw(31, 2) * 1.2
    assert kernel_distance(x, y, alone(40), alone(31), False).value == pytest.approx(binkowski(x, y), rel=1e-9)


def test_leaving_out_the_pairs_changes_less_than_the_error() -> None:
    for seed in range(5):
        x, y = draw(300, seed), draw(300, 50 + seed) * 1.1
        found = kernel_distance(x, y, alone(300), alone(300), True)
        assert abs(found.value - binkowski(x, y)) < found.error


def test_identity_is_exactly_0() -> None:
    x = draw(70, 1)
    found = kernel_distance(x, x.clone(), alone(70), alone(70), True)
    assert (found.value, found.error) == (0, 0)
    assert found.interval is not None
    assert found.interval.low == found.interval.high == 0


@pytest.mark.parametrize("seed", range(8))
def test_equal_distributions_are_within_three_errors_of_0(seed: int) -> None:
    x, y = draw(250, seed, 64), draw(250, 100 + seed, 64)
    found = kernel_distance(x, y, alone(250), alone(250), True)
    assert abs(found.value) < 3 * found.error


def test_different_distributions_are_not() -> None:
    found = kernel_distance(draw(250, 1), draw(250, 2) * 1.5, alone(250), alone(250), True)
    assert found.value > 3 * found.error > 0


def left_out(x: Rows, y: Rows, of_x: torch.Tensor, of_y: torch.Tensor, paired: bool) -> float:
    people = sorted(set(of_x.tolist()) | set(of_y.tolist()))
    estimate = paired_by_loops if paired else binkowski
    without = np.array([estimate(x[of_x != who], y[of_y != who]) for who in people])
    return float(np.sqrt((len(people) - 1) / len(people) * ((without - without.mean()) ** 2).sum()))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("block", [7, 1024])
def test_error_is_that_of_leaving_people_out(monkeypatch: pytest.MonkeyPatch, paired: bool, block: int) -> None:
    monkeypatch.setattr(kernel, "BLOCK", block)
    x, y = draw(40, 1), draw(40 if paired else 33, 2) * 1.3
    generator = torch.Generator().manual_seed(3)
    of_x = torch.randint(0, 9, (40,), generator=generator)
    of_y = of_x if paired else torch.randint(0, 9, (33,), generator=generator)
    found = kernel_distance(x, y, of_x, of_y, paired)
    assert found.people == 9
    assert found.error == pytest.approx(left_out(x, y, of_x, of_y, paired), rel=1e-9)
    assert found.interval is not None
    assert found.interval.method == "jackknife over people"
    assert found.interval.high - found.interval.low == pytest.approx(2 * 1.959964 * found.error, rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(4, 30), st.integers(1, 12), st.integers(0, 99))
def test_order_does_not_matter_and_sides_can_be_swapped(n: int, d: int, seed: int) -> None:
    x, y = draw(n, seed, d), draw(n, seed + 1, d)
    generator = torch.Generator().manual_seed(seed)
    people = torch.randint(0, 4, (n,), generator=generator)
    people[:4] = torch.arange(4)
    order = torch.randperm(n, generator=generator)
    found = kernel_distance(x, y, people, people, True)
    for other in (
        kernel_distance(x[order], y[order], people[order], people[order], True),
        kernel_distance(y, x, people, people, True),
    ):
        assert other.value == pytest.approx(found.value, rel=1e-6, abs=1e-6)
        assert other.error == pytest.approx(found.error, rel=1e-6, abs=1e-6, nan_ok=True)


def test_one_or_two_people_have_no_interval() -> None:
    x, y = draw(10, 1), draw(10, 2)
    assert kernel_distance(x, y, alone(10) % 2, alone(10) % 2, True).interval is None
    assert kernel_distance(x, y, alone(10) * 0, alone(10) * 0, True).interval is None


def test_too_few_images_are_refused() -> None:
    with pytest.raises(TooFew, match="at least 2 images"):
        kernel_distance(draw(1, 1), draw(1, 2), alone(1), alone(1), True)


def test_a_person_with_nearly_all_images_leaves_no_error() -> None:
    people = torch.tensor([0, 0, 0, 0, 0, 0, 1, 2])
    assert kernel_distance(draw(8, 1), draw(8, 2), people, people, True).interval is not None
    people = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1])
    assert kernel_distance(draw(8, 1), draw(8, 2), people, people, True).interval is None
