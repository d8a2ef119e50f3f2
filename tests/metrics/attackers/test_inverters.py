"""Classical inverters against scikit-image, scikit-learn and degradations that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import richardson_lucy as official_lucy
from skimage.restoration import wiener as official_wiener
from sklearn.linear_model import Ridge as OfficialRidge

from metrics.attackers.inverters import (
    Restore,
    bicubic,
    blurred,
    box_window,
    classical,
    fit_ridge,
    gaussian_window,
    richardson_lucy,
    wavelet,
    wiener,
    windows,
)


def scenes(count: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Rectangles of random colours on top of each other, float32 in [0, 1]."""
    generator = np.random.default_rng(seed)
    images = np.full((count, 3, side, side), 0.5, np.float32)
    for image in images:
        for _ in range(8):
            top, left = generator.integers(0, side - 4, 2)
            height, width = generator.integers(4, side, 2)
            image[:, top : top + height, left : left + width] = generator.uniform(0.05, 0.95, (3, 1, 1))
    return torch.from_numpy(images)


def psnr(images: torch.Tensor, original: torch.Tensor) -> float:
    return float(-10 * (images.clamp(0, 1) - original).square().mean().log10())


def square(window: torch.Tensor) -> np.ndarray:
    return torch.outer(window, window).numpy()


@pytest.mark.parametrize("window", [gaussian_window(1.3), box_window(1.8)], ids=["gaussian", "box"])
def test_wiener_is_scikit_images_on_mirrored_planes(window: torch.Tensor) -> None:
    images = scenes(2, 17)[..., :14]
    found = wiener(images, window, 0.01)
    for image, restored in zip(images, found, strict=True):
        for plane, mine in zip(image.double().numpy(), restored, strict=True):
            mirrored = np.pad(plane, ((0, 15), (0, 12)), mode="reflect")  # one period
            official = official_wiener(mirrored, square(window), 0.01, clip=False)[:17, :14]
            # float32 here, float64 there, and a gain of up to a few hundred
            np.testing.assert_allclose(mine.numpy(), official, atol=2e-5)


@pytest.mark.parametrize("window", [gaussian_window(0.8), box_window(0.8)], ids=["gaussian", "box"])
def test_richardson_lucy_is_scikit_images_where_its_border_cannot_reach(window: torch.Tensor) -> None:
    images, iterations = scenes(2, 20), 4
    found, margin = richardson_lucy(images, window, iterations), len(window) * iterations
    assert margin < 2 * 19  # NumPy reflects as often as it takes
    for image, restored in zip(images, found, strict=True):
        for plane, mine in zip(image.double().numpy(), restored, strict=True):
            wide = np.pad(plane, margin, mode="reflect")
            official = official_lucy(wide, square(window), num_iter=iterations)[margin:-margin, margin:-margin]
            np.testing.assert_allclose(mine.numpy(), official, atol=1e-5)  # float32 here, float64 there


@pytest.mark.parametrize("restore", ["wiener", "richardson-lucy"])
def test_a_known_blur_is_undone_up_to_the_edge(restore: str) -> None:
    images, window = scenes(4), gaussian_window(1.3)
    released = (blurred(images, window) * 255).round() / 255
    done = wiener(released, window, 1e-3) if restore == "wiener" else richardson_lucy(released, window, 30)
    assert psnr(done, images) > psnr(released, images) + 2
    edge = (..., slice(0, 2), slice(None))
    assert psnr(done[edge], images[edge]) > psnr(released[edge], images[edge])


def test_blurring_is_mirrored_convolution() -> None:
    images, window = scenes(1, 9), gaussian_window(0.7)
    reach = len(window) // 2
    padded = np.pad(images.double().numpy()[0], ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    expected = np.einsum(
        "chwij,ij->chw",
        np.lib.stride_tricks.sliding_window_view(padded, (len(window), len(window)), axis=(1, 2)),
        square(window),
    )
    np.testing.assert_allclose(blurred(images, window)[0].numpy(), expected, atol=1e-6)


def test_noise_is_reduced_by_the_wavelets() -> None:
    images = scenes(4)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1)) * 0.2
    assert psnr(wavelet(images + noise, 0.2), images) > psnr(images + noise, images) + 4


def test_wavelets_without_noise_change_nothing() -> None:
    images = scenes(2)
    assert torch.equal(wavelet(images, 0.0), images)


def test_wavelets_are_those_of_scikit_image() -> None:
    from skimage.restoration import denoise_wavelet

    images = scenes(3) + torch.randn(scenes(3).shape, generator=torch.Generator().manual_seed(1)) * 0.1
    expected = [denoise_wavelet(image, sigma=0.1, channel_axis=0) for image in images.double().numpy()]
    np.testing.assert_allclose(wavelet(images, 0.1).numpy(), np.stack(expected), atol=1e-5)


def test_resampling_takes_out_what_is_finer_and_nothing_else() -> None:
    board = (torch.arange(16)[:, None] + torch.arange(16)).remainder(2).float().expand(1, 3, 16, 16)
    assert float((bicubic(board, 4) - 0.5).abs()[..., 4:-4, 4:-4].max()) < 0.02
    flat = torch.full((1, 3, 11, 7), 0.3)
    torch.testing.assert_close(bicubic(flat, 8), flat)


@pytest.mark.parametrize("ridge", [1e-4, 1e-2, 1.0])
def test_the_dual_ridge_is_scikit_learns(ridge: float) -> None:
    generator = torch.Generator().manual_seed(3)
    inputs, targets, probes = (torch.rand(n, 3, 4, 4, generator=generator) for n in (10, 10, 5))
    fitted = fit_ridge(inputs, targets, [ridge])
    centred = (inputs - inputs.mean(0)).flatten(1).double()
    penalty = ridge * float(centred.square().sum(1).mean())
    official = OfficialRidge(alpha=penalty).fit(inputs.flatten(1).double(), targets.flatten(1).double())
    expected = official.predict(probes.flatten(1).double())
    # Inner products are float32 here; the inverse of the regularisation multiplies their rounding.
    np.testing.assert_allclose(fitted(probes).flatten(1).numpy(), expected, atol=1e-6 + 2e-8 / ridge)


def test_left_out_restorations_are_those_of_fits_without_the_pair() -> None:
    generator = torch.Generator().manual_seed(4)
    inputs, targets = (torch.rand(7, 3, 3, 3, generator=generator) for _ in range(2))
    fitted = fit_ridge(inputs, targets, [0.05])
    penalty = 0.05 * float((inputs - inputs.mean(0)).flatten(1).square().sum(1).mean())
    for row in range(7):
        rest = [other for other in range(7) if other != row]
        flat = inputs.flatten(1).double(), targets.flatten(1).double()
        official = OfficialRidge(alpha=penalty).fit(flat[0][rest], flat[1][rest])
        np.testing.assert_allclose(fitted.left_out[row].numpy(), official.predict(flat[0][[row]])[0], atol=2e-5)


def test_the_regularisation_has_the_smallest_left_out_error() -> None:
    generator = torch.Generator().manual_seed(5)
    images = scenes(40, 6, seed=5)
    released = images + 0.2 * torch.randn(images.shape, generator=generator)
    tried = [1e-6, 1e-2, 1e-1, 1e2]
    errors = {r: float((fit_ridge(released, images, [r]).left_out - images.flatten(1)).square().mean()) for r in tried}
    assert fit_ridge(released, images, tried).ridge == min(errors, key=errors.__getitem__)


def test_a_fixed_permutation_of_pixels_is_undone_by_the_ridge() -> None:
    images = scenes(200, 6, seed=6)
    order = torch.randperm(36, generator=torch.Generator().manual_seed(7))
    shuffled = images.flatten(2)[:, :, order].reshape(images.shape)
    ridge = fit_ridge(shuffled[:180], images[:180])
    assert psnr(ridge(shuffled[180:]), images[180:]) > psnr(shuffled[180:], images[180:]) + 20


@pytest.mark.parametrize("value", [0.0, 127 / 255, 1.0])
def test_pairs_that_say_nothing_give_finite_restorations(value: float) -> None:
    images, flat = scenes(6), torch.full((6, 3, 32, 32), value)
    inverters: list[Restore] = [*classical(flat, images, 4).values(), fit_ridge(flat, images)]
    for restore in inverters:
        assert restore(flat).isfinite().all()
        assert torch.equal(restore(flat)[0], restore(flat)[1])


def test_tuning_takes_what_helps_on_the_pairs_and_the_best_first() -> None:
    images = scenes(6)
    soft = classical(blurred(images, gaussian_window(1.8)), images, 4)
    assert next(iter(soft)) == "wiener"
    assert soft["wiener"].keywords["window"].equal(gaussian_window(1.8))  # type: ignore[attr-defined]
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(8)) * 0.2
    assert "wavelet" in classical((images + noise).clamp(0, 1), images, 2)
    assert classical(images, images, 4) == {}
    assert len(classical((images + noise).clamp(0, 1), images, 1)) == 1


def test_no_blur_is_tried_that_is_wider_than_the_photograph() -> None:
    assert max(map(len, windows(8))) < 8
    assert windows(2) == []
    assert isinstance(classical(scenes(3, 8)[..., :2, :2] * 0.5, scenes(3, 8)[..., :2, :2], 4), dict)


@given(st.sampled_from([gaussian_window, box_window]), st.floats(0.5, 8))
@settings(max_examples=30, deadline=None)
def test_windows_are_symmetric_weights(shape: object, deviation: float) -> None:
    window = shape(deviation)  # type: ignore[operator]
    assert len(window) % 2 == 1
    assert torch.equal(window, window.flip(0))
    assert float(window.sum()) == pytest.approx(1)
