"""What becomes of an attacker's matches: credits, anchors, flags and refusals."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from statistics import fmean

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.images import ImageSet, Labels
from benchmark.protocols import Scores
from benchmark.records import BELOW_CHANCE, TOO_WEAK, MetricCard
from metrics.attackers.matching import Matches
from metrics.attackers.verdict import nobody_known, verdict

CARD = MetricCard(
    name="planted",
    version=1,
    title="Planted",
    group="privacy",
    unit="share",
    higher_is_better=False,
    range=(0.0, 1.0),
    definition="Planted.",
    rung="static",
)


def probes(truth: list[int], people: int) -> ImageSet:
    keys = tuple(f"probe {row}" for row in range(len(truth)))
    names = tuple(f"person {number:03}" for number in range(people))
    return ImageSet(torch.zeros(len(truth), 3, 2, 2, dtype=torch.uint8), keys, Labels(torch.tensor(truth), names))


def lost(images: ImageSet, missing: list[bool]) -> ImageSet:
    return ImageSet(images.images, images.keys, images.identity, missing=torch.tensor(missing))


def sure(truth: list[int], answers: list[int], people: int, entries: int = 1) -> Matches:
    """Matches that are 1 with the person answered and 0 with all others."""
    owner = torch.arange(people).repeat(entries)
    return Matches((owner == torch.tensor(answers)[:, None]).float(), owner)


def known(released: Matches, truth: list[int], people: int, missing: list[bool] | None = None) -> Scores:
    original = probes(truth, people)
    entries = len(released.owner) // people
    after = original if missing is None else lost(original, missing)
    return verdict(CARD, original, after, released, sure(truth, truth, people, entries))


def test_the_value_is_the_share_named_first_with_anchors_interval_and_values_per_image() -> None:
    truth, answers = [0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 1, 1, 0, 0, 3, 2]
    original = probes(truth, 4)
    clean = sure(truth, [0, 0, 1, 1, 2, 2, 3, 0], 4)
    scores = verdict(CARD, original, original, sure(truth, answers, 4), clean, {"own": 3.0})
    assert (scores.score.value, scores.score.anchors) == (4 / 8, {"chance": 0.25, "originals": 7 / 8})
    assert (scores.score.n, scores.score.n_clusters, scores.score.details["own"]) == (8, 4, 3.0)
    assert scores.per_image["planted"].tolist() == [1, 0, 1, 1, 0, 0, 1, 0]
    assert scores.score.interval is not None
    assert scores.score.interval.low <= 0.5 <= scores.score.interval.high


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(2, 30), st.integers(1, 4), st.integers(1, 3), st.floats(-9, 9, width=32))
def test_constant_similarities_give_chance(people: int, each: int, entries: int, level: float) -> None:
    truth = list(range(people)) * each
    owner = torch.arange(people).repeat(entries)
    score = known(Matches(torch.full((len(truth), len(owner)), level), owner), truth, people).score
    assert score.value == pytest.approx(1 / people, abs=1e-15)
    assert (score.details["EER"], score.details["AUC"], score.details["D_sys"]) == (0.5, 0.5, 0)
    assert [score.details.get(f"rank-{k}") for k in (5, 10)] == [
        pytest.approx(k / people) if people > k else None for k in (5, 10)
    ]


def test_perfect_matches_find_everybody() -> None:
    truth = list(range(12)) * 10
    score = known(sure(truth, truth, 12, entries=2), truth, 12).score
    expected = {"rank-5": 1, "rank-10": 1, "mAP": 1, "EER": 0, "AUC": 1, "D_sys": 1, "TAR@FAR=0.01": 1}
    assert score.value == 1
    assert {name: score.details[name] for name in expected} == expected
    assert (score.details["EER on originals"], score.details["AUC on originals"]) == (0, 1)
    assert score.details["D_sys floor"] < 0.1
    assert list(score.refused) == ["TAR@FAR=0.001"]
    assert score.flags == {}


def test_a_missing_image_is_an_identified_one() -> None:
    truth = list(range(12))
    nobody = sure(truth, [(person + 1) % 12 for person in truth], 12)
    score = known(nobody, truth, 12, [row < 3 for row in range(12)]).score
    assert score.value == 3 / 12
    assert score.details["missing"] == 3
    assert score.details["mAP"] == pytest.approx((3 + 9 * known(nobody, truth, 12).score.details["mAP"]) / 12)
    everything = known(nobody, truth, 12, [True] * 12)
    assert everything.per_image["planted"].tolist() == [1] * 12
    expected = {"rank-5": 1, "rank-10": 1, "mAP": 1, "EER": 0, "AUC": 1, "D_sys": 1}
    assert {name: everything.score.details[name] for name in expected} == expected


def test_an_undetected_image_is_a_guess_and_no_pair() -> None:
    truth = list(range(12))
    answers = sure(truth, truth, 12)
    blind = torch.tensor([row < 4 for row in range(12)])
    score = known(Matches(answers.similarity, answers.owner, blind), truth, 12).score
    assert score.value == pytest.approx((8 + 4 / 12) / 12)
    assert score.details["rank-5"] == pytest.approx((8 + 4 * 5 / 12) / 12)
    reciprocal_ranks = sum(1 / place for place in range(1, 13)) / 12
    assert score.details["mAP"] == pytest.approx((8 + 4 * reciprocal_ranks) / 12)
    assert (score.details["undetected"], score.details["EER"], score.details["AUC"]) == (4, 0, 1)
    assert "missing" not in score.details


def test_average_precision_of_an_undetected_image_is_the_mean_over_all_orders() -> None:
    owner = torch.tensor([0, 0, 0, 1, 1, 2])
    orders = [[index < 3 for index in order] for order in permutations(range(6))]
    expected = fmean(
        float(sum(Fraction(sum(order[: place + 1]), place + 1) for place in range(6) if order[place]) / 3)
        for order in orders
    )
    original = probes([0], 3)
    found = Matches(torch.randn(1, 6, generator=torch.Generator().manual_seed(0)), owner, torch.tensor([True]))
    score = verdict(CARD, original, original, found, Matches(found.similarity, owner)).score
    assert score.details["mAP"] == pytest.approx(expected, abs=1e-12)
    assert set(score.refused) == {"EER", "AUC", "D_sys", "TAR@FAR=0.01", "TAR@FAR=0.001"}


def test_missing_and_undetected_is_missing() -> None:
    truth = [0, 1, 2]
    answers = sure(truth, truth, 3)
    blind = Matches(answers.similarity, answers.owner, torch.tensor([True, False, False]))
    score = known(blind, truth, 3, [True, False, False]).score
    assert (score.value, score.details["missing"]) == (1, 1)
    assert "undetected" not in score.details


def test_who_is_not_in_the_gallery_is_not_found_and_not_a_candidate() -> None:
    original = probes([0, 1, 2, 2], 3)
    matches = Matches(torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 0]]), torch.tensor([0, 1]))
    scores = verdict(CARD, original, original, matches, matches)
    assert scores.per_image["planted"].tolist() == [1, 1, 0, 0]
    assert (
        scores.score.anchors["chance"] == 1 / 4
    )  # a guess names one of two people, and half of the probes are neither


@pytest.mark.parametrize(("people", "enrolled", "each"), [(60, 30, 1), (7, 7, 8), (21, 21, 3), (28, 28, 1)])
def test_who_sees_nothing_is_at_chance_and_no_worse(people: int, enrolled: int, each: int) -> None:
    truth = [person for person in range(people) for _ in range(each)]
    original, owner = probes(truth, people), torch.arange(enrolled)
    clean = Matches((owner == torch.tensor(truth)[:, None]).float(), owner)
    score = verdict(CARD, original, original, Matches(torch.zeros_like(clean.similarity), owner), clean).score
    chance = score.anchors["chance"]
    assert score.value == pytest.approx(chance)
    assert chance == pytest.approx(1 / people)
    assert score.interval is not None
    assert score.interval.low <= chance <= score.interval.high
    assert not score.flags


def test_probes_whose_people_are_nowhere_are_not_there_to_be_found() -> None:
    original, owner = probes([2, 2, 3], 4), torch.arange(2)
    blind = Matches(torch.zeros(3, 2), owner)
    score = verdict(CARD, original, original, blind, blind).score
    assert (score.value, score.anchors["chance"]) == (0, 0)
    assert TOO_WEAK in score.flags


def test_an_attacker_that_fails_on_originals_is_too_weak() -> None:
    truth = list(range(10)) * 10
    original, right = probes(truth, 10), sure(truth, truth, 10)
    for hits, weak in ((54, True), (55, False), (56, False)):
        answers = [person if row < hits else (person + 1) % 10 for row, person in enumerate(truth)]
        flags = verdict(CARD, original, original, right, sure(truth, answers, 10)).score.flags
        assert (TOO_WEAK in flags) == weak
        assert not weak or ("54.0%" in flags[TOO_WEAK] and "10.0%" in flags[TOO_WEAK])


def test_one_person_can_be_told_from_nobody() -> None:
    score = known(sure([0, 0], [0, 0], 1), [0, 0], 1).score
    assert (score.value, score.anchors["chance"]) == (1, 1)
    assert TOO_WEAK in score.flags


def test_worse_than_guessing_is_flagged() -> None:
    truth = list(range(10)) * 4
    never = known(sure(truth, [(person + 1) % 10 for person in truth], 10), truth, 10).score
    guess = known(Matches(torch.zeros(40, 10), torch.arange(10)), truth, 10).score
    assert "10.0%" in never.flags[BELOW_CHANCE]
    assert BELOW_CHANCE not in guess.flags


def test_pairs_are_accepted_by_thresholds_from_originals() -> None:
    """Anonymization makes everybody alike: released people score 4 with themselves, 5 with others, originals 1 and 0."""
    truth = list(range(20)) * 4
    original, clean = probes(truth, 20), sure(truth, truth, 20)
    score = verdict(CARD, original, original, Matches(5 - clean.similarity, clean.owner), clean).score
    assert (score.details["TAR@FAR=0.01"], score.details["AUC"], score.details["AUC on originals"]) == (1, 0, 1)
    score = verdict(CARD, original, original, Matches(clean.similarity - 1, clean.owner), clean).score
    assert (score.details["TAR@FAR=0.01"], score.details["AUC"]) == (0, 1)


def test_false_accept_rates_that_negatives_cannot_resolve_are_refused() -> None:
    truth = list(range(10))
    score = known(sure(truth, truth, 10), truth, 10).score
    assert set(score.refused) == {"TAR@FAR=0.01", "TAR@FAR=0.001"}
    assert "needs 1000 " in score.refused["TAR@FAR=0.01"]
    assert f"there are {9 * 8}" in score.refused["TAR@FAR=0.01"]
    assert not any(name.startswith("TAR") for name in score.details)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**16))
def test_the_order_of_probes_gallery_and_scale_do_not_matter(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = (torch.arange(60) % 15).tolist()
    found = Matches(torch.randn(60, 30, generator=generator), torch.arange(30) % 15)
    rows, columns = torch.randperm(60, generator=generator), torch.randperm(30, generator=generator)
    moved = Matches(found.similarity[rows][:, columns] * 4, found.owner[columns])
    original = probes(truth, 15)
    one = verdict(CARD, original, original, found, found)
    shuffled = original.select(rows)
    two = verdict(CARD, shuffled, shuffled, moved, moved)
    assert two.score.details == pytest.approx(one.score.details, abs=1e-12)
    assert two.per_image["planted"].equal(one.per_image["planted"][rows])


def test_similarities_that_are_no_numbers_are_an_error() -> None:
    matches = Matches(torch.full((2, 2), torch.nan), torch.arange(2))
    with pytest.raises(ValueError, match="NaN"):
        known(matches, [0, 1], 2)


def test_without_identities_there_is_no_verdict() -> None:
    original = probes([0, 1], 2).without(identity=True)
    matches = Matches(torch.zeros(2, 2), torch.arange(2))
    with pytest.raises(ValueError, match="nobody_known"):
        verdict(CARD, original, original, matches, matches)
    score = nobody_known("planted", 2).score
    assert (score.metric, score.status, score.value, score.n) == ("planted", "not-applicable", None, 2)
    assert score.reason


def test_always_naming_who_has_few_photographs_is_not_below_chance() -> None:
    """Chance is over people, and a constant answer is right once per photograph of one person."""
    truth = torch.arange(4).repeat_interleave(torch.tensor([1, 20, 20, 20]))
    images = probes(truth.tolist(), 4)
    constant = Matches(torch.tensor([[0.0, -1, -1, -1]]).expand(len(truth), 4), torch.arange(4))
    inverted = Matches(-torch.nn.functional.one_hot(truth, 4).float(), torch.arange(4))
    right = Matches(torch.nn.functional.one_hot(truth, 4).float(), torch.arange(4))
    assert BELOW_CHANCE not in verdict(CARD, images, images, constant, right).score.flags
    assert BELOW_CHANCE in verdict(CARD, images, images, inverted, right).score.flags
