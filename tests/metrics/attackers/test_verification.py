"""EER, AUC, TAR@FAR and D_sys against closed forms and scikit-learn, and where thresholds come from."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from metrics.attackers.matching import Matches
from metrics.attackers.verification import (
    Pairs,
    PairTable,
    auc,
    d_sys,
    d_sys_floor,
    eer,
    held_out_tar,
    tar_at_far,
)

COUNT = 20_000
SIGMAS = 4
EXACT_D_SYS = {0.0: 0.0, 0.5: 0.1282, 1.0: 0.2935, 2.0: 0.6165, 3.0: 0.8346}
SCORES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30)
FAR = st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.2, 0.3, 1 / 3, 0.5, 0.7, 1.0])


def normal(distance: float, mated: int = COUNT, nonmated: int = COUNT, seed: int = 0) -> Pairs:
    """Non-mated scores N(0, 1), mated scores N(distance, 1)."""
    generator = np.random.default_rng(seed)
    return Pairs.of(generator.standard_normal(mated) + distance, generator.standard_normal(nonmated))


def labelled(mated: list[float], nonmated: list[float]) -> tuple[list[int], list[float]]:
    return [1] * len(mated) + [0] * len(nonmated), mated + nonmated


@pytest.mark.parametrize("distance", EXACT_D_SYS)
def test_auc_of_normal_scores_is_its_closed_form(distance: float) -> None:
    """The variance of the rank formula is at most A (1 - A) / min(M, K) (van Dantzig, 1951)."""
    exact = norm.cdf(distance / sqrt(2))
    assert auc(normal(distance)) == pytest.approx(exact, abs=SIGMAS * sqrt(exact * (1 - exact) / COUNT))


@pytest.mark.parametrize("distance", EXACT_D_SYS)
def test_eer_of_normal_scores_is_its_closed_form(distance: float) -> None:
    """Both curves have the same slope where they meet, so the errors of both shares count half."""
    exact = norm.cdf(-distance / 2)
    assert eer(normal(distance)) == pytest.approx(exact, abs=SIGMAS * sqrt(exact * (1 - exact) * 2 / COUNT) / 2)


def quadrature(distance: float) -> float:
    """(LR - 1) / (LR + 1) of two normal densities is tanh((d s - d² / 2) / 2), positive above d / 2."""
    found: float = quad(
        lambda s: np.tanh((distance * s - distance**2 / 2) / 2) * norm.pdf(s - distance),
        distance / 2,
        distance + 12,
    )[0]
    return found


def upward_bias(distance: float, count: int, bins: int = 100) -> float:
    """How much histograms of ``count`` scores each may overstate D_sys, to first order.

    In a bin of m and n scores, z = (p - q) / (p + q) is estimated with deviation s = (1 - z²) sqrt(1/m + 1/n) / 2. Cutting
    it at 0 adds s (phi(t) - t Phi(-t)) with t = |z| / s; that z and the weight of the bin come from the same scores adds
    at most 1 / (2 count).
    """
    edges = np.linspace(-4.5, distance + 4.5, bins + 1)
    p, q = (np.diff(norm.cdf(edges - shift)) for shift in (distance, 0.0))
    z = (p - q) / (p + q)
    s = (1 - z**2) * np.sqrt(1 / np.maximum(count * p, 1) + 1 / np.maximum(count * q, 1)) / 2
    t = np.abs(z) / np.maximum(s, 1e-12)
    return float((p * s * (norm.pdf(t) - t * norm.cdf(-t))).sum() + bins / (2 * count))


@pytest.mark.parametrize(("distance", "exact"), EXACT_D_SYS.items())
def test_d_sys_of_normal_scores_is_its_quadrature(distance: float, exact: float) -> None:
    assert quadrature(distance) == pytest.approx(exact, abs=5e-5)
    draws = [d_sys(normal(distance, seed=seed)) for seed in range(10)]
    error = SIGMAS * float(np.std(draws, ddof=1)) / sqrt(len(draws)) + 5e-5
    width_of_bins = 1e-3
    assert exact - error - width_of_bins <= np.mean(draws) <= exact + error + upward_bias(distance, COUNT)


@pytest.mark.parametrize(
    ("mated", "nonmated", "published"),
    [(300, 3_000, [0.065, 0.144, 0.295, 0.621, 0.836]), (3_000, 3_000, [0.049, 0.137, 0.299, 0.619, 0.836])],
)
def test_d_sys_agrees_with_voiceprivacy(mated: int, nonmated: int, published: list[float]) -> None:
    """Their means of 20 draws have the same error as ours; they leave out half a bin at either end."""
    for distance, expected in zip(EXACT_D_SYS, published, strict=True):
        draws = [d_sys(normal(distance, mated, nonmated, seed)) for seed in range(20)]
        error = SIGMAS * float(np.std(draws, ddof=1)) * sqrt(2 / 20)
        assert np.mean(draws) == pytest.approx(expected, abs=error + 2e-3)


def test_d_sys_floor_is_the_mean_over_permuted_labels() -> None:
    pairs = normal(1.0, 400, 3_000)
    pool, generator = np.concatenate([pairs.mated, pairs.nonmated]), np.random.default_rng(5)
    shuffled = [generator.permutation(pool) for _ in range(60)]
    draws = [d_sys(Pairs.of(scores[:400], scores[400:])) for scores in shuffled]
    error = SIGMAS * float(np.std(draws, ddof=1)) * sqrt(1 / 20 + 1 / 60)
    assert d_sys_floor(pairs) == pytest.approx(float(np.mean(draws)), abs=error)
    assert d_sys_floor(pairs) == d_sys_floor(pairs)
    assert d_sys_floor(pairs, seed=1) != d_sys_floor(pairs)


def test_d_sys_ends() -> None:
    apart = Pairs.of(np.linspace(5, 6, 200), np.linspace(0, 1, 500))
    alike = Pairs.of(np.linspace(0, 1, 5000), np.linspace(0, 1, 5000))
    same = Pairs.of(np.full(200, 0.3), np.full(500, 0.3))
    assert [d_sys(apart), d_sys(alike), d_sys(same), d_sys_floor(same)] == [1, 0, 0, 0]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(SCORES, SCORES)
def test_auc_equals_scikit_learn(mated: list[float], nonmated: list[float]) -> None:
    found = auc(Pairs.of(np.array(mated), np.array(nonmated)))
    assert found == pytest.approx(roc_auc_score(*labelled(mated, nonmated)), abs=1e-12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(SCORES, SCORES)
def test_eer_is_the_crossing_of_scikit_learns_step_curves(mated: list[float], nonmated: list[float]) -> None:
    fmr, tar, _ = roc_curve(*labelled(mated, nonmated), drop_intermediate=False)
    expected = np.interp(0, (fmr - 1 + tar), 1 - tar)
    assert eer(Pairs.of(np.array(mated), np.array(nonmated))) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(SCORES, SCORES, FAR)
def test_tar_at_far_equals_scikit_learn(mated: list[float], nonmated: list[float], far: float) -> None:
    fmr, tar, _ = roc_curve(*labelled(mated, nonmated), drop_intermediate=False)
    assert tar_at_far(np.array(mated), np.array(nonmated), far) == pytest.approx(tar[fmr <= far].max(), abs=1e-15)


def test_tar_at_far_without_pairs_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs mated and non-mated"):
        tar_at_far(np.array([1.0]), np.array([]), 0.01)


def planted(people: int, probes: int, value: float) -> tuple[Matches, torch.Tensor]:
    """One gallery entry per person; all similarities are ``value``."""
    truth = torch.arange(people).repeat_interleave(probes)
    return Matches(torch.full((len(truth), people), value), torch.arange(people)), truth


def test_thresholds_come_from_originals_of_people_outside_the_fold() -> None:
    """Non-mated originals of persons 0 and 10 (one fold) score 5, all others 0; released mated pairs score 1.

    So only the people of that fold, judged by the others, are accepted. With pairs of the same fold, or with released
    ones (at 9), nobody is; with a threshold from everybody's other pairs, everybody is.
    """
    clean, truth = planted(20, 4, 0.0)
    found, _ = planted(20, 4, 9.0)
    own = clean.owner == truth[:, None]
    special = (truth % 10 == 0)[:, None] | (clean.owner % 10 == 0)
    clean.similarity[special & ~own], clean.similarity[own], found.similarity[own] = 5.0, 7.0, 1.0
    held = held_out_tar(PairTable.of(found, truth), PairTable.of(clean, truth), truth, clean.owner)
    assert held.tar == {0.01: pytest.approx(2 / 20)}
    assert list(held.refused) == [0.001]
    assert "needs 10000" in held.refused[0.001]
    assert f"there are {18 * 4 * 17}" in held.refused[0.001]


def test_held_out_tar_is_tar_at_far_fold_by_fold() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, owner = torch.arange(130) % 13, torch.arange(13).repeat(9)
    own = owner == truth[:, None]
    found, clean = (
        Matches((torch.randn(130, 117, generator=generator) * 4).round() / 4 + shift * own, owner) for shift in (1, 2)
    )
    clean.similarity[torch.rand(130, 117, generator=generator) < 0.1] = -torch.inf
    held = held_out_tar(PairTable.of(found, truth), PairTable.of(clean, truth), truth, owner, (0.05, 0.01))
    for far, value in held.tar.items():
        accepted = 0.0
        for fold in range(10):
            rows, columns = truth % 10 == fold, owner % 10 == fold
            outside = clean.similarity[~rows][:, ~columns], ~own[~rows][:, ~columns]
            negatives: NDArray[np.floating] = outside[0][outside[1] & (outside[0] > -torch.inf)].numpy()
            mated = found.similarity[own & rows[:, None]].numpy()
            accepted += tar_at_far(mated, negatives, far) * len(mated)
        assert value == pytest.approx(accepted / int(own.sum()), abs=1e-12)
    assert set(held.tar) == {0.05, 0.01}


@pytest.mark.parametrize("people", [1, 2, 3])
def test_a_handful_of_people_resolves_no_false_accept_rate(people: int) -> None:
    matches, truth = planted(people, 5, 0.0)
    table = PairTable.of(matches, truth)
    held = held_out_tar(table, table, truth, matches.owner)
    assert (held.tar, set(held.refused)) == ({}, {0.01, 0.001})


def test_missing_probes_match_their_person_best_and_nobody_else() -> None:
    similarity = torch.tensor([[0.1, 0.9, 0.5], [0.2, 0.3, 0.8], [torch.nan, torch.nan, torch.nan]])
    matches = Matches(similarity, torch.arange(3), torch.tensor([False, False, True]))
    pairs = PairTable.of(matches, torch.tensor([0, 1, 2]), torch.tensor([False, True, False])).pairs
    assert pairs.mated.tolist() == [pytest.approx(0.1), np.inf]
    assert pairs.nonmated.tolist() == [-np.inf, -np.inf, pytest.approx(0.5), pytest.approx(0.9)]


def test_missing_pairs_are_wholly_linked() -> None:
    pairs = normal(0.0, 2_000, 2_000)
    half = Pairs.of(np.append(pairs.mated, np.full(2_000, np.inf)), np.append(pairs.nonmated, np.full(2_000, -np.inf)))
    assert d_sys(half) == pytest.approx(0.5 + d_sys(pairs) / 2, abs=1e-12)
    assert auc(half) == pytest.approx(0.75 + auc(pairs) / 4)
    nothing = Pairs.of(np.full(30, np.inf), np.full(60, -np.inf))
    assert (d_sys(nothing), auc(nothing), eer(nothing)) == (1, 1, 0)
