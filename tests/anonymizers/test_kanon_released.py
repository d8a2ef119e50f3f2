"""What the entrant releases, for every surrogate that needs no download, and who is in a group."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizers.kanonymity import entrant
from anonymizers.kanonymity.persons import described, persons_of
from anonymizers.kanonymity.surrogates import UpConv
from anonymizers.kanonymity.surrogates.proxies import Recipe
from benchmark.errors import EntrantError
from benchmark.images import ImageSet, Labels
from benchmark.protocols import KAnonymityClaim, Referees
from benchmark.registry import build_metric
from metrics.kanonymity import BROKEN
from tests.anonymizers.kanon_entrants import release
from tests.anonymizers.tiny_generators import smooth_people

SURROGATES = ["pixels", "eigenfaces", "appearance", "upconv", "style"]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of its own, and an up-convolutional network that is trained in no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANONBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(entrant, "UpConv", partial(UpConv, Recipe(people=8, steps=3, batch=4, width=0.1)))
        yield


@pytest.fixture(scope="module")
def others():
    return smooth_people(10, 2, (48, 40), seed=9, name="other")


@pytest.fixture(scope="module")
def people():
    """26 photographs of 11 persons."""
    return smooth_people(11, 3, (48, 40)).select(torch.arange(26))


class TestReleased:
    """What must hold whichever face is drawn."""

    @pytest.fixture(params=SURROGATES)
    def surrogate(self, request):
        return request.param

    def test_the_claim_holds_by_the_metric(self, surrogate, people, others, make_kanon):
        for k in (2, 4):
            built = make_kanon(k=k, surrogate=surrogate)
            made = release(built, people, train=others)
            group = made.notes["group"]
            assert group.dtype == torch.int64
            claim = KAnonymityClaim(built.facts.k_anonymity, group)
            score = (
                build_metric("k-anonymity").score(people, people.with_images(made.images), Referees(claim=claim)).score
            )
            assert BROKEN not in score.flags
            assert k <= score.value < 2 * k
            assert score.details["people with several surrogates"] == 0
            for number in group.unique():
                rows = group == number
                assert (made.images[rows] == made.images[rows][:1]).all()
            assert len({bytes(image.numpy()) for image in made.images}) == len(group.unique()) > 1
            assert made.notes["grouped"] == described(persons_of(people))

    def test_neither_batches_nor_order_change_a_byte(self, surrogate, people, others, make_kanon):
        plain = release(make_kanon(k=3, surrogate=surrogate), people, train=others, batch_size=64)
        order = torch.randperm(26, generator=torch.Generator().manual_seed(3))
        again = release(make_kanon(k=3, surrogate=surrogate), people.select(order), train=others, batch_size=3)
        assert torch.equal(again.images, plain.images[order])
        assert torch.equal(again.notes["group"], plain.notes["group"][order])

    def test_sees_only_what_it_declares(self, surrogate, people, others, make_kanon):
        """No landmarks, attributes or other people beyond ``uses`` have a part in it."""
        built = make_kanon(k=3, surrogate=surrogate)
        uses = built.facts.uses
        bare = people.without(attributes=True, landmarks="landmarks" not in uses)
        train = {"train": others} if "train" in uses else {}
        plain = release(built, people, train=others)
        assert torch.equal(release(built, bare, **train).images, plain.images)

    def test_the_nearest_original_names_a_kth_at_most(self, surrogate, people, others, make_kanon):
        k = 3
        made = release(make_kanon(k=k, surrogate=surrogate), people, train=others)
        pixels, released = (images.flatten(1).double() for images in (people.images, made.images))
        guess = people.identity.values[torch.cdist(released, pixels).argmin(dim=1)]
        right = (guess == people.identity.values).double()
        persons = torch.stack([right[people.identity.values == person].mean() for person in range(11)])
        groups = len(made.notes["group"].unique())
        assert float(persons.mean()) <= groups / 11 + 1e-9
        assert groups / 11 <= 1 / k

    def test_progress_ends_at_all_images(self, surrogate, people, others, make_kanon):
        done = []
        release(make_kanon(surrogate=surrogate), people, train=others, progress=done.append)
        assert sum(done) == 26


class TestGroups:
    def test_pixels_are_the_plain_mean(self, people, make_kanon):
        made = release(make_kanon(k=4, partition="random"), people, seed=2)
        who = people.identity.values
        for number in made.notes["group"].unique():
            rows = made.notes["group"] == number
            members = [people.images[who == person].double().mean(dim=0) for person in who[rows].unique()]
            wanted = torch.stack(members).mean(dim=0)
            assert (made.images[rows].double() - wanted).abs().max() <= 0.5 + 1e-4

    def test_random_groups_follow_the_seed(self, people, make_kanon):
        one, same, other = (
            release(make_kanon(partition="random"), people, seed=seed).notes["group"] for seed in (1, 1, 2)
        )
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    def test_the_persons_who_look_alike_share_a_face(self, make_kanon):
        """Four planted kinds of people with three of each, two photographs of everybody."""
        kinds = smooth_people(4, 1, (48, 40), seed=3).images
        kind = torch.arange(12) % 4
        noise = torch.randint(0, 8, (24, 3, 48, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        who = torch.arange(12).repeat_interleave(2)
        images = ImageSet(
            (kinds[kind[who]] // 2 + noise),
            tuple(f"{row:02}" for row in range(24)),
            Labels(who, tuple(map(str, range(12)))),
        )
        group = release(make_kanon(k=3), images).notes["group"]
        assert len(group.unique()) == 4
        for number in group.unique():
            assert len(kind[who[group == number]].unique()) == 1

    def test_several_photographs_of_a_person_are_in_one_group(self, people, make_kanon):
        group = release(make_kanon(k=2), people).notes["group"]
        for person in range(11):
            assert len(group[people.identity.values == person].unique()) == 1

    def test_without_labels_every_image_is_a_person(self, make_set, make_kanon):
        made = release(make_kanon(k=4), make_set(9))
        assert sorted(made.notes["group"].bincount().tolist()) == [4, 5]
        assert made.notes["grouped"].startswith("every image counted as a person of its own")
        assert made.notes["groups"] == "2 of 4 to 5 persons"

    def test_too_few_persons(self, people, make_kanon):
        with pytest.raises(EntrantError, match="11 persons are too few for groups of k=12: use k=11 or less"):
            release(make_kanon(k=12), people)
        alone = people.select((people.identity.values == 0).nonzero().flatten())
        with pytest.raises(EntrantError, match="1 persons are too few for groups of k=5: give at least 2 persons"):
            release(make_kanon(), alone)

    @pytest.mark.parametrize("surrogate", ["pixels", "style"])
    @pytest.mark.parametrize("k", [2, 3])
    def test_duplicated_photographs_are_grouped_and_reported(self, surrogate, k, people, make_kanon):
        """Everybody looks the same; then two persons do."""
        same = people.with_images(people.images[:1].expand(26, -1, -1, -1).contiguous())
        made = release(make_kanon(k=k, surrogate=surrogate), same)
        assert made.notes["group"].bincount().min() >= k
        assert made.notes["same embedding"].startswith("11 persons have exactly the embedding of another")
        if surrogate == "pixels":
            assert torch.equal(made.images, same.images)
        single = smooth_people(8, 1, (48, 40))
        pixels = single.images.clone()
        pixels[5] = pixels[2]
        pair = release(make_kanon(k=k, surrogate=surrogate), single.with_images(pixels))
        assert pair.notes["same embedding"].startswith("2 persons")
        assert pair.notes["group"][5] == pair.notes["group"][2]
        assert "same embedding" not in release(make_kanon(k=k, surrogate=surrogate), single).notes

    @settings(max_examples=20, deadline=None)
    @given(persons=st.integers(2, 20), photographs=st.integers(1, 3), k=st.integers(2, 6))
    def test_no_group_is_smaller_than_k(self, persons, photographs, k, make_kanon, make_set):
        k = min(k, persons)
        images = make_set(persons * photographs, 5, 6, persons=persons)
        group = release(make_kanon(k=k), images).notes["group"]
        assert group.unique().tolist() == list(range(int(group.max()) + 1))
        for number in group.unique():
            assert len(images.identity.values[group == number].unique()) >= k
