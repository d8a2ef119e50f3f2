"""StyleGAN1 files: pictures as the equations say, at every resolution a file holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anonymizers.kanonymity.generator.stylegan1 import read_style1
from benchmark.errors import EntrantError
from tests.anonymizers import generator_oracle as oracle
from tests.anonymizers.generator_files import as_numpy, style1_state


@pytest.fixture
def file(tmp_path):
    return tmp_path / "stylegan1.model"


@pytest.mark.parametrize("finest", [0, 1, 2, 3])
def test_pictures_equal_the_equations_at_every_resolution(file, finest) -> None:
    state, size = style1_state(), 4 * 2**finest
    torch.save({"g_running": state}, file)
    generator = read_style1(file, size).double()
    rng = np.random.default_rng(finest)
    latents = rng.normal(size=(2, 2 * finest + 2, 6))
    noise = [rng.normal(size=(4 * 2 ** (i // 2),) * 2) for i in range(2 * finest + 2)]
    with torch.no_grad():
        made = generator(torch.from_numpy(latents), [torch.from_numpy(plane)[None, None] for plane in noise]).numpy()
    for image in range(2):
        expected = oracle.style1_picture(as_numpy(state), latents[image], noise, finest)
        assert expected.shape == (3, size, size)
        np.testing.assert_allclose(made[image], expected, rtol=1e-6, atol=1e-6)


def test_latents_equal_the_mapping_network(file) -> None:
    state, z = style1_state(mapping=3), np.random.default_rng(0).normal(size=6)
    torch.save(state, file)
    generator = read_style1(file).double()
    made = generator.latents(torch.from_numpy(z)[None])
    assert made.shape == (1, 8, 6) == (1, generator.design.layers, 6)
    np.testing.assert_allclose(made[0, 7].numpy(), oracle.style1_mapping(as_numpy(state), z), atol=1e-6)


def test_no_noise_is_noise_of_zeros(file) -> None:
    torch.save(style1_state(), file)
    generator, latents = read_style1(file), torch.randn(1, 8, 6)
    zeros = [torch.zeros(1, 1, 4 * 2 ** (i // 2), 4 * 2 ** (i // 2)) for i in range(8)]
    assert torch.equal(generator(latents), generator(latents, zeros))


def test_gradients_reach_the_latents(file) -> None:
    torch.save(style1_state(), file)
    latents = torch.randn(1, 8, 6, requires_grad=True)
    read_style1(file)(latents).square().sum().backward()
    assert latents.grad is not None
    assert (latents.grad.abs().sum(2) > 0).all()


@pytest.mark.parametrize("name", sorted(style1_state()))
def test_a_missing_or_wrong_tensor_is_named(file, name) -> None:
    state = style1_state()
    shape = [*state[name].shape[:-1], state[name].shape[-1] + 1]
    state[name] = torch.zeros(shape)
    torch.save(state, file)
    with pytest.raises(EntrantError, match=r"expected|constant of 4 x 5"):
        read_style1(file)
    if "conv1.1.weight" in name or "conv1.2.weight" in name:
        return  # filters may be left out
    del state[name]
    torch.save(state, file)
    with pytest.raises(EntrantError, match=r"is missing|has no place"):
        read_style1(file)


def test_another_size_is_named(file) -> None:
    torch.save(style1_state(), file)
    with pytest.raises(EntrantError, match="32 px, 64 px were asked for"):
        read_style1(file, size=64)
    with pytest.raises(EntrantError, match="20 px were asked for"):
        read_style1(file, size=20)


def test_values_of_resolutions_that_are_not_drawn_do_not_matter(file) -> None:
    state = style1_state()
    for name in state:
        if ".3." in name and not name.startswith("style") and "conv1.1.weight" not in name:
            state[name] = torch.full_like(state[name], torch.nan)
    torch.save(state, file)
    assert torch.isfinite(read_style1(file, 16)(torch.randn(1, 6, 6))).all()
    with pytest.raises(EntrantError, match="not finite"):
        read_style1(file, 32)
