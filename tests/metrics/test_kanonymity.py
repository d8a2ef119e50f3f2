"""The audit of k-anonymity, on releases whose groups are known because they were planted."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.images import ImageSet, Labels
from benchmark.protocols import Controller, KAnonymityClaim, Referees
from benchmark.records import Score
from benchmark.registry import build_entrant
from metrics.kanonymity import BROKEN, KAnonymity, distinct, sharing

PHOTOGRAPHS = 3


def photographs(people: int, seed: int = 0) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    count = people * PHOTOGRAPHS
    images = torch.randint(0, 256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    names = tuple(f"person {number}" for number in range(people))
    person = torch.arange(people).repeat_interleave(PHOTOGRAPHS)
    return ImageSet(images, tuple(f"{row:03d}" for row in range(count)), Labels(person, names))


def shared(original: ImageSet, group: torch.Tensor) -> ImageSet:
    """A release that gives every group one grey level of its own."""
    levels = group.to(torch.uint8)[:, None, None, None]
    return original.with_images(levels.expand_as(original.images).contiguous())


def audit(original: ImageSet, released: ImageSet, k: int = 5, group: torch.Tensor | None = None) -> Score:
    return KAnonymity().score(original, released, Referees(claim=KAnonymityClaim(k, group))).score


def person_of(original: ImageSet) -> torch.Tensor:
    assert original.identity is not None
    return original.identity.values


class TestKSame:
    """What the built-in method releases."""

    original: ClassVar[ImageSet] = photographs(12)

    @classmethod
    def release(cls, family: str = "ksame-pixel") -> tuple[ImageSet, torch.Tensor]:
        made = build_entrant(f"{family}(k=5)").anonymizer.anonymize(cls.original, Controller())
        group = made.notes["group"]
        assert isinstance(group, torch.Tensor)
        return cls.original.with_images(made.images), group

    @pytest.mark.parametrize("family", ["ksame-pixel", "ksame-eigen"])
    def test_passes(self, family: str) -> None:
        score = audit(self.original, *self._with_group(family))
        assert (score.status, score.value, score.flags, score.interval) == ("ok", 5.0, {}, None)
        assert (score.n, score.n_clusters) == (36, 12)
        assert score.details == {
            "claimed": 5,
            "surrogates": 2,
            "smallest group": 5,
            "largest group": 7,
            "people with several surrogates": 0,
            "linkage bound": pytest.approx(2 / 12),
            "linkage bound, knowing counts": pytest.approx(2 / 12),
            "bound allowed": 0.2,
            "groups published": 2,
            "smallest group published": 5,
            "groups with several surrogates": 0,
        }

    def _with_group(self, family: str) -> tuple[ImageSet, int, torch.Tensor]:
        released, group = self.release(family)
        return released, 5, group

    def test_one_pixel_breaks_it(self) -> None:
        released, group = self.release()
        images = released.images.clone()
        images[7, 1, 3, 3] ^= 1
        score = audit(self.original, released.with_images(images), 5, group)
        assert score.value == 1
        assert score.details["people with several surrogates"] == 1
        assert score.details["groups with several surrogates"] == 1
        assert score.flags == {BROKEN: "Claimed are 5 people per released image, and one is shared by 1 alone."}

    def test_values_per_image_are_the_people_who_share_it(self) -> None:
        released, group = self.release()
        scores = KAnonymity().score(self.original, released, Referees(claim=KAnonymityClaim(5)))
        members = [len(set(person_of(self.original)[group == number].tolist())) for number in group.tolist()]
        assert scores.per_image["k-anonymity"].tolist() == members


def test_groups_of_one_too_few_break_the_claim() -> None:
    original = photographs(12)
    group = person_of(original) // 4
    score = audit(original, shared(original, group), 5, group)
    assert score.value == 4
    assert score.details["linkage bound"] == 0.25 > score.details["bound allowed"]
    assert "shared by 4 alone" in score.flags[BROKEN]
    assert audit(original, shared(original, group), 4, group).flags == {}


def test_a_person_over_two_surrogates_breaks_the_claim() -> None:
    original = photographs(12)
    half = torch.arange(len(original)) % PHOTOGRAPHS == 0
    score = audit(original, shared(original, half.long()))
    assert score.value == 12
    assert score.details["people with several surrogates"] == 12
    assert score.flags[BROKEN].startswith("Released as several images")
    assert "12 people" in score.flags[BROKEN]


def test_a_note_that_hides_different_images_breaks_the_claim() -> None:
    original = photographs(12)
    halves, lie = person_of(original) // 6, torch.zeros(36, dtype=torch.int64)
    score = audit(original, shared(original, halves), 6, lie)
    assert score.value == 6
    assert score.details["groups published"] == score.details["groups with several surrogates"] == 1
    assert score.flags[BROKEN] == "Published groups with several images instead of one: 1."


def test_a_note_of_smaller_groups_breaks_the_claim() -> None:
    original = photographs(12)
    score = audit(original, shared(original, person_of(original) // 6), 6, person_of(original) // 3)
    assert score.value == 6
    assert score.details["smallest group published"] == 3
    assert "one published group has 3" in score.flags[BROKEN]


@pytest.mark.parametrize("note", [torch.zeros(36), torch.zeros(35, dtype=torch.int64), torch.zeros(36, 2).long()])
def test_a_note_that_is_no_group_is_said_to_be_none(note: torch.Tensor) -> None:
    original = photographs(12)
    score = audit(original, shared(original, person_of(original) // 6), 6, note)
    assert score.value == 6
    assert "groups published" not in score.details
    assert "not one whole number per image" in score.flags[BROKEN]


def test_without_published_groups_only_the_bytes_count() -> None:
    original = photographs(12)
    score = audit(original, shared(original, person_of(original) // 6), 6)
    assert score.flags == {}
    assert "groups published" not in score.details


def test_images_never_released_do_not_count() -> None:
    original = photographs(12)
    released = shared(original, person_of(original) // 6 + 1)
    images = released.images.clone()
    missing = torch.zeros(len(original), dtype=torch.bool)
    missing[[0, 20]] = True
    images[missing] = 0
    lossy = dataclasses.replace(released, images=images, missing=missing)
    scores = KAnonymity().score(original, lossy, Referees(claim=KAnonymityClaim(6)))
    assert (scores.score.value, scores.score.n, scores.score.flags) == (6, 34, {})
    assert scores.score.details["missing images"] == 2
    assert scores.per_image["k-anonymity"].isnan().equal(missing)


def test_where_nobody_is_known_each_image_is_a_person() -> None:
    original = photographs(4).without(identity=True)
    score = audit(original, shared(original, torch.arange(12) // 3), 3)
    assert (score.value, score.n_clusters, score.flags) == (3, 12, {})


def test_uneven_numbers_of_photographs_show_beside_the_bound() -> None:
    original = photographs(4)
    rows = torch.tensor([0, 1, 2, 3, 6, 7, 9, 10])
    few = original.select(rows)
    score = audit(few, shared(few, person_of(few) // 2), 2)
    assert score.details["linkage bound"] == 0.5
    assert score.details["linkage bound, knowing counts"] == (3 + 2) / 8


def test_without_a_claim_or_an_image_it_is_not_applicable() -> None:
    original = photographs(4)
    silent = KAnonymity().score(original, original, Referees()).score
    assert (silent.status, silent.reason) == ("not-applicable", "makes no claim of k-anonymity")
    nothing = dataclasses.replace(original, missing=torch.ones(12, dtype=torch.bool))
    assert audit(original, nothing).status == "not-applicable"


def test_card_says_that_it_is_about_a_claim() -> None:
    card = KAnonymity().card
    assert card.about_claim
    assert (card.name, card.group, card.unit, card.higher_is_better) == ("k-anonymity", "privacy", "people", True)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=40))
def test_counts_equal_those_of_dictionaries(pairs: list[tuple[int, int]]) -> None:
    of_surrogate: dict[int, set[int]] = defaultdict(set)
    of_person: dict[int, set[int]] = defaultdict(set)
    for surrogate, person in pairs:
        of_surrogate[surrogate].add(person)
        of_person[person].add(surrogate)
    numbers = torch.tensor([surrogate for surrogate, _ in pairs])
    levels = numbers.to(torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
    found = sharing(distinct(levels), torch.tensor([person for _, person in pairs]))
    assert found.of_image.tolist() == [len(of_surrogate[surrogate]) for surrogate, _ in pairs]
    assert found.surrogates.tolist() == [len(of_person[person]) for person in sorted(of_person)]
    most = [max(pairs.count((one, who)) for who in of_surrogate[one]) for one in sorted(of_surrogate)]
    assert sorted(found.likeliest.tolist()) == sorted(most)
