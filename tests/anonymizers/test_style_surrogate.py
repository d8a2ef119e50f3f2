"""Surrogates of a style-based generator: against plain recomputation with the networks of the file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from anonymizers.kanonymity.generator.files import load_generator
from anonymizers.kanonymity.generator.latents import BATCH, drawn, in_batches, latents_of
from anonymizers.kanonymity.generator.mixing import random_weight
from anonymizers.kanonymity.surrogates import Request
from anonymizers.kanonymity.surrogates.base import Surrogate
from anonymizers.kanonymity.surrogates.style import Style
from benchmark.errors import AnonbenchError, EntrantError
from benchmark.hashing import sha256_json, sha256_tensor
from benchmark.protocols import Controller
from tests.anonymizers.generator_files import rosinality_state
from tests.anonymizers.style_oracle import GROUPS, group_means, near, person_means, picture
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
    def test_naive_is_the_mean_of_the_persons_means(self, tiny_file, generator, asked):
        near(Style(tiny_file).render(asked), picture(generator, group_means(generator, asked)))
        assert len({bytes(face.numpy()) for face in Style(tiny_file).render(asked)}) == 3

    def test_random_weighs_persons(self, tiny_file, generator, asked):
        made = Style(tiny_file, "random").render(asked)
        digests = [sorted(map(sha256_tensor, asked.images.images[asked.of_image == person])) for person in range(10)]
        weights = torch.tensor([random_weight(sha256_json(owned), 4) for owned in digests], dtype=torch.float64)
        near(made, picture(generator, group_means(generator, asked, weights)))
        other = dataclasses.replace(asked, controller=Controller(seed=5))
        assert not torch.equal(Style(tiny_file, "random").render(other), made)

    def test_random_in_compat_mode_is_the_published_arithmetic(self, tiny_file, generator, asked):
        """Divided by the number of members, times 1.67: away from the origin by a third on average."""
        weights = torch.from_numpy(np.random.default_rng(4).uniform(0.6, 1, 10))
        share = torch.stack([weights[asked.groups == group].mean() for group in range(3)])
        wanted = group_means(generator, asked, weights) * share[:, None, None] * 1.67
        near(Style(tiny_file, "random", compat=True).render(asked), picture(generator, wanted))

    def test_steps_change_the_latents_that_are_mixed(self, tiny_file, generator, asked):
        made = Style(tiny_file, steps=5).render(asked)
        means = person_means(generator, asked, steps=5)
        near(made, picture(generator, torch.stack([means[asked.groups == group].mean(dim=0) for group in range(3)])))
        assert not torch.equal(made, Style(tiny_file).render(asked))

    @pytest.mark.parametrize("size", [(20, 17), (40, 40)])
    def test_other_sizes_come_back_at_theirs(self, size, tiny_file, generator):
        people = smooth_people(10, 1, size)
        asked = Request(people, people.identity.values, GROUPS, Controller())
        near(Style(tiny_file).render(asked), picture(generator, group_means(generator, asked), size))

    @pytest.mark.parametrize("style", [{}, {"mix": "random"}, {"mix": "adjusted", "k": 3}, {"steps": 2}], ids=str)
    def test_depends_neither_on_batches_nor_on_order(self, style, tiny_file, asked):
        maker = Style(tiny_file, **style)
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
    def test_truncation_ends_at_the_mean_face(self, tiny_file, generator, asked):
        mean = generator.network.mean_latent.double()
        groups = group_means(generator, asked)
        near(Style(tiny_file, psi=0.5).render(asked), picture(generator, mean + 0.5 * (groups - mean)))
        near(Style(tiny_file, psi=1e-6).render(asked), picture(generator, mean.expand(3, -1, -1)))
        distances = [
            (Style(tiny_file, psi=psi).shaped(groups.float(), generator).double() - mean).norm()
            for psi in (0.25, 0.5, 1, 2)
        ]
        assert torch.stack(distances) / distances[2] == pytest.approx(torch.tensor([0.25, 0.5, 1, 2]), rel=1e-5)

    @pytest.mark.parametrize(("layers", "first", "last"), [("coarse", 0, 3), ("middle", 4, 5), ("all", 0, 5)])
    def test_other_layers_show_the_mean_face(self, layers, first, last, tiny_file, generator, asked):
        wanted = generator.network.mean_latent.double().expand(3, -1, -1).clone()
        wanted[:, first : last + 1] = group_means(generator, asked)[:, first : last + 1]
        near(Style(tiny_file, layers=layers).render(asked), picture(generator, wanted))

    def test_layers_that_are_not_there(self, tiny_file, asked):
        with pytest.raises(EntrantError, match="layers=fine are not in a generator of 6"):
            Style(tiny_file, layers="fine").render(asked)
