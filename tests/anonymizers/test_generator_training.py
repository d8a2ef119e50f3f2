"""Training of a small generator: it learns, it can be stopped anywhere, and its two commands."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from anonymizers.kanonymity.generator.files import load_generator
from anonymizers.kanonymity.generator.network import Design
from anonymizers.kanonymity.generator.pictures import as_pictures, resized
from anonymizers.kanonymity.training.batch import Batch
from anonymizers.kanonymity.training.session import Plan, decoded_psnr, design_for, labels_of, train_generator
from anonymizers.kanonymity.training.trainer import Recipe, Trainer, write_checkpoint
from benchmark.cli import cli
from benchmark.errors import UsageError
from benchmark.protocols import quiet
from tests.anonymizers.tiny_generators import TINY, smooth_people, write_tiny

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

    def test_the_rate_rises_and_falls(self, people):
        made = trainer(people, Recipe(steps=4000, rate=1.0))
        rates = []
        for step in (0, 299, 2000, 3999):
            made.step = step
            rates.append(made._rate())
        assert rates[:3] == pytest.approx([1 / 300, 1, 0.5], abs=0.03)
        assert 0 < rates[3] < 0.06


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
        write_checkpoint(advance(trainer(people, labelled=labelled), stop), tmp_path / "x.checkpoint", "this")
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


class TestDesigns:
    @pytest.mark.parametrize(
        ("side", "base", "doublings", "size"),
        [
            (16, 4, 3, 32), (24, 4, 3, 32), (32, 4, 3, 32), (64, 4, 4, 64), (92, 6, 4, 96), (96, 6, 4, 96),
            (100, 7, 4, 112), (112, 7, 4, 112), (128, 4, 5, 128), (224, 7, 5, 224), (256, 8, 5, 256),
        ],
    )  # fmt: skip
    def test_of_usual_sizes(self, side, base, doublings, size):
        design = design_for(side)
        assert (design.base, len(design.channels) - 1, design.size) == (base, doublings, size)
        assert design.centred

    def test_are_never_smaller_than_the_photographs(self):
        for side in range(16, 1025):
            design = design_for(side)
            assert side <= design.size <= max(32, side * 4 // 3)

    def test_pictures_of_every_size_can_be_encoded(self):
        for side in (64, 96, 100):
            design = design_for(side)
            narrow = Design((8,) * len(design.channels), design.base, 8, 2)
            made = Trainer(narrow, RECIPE, resized(torch.zeros(4, 3, side, side, dtype=torch.uint8), design.size))
            network, encoder = made.finished()
            assert network(encoder(as_pictures(made.pictures))).shape == (4, 3, design.size, design.size)


class TestResized:
    def test_keeps_what_fits_and_flat_colours(self):
        pictures = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
        assert torch.equal(resized(pictures, 16), pictures)
        flat = torch.tensor([0, 90, 255], dtype=torch.uint8)[None, :, None, None].expand(70, 3, 20, 17)
        assert torch.equal(resized(flat, 32), flat[:, :, :1, :1].expand(70, 3, 32, 32))

    def test_equals_pillow(self):
        """Bicubic with antialiasing is what Pillow calls BICUBIC."""
        pictures = smooth_people(3, 1, (40, 40)).images
        made = resized(pictures, 32)
        for picture, found in zip(pictures, made, strict=True):
            wanted = Image.fromarray(picture.permute(1, 2, 0).numpy()).resize((32, 32), Image.Resampling.BICUBIC)
            assert np.abs(found.permute(1, 2, 0).numpy().astype(int) - np.asarray(wanted)).max() <= 1


class TestSession:
    def train(self, images, out, **settings):
        return train_generator(images, Plan(**{"steps": 2, "adversarial_from": 1, **settings}), out, "patterns", quiet)

    def test_writes_a_generator_and_says_how_good_it_is(self, people, tmp_path):
        out = tmp_path / "new folder" / "g.safetensors"
        psnr = self.train(people, out)
        loaded = load_generator(str(out))
        assert loaded.facts == {
            "trained_on": "patterns", "photographs": 72, "steps": 2, "held_out_psnr": round(psnr, 2)
        }  # fmt: skip
        held = as_pictures(resized(people.images[72:], 32))
        assert decoded_psnr(loaded.network, loaded.encoder, held) == pytest.approx(psnr, abs=0.1)
        first = out.read_bytes()
        assert self.train(people, out) == psnr
        assert out.read_bytes() == first

    def test_photographs_held_out_have_no_part_in_it(self, people, tmp_path):
        pixels = people.images.clone()
        pixels[72:] = 255 - pixels[72:]
        found = []
        for name, images in (("a", people), ("b", people.with_images(pixels))):
            self.train(images, tmp_path / f"{name}.safetensors")
            found.append(load_generator(str(tmp_path / f"{name}.safetensors")))
        for part in ("network", "encoder"):
            states = [getattr(loaded, part).state_dict() for loaded in found]
            assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert found[0].facts["held_out_psnr"] != found[1].facts["held_out_psnr"]

    def test_a_checkpoint_of_another_training_is_refused(self, people, tmp_path):
        out = tmp_path / "g.safetensors"
        self.train(people, out)
        kept = out.with_suffix(".checkpoint").read_bytes()
        darker = people.with_images(people.images // 2)
        for images, settings in [(people, {"steps": 3}), (people, {"seed": 1}), (darker, {})]:
            with pytest.raises(UsageError, match=r"g\.checkpoint belongs to a training on other .*: delete it first"):
                self.train(images, out, **settings)
        assert out.with_suffix(".checkpoint").read_bytes() == kept

    def test_a_broken_checkpoint_is_refused(self, people, tmp_path):
        out = tmp_path / "g.safetensors"
        out.with_suffix(".checkpoint").write_bytes(b"half")
        with pytest.raises(UsageError, match=r"g\.checkpoint .*: delete it first"):
            self.train(people, out)

    def test_too_few_photographs(self, people, tmp_path):
        with pytest.raises(UsageError, match="31 photographs are too few to train a generator; it takes at least 32"):
            self.train(people[:31], tmp_path / "g.safetensors")

    def test_the_discriminator_joins_on_the_way(self):
        joins = Plan(12_000).recipe().adversarial_from
        assert 12_000 / 8 < joins < 12_000 / 2
        assert Plan(24_000).recipe().adversarial_from == 2 * joins
        assert Plan(12_000, 7).recipe().adversarial_from == 7
        assert Plan(12_000, seed=3).recipe().seed == 3


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def invoke(cache, monkeypatch):
    monkeypatch.setenv("ANONBENCH_CACHE", str(cache))
    return lambda *words: CliRunner().invoke(cli, ["generator", *map(str, words), "--threads", "1"])


def expect(result, code, *words):
    assert result.exit_code == code, result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.output
    assert all(word in errors[0] for word in words), errors[0]


class TestCommands:
    @pytest.fixture
    def photographs(self, tmp_path) -> Path:
        """20 people, half of whom are background."""
        people, root, lines = smooth_people(20, 4, (24, 24), seed=2), tmp_path / "photographs", ["path,kind"]
        for row, picture in enumerate(people.images):
            path = root / f"p{int(people.identity.values[row]):02}" / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
            lines.append(f"{path.relative_to(root)},{'ab'[row % 2]}")
        (root / "attributes.csv").write_text("\n".join(lines) + "\n")
        return root

    def test_train_on_a_folder(self, invoke, photographs, tmp_path):
        out = tmp_path / "made" / "g.safetensors"
        command = ["train", "folder", "--data", photographs, "--size", 24, "--out", out, "--steps", 6]
        result = invoke(*command)
        assert result.exit_code == 0, result.output
        loaded = load_generator(str(out))
        assert loaded.facts["steps"] == 6
        assert loaded.network.design.size == 32
        assert f"{out}: " in result.stdout
        assert f"{loaded.facts['held_out_psnr']:.2f} dB" in result.stdout
        assert loaded.facts["photographs"] == 36
        assert loaded.facts["trained_on"] == "Photographs in photographs: background photographs"
        assert "referee" not in result.output + result.stderr
        assert "recogniser" not in result.stderr
        expect(invoke(*command[:-1], 7), 2, "g.checkpoint", "delete it first")

    def test_another_suffix_is_refused(self, invoke, photographs, tmp_path):
        expect(invoke("train", "folder", "--data", photographs, "--out", tmp_path / "g.pt"), 2, "ends in .safetensors")

    def test_too_few_photographs_are_refused(self, invoke, photographs, tmp_path):
        (photographs / "attributes.csv").unlink()
        for folder in sorted(photographs.glob("p*"))[4:]:
            shutil.rmtree(folder)
        out = tmp_path / "g.safetensors"
        command = ["train", "folder", "--data", photographs, "--size", 24, "--out", out]
        expect(invoke(*command), 2, "no background photographs", "--split")
        expect(invoke(*command, "--split", "enrol"), 2, "too few")
        assert not list(tmp_path.glob("g.*"))

    @pytest.mark.parametrize("form", ["csv", "json"])
    def test_project_prints_rows(self, form, invoke, tmp_path):
        file = write_tiny(tmp_path / "g.safetensors")
        result = invoke("project", "portraits-smoke", "--generator", file, "--images", 6, "--format", form)
        assert result.exit_code == 0, result.output
        rows = json.loads(result.stdout) if form == "json" else list(csv.DictReader(result.stdout.splitlines()))
        found = {row["metric"]: row for row in rows}
        assert set(found) == {
            "psnr", *(f"f1(attribute={name})" for name in ("gender", "age", "skin_tone", "expression", "glasses"))
        }  # fmt: skip
        assert 3 < float(found["psnr"]["projected"]) < 30
        assert found["psnr"]["original"] == ""
        for name in found.keys() - {"psnr"}:
            assert 0 <= float(found[name]["projected"]) <= 1
            assert 0 < float(found[name]["original"]) <= 1

    def test_project_with_a_missing_generator(self, invoke, tmp_path):
        result = invoke("project", "portraits-smoke", "--generator", tmp_path / "gone.safetensors")
        assert result.exit_code in (3, 4)
        assert "there is no file" in result.output
