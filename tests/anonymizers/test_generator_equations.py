"""The generator's pictures against the published equations, written down a second time in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anonymizers.kanonymity.generator.network import Design, StyleGenerator, official
from tests.anonymizers import generator_oracle as oracle
from tests.anonymizers.generator_files import as_numpy

DESIGNS = {
    "base 4": Design((5, 4, 3), base=4, style=6, mapping=2),
    "base 6": Design((3, 4, 2), base=6, style=5, mapping=3, mapping_rate=0.1),
    "one resolution": Design((2,), base=6, style=3, mapping=1),
    "wide": Design((7, 7), base=4, style=9, mapping=1, mapping_rate=1.0),
}


def randomised(design, seed=0):
    """A generator none of whose numbers is at a special value, in float64."""
    torch.manual_seed(seed)
    generator = StyleGenerator(design).double()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return generator


def renamed(generator):
    """The weights under the names of rosinality's layout, by hand."""
    own, there = generator.state_dict(), {}
    for name, value in own.items():
        head, _, rest = name.partition(".")
        if head == "mapping":
            there[f"style.{rest}"] = value
    there["input.input"] = own["synthesis.constant"]
    for i in range(len(generator.synthesis.layers)):
        ours, theirs = f"synthesis.layers.{i}", "conv1" if i == 0 else f"convs.{i - 1}"
        there[f"{theirs}.conv.weight"] = own[f"{ours}.conv.weight"][None]
        there[f"{theirs}.conv.modulation.weight"] = own[f"{ours}.conv.modulation.weight"]
        there[f"{theirs}.conv.modulation.bias"] = own[f"{ours}.conv.modulation.bias"]
        there[f"{theirs}.noise.weight"] = own[f"{ours}.noise_strength"]
        there[f"{theirs}.activate.bias"] = own[f"{ours}.bias"]
    for i in range(len(generator.synthesis.to_rgb)):
        ours, theirs = f"synthesis.to_rgb.{i}", "to_rgb1" if i == 0 else f"to_rgbs.{i - 1}"
        there[f"{theirs}.conv.weight"] = own[f"{ours}.conv.weight"][None]
        there[f"{theirs}.conv.modulation.weight"] = own[f"{ours}.conv.modulation.weight"]
        there[f"{theirs}.conv.modulation.bias"] = own[f"{ours}.conv.modulation.bias"]
        there[f"{theirs}.bias"] = own[f"{ours}.bias"][None, :, None, None]
    return as_numpy(there)


@pytest.mark.parametrize("name", DESIGNS)
def test_pictures_equal_the_equations(name: str) -> None:
    design = DESIGNS[name]
    generator, rng = randomised(design), np.random.default_rng(1)
    latents = rng.normal(size=(2, design.layers, design.style))
    noise = [rng.normal(size=(2, side, side)) for side in generator.synthesis.noise_sides()]
    with torch.no_grad():
        planes = [torch.from_numpy(plane[:, None]) for plane in noise]
        made = generator(torch.from_numpy(latents), planes).numpy()
    state = renamed(generator)
    for image in range(2):
        expected = oracle.rosinality_picture(state, latents[image], [plane[image] for plane in noise])
        assert made[image].shape == expected.shape == (3, design.size, design.size)
        np.testing.assert_allclose(made[image], expected, rtol=1e-9, atol=1e-9)


def test_no_noise_is_noise_of_zeros() -> None:
    design = DESIGNS["base 6"]
    generator = randomised(design)
    latents = torch.randn(1, design.layers, design.style, dtype=torch.float64)
    zeros = [np.zeros((side, side)) for side in generator.synthesis.noise_sides()]
    with torch.no_grad():
        made = generator(latents)[0].numpy()
    np.testing.assert_allclose(
        made, oracle.rosinality_picture(renamed(generator), latents[0].numpy(), zeros), atol=1e-9
    )


@pytest.mark.parametrize("name", DESIGNS)
def test_latents_equal_the_mapping_network(name: str) -> None:
    design = DESIGNS[name]
    generator = randomised(design)
    z = np.random.default_rng(2).normal(size=(3, design.style))
    with torch.no_grad():
        made = generator.latents(torch.from_numpy(z)).numpy()
    expected = [oracle.rosinality_mapping(renamed(generator), row, design.mapping_rate) for row in z]
    np.testing.assert_allclose(made, np.stack([expected] * design.layers, axis=1), rtol=1e-9, atol=1e-9)


def test_one_picture_is_the_same_alone_and_in_a_batch() -> None:
    design = DESIGNS["base 4"]
    generator = randomised(design)
    latents = torch.randn(4, design.layers, design.style, dtype=torch.float64)
    with torch.no_grad():
        together = generator(latents)
        alone = torch.cat([generator(row[None]) for row in latents])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-10)


def test_truncation_moves_along_the_line_to_the_mean() -> None:
    generator = randomised(DESIGNS["base 4"])
    generator.mean_latent.normal_()
    latents = torch.randn(2, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(generator.truncated(latents, 1.0), latents)
    torch.testing.assert_close(generator.truncated(latents, 0.0), generator.mean_latent.expand(2, -1, -1))
    middle = (latents + generator.mean_latent) / 2
    torch.testing.assert_close(generator.truncated(latents, 0.5), middle)


def test_official_sizes() -> None:
    assert official(1024).channels == (512, 512, 512, 512, 512, 256, 128, 64, 32)
    assert official(256, multiplier=1).channels == (512, 512, 512, 512, 256, 128, 64)
    assert [official(size).size for size in (256, 1024)] == [256, 1024]
    assert official(1024).layers == 18
