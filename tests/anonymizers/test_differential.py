"""DP-Pix and DP-Blur: scale, cells, range, composition."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from anonymizers.conventional.cells import cell_means
from anonymizers.conventional.differential import DpBlur, DpPix, noisy_means, noisy_pixels
from benchmark.protocols import Controller


@pytest.mark.parametrize(("b", "m", "eps"), [(4, 16, 0.5), (8, 16, 10.0), (16, 16, 0.1), (32, 2, 1.0)])
def test_laplace_scale(make_set, b, m, eps):
    images = make_set(40, 224, 224)
    noise = noisy_means(images, 3, "test", b, m, eps) - cell_means(images.images, b)
    scale = 255 * m / (b * b * eps)
    assert noise.abs().mean().item() == pytest.approx(scale, rel=0.05)
    assert noise.std().item() == pytest.approx(scale * 2**0.5, rel=0.08)
    assert abs(noise.mean().item()) < 5 * scale * (2 / noise.numel()) ** 0.5


def test_released_scale_without_clipping(make_set):
    """Mid-grey, and so little noise that nothing is clipped: the released bytes show the scale."""
    images = make_set(40, 224, 224)
    images.images.fill_(128)
    released = DpPix(b=8, m=16, eps=10.0).anonymize(images, Controller()).images[:, :, ::8, ::8].double()
    assert (released - 128).abs().mean().item() == pytest.approx(255 * 16 / (64 * 10), rel=0.05)


def test_channels_and_images_have_their_own_draws(make_set):
    images = make_set(5, 64, 64)
    images.images.fill_(128)
    means = noisy_means(images, 0, "test", 8, 16, 1.0).flatten(2).flatten(0, 1)
    correlations = torch.corrcoef(means)
    assert correlations.fill_diagonal_(0).abs().max() < 0.5


def test_a_smaller_cell_gets_more_noise(make_set):
    images = make_set(400, 8, 9)
    noise = (noisy_means(images, 0, "test", 8, 16, 1.0) - cell_means(images.images, 8)).abs().mean(dim=(0, 1, 2))
    assert noise[1] / noise[0] == pytest.approx(8, rel=0.2)


@pytest.mark.parametrize("eps", [0.1, 1.0, 100.0])
def test_cells_are_constant(make_set, eps):
    released = DpPix(b=8, eps=eps).anonymize(make_set(3, 37, 50), Controller()).images
    for top in range(0, 37, 8):
        for left in range(0, 50, 8):
            cell = released[:, :, top : top + 8, left : left + 8].flatten(2)
            assert (cell == cell[:, :, :1]).all()


@pytest.mark.parametrize("grey", [0, 255])
def test_values_are_clipped_not_wrapped(make_set, grey):
    """Half of the draws leave the range; each of them must stay at its end."""
    images = make_set(20, 64, 64)
    images.images.fill_(grey)
    released = noisy_pixels(images, 0, "test", 8, 16, 1.0)[:, :, ::8, ::8]
    expected = np.clip(np.rint(noisy_means(images, 0, "test", 8, 16, 1.0).numpy()), 0, 255)
    assert np.array_equal(released.numpy(), expected)
    assert (released == grey).double().mean().item() == pytest.approx(0.5, abs=0.1)


def test_weak_noise_leaves_the_block_mean(make_set):
    images = make_set(2, 40, 40)
    released = DpPix(b=8, m=1, eps=1e6).anonymize(images, Controller()).images[:, :, ::8, ::8]
    assert (released - cell_means(images.images, 8)).abs().max() <= 0.51


def test_dp_blur_is_dp_pix_then_gaussian(make_set):
    images = make_set(2, 50, 70)
    released = DpBlur(b=16, m=16, eps=0.5, kernel=9).anonymize(images, Controller(seed=4)).images.numpy()
    cells = noisy_pixels(images, 4, "dp-blur", 16, 16, 0.5).numpy()
    for before, after in zip(cells, released, strict=True):
        expected = cv2.GaussianBlur(before.transpose(1, 2, 0), (9, 9), 0, borderType=cv2.BORDER_REFLECT_101)
        assert np.abs(after - expected.transpose(2, 0, 1).astype(int)).max() <= 1
