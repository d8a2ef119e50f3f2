"""The formulas of measures of groups: against stored results and brute force."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmark.statistics import equal_error_threshold
from metrics.groups.arithmetic import (
    above_bound,
    joined,
    pure,
    re_identified,
    rightly_named,
    sse_over_sst,
)

ORACLE = Path(__file__).parents[2].parent / "shared" / "data" / "anonfaces_oracle"
needs_oracle = pytest.mark.skipif(not ORACLE.is_dir(), reason="the stored results of AnonFACES are not on this machine")
Ints = NDArray[np.int64]


def stored(name: str) -> Any:
    return json.loads((ORACLE / name).read_text())


@pytest.fixture(scope="module")
def labels() -> Any:
    with np.load(ORACLE / "reference_labels.npz", allow_pickle=False) as file:
        return {name: file[name].astype(np.int64) for name in file.files if name.startswith("orig__")}


# The stored results


@needs_oracle
class TestStored:
    @pytest.mark.parametrize("what", ["age", "gender", "age_and_gender"])
    def test_homogeneity_gives_all_published_counts(self, what: str, labels: dict[str, Ints]) -> None:
        with np.load(ORACLE / "rafd67_dlib.npz", allow_pickle=False) as people:
            age, gender = people["group"] == "Kid", people["gender"] == "male"
        values = {"age": [age], "gender": [gender], "age_and_gender": [age, gender]}[what]
        value = joined([part.astype(np.int64) for part in values])
        published = next(part for name, part in stored("figures_digitized.json").items() if "homo" in name)
        counts = [int(pure(value, labels[f"orig__rafd__hp-ward__k{k}__s0"]).sum()) for k in range(2, 20)]
        assert counts == published["homogeneity_counts"][what]

    def test_five_of_a_group_give_the_published_loss_and_share(self, labels: dict[str, Ints]) -> None:
        detail = stored("stored_results.json")["k5_detail"]["member_dists"]
        distance = np.concatenate([np.array(part) for part in detail])
        matched = re_identified(distance, 0.6)
        assert distance.mean() == pytest.approx(0.689071, abs=5e-7)
        assert (int(matched.sum()), len(matched)) == (113, 979)
        group = np.repeat(np.arange(len(detail)), [len(part) for part in detail])
        assert above_bound(matched, group).tolist() == [sum(d <= 0.6 for d in part) > 1 for part in detail]
        assert np.bincount(labels["orig__dlib__hp-ward__k5__s0"]).tolist() == [len(part) for part in detail]

    def test_stored_distances_fit_the_embeddings_of_their_groups(self, labels: dict[str, Ints]) -> None:
        with np.load(ORACLE / "celeba979_dlib.npz", allow_pickle=False) as file:
            points = file["X"]
        group = labels["orig__dlib__hp-ward__k5__s0"]
        detail = stored("stored_results.json")["k5_detail"]["member_dists"]
        pairs = 0
        for number, part in enumerate(detail):
            members = np.flatnonzero(group == number)
            for i, j in combinations(range(len(part)), 2):
                apart = float(np.linalg.norm(points[members[i]] - points[members[j]]))
                assert abs(part[i] - part[j]) - 2e-6 <= apart <= part[i] + part[j] + 2e-6
                pairs += 1
        assert pairs == 1970

    def test_every_stored_share_is_a_number_of_people(self) -> None:
        found = stored("stored_results.json")
        rows = [row for part in ("IL_RI_results", "AnonFACES_versions") for row in found[part]["rows"].values()]
        counts = np.array([share * row["n"] for row in rows for share in row["RI"]])
        assert len(counts) == 18 * 11
        assert np.abs(counts - counts.round()).max() < 1e-9

    def test_sse_over_sst_is_that_of_the_reference(self, labels: dict[str, Ints]) -> None:
        with np.load(ORACLE / "celeba979_dlib.npz", allow_pickle=False) as file:
            points = file["X"]
        rows = [row for row in stored("reference_clustering.json")["original"] if row["emb"] == "dlib"]
        named = {f"orig__dlib__{row['alg'].replace(':', '-')}__k{row['k']}__s{row['seed']}": row for row in rows}
        checked = [name for name in named if name in labels and labels[name].min() >= 0]
        assert len(checked) > 50
        for name in checked[::10]:
            assert sse_over_sst(points, labels[name]) == pytest.approx(named[name]["sse_over_sst"], rel=1e-5)


# The formulas


partitions = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 5, 30))


@given(group=partitions, values=partitions)
def test_pure_groups_by_brute_force(group: Ints, values: Ints) -> None:
    members = {number: {values[i] for i in range(30) if group[i] == number} for number in set(group.tolist())}
    assert pure(values, group).tolist() == [len(members[number]) == 1 for number in group.tolist()]


@given(first=partitions, second=partitions)
def test_joined_labels_are_equal_where_both_are(first: Ints, second: Ints) -> None:
    both = joined([first, second])
    same = (first[:, None] == first) & (second[:, None] == second)
    assert ((both[:, None] == both) == same).all()


@given(group=partitions)
def test_sums_of_squares_are_those_of_pairs(group: Ints) -> None:
    points = np.random.default_rng(7).normal(size=(30, 3))

    def by_pairs(rows: Ints) -> float:
        part = points[rows]
        return float(((part[:, None] - part[None]) ** 2).sum() / (2 * len(part)))

    within = sum(by_pairs(np.flatnonzero(group == number)) for number in set(group.tolist()))
    assert sse_over_sst(points, group) == pytest.approx(within / by_pairs(np.arange(30)))


def test_sums_of_squares_at_their_ends() -> None:
    points = np.random.default_rng(0).normal(size=(6, 2))
    assert sse_over_sst(points, np.arange(6)) == 0
    assert sse_over_sst(points, np.zeros(6, dtype=np.int64)) == pytest.approx(1)
    assert sse_over_sst(np.ones((6, 2)), np.arange(6) // 2) == 0


def test_a_surrogate_names_one_person_at_most() -> None:
    rng = np.random.default_rng(3)
    originals, group = rng.normal(size=(40, 4)), np.arange(40) // 4
    named = rightly_named(originals[::4], np.arange(10), originals, group)
    assert named.tolist() == list(range(0, 40, 4)), "an original that is released names itself"
    strangers = rightly_named(originals[::4], np.roll(np.arange(10), 1), originals, group)
    assert not len(strangers)
    means = np.stack([originals[group == number].mean(0) for number in range(10)])
    found = rightly_named(means, np.arange(10), originals, group)
    assert len(found) <= 10
    nearest = ((means[:, None] - originals[None]) ** 2).sum(2).argmin(1)
    assert found.tolist() == [row for number, row in enumerate(nearest) if group[row] == number]


@given(seed=st.integers(0, 1000), same=st.integers(1, 60), different=st.integers(1, 60))
def test_the_threshold_makes_both_errors_as_equal_as_any_distance_does(seed: int, same: int, different: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(1, 0.4, same).round(2), rng.normal(2, 0.6, different).round(2)

    def gap(cut: float) -> float:
        return abs(float((one > cut).mean()) - float((two <= cut).mean()))

    cut, error = equal_error_threshold(one, two)
    assert gap(cut) == pytest.approx(min(gap(float(other)) for other in np.concatenate([one, two])))
    assert error == pytest.approx(max((one > cut).mean(), (two <= cut).mean()))


def test_the_threshold_of_two_known_curves() -> None:
    one, two = np.arange(1, 101) / 100, np.arange(1, 101) / 100 + 0.8
    cut, error = equal_error_threshold(one, two)
    assert cut == pytest.approx(0.9, abs=0.011)
    assert error == pytest.approx(0.1, abs=0.011)
