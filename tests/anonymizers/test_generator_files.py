"""Generator files: what is written is what is read, and what is broken is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from anonymizers.kanonymity.generator.files import HERE, hash_of, load_generator, training_of, write_generator
from anonymizers.kanonymity.generator.network import Design, StyleGenerator
from anonymizers.kanonymity.generator.stylegan1 import Style1Generator
from benchmark.errors import AnonbenchError, EntrantError
from tests.anonymizers.generator_files import rosinality_state, style1_state, write_nvlabs
from tests.anonymizers.tiny_generators import FACTS, TINY, tiny_networks, write_tiny

WIDE = Design((24, 8), base=4, style=8, mapping=2)
"""Has a tensor of more than 4096 numbers, which is written in 8 bit."""


@pytest.fixture
def file(tmp_path):
    return write_tiny(tmp_path / "tiny.safetensors")


def metadata_of(path):
    with safe_open(path, framework="pt") as opened:
        return opened.metadata()


def rewritten(path, change, **header):
    """The same file after ``change`` of its tensors, and with another header; None takes an entry away."""
    tensors, told = load_file(path), {**json.loads(metadata_of(path)["generator"]), **header}
    change(tensors)
    told = {name: value for name, value in told.items() if value is not None}
    save_file(tensors, path, {"generator": json.dumps(told)})
    return str(path)


class TestRoundTrip:
    @pytest.mark.parametrize("design", [TINY, WIDE], ids=["small", "wide"])
    def test_numbers_are_those_written_up_to_half_a_step(self, design, tmp_path):
        """Half precision has 11 bits; 8 bit steps are 1/127 of the largest number of a row."""
        network, encoder = tiny_networks(design=design)
        write_generator(tmp_path / "a.safetensors", network, encoder, FACTS)
        loaded = load_generator(str(tmp_path / "a.safetensors"))
        whole = 0
        for given, found in ((network, loaded.network), (encoder, loaded.encoder)):
            assert given.state_dict().keys() == found.state_dict().keys()
            for name, value in given.state_dict().items():
                error = (found.state_dict()[name] - value).abs()
                if value.dim() > 1 and value.numel() >= 4096:
                    row = value.flatten(1).abs().amax(1) / 254 * 1.001
                    assert bool((error.flatten(1).amax(1) <= row).all()), name
                    whole += 1
                else:
                    assert bool((error <= value.abs() * 2**-11 + 2**-25).all()), name
        assert whole == (0 if design is TINY else 2)
        assert loaded.network.design == design
        assert loaded.facts == FACTS
        assert training_of(str(tmp_path / "a.safetensors")) == "noise"

    def test_writing_again_changes_nothing(self, file, tmp_path):
        loaded = load_generator(str(file))
        write_generator(tmp_path / "again.safetensors", loaded.network, loaded.encoder, loaded.facts)
        assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()

    def test_is_ready_to_use(self, file):
        loaded = load_generator(str(file))
        assert not loaded.network.training
        assert not any(value.requires_grad for value in [*loaded.network.parameters(), *loaded.encoder.parameters()])
        assert loaded.sha256 == hash_of(str(file)) == hashlib.sha256(file.read_bytes()).hexdigest()
        pictures = torch.zeros(2, 3, 16, 16)
        assert loaded.network(loaded.encoder(pictures)).shape == (2, 3, 16, 16)


class TestBroken:
    def refused(self, path, *words):
        with pytest.raises(EntrantError) as caught:
            load_generator(str(path))
        text = str(caught.value)
        assert "\n" not in text
        for word in [*words, "anonbench generator train" if "git checkout" not in words else "git checkout"]:
            assert word in text, text

    @pytest.mark.parametrize("name", ["generator.synthesis.constant", "encoder.glance.bias", "generator.mean_latent"])
    def test_a_missing_tensor_is_named(self, name, file):
        self.refused(rewritten(file, lambda tensors: tensors.pop(name)), str(file), f"'{name}' is missing")

    @pytest.mark.parametrize("name", ["generator.synthesis.extra", "encoder.extra", "discriminator.stem.weight", "x"])
    def test_a_superfluous_tensor_is_named(self, name, file):
        change = {name: torch.zeros(1)}
        self.refused(rewritten(file, lambda tensors: tensors.update(change)), str(file), f"'{name}' belongs to another")

    def test_a_tensor_of_another_shape_is_named_with_both(self, file):
        change = {"generator.synthesis.constant": torch.zeros(1, 8, 5, 5, dtype=torch.float16)}
        path = rewritten(file, lambda tensors: tensors.update(change))
        self.refused(path, str(file), "'generator.synthesis.constant' is [1, 8, 5, 5] instead of [1, 8, 4, 4]")

    @pytest.mark.parametrize("name", ["generator.synthesis.constant", "encoder.out.bias"])
    def test_a_tensor_that_is_not_finite_is_named(self, name, file):
        self.refused(
            rewritten(file, lambda tensors: tensors[name].view(-1)[3:4].fill_(torch.nan)), f"'{name}' holds NaN"
        )

    @pytest.mark.parametrize("change", ["lost", "short"])
    def test_a_tensor_of_8_bits_without_its_scale_is_named(self, change, tmp_path):
        file = write_tiny(tmp_path / "wide.safetensors", design=WIDE)
        scale = "generator.synthesis.layers.0.conv.weight.scale"

        def spoil(tensors):
            value = tensors.pop(scale)
            if change == "short":
                tensors[scale] = value[:-1].clone()

        self.refused(rewritten(file, spoil), f"'{scale.removesuffix('.scale')}' is missing")

    def test_weights_of_another_resolution(self, file):
        design = {**TINY.as_dict(), "channels": [8, 8, 8, 8]}
        self.refused(rewritten(file, lambda _: None, design=design), "is missing")

    @pytest.mark.parametrize(
        "metadata",
        [
            {"design": None}, {"design": "{"}, {"design": []}, {"design": {"channels": 3}}, {"hidden": None},
            {"hidden": "many"}, {"hidden": -3}, {"facts": "{"}, {"facts": 3}, {"facts": None}, {"format": 2},
            {"design": {**TINY.as_dict(), "more": 1}}, {"design": {**TINY.as_dict(), "style": -8}},
        ],
        ids=str,
    )  # fmt: skip
    def test_metadata_of_something_else(self, metadata, file):
        self.refused(rewritten(file, lambda _: None, **metadata), str(file), "is no generator of this project")

    @pytest.mark.parametrize("metadata", [None, {"x": "y"}, {"generator": "{"}, {"generator": "[3]"}], ids=str)
    def test_metadata_of_another_program(self, metadata, file):
        save_file(load_file(file), file, metadata)
        self.refused(file, str(file), "is no generator of this project")
        with pytest.raises(EntrantError, match="is no generator of this project"):
            training_of(str(file))

    @pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 100], ids=["empty", "text", "bytes"])
    def test_no_safetensors(self, content, tmp_path):
        path = tmp_path / "x.safetensors"
        path.write_bytes(content)
        self.refused(path, str(path), "is no generator of this project")
        with pytest.raises(EntrantError, match="is no generator of this project"):
            training_of(str(path))

    def test_half_a_file(self, file):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        self.refused(file, str(file), "is no generator of this project")

    def test_a_missing_file_says_what_to_type(self, tmp_path):
        for make in (load_generator, hash_of, training_of):
            with pytest.raises(EntrantError, match=r"no file .*gone\.safetensors.*anonbench generator train"):
                make(str(tmp_path / "gone.safetensors"))
        self.refused(tmp_path, "there is no file")


class TestFilesOfOthers:
    @pytest.mark.parametrize("wrapped", [True, False])
    def test_rosinality(self, wrapped, tmp_path):
        path = tmp_path / "g.pt"
        torch.save({"g_ema": rosinality_state()} if wrapped else rosinality_state(), path)
        loaded = load_generator(str(path))
        assert isinstance(loaded.network, StyleGenerator)
        assert loaded.network(torch.zeros(1, 6, 6)).shape == (1, 3, 16, 16)
        self.check(loaded, path)

    @pytest.mark.parametrize("wrapped", [True, False])
    def test_stylegan1(self, wrapped, tmp_path):
        path = tmp_path / "g.pt"
        torch.save({"g_running": style1_state()} if wrapped else style1_state(), path)
        loaded = load_generator(str(path))
        assert isinstance(loaded.network, Style1Generator)
        self.check(loaded, path)

    def test_nvlabs(self, tmp_path, monkeypatch):
        path = write_nvlabs(tmp_path / "g.pkl", monkeypatch)
        loaded = load_generator(str(path))
        assert isinstance(loaded.network, StyleGenerator)
        self.check(loaded, path)

    def check(self, loaded, path):
        assert loaded.encoder is None
        assert not loaded.network.training
        assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert training_of(str(path)) == ""

    @pytest.mark.parametrize("suffix", [".pt", ".pkl"])
    def test_something_else_is_refused_in_one_line(self, suffix, tmp_path):
        path = tmp_path / f"g{suffix}"
        path.write_bytes(b"no pickle")
        with pytest.raises(AnonbenchError) as caught:
            load_generator(str(path))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


class TestShipped:
    """The generator that ships along."""

    path: Path = HERE / "portraits.safetensors"

    def test_is_small(self):
        assert self.path.stat().st_size < 8_000_000

    def test_loads_and_says_how_good_it_is(self):
        loaded = load_generator("portraits")
        assert loaded.encoder is not None
        assert loaded.network.design.centred
        assert loaded.facts["held_out_psnr"] >= 25
        assert loaded.facts["trained_on"]
        assert bool(loaded.network.mean_latent.abs().amax() > 0)
