"""Surrogates of a style-based generator: against plain recomputation with the networks of the file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from anonymizers.kanonymity.generator.files import load_generator
from anonymizers.kanonymity.generator.latents import BATCH, drawn, in_batches, latents_of
from anonymizers.kanonymity.persons import Persons
from anonymizers.kanonymity.surrogates import Request
from anonymizers.kanonymity.surrogates.base import Surrogate
from anonymizers.kanonymity.surrogates.style import PAIRED, Style, _Comparison, same_person
from benchmark.errors import AnonbenchError, EntrantError
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Controller
from tests.anonymizers.generator_files import rosinality_state
from tests.anonymizers.tiny_generators import smooth_people, write_tiny

GROUPS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 2])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return str(write_tiny(tmp_path_factory.mktemp("generator") / "tiny.safetensors"))


@pytest.fixture(scope="module")
def generator(file):
    return load_generator(file)


@pytest.fixture(scope="module")
def people():
    """24 photographs of 10 persons: four have three, the others two."""
    return smooth_people(10, 3).select(torch.arange(24))


@pytest.fixture(scope="module")
def asked(people):
    return Request(people, people.identity.values, GROUPS, Controller(seed=4))


def person_means(generator, asked, steps=0):
    latents = latents_of(generator, asked.images.images, steps).double()
    return torch.stack([latents[asked.of_image == person].mean(dim=0) for person in range(len(asked.groups))])


def group_means(generator, asked, weights=None):
    """Mean over the persons of a group, one by one."""
    means, weights = person_means(generator, asked), torch.ones(10).double() if weights is None else weights
    found = []
    for group in range(3):
        members = (asked.groups == group).nonzero().flatten().tolist()
        found.append(sum(means[m] * weights[m] for m in members) / sum(weights[m] for m in members))
    return torch.stack(found)


def picture(generator, latents, size=(16, 16)):
    """Grey levels before they are rounded."""
    made = generator.network(latents.float()).double()
    if made.shape[-2:] != size:
        made = torch.nn.functional.interpolate(made.float(), size, mode="bicubic", antialias=True).double()
    return ((made + 1) * 127.5).clamp(0, 255)


def near(images, wanted):
    assert images.dtype == torch.uint8
    assert images.shape == wanted.shape
    assert (images.double() - wanted).abs().max() <= 0.51


class TestLatents:
    def test_are_what_the_encoder_says(self, generator, people):
        found = latents_of(generator, people.images)
        assert found.shape == (24, 6, 8)
        with torch.no_grad():
            wanted = generator.encoder(people.images.float() / 127.5 - 1)
        assert torch.allclose(found, wanted, atol=1e-5)

    @pytest.mark.parametrize("steps", [0, 3])
    @pytest.mark.parametrize("size", [(16, 16), (20, 17)])
    def test_do_not_depend_on_the_other_photographs(self, steps, size, generator):
        images = smooth_people(19, 1, size, seed=2).images
        whole = latents_of(generator, images, steps)
        order = torch.randperm(19, generator=torch.Generator().manual_seed(0))
        assert torch.equal(latents_of(generator, images[order], steps), whole[order])
        for row in (0, 7, 18):
            assert torch.equal(latents_of(generator, images[row : row + 1], steps)[0], whole[row])

    def test_steps_lower_the_error_of_the_pixels(self, generator, people):
        images = people.images[:8]
        errors = []
        for steps in (0, 10, 40):
            made = drawn(generator, latents_of(generator, images, steps), (16, 16))
            errors.append(float((made.double() - images.double()).square().mean()))
        assert errors[2] < errors[1] < errors[0]
        assert errors[2] < 0.7 * errors[0]

    def test_progress_adds_up(self, generator):
        done = []
        latents_of(generator, smooth_people(37, 1).images, progress=done.append)
        assert sum(done) == 37

    def test_without_an_encoder_lpips_is_asked_for(self, tmp_path, monkeypatch):
        monkeypatch.delenv("ANONBENCH_WEIGHTS", raising=False)
        monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))
        torch.save(rosinality_state(), tmp_path / "g.pt")
        with pytest.raises(AnonbenchError, match="anonbench weights"):
            latents_of(load_generator(str(tmp_path / "g.pt")), smooth_people(2, 1).images)


class TestDrawn:
    @pytest.mark.parametrize("size", [(16, 16), (20, 17), (9, 12)])
    def test_is_the_picture_in_bytes(self, size, generator, people):
        latents = latents_of(generator, people.images)
        made = drawn(generator, latents, size)
        with torch.no_grad():
            near(made, picture(generator, latents, size))
        for row in (0, 5, 23):
            assert torch.equal(drawn(generator, latents[row : row + 1], size)[0], made[row])

    def test_batches_are_always_full(self):
        seen = []

        def run(rows):
            seen.append(len(rows))
            return rows * 2

        values = torch.arange(2 * BATCH + 1.0)[:, None]
        assert torch.equal(in_batches(run, values), values * 2)
        assert seen == [BATCH] * 3


class TestMixes:
    def test_naive_is_the_mean_of_the_persons_means(self, file, generator, asked):
        near(Style(file).render(asked), picture(generator, group_means(generator, asked)))
        assert len({bytes(face.numpy()) for face in Style(file).render(asked)}) == 3

    def test_random_weighs_persons(self, file, generator, asked):
        made = Style(file, "random").render(asked)
        weights = torch.from_numpy(np.random.default_rng(4).uniform(0.6, 1, 10))
        near(made, picture(generator, group_means(generator, asked, weights)))
        other = dataclasses.replace(asked, controller=Controller(seed=5))
        assert not torch.equal(Style(file, "random").render(other), made)

    def test_random_in_compat_mode_is_the_published_arithmetic(self, file, generator, asked):
        """Divided by the number of members, times 1.67: away from the origin by a third on average."""
        weights = torch.from_numpy(np.random.default_rng(4).uniform(0.6, 1, 10))
        share = torch.stack([weights[asked.groups == group].mean() for group in range(3)])
        wanted = group_means(generator, asked, weights) * share[:, None, None] * 1.67
        near(Style(file, "random", compat=True).render(asked), picture(generator, wanted))

    def test_steps_change_the_latents_that_are_mixed(self, file, generator, asked):
        made = Style(file, steps=5).render(asked)
        means = person_means(generator, asked, steps=5)
        near(made, picture(generator, torch.stack([means[asked.groups == group].mean(dim=0) for group in range(3)])))
        assert not torch.equal(made, Style(file).render(asked))

    @pytest.mark.parametrize("size", [(20, 17), (40, 40)])
    def test_other_sizes_come_back_at_theirs(self, size, file, generator):
        people = smooth_people(10, 1, size)
        asked = Request(people, people.identity.values, GROUPS, Controller())
        near(Style(file).render(asked), picture(generator, group_means(generator, asked), size))

    @pytest.mark.parametrize("style", [{}, {"mix": "random"}, {"mix": "adjusted", "k": 3}, {"steps": 2}], ids=str)
    def test_depends_neither_on_batches_nor_on_order(self, style, file, asked):
        maker = Style(file, **style)
        plain = maker.render(asked)
        order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
        again = Request(
            asked.images.select(order),
            asked.of_image[order],
            GROUPS,
            dataclasses.replace(asked.controller, batch_size=5),
        )
        assert torch.equal(maker.render(again), plain)
        assert isinstance(maker, Surrogate)


class TestShape:
    def test_truncation_ends_at_the_mean_face(self, file, generator, asked):
        mean = generator.network.mean_latent.double()
        groups = group_means(generator, asked)
        near(Style(file, psi=0.5).render(asked), picture(generator, mean + 0.5 * (groups - mean)))
        near(Style(file, psi=1e-6).render(asked), picture(generator, mean.expand(3, -1, -1)))
        distances = [
            (Style(file, psi=psi).shaped(groups.float(), generator).double() - mean).norm() for psi in (0.25, 0.5, 1, 2)
        ]
        assert torch.stack(distances) / distances[2] == pytest.approx(torch.tensor([0.25, 0.5, 1, 2]), rel=1e-5)

    @pytest.mark.parametrize(("layers", "first", "last"), [("coarse", 0, 3), ("middle", 4, 5), ("all", 0, 5)])
    def test_other_layers_show_the_mean_face(self, layers, first, last, file, generator, asked):
        wanted = generator.network.mean_latent.double().expand(3, -1, -1).clone()
        wanted[:, first : last + 1] = group_means(generator, asked)[:, first : last + 1]
        near(Style(file, layers=layers).render(asked), picture(generator, wanted))

    def test_layers_that_are_not_there(self, file, asked):
        with pytest.raises(EntrantError, match="layers=fine are not in a generator of 6"):
            Style(file, layers="fine").render(asked)


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

    def test_where_everybody_resembles_everybody_it_ends_near_the_mean_face(self, file, generator):
        """All are matched in all ten rounds, so their weights stay equal and the gain is 0.8 to the tenth."""
        asked = self.asked(striped(200, 2))
        mean = generator.network.mean_latent.double()
        wanted = mean + 0.8**10 * (group_means(generator, asked) - mean)
        near(Style(file, "adjusted", k=3).render(asked), picture(generator, wanted))

    def test_in_compat_mode_it_ends_at_the_origin(self, file, generator):
        """A hundred rounds, in which the members' factor does not compound."""
        asked = self.asked(striped(200, 2))
        wanted = 0.8**101 * group_means(generator, asked)
        near(Style(file, "adjusted", k=3, compat=True).render(asked), picture(generator, wanted))

    def test_where_nobody_is_resembled_it_is_naive(self, file):
        asked = self.asked(striped(2, 20))
        assert torch.equal(Style(file, "adjusted", k=3).render(asked), Style(file).render(asked))

    def test_a_surrogate_without_a_face_has_no_distance(self, file, generator, people):
        """A recogniser that finds no face gives NaN, which is neither near nor far."""
        asked = Request(people, people.identity.values, GROUPS, Controller())
        compare = _Comparison(asked, generator, Style(file, "adjusted"))
        latents = group_means(generator, asked).float()
        plain, space = compare(latents, np.arange(3)), compare.space
        compare.space = dataclasses.replace(space, describe=self.without_face(space.describe, 1))
        found = compare(latents, np.arange(3))
        assert np.array_equal(np.isnan(found), (GROUPS == 1).numpy())
        assert np.array_equal(found[GROUPS != 1], plain[GROUPS != 1])
        compare.space = dataclasses.replace(space, describe=self.without_face(space.describe, 0))
        assert np.isnan(compare(latents[2:], np.array([2]))).all()

    def without_face(self, describe, row):
        def describing(images):
            found = describe(images).clone()
            found[row] = torch.nan
            return found

        return describing

    def test_distances_are_means_over_a_persons_photographs(self, file, generator, people):
        asked = Request(people, people.identity.values, GROUPS, Controller())
        compare = _Comparison(asked, generator, Style(file, "adjusted"))
        latents = group_means(generator, asked).float()
        made = drawn(generator, latents, (16, 16))
        axes = compare.space.describe
        originals, surrogates = axes(people), axes(people[:3].with_images(made))
        for person, distance in enumerate(compare(latents[[2, 0]], np.array([2, 0]))):
            rows, group = (people.identity.values == person).nonzero().flatten().tolist(), int(GROUPS[person])
            wanted = np.mean([float((originals[row] - surrogates[group]).norm()) for row in rows])
            assert np.isnan(distance) if group == 1 else distance == pytest.approx(wanted), person

    def test_needs_two_photographs_of_somebody(self, file):
        images = smooth_people(10, 1)
        with pytest.raises(EntrantError, match=r"nobody here has two photographs.* use mix=naive") as caught:
            Style(file, "adjusted").render(self.asked(images))
        assert "\n" not in str(caught.value)


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
        found = same_person(values, Persons(who, known=True))
        candidates = torch.nn.functional.pdist(values).tolist()
        gaps = [abs(np.subtract(*rates(values, who.tolist(), c * (1 + 1e-12)))) for c in candidates]
        assert abs(np.subtract(*rates(values, who.tolist(), found * (1 + 1e-12)))) == pytest.approx(min(gaps))

    def test_lies_between_where_persons_are_apart(self):
        who = torch.arange(5).repeat(3)
        values = who[:, None].double() * 10 + torch.rand(15, 1, generator=torch.Generator().manual_seed(0)).double()
        assert same_person(values, Persons(who, known=True)) < 1

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
            assert same_person(values[rows], Persons(who[rows], known=True)) < 1

    def test_somebody_with_very_many_photographs(self):
        who = torch.cat([torch.zeros(2 * PAIRED, dtype=torch.int64), torch.ones(2, dtype=torch.int64)])
        values = (
            who[:, None].double() * 10 + torch.rand(len(who), 1, generator=torch.Generator().manual_seed(0)).double()
        )
        assert same_person(values, Persons(who, known=True)) <= 1.01
