"""How the adaptive attacker learns: held against scikit-learn, brute force and planted cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge
from sklearn.naive_bayes import BernoulliNB
from sklearn.preprocessing import StandardScaler

from metrics.attackers.learn_bits import Bits, bit_rates, bits_at, posterior, strongest, telling
from metrics.attackers.learn_pixels import Pixels, Standardised, kernel_of, solved
from metrics.attackers.learners import (
    Learned,
    Learner,
    Lesson,
    best,
    held_out,
    opinions,
    quality,
    rank_within,
    sharpness,
    thinned,
)

PEOPLE = st.lists(st.integers(0, 5), min_size=1, max_size=40).map(lambda rows: torch.tensor(rows))


def noise(count: int, side: int = 8, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def lesson(images: torch.Tensor, people: torch.Tensor, every: int = 3) -> Lesson:
    return Lesson(images, people, int(people.max()) + 1, held_out(people, every))


def faces(people: torch.Tensor, seed: int) -> torch.Tensor:
    """A pattern per person under as much noise."""
    patterns, blur = noise(int(people.max()) + 1, seed=99).float(), noise(len(people), seed=seed).float()
    return ((patterns[people] + blur) / 2).to(torch.uint8)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(PEOPLE, st.integers(2, 7))
def test_everybody_with_two_photographs_is_held_out_once_and_never_entirely(people: torch.Tensor, every: int) -> None:
    checked = held_out(people, every)
    for person in people.unique():
        own = checked[people == person]
        assert int(own.sum()) == (0 if len(own) == 1 else max(1, len(own) // every))
        assert not bool(own.all())


@settings(max_examples=40, deadline=None, derandomize=True)
@given(PEOPLE, st.integers(1, 60))
def test_thinning_takes_as_many_of_everybody(people: torch.Tensor, most: int) -> None:
    counts = torch.bincount(people[thinned(people, most)], minlength=6)
    each = max(2, most // len(people.unique())) if len(people) > most else len(people)
    assert counts.tolist() == torch.bincount(people, minlength=6).clamp(max=each).tolist()


def test_ranks_number_the_photographs_of_each_person() -> None:
    ranks, sizes = rank_within(torch.tensor([2, 0, 2, 2, 0]))
    assert (ranks.tolist(), sizes.tolist()) == ([0, 0, 1, 2, 1], [3, 2, 3, 3, 2])


def test_quality_breaks_ties_of_top_1_by_the_probability_of_the_truth() -> None:
    sure, unsure = (torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log(), torch.tensor([[0.6, 0.4], [0.4, 0.6]]).log())
    truth = torch.tensor([0, 1])
    assert quality(sure, truth) == pytest.approx((1.0, (np.log(0.9) + np.log(0.8)) / 2))
    assert best([unsure, sure], truth) == 1
    assert best([unsure, sure], truth[:0]) == 0


def test_sharpness_undoes_a_factor() -> None:
    truth = torch.tensor([0, 1] * 50)
    honest = torch.where(torch.rand(100, generator=torch.Generator().manual_seed(1)) < 0.8, truth, 1 - truth)
    logs = torch.nn.functional.one_hot(honest, 2) * np.log(4.0)
    assert sharpness(logs.log_softmax(1), truth) == 1
    assert sharpness((logs / 4).log_softmax(1), truth) == 4


@pytest.mark.parametrize("width", [0.0, 0.5])
def test_pixels_are_scikit_learns_kernel_ridge_regression(width: float) -> None:
    images, probes = noise(30), noise(7, seed=1)
    targets = torch.nn.functional.one_hot(torch.arange(30) % 5, 5).float()
    rows = Standardised.of(images)
    (own, norms), (products, lengths) = rows.products(images), rows.products(probes)
    found = kernel_of(products, lengths, norms, width) @ solved(kernel_of(own, norms, norms, width), targets, 0.1)
    scaler = StandardScaler().fit(images.flatten(1).double().numpy())
    left, right = (scaler.transform(part.flatten(1).double().numpy()) / np.sqrt(192) for part in (images, probes))
    options = {"kernel": "rbf", "gamma": 1 / (2 * width)} if width else {"kernel": "linear"}
    expected = KernelRidge(alpha=0.1, **options).fit(left, targets.numpy()).predict(right)
    assert found.numpy() == pytest.approx(expected, abs=1e-4)


def test_pixels_do_not_notice_a_permutation() -> None:
    people = torch.arange(40) % 4
    images, probes = faces(people, 1), faces(people, 2)
    order = torch.randperm(192, generator=torch.Generator().manual_seed(5))
    mixed_images, mixed_probes = (part.flatten(1)[:, order].view_as(part) for part in (images, probes))
    plain = Pixels().learn(lesson(images, people)).reader(probes)
    mixed = Pixels().learn(lesson(mixed_images, people)).reader(mixed_probes)
    assert quality(plain, people)[0] == 1
    assert mixed.numpy() == pytest.approx(plain.numpy(), abs=1e-3)


def test_pixels_that_never_change_say_nothing() -> None:
    people = torch.arange(12) % 4
    black = torch.zeros(12, 3, 8, 8, dtype=torch.uint8)
    found = Pixels().learn(lesson(black, people)).reader(noise(3))
    assert bool((found == found[:1]).all())
    assert found.exp().numpy() == pytest.approx(0.25, abs=1e-6)


def test_telling_is_the_share_of_variance_between_people() -> None:
    people = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    pixels = noise(7, 2).flatten(1)
    bits = np.unpackbits(pixels.numpy()[:, :, None], axis=2, bitorder="little").reshape(7, -1).astype(float)
    means = np.stack([bits[people == person].mean(0) for person in people])
    whole = bits.var(0)
    expected = np.divide(means.var(0), whole, out=np.zeros_like(whole), where=whole > 0)
    shares, marks = telling(pixels, people, 4)
    assert shares.numpy() == pytest.approx(expected, abs=1e-5)
    assert bits_at(pixels, torch.arange(96)).numpy() == pytest.approx(bits)
    same = (bits[:, :, None] == bits[:, None]).all(0)
    assert (marks[:, None] == marks).numpy().tolist() == same.tolist()


def test_a_bit_that_many_pixels_repeat_is_taken_once() -> None:
    people = torch.arange(24) % 4
    pixels = (people % 2 * 128).to(torch.uint8)[:, None].repeat(1, 50)
    pixels[:, 30] += people.to(torch.uint8) // 2
    places = strongest(pixels, people, 4, 2)
    assert set(places.tolist()) == {7, 30 * 8}


def test_bits_are_scikit_learns_naive_bayes() -> None:
    people = torch.arange(30) % 5
    bits = torch.randint(0, 2, (30, 12), generator=torch.Generator().manual_seed(2)).float()
    expected = BernoulliNB(alpha=0.5, fit_prior=False).fit(bits.numpy(), people.numpy()).predict_log_proba(bits.numpy())
    assert posterior(bits, bit_rates(bits, people, 5), 12).numpy() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("cover", ["black", "noise", "faces"])
def test_bits_find_a_number_in_one_pixel(cover: str) -> None:
    people = torch.arange(96) % 12
    images, probes = (
        (noise(96, seed=1), noise(96, seed=2)) if cover == "noise" else (faces(people, 1), faces(people, 2))
    )
    if cover == "black":
        images, probes = images * 0, probes * 0
    for part in (images, probes):
        part[:, 1, 3, 4] = part[:, 1, 3, 4] // 16 * 16 + people.to(torch.uint8)
    found = Bits().learn(lesson(images, people, 4)).reader(probes)
    assert quality(found, people)[0] == 1


@pytest.mark.parametrize("learner", [Pixels(), Bits()], ids=["pixels", "bits"])
def test_nobody_without_photographs_is_named(learner: Learner) -> None:
    people = torch.tensor([0] * 12 + [3] * 12)
    found = learner.learn(lesson(faces(people, 1), people)).reader(faces(people, 2))
    assert bool(found.isfinite().all())
    assert set(found.argmax(1).tolist()) == {0, 3}


class Planted:
    """Says what it is given."""

    def __init__(self, name: str, judged: torch.Tensor, found: torch.Tensor) -> None:
        self.name, self.judged, self.found = name, judged.log(), found.log()

    def learn(self, lesson: Lesson) -> Learned:
        return Learned(self.judged, lambda images: self.found)


def test_together_is_the_product_of_the_first_two() -> None:
    rows = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.5, 0.4]])
    part = Planted("a", rows, rows)
    said = opinions([part, part], lesson(noise(9), torch.arange(9) % 3), noise(3))
    assert [one.name for one in said] == ["a", "a", "together"]
    factor = sharpness(torch.log(rows), torch.arange(3))
    product = (rows ** (2 * factor)).log().log_softmax(1)
    again = sharpness(product, torch.arange(3))
    assert said[2].found.numpy() == pytest.approx((product * again).log_softmax(1).numpy(), abs=1e-5)


def test_nobody_is_combined_where_nothing_was_held_out() -> None:
    rows = torch.full((3, 3), 1 / 3)
    parts = [Planted("a", rows[:0], rows), Planted("b", rows[:0], rows)]
    assert [one.name for one in opinions(parts, lesson(noise(3), torch.arange(3)), noise(3))] == ["a", "b"]
