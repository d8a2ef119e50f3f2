"""The adjusted mix against the authors' loop written out, and against planted comparisons."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizers.kanonymity.generator.adjusting import adjust
from anonymizers.kanonymity.generator.mixing import mix_latents
from benchmark.errors import EntrantError


class Plain:
    """A generator that draws latents as they are; distances are those of latents. Remembers what it was asked."""

    def __init__(self, latents, groups, blind=()):
        self.latents, self.groups, self.blind, self.asked = latents, groups, set(blind), []

    def __call__(self, mixed, groups):
        assert len(mixed) == len(groups)
        self.asked.append(groups.tolist())
        found = np.full(len(self.groups), np.nan)
        for row, group in enumerate(groups):
            for person in np.flatnonzero(self.groups == group):
                if person not in self.blind:
                    found[person] = (mixed[row] - self.latents[person]).norm().item()
        return found


def world(count=24, size=4, seed=0, spread=0.35):
    rng = np.random.default_rng(seed)
    latents = torch.from_numpy(rng.normal(size=(count, 2, 3)) * spread + 0.4).double()
    return latents, rng.permutation(np.arange(count) // size)


def authors_loop(latents, groups, k, threshold, alpha=1.0, most=100):
    """Card 2.15 word by word: global stop, gain compounds, members' factors do not, scaled to the origin."""
    count = groups.max() + 1
    members = [np.flatnonzero(groups == group) for group in range(count)]
    mixed = [alpha * sum(latents[i] for i in rows) / len(rows) for rows in members]
    distance = np.array([(mixed[groups[i]] - latents[i]).norm().item() for i in range(len(groups))])
    risks, rounds = [np.mean(distance <= threshold)], 0
    while risks[-1] > 1 / k and rounds < most:
        alpha *= 0.8
        for group, rows in enumerate(members):
            matched = [i for i in rows if distance[i] <= threshold]
            if matched:
                weights = {i: 0.8 if i in matched else 1.0 for i in rows}
                mixed[group] = alpha / len(rows) * sum(weights[i] * latents[i] for i in rows)
                for i in rows:
                    distance[i] = (mixed[group] - latents[i]).norm().item()
        risks.append(np.mean(distance <= threshold))
        rounds += 1
    return torch.stack(mixed), distance, risks, rounds


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("k", [2, 4, 12])
@pytest.mark.parametrize("start", [1.0, 1.25])
def test_compat_is_the_authors_loop(seed, k, start) -> None:
    latents, groups = world(seed=seed)
    mixed, distance, risks, rounds = authors_loop(latents, groups, k, 0.6, start)
    found = adjust(latents, groups, Plain(latents, groups), k=k, compat=True, start=start)
    torch.testing.assert_close(found.latents, mixed)
    np.testing.assert_allclose(found.distances, distance)
    assert found.rounds == rounds
    np.testing.assert_allclose(found.risks, risks)


def test_the_worlds_of_the_test_above_are_not_trivial() -> None:
    rounds = {authors_loop(*world(seed=seed), k, 0.6)[3] for seed in range(8) for k in (2, 4, 12)}
    assert 0 in rounds
    assert len(rounds) >= 4


def test_unit_example_of_the_paper() -> None:
    """Latents 1, 2, 3, 4, the first one matched, a = 1: (0.8 + 2 + 3 + 4) / 4."""
    latents = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)[:, None, None]

    def first_only(mixed, groups):
        return np.array([0.1, 9, 9, 9])

    found = adjust(latents, np.zeros(4, np.int64), first_only, k=5, rounds=1, start=1.25, compat=True)
    assert found.latents.item() == pytest.approx(2.45)
    assert found.exhausted


def test_compat_stops_when_the_whole_set_passes_while_a_group_stays_matched() -> None:
    latents, groups = torch.zeros(8, 1, 1).double(), np.arange(8) // 2
    distances = np.array([0.1, 0.1, 9, 9, 9, 9, 9, 9])
    found = adjust(latents, groups, lambda mixed, asked: distances, k=2, compat=True)
    assert (found.rounds, found.risks, found.above, found.exhausted) == (0, (0.25,), (0,), False)
    mended = adjust(latents, groups, lambda mixed, asked: distances, k=2, rounds=3)
    assert (mended.rounds, mended.above, mended.exhausted) == (3, (0,), True)


def test_compat_has_a_round_cap() -> None:
    latents = torch.zeros(4, 1, 1).double()
    found = adjust(latents, np.zeros(4, np.int64), Plain(latents, np.zeros(4)), k=2, compat=True)
    assert (found.rounds, found.exhausted) == (100, True)


def mended_by_hand(latents, groups, k, threshold, origin, most):
    """Group by group: weights and gain compound while more than 1/k of the members are matched."""
    rows = []
    for group in range(groups.max() + 1):
        members = np.flatnonzero(groups == group)
        weights, gain, made = np.ones(len(members)), 1.0, 0
        mix = latents[members].mean(0)
        while True:
            matched = np.array([(mix - latents[i]).norm().item() <= threshold for i in members])
            if matched.mean() <= 1 / k or made == most:
                break
            gain, weights, made = gain * 0.8, np.where(matched, weights * 0.8, weights), made + 1
            mean = sum(w * latents[i] for w, i in zip(weights, members, strict=True)) / weights.sum()
            mix = origin + gain * (mean - origin)
        rows.append((mix, made, gain, int(matched.sum()), bool(matched.mean() > 1 / k)))
    return rows


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 5), size=st.sampled_from([2, 3, 4, 6]))
def test_every_group_is_mended_by_itself(seed, k, size) -> None:
    latents, groups = world(24, size, seed)
    origin = torch.full((2, 3), 1.2).double()
    found = adjust(latents, groups, Plain(latents, groups), k=k, origin=origin, rounds=6)
    expected = mended_by_hand(latents, groups, k, 0.6, origin, 6)
    torch.testing.assert_close(found.latents, torch.stack([row[0] for row in expected]))
    told = [(outcome.rounds, pytest.approx(outcome.gain), outcome.matched, outcome.above) for outcome in found.groups]
    assert told == [row[1:] for row in expected]
    assert found.exhausted == any(row[4] for row in expected)
    assert found.above == tuple(group for group, row in enumerate(expected) if row[4])


def test_only_changed_groups_are_drawn_again() -> None:
    latents, groups = world(seed=3)
    compare = Plain(latents, groups)
    found = adjust(latents, groups, compare, k=4, origin=torch.full((2, 3), 2.0).double())
    assert compare.asked[0] == list(range(6))
    assert len(compare.asked) == found.rounds + 1
    assert all(len(asked) < 6 for asked in compare.asked[1:])
    untouched = [outcome.group for outcome in found.groups if outcome.rounds == 0]
    assert untouched
    torch.testing.assert_close(found.latents[untouched], mix_latents(latents, groups)[untouched])


def test_without_an_origin_the_mean_of_all_persons_is_it() -> None:
    latents, groups = world(seed=3)
    one = adjust(latents, groups, Plain(latents, groups), k=4)
    same = adjust(latents, groups, Plain(latents, groups), k=4, origin=latents.mean(0))
    torch.testing.assert_close(one.latents, same.latents)
    assert one.rounds > 0


@pytest.mark.parametrize("compat", [False, True])
def test_persons_without_a_surrogate_are_neither_matched_nor_safe(compat) -> None:
    """Group 0: 1 of 2 measured members matched; group 1: nobody measured; group 2: safe."""
    latents, groups = torch.zeros(9, 1, 1).double(), np.arange(9) // 3
    distances = np.array([0.1, 5, np.nan, np.nan, np.nan, np.nan, 5, 5, 5])
    found = adjust(latents, groups, lambda mixed, asked: distances, k=3, rounds=2, compat=compat)
    assert found.risks[0] == pytest.approx(1 / 5)
    assert found.unmeasured == (2, 3, 4, 5)
    assert [(g.size, g.measured, g.matched) for g in found.groups] == [(3, 2, 1), (3, 0, 0), (3, 3, 0)]
    assert found.above == (0,), "1 of 2 is more than 1/3, though 1 of 3 would not be"
    assert found.rounds == (0 if compat else 2)


def test_nobody_measured() -> None:
    found = adjust(torch.zeros(4, 1, 1), np.arange(4) // 2, lambda mixed, asked: np.full(4, np.nan), k=2)
    assert np.isnan(found.risks[0])
    assert (found.rounds, found.above, found.unmeasured) == (0, (), (0, 1, 2, 3))


def test_input_is_not_changed_and_the_loop_repeats_itself() -> None:
    latents, groups = world(seed=1)
    before = latents.clone()
    one, two = (adjust(latents, groups, Plain(latents, groups), k=4) for _ in range(2))
    assert torch.equal(latents, before)
    assert torch.equal(one.latents, two.latents)


def test_malformed_input() -> None:
    latents, groups = world()
    with pytest.raises(EntrantError, match="k is at least 2"):
        adjust(latents, groups, Plain(latents, groups), k=1)
    with pytest.raises(EntrantError, match="factor between 0 and 1"):
        adjust(latents, groups, Plain(latents, groups), k=2, factor=1.0)
    with pytest.raises(EntrantError, match="shape \\[3\\] for 24 persons"):
        adjust(latents, groups, lambda mixed, asked: np.zeros(3), k=2)
    with pytest.raises(EntrantError, match="without gaps"):
        adjust(latents, groups + 1, Plain(latents, groups), k=2)
