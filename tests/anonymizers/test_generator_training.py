"""Training of a small generator: it learns, and it can be stopped anywhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from anonymizers.kanonymity.generator.pictures import as_pictures
from anonymizers.kanonymity.training.batch import Batch
from anonymizers.kanonymity.training.checkpoint import write_checkpoint
from anonymizers.kanonymity.training.recipe import Recipe
from anonymizers.kanonymity.training.session import decoded_psnr, labels_of
from anonymizers.kanonymity.training.trainer import Trainer
from tests.anonymizers.tiny_generators import TINY, smooth_people

RECIPE = Recipe(steps=8, adversarial_from=3, batch=4, generated=3, average=6)


@pytest.fixture(scope="module")
def people():
    return smooth_people(40, 2, seed=5)


def trainer(people, recipe=RECIPE, count=64, labelled=False):
    labels = labels_of(people)[:count] if labelled else None
    return Trainer(TINY, recipe, people.images[:count], people.landmarks[:count], labels)


def advance(trainer, until):
    assert list(trainer.run(until))[-1] == until
    return trainer


def weights(trainer):
    network, encoder = trainer.finished()
    return [
        *network.state_dict().values(),
        *encoder.state_dict().values(),
        *trainer.discriminator.state_dict().values(),
    ]


class TestLearning:
    def test_held_out_pictures_come_out_better(self, people):
        """The error falls to less than half, and below that of the best picture that is the same for everybody."""
        recipe = Recipe(steps=60, adversarial_from=55, batch=16, rate=4e-2, generated=3, average=8)
        made = trainer(people, recipe)
        held = as_pictures(people.images[64:])
        before = decoded_psnr(*made.finished(), held)
        after = decoded_psnr(*advance(made, 60).finished(), held)
        mean = as_pictures(people.images[:64]).mean(dim=0)
        same = float((-10 * torch.log10((mean - held).square().mean(dim=(1, 2, 3)) / 4)).mean())
        assert after > before + 3
        assert after > same

    def test_psnr_is_that_of_the_metric(self, people):
        """Against the definition in grey levels."""
        network, encoder = trainer(people).finished()
        pictures = as_pictures(people.images[:5])
        made = ((network(encoder(pictures)).clamp(-1, 1) + 1) * 127.5).detach().double().numpy()
        squares = (made - people.images[:5].double().numpy()) ** 2
        wanted = np.mean(10 * np.log10(255**2 / squares.mean(axis=(1, 2, 3))))
        assert decoded_psnr(network, encoder, pictures) == pytest.approx(wanted, abs=1e-3)

    def test_the_mean_latent_is_the_mean_of_the_photographs_latents(self, people):
        network, encoder = advance(trainer(people), 4).finished()
        with torch.no_grad():
            wanted = encoder(as_pictures(people.images[:64])).double().mean(dim=0)
        assert torch.allclose(network.mean_latent.double(), wanted, atol=1e-5)
        assert bool(wanted.abs().amax() > 1e-3)

    def test_the_discriminator_waits_for_its_step(self, people):
        made = trainer(people)
        before = [value.clone() for value in made.discriminator.parameters()]
        advance(made, 3)
        assert all(map(torch.equal, before, made.discriminator.parameters()))
        advance(made, 4)
        assert not all(map(torch.equal, before, made.discriminator.parameters()))


class TestRows:
    def test_every_photograph_comes_once_per_epoch(self, people):
        made = trainer(people, count=30)
        seen = []
        for step in range(15):
            made.step = step
            seen += made._rows(4).tolist()
        assert sorted(seen[:30]) == sorted(seen[30:60]) == list(range(30))
        assert seen[:30] != seen[30:60]

    @pytest.mark.parametrize(("joins", "planned"), [(3000, 12_000), (100, 4000)])
    def test_the_rate_rises_and_falls_and_halves_against_the_discriminator(self, joins, planned, people):
        made = trainer(people, Recipe(steps=4000, adversarial_from=joins, rate=1.0))
        rates, wanted = [], []
        for step in (0, 50, 299, joins - 1, joins, 3999):
            made.step = step
            rates.append(made._rate())
            wanted.append((0.525 + 0.475 * np.cos(np.pi * step / planned)) * (0.5 if step >= joins else 1))
        wanted = np.array(wanted) * np.minimum(1, (np.array([0, 50, 299, joins - 1, joins, 3999]) + 1) / 300)
        assert rates == pytest.approx(wanted)


class TestFocus:
    def test_weighs_eyes_and_mouth_more_and_keeps_the_mean(self, people):
        large = smooth_people(6, 1, (64, 64), seed=1)
        rows = torch.tensor([4, 1])
        weight = Batch(as_pictures(large.images[rows]), large.landmarks[rows], None).focus(RECIPE.focus)
        assert weight.shape == (2, 1, 64, 64)
        assert torch.allclose(weight.mean(dim=(1, 2, 3)), torch.ones(2), atol=1e-5)
        for row, picture in zip((4, 1), weight[:, 0], strict=True):
            points = large.landmarks[row]
            mouth = points[3:].mean(dim=0)
            for x, y in torch.stack([points[0], points[1], mouth]).round().long().tolist():
                assert picture[y, x] == pytest.approx(float(picture.max()), rel=0.05)
            assert picture[0, 0] == pytest.approx(float(picture.min()), rel=0.01)
            assert picture.max() / picture.min() == pytest.approx(RECIPE.focus, rel=0.05)

    def test_moves_with_a_mirrored_picture(self, people):
        large = smooth_people(4, 1, (64, 64), seed=1)
        batch = Batch(as_pictures(large.images), large.landmarks, None)
        mirrored = batch.mirrored()
        assert torch.equal(mirrored.pictures.flip(3), batch.pictures)
        assert torch.allclose(mirrored.focus(5.0).flip(3), batch.focus(5.0), atol=1e-4)
        assert torch.all(mirrored.landmarks[:, 0, 0] < mirrored.landmarks[:, 1, 0])  # the left eye is still left
        assert torch.allclose(mirrored.mirrored().landmarks, batch.landmarks)

    def test_is_even_without_landmarks(self, people):
        made = Trainer(TINY, RECIPE, people.images)
        batch = Batch(as_pictures(people.images[:3]), None, None)
        assert torch.equal(batch.focus(RECIPE.focus), torch.ones(3, 1, 16, 16))
        assert len(list(made.run(4))) == 4


class TestStopping:
    @pytest.mark.parametrize("labelled", [False, True])
    @pytest.mark.parametrize("stop", [2, 3, 5])
    def test_going_on_gives_the_same_weights_bit_by_bit(self, stop, labelled, people, tmp_path):
        """Before, at and after the step at which the discriminator joins."""
        whole = weights(advance(trainer(people, labelled=labelled), 8))
        write_checkpoint(advance(trainer(people, labelled=labelled), stop), tmp_path / "x.checkpoint", {"code": "this"})
        again = trainer(people, labelled=labelled)
        torch.manual_seed(99)  # what else is drawn in the process has no part in it
        again.resume(torch.load(tmp_path / "x.checkpoint", weights_only=True))
        assert again.step == stop
        assert all(map(torch.equal, whole, weights(advance(again, 8))))
        assert list(tmp_path.iterdir()) == [tmp_path / "x.checkpoint"]

    def test_labels_have_a_part_in_it(self, people):
        """From the first step: latents must tell them."""
        plain, labelled = (advance(trainer(people, labelled=labels), 2) for labels in (False, True))
        names = labels_of(people)
        assert names.tolist() == [[row % 40 % 2, row // 40] for row in range(80)]
        assert not torch.equal(weights(plain)[0], weights(labelled)[0])
        assert labels_of(people.without(attributes=True)) is None

    def test_seeds_differ(self, people):
        one, other = (weights(advance(trainer(people, dataclasses.replace(RECIPE, seed=seed)), 2)) for seed in (0, 1))
        assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True) if a.numel() > 100)
