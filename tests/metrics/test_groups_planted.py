"""Measures of groups: of releases whose groups were planted, and against scikit-learn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score

from benchmark.protocols import KAnonymityClaim, Referees
from benchmark.registry import build_metric
from benchmark.statistics import mean_interval
from metrics.groups import Homogeneity, InformationLoss, ReIdentification, Silhouette, SseSst
from metrics.groups.arithmetic import silhouettes, sse_over_sst
from metrics.groups.members import Members, members_of
from tests.metrics.grey_people import GROUP, ORIGINAL, RELEASED, apart, grey, referees, scored

EVERY = ("information-loss", "re-identification", "homogeneity", "silhouette", "sse-sst")


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


def test_intervals_resample_groups_and_join_those_that_share_a_person() -> None:
    of_a, of_f = (apart(10, 40) + apart(20, 40)) / 2, (apart(200, 140) + apart(210, 140)) / 2
    values = torch.tensor([of_a, 0.0, apart(60, 40), apart(100, 140), 0.0, of_f], dtype=torch.float64)
    wanted, found = (
        mean_interval(values, torch.tensor([0, 0, 0, 1, 1, 1]), "groups"),
        scored(InformationLoss()).interval,
    )
    assert wanted is not None
    assert found is not None
    assert (found.method, found.low, found.high) == (
        wanted.method,
        pytest.approx(wanted.low),
        pytest.approx(wanted.high),
    )
    group = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 3])
    people = torch.tensor([0, 1, 1, 2, 3, 4, 5, 6, 7])
    members = Members(2, torch.arange(9), people, group)
    assert members.clusters.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2]


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


def test_rank_1_names_at_most_one_person_per_surrogate() -> None:
    score = scored(ReIdentification())
    assert score.details["rank-1"] == pytest.approx(2 / 6), "40 is nearest to b, 140 to e"
    assert score.details["rank-1 allowed, surrogates over people"] == pytest.approx(2 / 6)
    swapped = ORIGINAL.with_images(RELEASED.images.flip(0))
    assert scored(ReIdentification(), swapped).details["rank-1"] == 0


def test_of_photographs_released_as_they_are_everybody_is_named_once() -> None:
    details = scored(ReIdentification(), ORIGINAL).details
    assert details["rank-1"] == 1, "a and f have two photographs, and both name them"
    assert details["rank-1 allowed, surrogates over people"] == 1, "four surrogates of three people"


@settings(max_examples=30)
@given(st.lists(st.sampled_from([10, 21, 44, 61, 90, 133, 199, 211]), min_size=8, max_size=8))
def test_rank_1_counts_people_whatever_is_released(shown: list[int]) -> None:
    released = ORIGINAL.with_images(grey(shown, "aabcdeff").images)
    details = scored(ReIdentification(), released).details
    levels, names, named = [10, 20, 40, 60, 100, 140, 200, 210], "aabcdeff", set()
    for level, group in zip(shown, GROUP, strict=True):
        row = min(range(8), key=lambda row: abs(levels[row] - level))
        named |= {names[row]} if GROUP[row] == group else set()
    assert details["rank-1"] == len(named) / 6
    allowed = min(3, len(set(shown[:4]))) + min(3, len(set(shown[4:])))
    assert details["rank-1 allowed, surrogates over people"] == allowed / 6


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
