"""Mixing of latents against the card's arithmetic, written out member by member."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, uniform

from anonymizers.kanonymity.generator.mixing import (
    in_layers,
    layer_range,
    mix_latents,
    random_weight,
    truncated,
    weighted,
)
from benchmark.errors import EntrantError

NAMES = [f"person {number}" for number in range(12)]


def persons(count=12, layers=4, style=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, layers, style, generator=generator)


GROUPS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 2, 1, 0])


def by_hand(latents, groups, weights, divisor):
    rows = []
    for group in range(groups.max() + 1):
        members = [i for i in range(len(groups)) if groups[i] == group]
        total = sum(weights[i] * latents[i].double() for i in members)
        rows.append(total / divisor(members))
    return torch.stack(rows)


def test_naive_mix_is_the_mean_of_the_members() -> None:
    latents = persons()
    expected = by_hand(latents, GROUPS, np.ones(12), len)
    torch.testing.assert_close(mix_latents(latents, GROUPS).double(), expected, rtol=1e-6, atol=1e-7)
    assert torch.equal(mix_latents(latents, GROUPS), mix_latents(latents, GROUPS, compat=True))


def test_unit_example_of_the_paper() -> None:
    latents = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None]
    made = weighted(latents, np.zeros(4, np.int64), np.array([0.8, 1, 1, 1]), by_number=True)
    assert made.item() == pytest.approx(2.45)


def test_random_mix_has_the_documented_weights() -> None:
    latents = persons()
    weights = np.array([random_weight(content, 7) for content in NAMES])
    normalised = by_hand(latents, GROUPS, weights, lambda members: sum(weights[i] for i in members))
    torch.testing.assert_close(
        mix_latents(latents, GROUPS, "random", contents=NAMES, seed=7).double(), normalised, rtol=1e-5, atol=1e-6
    )
    weights = np.random.default_rng(7).uniform(0.6, 1.0, 12)
    paper = 1.67 * by_hand(latents, GROUPS, weights, len)
    made = mix_latents(latents, GROUPS, "random", seed=7, compat=True).double()
    torch.testing.assert_close(made, paper, rtol=1e-5, atol=1e-6)


def test_random_mix_of_equal_members_is_that_member_unless_compat_exaggerates_it() -> None:
    latents = torch.ones(4000, 1, 1)
    groups = np.arange(4000) // 1000
    torch.testing.assert_close(
        mix_latents(latents, groups, "random", contents=list(map(str, range(4000)))), torch.ones(4, 1, 1)
    )
    gains = mix_latents(latents, groups, "random", compat=True)
    torch.testing.assert_close(gains, torch.full((4, 1, 1), 1.67 * 0.8), rtol=0.02, atol=0)


def test_random_weights_are_uniform_and_follow_a_persons_content_alone() -> None:
    contents = [f"person {number}" for number in range(2000)]
    weights = np.array([random_weight(content, 3) for content in contents])
    assert kstest(weights, uniform(0.6, 0.4).cdf).pvalue > 0.01
    assert random_weight("person 7", 3) == weights[7] != random_weight("person 7", 4)
    latents = torch.randn(2000, 2, 3, generator=torch.Generator().manual_seed(0))
    whole = mix_latents(latents, np.arange(2000) % 50, "random", contents=contents, seed=3)
    rows = np.arange(2000)[np.arange(2000) % 50 == 9][::-1].copy()
    named = [contents[row] for row in rows]
    alone = mix_latents(latents[rows], np.zeros(40, np.int64), "random", contents=named, seed=3)
    torch.testing.assert_close(alone[0], whole[9])
    near = mix_latents(latents[rows] * (1 + 1e-7), np.zeros(40, np.int64), "random", contents=named, seed=3)
    torch.testing.assert_close(near, alone, rtol=1e-5, atol=1e-6)


def test_random_weights_need_something_to_be_drawn_by() -> None:
    with pytest.raises(EntrantError, match="by 0 texts for 12 persons; give one per person"):
        mix_latents(persons(), GROUPS, "random")


def test_same_seed_same_mix() -> None:
    latents = persons()
    one, same, other = (mix_latents(latents, GROUPS, "random", contents=NAMES, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(12)))
def test_order_of_the_persons_does_not_matter(order) -> None:
    latents, rows = persons(), np.array(order)
    torch.testing.assert_close(mix_latents(latents[rows], GROUPS[rows]), mix_latents(latents, GROUPS))


@settings(max_examples=40, deadline=None)
@given(st.floats(-3, 3), st.floats(0.1, 5))
def test_mixing_is_linear_and_ignores_a_common_factor_of_the_weights(shift, factor) -> None:
    latents, weights = persons(), np.linspace(0.5, 1, 12)
    made = weighted(latents, GROUPS, weights)
    torch.testing.assert_close(weighted(latents + shift, GROUPS, weights), made + shift, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weighted(latents, GROUPS, factor * weights), made, rtol=1e-5, atol=1e-6)


def test_layers_not_chosen_are_the_mean() -> None:
    mixed, mean = persons(3, 12), persons(1, 12, seed=1)[0]
    for layers, chosen in {
        "all": range(12),
        "coarse": range(4),
        "middle": range(4, 8),
        "fine": range(8, 12),
        (2, 5): range(2, 6),
        (7, None): range(7, 12),
        (3, 3): range(3, 4),
    }.items():
        made = in_layers(mixed, mean, layers)
        for layer in range(12):
            expected = mixed[:, layer] if layer in chosen else mean[layer].expand(3, -1)
            assert torch.equal(made[:, layer], expected)


def test_surrogates_of_two_groups_agree_in_layers_that_are_not_mixed() -> None:
    made = in_layers(persons(5, 12), persons(1, 12)[0], "coarse")
    assert (made[:, 4:] == made[:1, 4:]).all()


def test_layers_that_do_not_exist() -> None:
    assert layer_range("middle", 6) == (4, 5)
    for layers, message in {
        "fine": "not in a generator of 6; choose between 0 and 5",
        "rough": "use all, coarse, middle, fine",
        (3, 2): "not in a generator",
        (-1, 2): "not in a generator",
        (0, 6): "not in a generator",
    }.items():
        with pytest.raises(EntrantError, match=message):
            layer_range(layers, 6)


def test_truncation() -> None:
    mixed, mean = persons(3), persons(1, seed=1)[0]
    torch.testing.assert_close(truncated(mixed, mean, 1.0), mixed)
    assert torch.equal(truncated(mixed, mean, 0.0), mean.expand(3, -1, -1))
    torch.testing.assert_close(truncated(mixed, mean, 0.7) - mean, 0.7 * (mixed - mean))


def test_malformed_input() -> None:
    latents = persons()
    broken = latents.clone()
    broken[7, 1, 1] = torch.nan
    cases = [
        (latents, GROUPS[:-1], "do not fit"),
        (latents[:, 0], GROUPS, "do not fit"),
        (latents[:0], GROUPS[:0], "do not fit"),
        (latents, GROUPS + 1, "without gaps"),
        (latents, np.where(GROUPS == 1, 3, GROUPS), "without gaps"),
        (latents, GROUPS - 1, "without gaps"),
        (broken, GROUPS, "latent of person 7 is not finite"),
    ]
    for given_latents, groups, message in cases:
        with pytest.raises(EntrantError, match=message):
            mix_latents(given_latents, groups)
    with pytest.raises(EntrantError, match="use naive or random"):
        mix_latents(latents, GROUPS, "average")
