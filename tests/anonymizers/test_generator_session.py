"""A training from photographs to a file: its design, what is held out, and what it is taken up from."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anonymizers.kanonymity.generator.files import load_generator
from anonymizers.kanonymity.generator.network import Design
from anonymizers.kanonymity.generator.pictures import as_pictures, resized
from anonymizers.kanonymity.training import checkpoint
from anonymizers.kanonymity.training.recipe import Recipe
from anonymizers.kanonymity.training.session import Plan, decoded_psnr, design_for, scaled, train_generator
from anonymizers.kanonymity.training.trainer import Trainer
from benchmark.errors import UsageError
from benchmark.images import ImageSet
from benchmark.protocols import quiet
from tests.anonymizers.tiny_generators import smooth_people


@pytest.fixture(scope="module")
def people():
    return smooth_people(40, 2, seed=5)


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
            made = Trainer(narrow, Recipe(), resized(torch.zeros(4, 3, side, side, dtype=torch.uint8), design.size))
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


class TestScaled:
    def test_landmarks_stay_on_what_they_mark(self):
        """A white square in a black picture that is not square."""
        picture, marked = torch.zeros(1, 3, 60, 100, dtype=torch.uint8), torch.tensor([70.0, 20.0])
        picture[:, :, 15:26, 65:76] = 255
        images = ImageSet(picture, ("a",), landmarks=marked.expand(1, 5, 2).clone())
        weight = resized(picture, 32)[0, 0].double()
        line = torch.arange(32).double()
        middle = torch.stack([(weight.sum(axis) * line).sum() / weight.sum() for axis in (0, 1)])
        assert torch.allclose(scaled(images, 32)[0].double(), middle.expand(5, 2), atol=0.1)

    def test_of_pictures_that_fit_they_are_as_they_were(self, people):
        assert scaled(people, 16) is people.landmarks
        assert scaled(people.without(landmarks=True), 32) is None

    def test_a_long_picture_is_drawn_at_its_longer_side(self, tmp_path):
        wide = smooth_people(40, 1, (20, 40), seed=1)
        train_generator(wide, Plan(1, 1), tmp_path / "g.safetensors", "patterns", quiet)
        assert load_generator(str(tmp_path / "g.safetensors")).network.design == design_for(40)


def imported(path: Path) -> set[str]:
    """Files of the package that a file imports."""
    names = [node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    found = [re.fullmatch(r"anonymizers\.kanonymity\.(\w+)\.(\w+)", name or "") for name in names]
    return {f"{part[1]}/{part[2]}.py" for part in found if part}


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

    def test_a_checkpoint_of_other_code_is_refused(self, people, tmp_path):
        """Of which only the training's own is told apart: the photographs and settings are the same."""
        out = tmp_path / "g.safetensors"
        self.train(people, out)
        kept = out.with_suffix(".checkpoint")
        state = torch.load(kept, weights_only=True)
        for older in ({**state, "code": "0" * 64}, {name: part for name, part in state.items() if name != "code"}):
            torch.save(older, kept)
            before = kept.read_bytes()
            wanted = r"g\.checkpoint was written by another version of the training code: delete it first$"
            with pytest.raises(UsageError, match=wanted):
                self.train(people, out)
            assert kept.read_bytes() == before

    def test_the_code_of_a_training_is_all_that_the_trainer_imports(self):
        read, waiting = set(), ["training/trainer.py", "training/session.py"]
        while waiting:
            name = waiting.pop()
            read.add(name)
            if name != "training/session.py":  # which writes files, too
                waiting += sorted(imported(checkpoint.PACKAGE / name) - read)
        assert read == set(checkpoint.CODE)

    def test_a_change_of_that_code_changes_its_mark(self, people, tmp_path, monkeypatch):
        for name in checkpoint.CODE:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("a = 1\n")
        monkeypatch.setattr(checkpoint, "PACKAGE", tmp_path)
        made, found = Trainer(design_for(16), Recipe(batch=4), resized(people.images[:8], 32)), []
        for name in checkpoint.CODE:
            found.append(checkpoint.marks_of(made, people))
            (tmp_path / name).write_text("a = 2\n")
        found.append(checkpoint.marks_of(made, people))
        assert len({marks["code"] for marks in found}) == len(checkpoint.CODE) + 1
        assert len({marks["identity"] for marks in found}) == 1

    def test_a_broken_checkpoint_is_refused(self, people, tmp_path):
        out = tmp_path / "g.safetensors"
        out.with_suffix(".checkpoint").write_bytes(b"half")
        with pytest.raises(UsageError, match=r"g\.checkpoint .*: delete it first"):
            self.train(people, out)

    @pytest.mark.parametrize("state", [[1, 2], torch.ones(3), "half"])
    def test_a_file_of_something_else_is_no_checkpoint(self, people, tmp_path, state):
        kept = tmp_path / "g.checkpoint"
        torch.save(state, kept)
        with pytest.raises(UsageError, match=r"g\.checkpoint is damaged or no checkpoint: delete it first$"):
            self.train(people, tmp_path / "g.safetensors")

    def test_too_few_photographs(self, people, tmp_path):
        with pytest.raises(UsageError, match="31 photographs are too few to train a generator; it takes at least 32"):
            self.train(people[:31], tmp_path / "g.safetensors")

    def test_the_discriminator_joins_on_the_way(self):
        joins = Plan(3_500).recipe().adversarial_from
        assert Plan(3_500).recipe() == Recipe()
        assert Plan(7_000).recipe().adversarial_from == 2 * joins
        assert Plan(12_000, 7).recipe().adversarial_from == 7
        assert Plan(12_000, seed=3).recipe().seed == 3
