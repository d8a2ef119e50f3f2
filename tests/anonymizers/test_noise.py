"""Noise: to both sides, clipped, of the stated strength."""

from __future__ import annotations

import pytest
import torch

from anonymizers.conventional.noise import GaussianNoise, SaltPepper
from benchmark.protocols import Controller


def test_gaussian_noise_has_its_sigma_and_no_bias(make_set):
    images = make_set(4, 100, 100)
    images.images.fill_(128)
    noise = GaussianNoise(20).anonymize(images, Controller()).images.double() - 128
    assert noise.std().item() == pytest.approx(20, rel=0.02)
    assert abs(noise.mean().item()) < 0.3


@pytest.mark.parametrize("grey", [0, 255])
def test_gaussian_noise_is_clipped_not_wrapped(make_set, grey):
    images = make_set(1, 100, 100)
    images.images.fill_(grey)
    released = GaussianNoise(20).anonymize(images, Controller()).images.int()
    assert (released - grey).abs().max() < 120
    assert (released == grey).double().mean().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5, 1.0])
def test_salt_and_pepper_in_equal_shares_on_whole_pixels(make_set, amount):
    images = make_set(4, 100, 100)
    images.images.fill_(128)
    released = SaltPepper(amount).anonymize(images, Controller()).images
    assert torch.equal(released.amin(dim=1), released.amax(dim=1))
    for grey in (0, 255):
        assert (released == grey).double().mean().item() == pytest.approx(amount / 2, abs=0.01)
    assert (released == 128).double().mean().item() == pytest.approx(1 - amount, abs=0.02)
