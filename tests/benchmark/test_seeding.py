"""Seeded draws: distribution, independence of batch and order, and no drift."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.seeding import key_of, laplace, normal, uniform

KEYS = tuple(f"person {row:03}/image {row:03}.png" for row in range(40))
UNIFORM = [0.2718373747498969, 0.6221901937099045, 0.09185109935687896]
NORMAL = [-0.6072654705990627, 0.3112381107552145]
LAPLACE = [-0.6094040978807787, 0.2802171873917592]
DRAWS = {"uniform": uniform, "normal": normal, "laplace": laplace}


@pytest.mark.parametrize(("name", "expected"), [("uniform", "uniform"), ("normal", "norm"), ("laplace", "laplace")])
def test_draws_have_their_distribution(name: str, expected: str) -> None:
    draws = DRAWS[name](11, "noise", KEYS, (3, 20, 20)).numpy().reshape(-1)
    assert stats.kstest(draws, expected).pvalue > 0.01


@pytest.mark.parametrize("name", sorted(DRAWS))
@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.permutations(list(range(8))), st.integers(1, 8))
def test_draws_do_not_depend_on_batch_or_order(name: str, order: list[int], size: int) -> None:
    draw, keys = DRAWS[name], [KEYS[row] for row in order]
    whole = draw(3, "noise", KEYS[:8], (2, 5))
    parts = [draw(3, "noise", keys[start : start + size], (2, 5)) for start in range(0, 8, size)]
    assert torch.equal(torch.cat(parts), whole[order])


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_draws_are_finite_float64_of_the_asked_shape(name: str) -> None:
    draws = DRAWS[name](0, "noise", KEYS, (3, 4, 5))
    assert (draws.dtype, tuple(draws.shape)) == (torch.float64, (40, 3, 4, 5))
    assert draws.isfinite().all()


def test_seed_stream_and_key_each_change_the_draws() -> None:
    base = uniform(1, "noise", ["a"], (4,))
    others = [uniform(2, "noise", ["a"], (4,)), uniform(1, "salt", ["a"], (4,)), uniform(1, "noise", ["b"], (4,))]
    assert all(not torch.equal(base, other) for other in others)


def test_images_are_not_correlated() -> None:
    draws = normal(5, "noise", KEYS, (2000,)).numpy()
    correlations = np.corrcoef(draws)[np.triu_indices(len(KEYS), 1)]
    assert np.abs(correlations).max() < 5 / 2000**0.5


def test_a_part_of_the_stream_does_not_run_into_the_key() -> None:
    assert not np.array_equal(key_of(1, "noise/a", "b"), key_of(1, "noise", "a/b"))


def test_no_draws_for_no_images() -> None:
    assert tuple(uniform(0, "noise", [], (3, 2)).shape) == (0, 3, 2)


def test_first_values_have_not_drifted() -> None:
    assert uniform(20260101, "noise", ["a/b.png"], (3,))[0].tolist() == UNIFORM
    assert normal(20260101, "noise", ["a/b.png"], (2,))[0].tolist() == pytest.approx(NORMAL, rel=1e-12)
    assert laplace(20260101, "noise", ["a/b.png"], (2,))[0].tolist() == pytest.approx(LAPLACE, rel=1e-12)
