"""Measures of groups: against stored results, brute force, scikit-learn, and releases whose groups were planted."""

from __future__ import annotations

import dataclasses
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score

from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.learning.networks import SmallResNet
from benchmark.protocols import KAnonymityClaim, Metric, Referees
from benchmark.records import Score
from benchmark.registry import build_metric
from metrics.groups import Homogeneity, InformationLoss, ReIdentification, Silhouette, SseSst
from metrics.groups.arithmetic import (
    above_bound,
    equal_error_threshold,
    joined,
    pure,
    re_identified,
    rightly_named,
    silhouettes,
    sse_over_sst,
)
from metrics.groups.members import members_of

ORACLE = Path(__file__).parents[2].parent / "shared" / "data" / "anonfaces_oracle"
needs_oracle = pytest.mark.skipif(not ORACLE.is_dir(), reason="the stored results of AnonFACES are not on this machine")
Ints = NDArray[np.int64]
EVERY = ("information-loss", "re-identification", "homogeneity", "silhouette", "sse-sst")


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
    member_of = group == np.arange(10)[:, None]
    named = rightly_named(originals[::4], np.arange(10), originals, member_of)
    assert named.all(), "an original that is released names itself"
    strangers = rightly_named(originals[::4], np.roll(np.arange(10), 1), originals, member_of)
    assert not strangers.any()
    means = np.stack([originals[group == number].mean(0) for number in range(10)])
    found = rightly_named(means, np.arange(10), originals, member_of)
    assert found.sum() / 40 <= 10 / 40
    nearest = ((means[:, None] - originals[None]) ** 2).sum(2).argmin(1)
    assert found.tolist() == (group[nearest] == np.arange(10)).tolist()


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


# Planted releases: images of one grey level, seen as a point on a half circle


class GreyOnACircle(SmallResNet):
    """Sees the mean grey level as an angle, so that distances are known."""

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        angle = images.mean((1, 2, 3)) * torch.pi
        return torch.stack([angle.cos(), angle.sin()], 1)


ON_A_CIRCLE = Classifier(
    "embedding", Architecture("small-resnet", ("a", "b"), {"width": 4}), GreyOnACircle(2, 4), "f" * 64
)


def grey(levels: list[int], names: str, **attributes: list[int]) -> ImageSet:
    """One image per level, of the person of that letter."""
    images = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4).contiguous()
    classes = tuple(sorted(set(names)))
    who = Labels(torch.tensor([classes.index(name) for name in names]), classes)
    kinds = {name: Labels(torch.tensor(values), ("0", "1", "2")) for name, values in attributes.items()}
    return ImageSet(images, tuple(f"{row:02d}" for row in range(len(names))), who, kinds)


def apart(one: float, other: float) -> float:
    """Distance of two levels: a chord of the circle."""
    return 2 * float(np.sin(abs(one - other) / 255 * np.pi / 2))


CALIBRATION = grey([0, 10, 100, 110, 200, 210], "uuvvww")
"""Pairs of one person are 10 levels apart, pairs of two at least 90."""


def referees(group: list[int] | None, k: int = 2, splits: dict[str, ImageSet] | None = None) -> Referees:
    empty = grey([0], "a")[:0]
    given = {"spare": CALIBRATION} if splits is None else splits
    return Referees(
        attackers={"embedding": ON_A_CIRCLE},
        photographs=lambda split: given.get(split, empty),
        claim=KAnonymityClaim(k, None if group is None else torch.tensor(group)),
    )


ORIGINAL = grey(
    [10, 20, 40, 60, 100, 140, 200, 210], "aabcdeff", mood=[0, 1, 1, 1, 0, 0, 0, 0], hat=[0, 0, 0, 0, 1, 1, 1, 2]
)
GROUP = [0, 0, 0, 0, 7, 7, 7, 7]
"""People a, b, c with 40 as their surrogate; d, e, f with 140, which is e's own photograph."""
RELEASED = ORIGINAL.with_images(grey([40] * 4 + [140] * 4, "aabcdeff").images)


def scored(metric: Metric, released: ImageSet = RELEASED, given: Referees | None = None) -> Score:
    return metric.score(ORIGINAL, released, given or referees(GROUP)).score


def test_information_loss_is_the_mean_of_peoples_means() -> None:
    of_a = (apart(10, 40) + apart(20, 40)) / 2
    of_f = (apart(200, 140) + apart(210, 140)) / 2
    wanted = (of_a + 0 + apart(60, 40) + apart(100, 140) + 0 + of_f) / 6
    score = scored(InformationLoss())
    assert score.value == pytest.approx(wanted, abs=1e-6)
    assert (score.n, score.n_clusters) == (8, 6)
    assert score.interval is not None
    assert score.interval.low < wanted < score.interval.high
    assert score.details["farthest"] == pytest.approx(of_f, abs=1e-6)
    assert score.details["claimed"] == 2


def test_nothing_is_lost_on_originals() -> None:
    score = scored(InformationLoss(), ORIGINAL)
    assert score.value == pytest.approx(0, abs=1e-6)


def test_re_identification_counts_people_overall_and_by_group() -> None:
    score = scored(ReIdentification())
    # The threshold is the distance of ten levels: a (25 away on average), c and f are farther off; b and e are at 0.
    assert score.details["threshold"] == pytest.approx(apart(0, 10), abs=1e-6)
    assert score.value == pytest.approx(2 / 6)
    assert score.anchors == {"allowed": 0.5}
    assert score.details["people matched"] == 2
    assert score.details["groups above 1/size"] == 0
    assert score.details["equal error rate at threshold"] == 0
    assert score.details["photographs of threshold (spare)"] == 6
    assert (score.details["claimed"], score.details["groups"], score.details["smallest group"]) == (2, 2, 3)


def test_two_matched_in_a_group_are_too_many_for_it() -> None:
    near = {"spare": grey([0, 21, 200, 221], "uuvv")}
    score = scored(ReIdentification(), given=referees(GROUP, splits=near))
    assert score.details["people matched"] == 3, "b, c and e: 0, 20 and 0 levels away"
    assert score.details["people matched by any photograph"] == 4, "and a, by the photograph 20 levels away"
    assert score.details["groups above 1/size"] == 1


def test_the_threshold_comes_from_people_that_nobody_trained_on() -> None:
    wider = grey([0, 30, 200, 230], "uuvv")
    score = scored(ReIdentification(), given=referees(GROUP, splits={"enrol": CALIBRATION, "background": wider}))
    assert "photographs of threshold (enrol)" in score.details
    alone = {"spare": grey([0, 1, 2], "uvw"), "background": wider}
    score = scored(ReIdentification(), given=referees(GROUP, splits=alone))
    assert score.details["threshold"] == pytest.approx(apart(0, 30), abs=1e-6), "pairs of two people alone say nothing"
    score = scored(ReIdentification(), given=referees(GROUP, splits={}))
    assert score.status == "not-applicable"
    assert "threshold" in score.reason


def test_rank_1_names_at_most_one_person_per_surrogate() -> None:
    score = scored(ReIdentification())
    assert score.details["rank-1"] == pytest.approx(2 / 6), "40 is nearest to b, 140 to e"
    assert score.details["rank-1 allowed, surrogates over people"] == pytest.approx(2 / 6)
    swapped = ORIGINAL.with_images(RELEASED.images.flip(0))
    assert scored(ReIdentification(), swapped).details["rank-1"] == 0


def test_who_has_no_surrogate_is_neither_matched_nor_safe() -> None:
    black = RELEASED.images.clone()
    black[[2, 6, 7]] = 0
    lost = torch.tensor([False, False, True, False, False, False, True, True])
    partly = dataclasses.replace(ORIGINAL.with_images(black), missing=lost)
    score = scored(ReIdentification(), partly)
    assert (score.value, score.n, score.n_clusters) == (1 / 4, 5, 4), "b and f are gone; e of a, c, d, e is matched"
    assert score.details["people without surrogate"] == 2
    loss = scored(InformationLoss(), partly)
    assert loss.details["people without surrogate"] == 2
    assert loss.value == pytest.approx(
        ((apart(10, 40) + apart(20, 40)) / 2 + apart(60, 40) + apart(100, 140)) / 4, abs=1e-6
    )
    nothing = dataclasses.replace(ORIGINAL, missing=torch.ones(8, dtype=torch.bool))
    assert scored(ReIdentification(), nothing).status == "not-applicable"


def test_homogeneity_by_attribute_and_together() -> None:
    mood = scored(Homogeneity(attribute="mood"))
    assert mood.value == 3 / 6, "a is half and half and counts as the first, so only d, e and f are alike"
    hat = scored(Homogeneity(attribute="hat"))
    assert hat.value == 1.0, "f has two hats and counts as the first of them"
    assert scored(Homogeneity(attribute="hat+mood")).value == 0.5
    every = scored(Homogeneity())
    assert every.value == pytest.approx((0.5 + 1.0) / 2)
    assert every.details["of one mood"] == 0.5
    assert every.details["the same in all"] == 0.5
    unknown = scored(Homogeneity(attribute="age"))
    assert unknown.status == "not-applicable"
    assert "'age'" in unknown.reason


def test_silhouette_and_sums_of_squares_are_those_of_peoples_means() -> None:
    def point(*levels: int) -> NDArray[np.float64]:
        angles = np.array(levels) / 255 * np.pi
        return np.array([np.cos(angles).mean(), np.sin(angles).mean()])

    points = np.stack([point(10, 20), point(40), point(60), point(100), point(140), point(200, 210)])
    group = np.array([0, 0, 0, 1, 1, 1])
    assert scored(Silhouette()).value == pytest.approx(silhouette_score(points, group), abs=1e-6)
    assert scored(SseSst()).value == pytest.approx(sse_over_sst(points, group), abs=1e-6)
    assert silhouettes(points, group).mean() == pytest.approx(silhouette_score(points, group))
    one = scored(Silhouette(), given=referees([0] * 8))
    assert one.status == "not-applicable"


def test_somebody_in_two_groups_is_a_member_of_both() -> None:
    score = scored(Homogeneity(), given=referees([0, 7, 0, 0, 7, 7, 7, 7]))
    assert score.details["people in groups"] == 7
    assert score.details["further groups of the same people"] == 1
    assert score.n_clusters == 6


@pytest.mark.parametrize("name", EVERY)
def test_who_publishes_no_groups_has_no_measure(name: str) -> None:
    metric = build_metric(name)
    assert scored(metric, given=Referees()).reason == "makes no claim of k-anonymity"
    for group in (None, [0] * 7):
        score = scored(metric, given=referees(group))
        assert (score.status, score.reason) == ("not-applicable", "publishes no groups")
    halves = KAnonymityClaim(2, torch.zeros(8))
    assert members_of(ORIGINAL, halves) is None


@pytest.mark.parametrize("name", EVERY)
def test_cards_say_what_a_reader_needs(name: str) -> None:
    metric = build_metric(name)
    card = metric.card
    assert card.about_claim
    assert not card.rung, "no attacker of the ladder: the risk stays what it was"
    assert all((card.definition, card.calibration, card.source, card.unit))
    assert build_metric(card.name).card == card
    score = scored(metric)
    assert score.details["claimed"] == 2, "whoever validates a record holds it against the entrant's claim"
    low, high = card.range
    assert score.value is not None
    assert low is not None
    assert high is not None
    assert low <= score.value <= high


@pytest.mark.parametrize("name", EVERY)
def test_the_order_of_the_images_does_not_matter(name: str) -> None:
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    claim = KAnonymityClaim(2, torch.tensor(GROUP)[order])
    given = Referees(attackers=referees(GROUP).attackers, photographs=referees(GROUP).photographs, claim=claim)
    shuffled = build_metric(name).score(ORIGINAL.select(order), RELEASED.select(order), given).score
    score = scored(build_metric(name))
    assert shuffled.value == pytest.approx(score.value, abs=1e-12)
    assert shuffled.details == pytest.approx(score.details)


def test_mobilefacenet_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))
    metric = InformationLoss(network="mobilefacenet")
    lacking = metric.missing()
    assert lacking is not None
    assert "mobilefacenet" in lacking.remedy
