"""Reading rosinality's files: pictures as the equations say, and every way a file can be wrong."""

from __future__ import annotations

import argparse
import os

import numpy as np
import pytest
import torch

from anonymizers.kanonymity.generator.rosinality import read_rosinality
from benchmark.errors import EntrantError, EnvironmentProblem
from tests.anonymizers import generator_oracle as oracle
from tests.anonymizers.generator_files import as_numpy, rosinality_state


def written(path, content):
    torch.save(content, path)
    return path


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.pt"


@pytest.mark.parametrize(("channels", "base", "mapping"), [((5, 4, 3), 4, 2), ((3, 6), 6, 1), ((4,), 4, 3)])
def test_pictures_equal_the_equations(file, channels, base, mapping) -> None:
    state = rosinality_state(channels, base, mapping=mapping)
    generator = read_rosinality(written(file, {"g_ema": state, "latent_avg": torch.arange(6.0)}))
    assert generator.design.channels == channels
    assert (generator.design.base, generator.design.mapping, generator.design.style) == (base, mapping, 6)
    latents = np.random.default_rng(0).normal(size=(2 * len(channels), 6))
    with torch.no_grad():
        made = generator.double()(torch.from_numpy(latents)[None])[0].numpy()
    numbers = as_numpy(state)
    noise = [numbers[f"noises.noise_{i}"][0, 0] for i in range(2 * len(channels) - 1)]
    np.testing.assert_allclose(made, oracle.rosinality_picture(numbers, latents, noise), rtol=1e-6, atol=1e-6)
    assert torch.equal(generator.mean_latent, torch.arange(6.0).expand(2 * len(channels), -1).double())


def test_latents_equal_the_mapping_network(file) -> None:
    state, z = rosinality_state(), np.random.default_rng(0).normal(size=6)
    generator = read_rosinality(written(file, state), mapping_rate=0.02).double()
    made = generator.latents(torch.from_numpy(z)[None])[0, 3].numpy()
    np.testing.assert_allclose(made, oracle.rosinality_mapping(as_numpy(state), z, 0.02), atol=1e-6)


def test_given_noise_replaces_the_files_noise(file) -> None:
    state = rosinality_state()
    generator, latents = read_rosinality(written(file, state)), torch.randn(1, 6, 6)
    silent = rosinality_state(noises=False)
    without = read_rosinality(written(file, silent))
    assert not torch.allclose(generator(latents), without(latents))
    assert torch.equal(generator(latents, [None] * 5), without(latents))
    assert torch.equal(without(latents, generator.fixed_noise()), generator(latents))


def test_mean_latent_is_drawn_from_a_fixed_seed_where_the_file_has_none(file) -> None:
    state = rosinality_state()
    written(file, state)
    torch.manual_seed(5)
    first, number = read_rosinality(file).mean_latent, torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), number), "reading must not use up global random numbers"
    assert torch.equal(first, read_rosinality(file).mean_latent)
    rng, numbers = np.random.default_rng(9), as_numpy(state)
    other = np.mean([oracle.rosinality_mapping(numbers, rng.normal(size=6)) for _ in range(3000)], axis=0)
    spread = np.std([oracle.rosinality_mapping(numbers, rng.normal(size=6)) for _ in range(300)], axis=0)
    assert np.all(np.abs(first[0].numpy() - other) < 6 * spread / np.sqrt(3000) * 2)


def test_arguments_of_a_training_program_do_not_matter(file) -> None:
    content = {"g_ema": rosinality_state(), "args": argparse.Namespace(size=16), "d": {"x": torch.zeros(2)}}
    assert read_rosinality(written(file, content)).design.size == 16


EVERY = sorted(name for name in rosinality_state() if not name.endswith("kernel"))


@pytest.mark.parametrize("name", EVERY)
def test_a_missing_tensor_is_named(file, name) -> None:
    state = rosinality_state()
    del state[name]
    with pytest.raises(EntrantError, match=rf"{name} is missing") as caught:
        read_rosinality(written(file, {"g_ema": state}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(rosinality_state()))
def test_a_tensor_of_another_shape_is_named(file, name) -> None:
    state = rosinality_state()
    shape = list(state[name].shape)
    state[name] = torch.zeros(*shape[:-1], shape[-1] + 1)
    with pytest.raises(EntrantError) as caught:
        read_rosinality(written(file, {"g_ema": state}))
    assert "expected" in str(caught.value) or "not square" in str(caught.value)
    if name not in {"input.input", "style.1.weight", "convs.0.conv.weight", "convs.2.conv.weight"}:
        assert f"{name} has shape {[*shape[:-1], shape[-1] + 1]}, expected {shape}" in str(caught.value)


def test_sizes_that_contradict_each_other_name_a_tensor(file) -> None:
    for name in ("style.1.weight", "convs.2.conv.weight"):
        state = rosinality_state()
        state[name] = torch.zeros([side + 1 for side in state[name].shape])
        with pytest.raises(EntrantError, match=r"has shape \[.*\], expected \["):
            read_rosinality(written(file, state))


@pytest.mark.parametrize(
    "name", ["extra.weight", "convs.1.conv.blur.kernel", "noises.noise_5", "to_rgb1.upsample.kernel"]
)
def test_a_superfluous_tensor_is_named(file, name) -> None:
    state = {**rosinality_state(), name: torch.zeros(4, 4)}
    with pytest.raises(EntrantError, match=rf"{name} of shape \[4, 4\] has no place"):
        read_rosinality(written(file, state))


def test_another_low_pass_filter_is_named(file) -> None:
    state = rosinality_state()
    state["to_rgbs.1.upsample.kernel"] = torch.full((4, 4), 0.25)
    with pytest.raises(EntrantError, match=r"to_rgbs\.1\.upsample\.kernel is another low-pass filter"):
        read_rosinality(written(file, state))


def test_values_that_are_not_finite_are_named(file) -> None:
    state = rosinality_state()
    state["convs.1.activate.bias"][1] = torch.nan
    with pytest.raises(EntrantError, match=r"convs\.1\.activate\.bias has values that are not finite"):
        read_rosinality(written(file, state))


def test_another_size_is_named_with_both_sizes(file) -> None:
    written(file, rosinality_state())
    assert read_rosinality(file, size=16).design.size == 16
    with pytest.raises(EntrantError, match="draw pictures of 16 px, 256 px were asked for; ask for size 16"):
        read_rosinality(file, size=256)


def test_tensors_that_declare_more_than_they_hold_are_refused(file) -> None:
    state = rosinality_state()
    state["conv1.conv.weight"] = torch.zeros(1).expand(1, 10**5, 10**5, 3, 3)
    with pytest.raises(EntrantError, match=r"conv1\.conv\.weight declares more values than the file holds"):
        read_rosinality(written(file, state))


def test_sizes_are_compared_before_memory_is_taken(file) -> None:
    """64 layers of 3000 x 3000 would be 2.3 GB; one is there."""
    state = {**rosinality_state(), "style.1.weight": torch.zeros(3000, 3000), "style.64.bias": torch.zeros(1)}
    with pytest.raises(EntrantError, match=r"style\.3\.weight is missing, expected shape \[3000, 3000\] "):
        read_rosinality(written(file, state))


def test_absurd_numbers_in_names_are_refused(file) -> None:
    for name in ("style.9999.weight", "to_rgbs.5000.bias", "convs.800.conv.weight"):
        with pytest.raises(EntrantError, match="no StyleGAN2 generator"):
            read_rosinality(written(file, {**rosinality_state(), name: torch.zeros(1)}))


class Command:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_a_pickle_that_runs_code_is_not_run(file, tmp_path) -> None:
    written(file, {"g_ema": rosinality_state(), "args": Command(tmp_path / "executed")})
    with pytest.raises(EnvironmentProblem, match="may run code, which is never done"):
        read_rosinality(file)
    assert not (tmp_path / "executed").exists()


def test_files_that_are_no_weights(file, tmp_path) -> None:
    with pytest.raises(EnvironmentProblem, match="No such file"):
        read_rosinality(tmp_path / "absent.pt")
    whole = written(file, rosinality_state()).read_bytes()
    for content in (b"", b"<html>", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(EnvironmentProblem, match="damaged"):
            read_rosinality(file)
    for content in ([1, 2], {"g_ema": 3}, {"g_ema": {"a": 1}}, {"g_ema": {}}):
        with pytest.raises((EnvironmentProblem, EntrantError), match="tensor"):
            read_rosinality(written(file, content))
    with pytest.raises(EntrantError, match=r"input\.input is missing"):
        read_rosinality(written(file, {"a": torch.zeros(1)}))
    with pytest.raises(EntrantError, match=r"latent_avg has shape \[5\], expected \[6\]"):
        read_rosinality(written(file, {"g_ema": rosinality_state(), "latent_avg": torch.zeros(5)}))
