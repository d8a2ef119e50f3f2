"""Projection: planted pictures are found again, faces do not influence each other, features are LPIPS."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from skimage.transform import downscale_local_mean

from anonymizers.kanonymity.generator.network import Design, StyleGenerator
from anonymizers.kanonymity.generator.perception import LpipsFeatures, lpips_features
from anonymizers.kanonymity.generator.projection import (
    Objective,
    Weights,
    by_area,
    feature_distance,
    project,
    scheduled,
)
from benchmark.errors import EntrantError, EnvironmentProblem


@pytest.fixture(scope="module")
def generator():
    """A small generator with a mean latent of its own, in float64."""
    torch.manual_seed(0)
    made = StyleGenerator(Design((6, 5), base=4, style=5, mapping=1, mapping_rate=1.0)).double()
    with torch.no_grad():
        made.mean_latent.copy_(made.latents(torch.randn(500, 5).double()).mean(0))
    return made.eval()


def drawn(generator, count, seed=0):
    z = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        latents = generator.latents(z)
        return latents, generator(latents)


def maps(pictures):
    """A differentiable stand-in for a feature extractor: gradients at two scales."""
    return [pictures.diff(dim=-1), torch.nn.functional.avg_pool2d(pictures, 2).diff(dim=-2)]


def loss(generator, latents, pictures):
    with torch.no_grad():
        return (generator(latents) - pictures).square().flatten(1).mean(1)


def test_planted_pictures_are_found(generator) -> None:
    _, pictures = drawn(generator, 3)
    start = generator.mean_latent.expand(3, -1, -1)
    found = project(generator, pictures, steps=200, rate=0.1, perceptual=maps, weights=Weights(latent=0.0))
    assert found.shape == (3, 4, 5)
    before, after = loss(generator, start, pictures), loss(generator, found, pictures)
    assert (after < 5e-3 * before).all()


def test_a_good_start_is_never_made_worse(generator) -> None:
    latents, pictures = drawn(generator, 2)
    found = project(generator, pictures, latents, steps=20, rate=1.0)
    assert torch.equal(found, latents)


@pytest.mark.parametrize("perceptual", [None, maps])
def test_faces_do_not_influence_each_other(generator, perceptual) -> None:
    _, pictures = drawn(generator, 5)
    pictures[3] = 40 * torch.randn(3, 8, 8)
    together = project(generator, pictures, steps=25, perceptual=perceptual)
    alone = torch.cat([project(generator, row[None], steps=25, perceptual=perceptual) for row in pictures])
    parts = project(generator, pictures, steps=25, perceptual=perceptual, batch=2)
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(together, parts, rtol=1e-6, atol=1e-8)


def test_same_input_same_latents_and_the_generator_stays_as_it_is(generator) -> None:
    _, pictures = drawn(generator, 2)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    torch.manual_seed(1)
    one, number = project(generator, pictures, steps=10), torch.rand(1)
    torch.manual_seed(2)
    assert torch.equal(one, project(generator, pictures, steps=10))
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), number)
    assert all(torch.equal(before[name], value) for name, value in generator.state_dict().items())
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert not one.requires_grad


def test_it_also_works_where_gradients_are_switched_off(generator) -> None:
    _, pictures = drawn(generator, 1)
    with torch.no_grad():
        inside = project(generator, pictures, steps=5)
    assert torch.equal(inside, project(generator, pictures, steps=5))
    assert not torch.equal(inside[0], generator.mean_latent)


def test_regularisation_holds_latents_near_the_anchor(generator) -> None:
    _, pictures = drawn(generator, 2)
    mean = generator.mean_latent
    away = [
        (project(generator, pictures, steps=60, weights=Weights(latent=weight)) - mean).norm().item()
        for weight in (0.0, 1.0, 1e4)
    ]
    assert away[0] > away[1] > away[2]
    assert away[2] < 0.01 * away[0]
    anchor = mean + 1
    held = project(generator, pictures, steps=200, rate=0.1, weights=Weights(0, 0, 1), anchor=anchor)
    torch.testing.assert_close(held, anchor.expand(2, -1, -1), atol=0.02, rtol=0)


def test_the_objective_is_the_stated_sum(generator) -> None:
    _, pictures = drawn(generator, 3)
    start, anchor = drawn(generator, 3, seed=1)[0], drawn(generator, 1, seed=2)[0][0]
    objective = Objective(generator, maps, Weights(perceptual=0.3, pixel=2.0, latent=0.7))
    with torch.no_grad():
        losses = objective.losses(start, anchor.expand_as(start), objective.target(pictures, start))
        made = generator(start)
    for face in range(3):
        difference = (made[face] - pictures[face]).numpy()
        pixel = np.mean(difference**2)
        away = (start[face] - anchor).square().mean()
        perceptual = 0.0
        for ours, theirs in zip(maps(made), maps(pictures), strict=True):
            perceptual += ((ours[face] - theirs[face]) ** 2).sum(0).mean().item()
        assert losses[face].item() == pytest.approx(0.3 * perceptual + 2 * pixel + 0.7 * away)


@pytest.mark.parametrize("factor", [2, 3])
def test_pictures_of_another_size_are_resized_by_area(generator, factor) -> None:
    small = drawn(generator, 2)[1]
    large = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 8 * factor, 8 * factor)))
    expected = downscale_local_mean(large.numpy(), (1, 1, factor, factor))
    np.testing.assert_allclose(by_area(large, 8).numpy(), expected, atol=1e-12)
    blown = small.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    torch.testing.assert_close(project(generator, blown, steps=5), project(generator, small, steps=5))


def test_learning_rate_rises_stays_and_falls() -> None:
    factors = np.array([scheduled(step, 200) for step in range(200)])
    assert (np.diff(factors[:10]) > 0).all()
    assert np.allclose(factors[12:148], 1)
    assert (np.diff(factors[152:]) < 0).all()
    assert 0 < factors[-1] < 0.01
    assert (factors > 0).all()


def test_malformed_input(generator) -> None:
    pictures = drawn(generator, 2)[1]
    for broken in (pictures[0], pictures[:, :1], torch.full_like(pictures, torch.nan)):
        with pytest.raises(EntrantError, match="cannot be projected"):
            project(generator, broken)
    with pytest.raises(EntrantError, match=r"start has shape \[1, 4, 5\], expected \[2, 4, 5\]"):
        project(generator, pictures, generator.mean_latent[None])
    assert project(generator, pictures[:0]).shape == (0, 4, 5)


@pytest.fixture(scope="module")
def lpips_network():
    """LPIPS with the package's own heads on a random trunk."""
    import lpips

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False).eval()


def test_squared_distance_of_the_features_is_lpips(lpips_network) -> None:
    one, other = torch.rand(2, 3, 3, 40, 48) * 2 - 1
    features = LpipsFeatures(lpips_network)
    with torch.no_grad():
        expected = lpips_network(one, other).flatten()
        made = feature_distance(features(one), features(other))
    assert (expected > 1e-3).all()
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-6)


def test_features_have_gradients(lpips_network) -> None:
    pictures = torch.rand(1, 3, 32, 32, requires_grad=True)
    sum(maps.square().sum() for maps in LpipsFeatures(lpips_network)(pictures * 2 - 1)[1:]).backward()
    assert pictures.grad is not None
    assert torch.isfinite(pictures.grad).all()


def test_absent_weights_say_what_to_type(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("ANONBENCH_WEIGHTS", raising=False)
    with pytest.raises(EnvironmentProblem, match="anonbench weights fetch squeezenet1_1"):
        lpips_features("squeeze")
