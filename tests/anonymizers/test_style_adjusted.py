"""The adjusted mix in the entrant, and the distance it goes by."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from anonymizers.kanonymity.generator.files import load_generator
from anonymizers.kanonymity.generator.latents import drawn
from anonymizers.kanonymity.surrogates import Request
from anonymizers.kanonymity.surrogates.comparing import PAIRED, Comparison, same_person
from anonymizers.kanonymity.surrogates.style import Style
from benchmark.errors import EntrantError
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Controller
from tests.anonymizers.style_oracle import GROUPS, group_means, near, picture
from tests.anonymizers.tiny_generators import smooth_people


@pytest.fixture(scope="module")
def generator(tiny_file):
    return load_generator(tiny_file)


@pytest.fixture(scope="module")
def people():
    """24 photographs of 10 persons: four have three, the others two."""
    return smooth_people(10, 3).select(torch.arange(24))


@pytest.fixture(scope="module")
def asked(people):
    return Request(people, people.identity.values, GROUPS, Controller(seed=4))


def striped(far, near_to, persons=10):
    """Flat grey photographs: persons differ by ``near_to`` levels, the two photographs of each by ``far``."""
    who = torch.arange(persons).repeat(2)
    sign = torch.tensor([-1, 1]).repeat_interleave(persons)
    levels = 118 + near_to * (who - persons // 2) + sign * far // 2
    pixels = levels.byte()[:, None, None, None].expand(-1, 3, 16, 16).contiguous()
    return ImageSet(
        pixels, tuple(f"{row:02}" for row in range(2 * persons)), Labels(who, tuple(map(str, range(persons))))
    )


class TestAdjusted:
    def asked(self, images):
        return Request(images, images.identity.values, GROUPS, Controller())

    def test_where_everybody_resembles_everybody_it_ends_near_the_mean_face(self, tiny_file, generator):
        """All are matched in all ten rounds, so their weights stay equal and the gain is 0.8 to the tenth."""
        asked = self.asked(striped(200, 2))
        mean = generator.network.mean_latent.double()
        wanted = mean + 0.8**10 * (group_means(generator, asked) - mean)
        near(Style(tiny_file, "adjusted", k=3).render(asked), picture(generator, wanted))
        assert asked.notes["adjusted"].startswith(
            "3 of 3 groups mixed anew in 10 rounds; in 3 more than 1/3 of the members"
        )

    def test_in_compat_mode_it_ends_at_the_origin(self, tiny_file, generator):
        """A hundred rounds, in which the members' factor does not compound."""
        asked = self.asked(striped(200, 2))
        wanted = 0.8**101 * group_means(generator, asked)
        near(Style(tiny_file, "adjusted", k=3, compat=True).render(asked), picture(generator, wanted))

    def test_where_nobody_is_resembled_it_is_naive(self, tiny_file):
        asked = self.asked(striped(2, 20))
        assert torch.equal(Style(tiny_file, "adjusted", k=3).render(asked), Style(tiny_file).render(asked))
        assert asked.notes["adjusted"].startswith("0 of 3 groups mixed anew in 0 rounds; in 0 more than 1/3")

    def test_a_surrogate_without_a_face_has_no_distance(self, tiny_file, generator, people):
        """A recogniser that finds no face gives NaN, which is neither near nor far."""
        asked = Request(people, people.identity.values, GROUPS, Controller())
        compare = comparison(asked, generator)
        latents = group_means(generator, asked).float()
        plain, space = compare(latents, np.arange(3)), compare.space
        compare.space = dataclasses.replace(space, describe=self.without_face(space.describe, 1))
        found = compare(latents, np.arange(3))
        assert np.array_equal(np.isnan(found), (GROUPS == 1).numpy())
        assert np.array_equal(found[GROUPS != 1], plain[GROUPS != 1])
        compare.space = dataclasses.replace(space, describe=self.without_face(space.describe, 0))
        assert np.isnan(compare(latents[2:], np.array([2]))).all()

    @pytest.mark.parametrize("usable", [True, False])
    def test_surrogates_have_the_mean_landmarks_of_their_group(self, usable, generator, people):
        landmarks = people.landmarks.clone()
        if not usable:
            landmarks[3] = torch.nan
        shown = dataclasses.replace(people, landmarks=landmarks)
        asked = Request(shown, people.identity.values, GROUPS, Controller())
        compare, seen = comparison(asked, generator), []
        compare.space = dataclasses.replace(
            compare.space, describe=lambda images: seen.append(images) or torch.zeros(2, 3)
        )
        compare.originals = torch.zeros(24, 3)
        compare(group_means(generator, asked).float()[[2, 0]], np.array([2, 0]))
        if not usable:
            assert seen[0].landmarks is None
            return
        for made, group in zip(seen[0].landmarks, (2, 0), strict=True):
            members = (group == GROUPS).nonzero().flatten()
            wanted = [people.landmarks[people.identity.values == member].mean(dim=0) for member in members]
            assert torch.allclose(made, torch.stack(wanted).mean(dim=0), atol=1e-3)

    def without_face(self, describe, row):
        def describing(images):
            found = describe(images).clone()
            found[row] = torch.nan
            return found

        return describing

    def test_distances_are_means_over_a_persons_photographs(self, tiny_file, generator, people):
        asked = Request(people, people.identity.values, GROUPS, Controller())
        compare = comparison(asked, generator)
        latents = group_means(generator, asked).float()
        made = drawn(generator, latents, (16, 16))
        axes = compare.space.describe
        originals, surrogates = axes(people), axes(people[:3].with_images(made))
        for person, distance in enumerate(compare(latents[[2, 0]], np.array([2, 0]))):
            rows, group = (people.identity.values == person).nonzero().flatten().tolist(), int(GROUPS[person])
            wanted = np.mean([float((originals[row] - surrogates[group]).norm()) for row in rows])
            assert np.isnan(distance) if group == 1 else distance == pytest.approx(wanted), person

    def test_needs_two_photographs_of_somebody(self, tiny_file):
        images = smooth_people(10, 1)
        with pytest.raises(EntrantError, match=r"there are not two photographs of anybody: use mix=naive") as caught:
            Style(tiny_file, "adjusted").render(self.asked(images))
        assert "\n" not in str(caught.value)


def comparison(asked, generator, embedding="pca"):
    return Comparison(asked, embedding, lambda latents: drawn(generator, latents, (16, 16)))


def rates(values, persons, threshold):
    """Shares of pairs of one person beyond, and of pairs of two within."""
    beyond, within = [], []
    for one in range(len(values)):
        for other in range(one):
            distance = float((values[one] - values[other]).norm())
            if persons[one] == persons[other]:
                beyond.append(distance > threshold)
            else:
                within.append(distance <= threshold)
    return np.mean(beyond), np.mean(within)


class TestSamePerson:
    @pytest.mark.parametrize("spread", [0.2, 1.0, 3.0])
    def test_equals_the_brute_force_equal_error_rate(self, spread):
        generator = torch.Generator().manual_seed(0)
        who = torch.randint(0, 7, (26,), generator=generator)
        values = torch.randn(7, 3, generator=generator, dtype=torch.float64)[who]
        values += spread * torch.randn(26, 3, generator=generator, dtype=torch.float64)
        found = same_person(values, who)
        candidates = torch.nn.functional.pdist(values).tolist()
        gaps = [abs(np.subtract(*rates(values, who.tolist(), c * (1 + 1e-12)))) for c in candidates]
        assert abs(np.subtract(*rates(values, who.tolist(), found * (1 + 1e-12)))) == pytest.approx(min(gaps))

    def test_lies_between_where_persons_are_apart(self):
        who = torch.arange(5).repeat(3)
        values = who[:, None].double() * 10 + torch.rand(15, 1, generator=torch.Generator().manual_seed(0)).double()
        assert same_person(values, who) < 1

    @pytest.mark.parametrize("alone", [0, 3 * PAIRED])
    def test_of_many_photographs_those_of_some_persons_will_do(self, alone):
        """Pairs are never torn apart, in whatever order they come, nor lost among people with one photograph."""
        people = PAIRED
        who = torch.cat([torch.arange(people).repeat_interleave(2), torch.arange(people, people + alone)])
        values = (
            who[:, None].double() * 10 + torch.rand(len(who), 1, generator=torch.Generator().manual_seed(0)).double()
        )
        order = torch.randperm(len(who), generator=torch.Generator().manual_seed(1))
        for rows in (torch.arange(len(who)), order):
            assert same_person(values[rows], who[rows]) < 1

    def test_two_photographs_of_one_among_very_many_people(self):
        who = torch.cat([torch.arange(PAIRED + 100), torch.tensor([PAIRED + 99])])
        values = (
            who[:, None].double() * 10 + torch.rand(len(who), 1, generator=torch.Generator().manual_seed(0)).double()
        )
        assert same_person(values, who) < 1

    def test_the_threshold_depends_on_no_name(self, generator):
        """More photographs than are paired, and persons numbered in another order."""
        images = smooth_people(30, 60)
        order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
        groups = torch.arange(30) % 3
        plain = comparison(Request(images, images.identity.values, groups, Controller()), generator)
        turned = torch.empty_like(groups)
        turned[order] = groups
        again = comparison(Request(images, order[images.identity.values], turned, Controller()), generator)
        assert again.threshold == plain.threshold

    def test_somebody_with_very_many_photographs(self):
        who = torch.cat([torch.zeros(2 * PAIRED, dtype=torch.int64), torch.ones(2, dtype=torch.int64)])
        values = (
            who[:, None].double() * 10 + torch.rand(len(who), 1, generator=torch.Generator().manual_seed(0)).double()
        )
        assert same_person(values, who) <= 1.01
