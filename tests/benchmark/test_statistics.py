"""Bootstrap intervals against brute force, closed forms and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import f1_score

from benchmark.images import ImageSet, Labels
from benchmark.statistics import RESAMPLES, SEED, bootstrap, cluster_sums, clusters_of, mean_interval


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Many small sums: threads would only wait for one another."""
    torch.set_num_threads(1)


def clustered(seed: int, people: int, each: int, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Values that share a part per person, and the person of each."""
    generator = np.random.default_rng(seed)
    values = generator.normal(0, spread, (people, 1)) + generator.normal(0, 0.5, (people, each))
    return torch.from_numpy(values.reshape(-1)), torch.arange(people).repeat_interleave(each)


def picks_of(people: int) -> np.ndarray:
    """The resampled people, ``[RESAMPLES, people]``, as the documented generator draws them."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.randint(people, (RESAMPLES, people), generator=generator).numpy()


def image_set(identity: Labels | None, count: int) -> ImageSet:
    return ImageSet(torch.zeros(count, 3, 1, 1, dtype=torch.uint8), tuple(map(str, range(count))), identity)


def test_interval_of_a_mean_equals_resampling_by_hand() -> None:
    generator = np.random.default_rng(1)
    clusters = np.sort(generator.integers(0, 9, 70))
    clusters[:9] = range(9)
    values = generator.normal(size=70)
    rows = [np.flatnonzero(clusters == person) for person in range(9)]
    means = [values[np.concatenate([rows[person] for person in picked])].mean() for picked in picks_of(9)]
    interval = mean_interval(torch.from_numpy(values), torch.from_numpy(clusters))
    assert interval is not None
    assert [interval.low, interval.high] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=1e-12)
    assert (interval.level, interval.seed, interval.resamples) == (0.95, SEED, RESAMPLES)
    assert interval.method == "percentile bootstrap over people"
    groups = mean_interval(torch.from_numpy(values), torch.from_numpy(clusters), over="groups")
    assert groups == interval.model_copy(update={"method": "percentile bootstrap over groups"})


def test_interval_of_an_f1_equals_resampling_by_hand() -> None:
    generator = np.random.default_rng(2)
    truth, predicted = generator.integers(0, 2, (2, 40))
    clusters = np.arange(40) // 4

    def f1(sums: torch.Tensor) -> torch.Tensor:
        return 2 * sums[:, 0] / (2 * sums[:, 0] + sums[:, 1])

    columns = np.stack([truth & predicted, truth ^ predicted], 1)
    interval = bootstrap(torch.from_numpy(columns), torch.from_numpy(clusters), f1, resamples=200)
    picks = torch.randint(10, (200, 10), generator=torch.Generator().manual_seed(SEED)).numpy()
    rows = [np.concatenate([np.flatnonzero(clusters == person) for person in picked]) for picked in picks]
    expected = np.quantile([f1_score(truth[part], predicted[part]) for part in rows], [0.025, 0.975])
    assert interval is not None
    assert [interval.low, interval.high] == pytest.approx(expected, abs=1e-12)


def test_many_people_give_the_normal_interval() -> None:
    values, _ = clustered(3, 3000, 1)
    interval = mean_interval(values, torch.arange(len(values)))
    half = norm.ppf(0.975) * float(values.std()) / len(values) ** 0.5
    assert interval is not None
    assert interval.low == pytest.approx(float(values.mean()) - half, abs=0.1 * half)
    assert interval.high == pytest.approx(float(values.mean()) + half, abs=0.1 * half)


def test_interval_of_clustered_data_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        interval = mean_interval(*clustered(seed, 60, 5))
        assert interval is not None
        covered += interval.low <= 0 <= interval.high
    assert 0.90 <= covered / 200 <= 0.985


def test_images_of_one_person_do_not_count_as_so_many_people() -> None:
    values, people = clustered(4, 30, 20)
    honest, naive = mean_interval(values, people), mean_interval(values, torch.arange(len(values)))
    assert honest is not None
    assert naive is not None
    assert honest.high - honest.low > 2.5 * (naive.high - naive.low)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_fewer_than_two_people_have_no_interval(count: int) -> None:
    assert mean_interval(torch.ones(count), torch.zeros(count, dtype=torch.int64)) is None


def test_constant_values_have_an_interval_of_no_width() -> None:
    interval = mean_interval(torch.full((10,), 0.25), torch.arange(10) // 2)
    assert interval is not None
    assert (interval.low, interval.high) == (0.25, 0.25)


def test_undefined_statistic_has_no_interval() -> None:
    values, people = torch.ones(4, 1), torch.tensor([0, 0, 1, 1])
    assert bootstrap(values, people, lambda sums: torch.full((len(sums),), torch.nan)) is None


def test_undefined_resamples_are_left_out() -> None:
    values = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    interval = bootstrap(values, torch.tensor([0, 1]), lambda sums: sums[:, 1] / sums[:, 0])
    assert interval is not None
    assert (interval.low, interval.high) == (2.0, 2.0)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.permutations(list(range(24))))
def test_interval_does_not_depend_on_the_order_of_the_images(order: list[int]) -> None:
    values, people = clustered(5, 6, 4)
    straight, mixed = mean_interval(values, people), mean_interval(values[order], people[order])
    assert straight is not None
    assert mixed is not None
    assert [mixed.low, mixed.high] == pytest.approx([straight.low, straight.high], abs=1e-12)


def test_same_seed_same_interval_and_another_seed_another() -> None:
    values, people = clustered(6, 12, 3)
    columns = torch.stack([values, torch.ones_like(values)], 1)

    def interval(seed: int) -> object:
        return bootstrap(columns, people, lambda sums: sums[:, 0] / sums[:, 1], seed=seed)

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


def test_cluster_sums_are_those_of_a_loop() -> None:
    values = torch.from_numpy(np.random.default_rng(7).normal(size=(20, 3)))
    clusters = torch.arange(20) % 4
    expected = torch.stack([values[clusters == person].sum(0) for person in range(4)])
    assert torch.allclose(cluster_sums(values, clusters), expected, atol=1e-14, rtol=0)


def test_people_are_numbered_without_gaps() -> None:
    identity = Labels(torch.tensor([7, 2, 7, 4]), tuple("abcdefgh"))
    assert clusters_of(image_set(identity, 4)).tolist() == [2, 0, 2, 1]


def test_an_image_of_nobody_known_counts_for_itself() -> None:
    assert clusters_of(image_set(None, 3)).tolist() == [0, 1, 2]
