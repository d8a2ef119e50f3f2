"""Classical inverters: deconvolution, denoising, resampling and ridge regression, tuned on pairs of photographs.

All take and give float32 ``[N, 3, H, W]`` in about [0, 1]. Borders are mirrored without repeating the edge (``reflect`` of
NumPy, as most filters do), so that a blur with such a border is undone up to the edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from scipy.fft import dctn, idctn
from torch.nn import functional

Restore = Callable[[torch.Tensor], torch.Tensor]
"""Released to restored photographs."""

WORTHWHILE = 0.97
"""Share of the squared error that a tuned inverter may leave; one that leaves more changes nothing."""
BLURS = (1.0, 1.8, 2.6, 3.6, 5.0, 7.0)
"""Standard deviations of the blurs that are tried, in px; boxes have the same."""
SHAPES = 2
"""Blurs, those most like the release, that deconvolution is tried with."""
BALANCES = (1e-4, 1e-3, 1e-2, 1e-1)
ITERATIONS = (4, 8)
FACTORS = (2, 4, 8)
NOISES = (0.5, 1.0, 1.5)
"""Noise levels that are tried, in standard deviations of what the release changed."""
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Regularisations that are tried, in mean squared lengths of the released photographs."""
THINNED = 256
"""Pixels on which regularisations are compared."""
LANES = 64
"""Planes that OpenCV filters at a time."""


def gaussian_window(deviation: float) -> torch.Tensor:
    """Weights float64 ``[k]`` of a Gaussian, cut at three standard deviations, with sum 1."""
    reach = math.ceil(3 * deviation)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / deviation) ** 2)
    return weights / weights.sum()


def box_window(deviation: float) -> torch.Tensor:
    """Weights float64 ``[k]`` of the mean over the odd number of px that comes nearest to ``deviation``."""
    side = 2 * round((math.sqrt(12 * deviation**2 + 1) - 1) / 2) + 1
    return torch.full((side,), 1 / side, dtype=torch.float64)


def windows(side: int) -> list[torch.Tensor]:
    """The blurs that are tried on photographs of ``side`` px."""
    made = [shape(deviation) for deviation in BLURS for shape in (gaussian_window, box_window)]
    return [window for window in made if len(window) < side]


def wiener(images: torch.Tensor, window: torch.Tensor, balance: float) -> torch.Tensor:
    """Wiener-Hunt deconvolution: ``skimage.restoration.wiener`` on mirrored photographs, all planes at once.

    Mirrored photographs under a symmetric blur have a real spectrum, which a cosine transform gives without doubling
    either side.

    Args:
        images: float32 ``[N, 3, H, W]``, sides of at least 2.
        window: float64 ``[k]``, symmetric weights of the blur along either axis; k at most twice the shorter side less 2.
        balance: weight of the Laplacian that keeps the result smooth.

    Source: Orieux, Giovannelli, Rodet 2010, as in scikit-image.
    """
    from skimage.restoration import uft

    height, width = images.shape[-2:]
    mirrored = (2 * height - 2, 2 * width - 2)
    transfer, smooth = uft.ir2tf(torch.outer(window, window).numpy(), mirrored), uft.laplacian(2, mirrored)[0]
    gain = np.conj(transfer) / (np.abs(transfer) ** 2 + balance * np.abs(smooth) ** 2)
    spectrum = dctn(images.numpy(), type=1, axes=(-2, -1)) * gain.real[:height, :width].astype(np.float32)
    return torch.from_numpy(idctn(spectrum, type=1, axes=(-2, -1)))


def richardson_lucy(images: torch.Tensor, window: torch.Tensor, iterations: int) -> torch.Tensor:
    """Richardson-Lucy deconvolution: ``skimage.restoration.richardson_lucy``, but with mirrored borders.

    OpenCV's separable filter knows mirrored borders, where scikit-image takes everything outside for black.

    Args:
        images: float32 ``[N, 3, H, W]``.
        window: float64 ``[k]``, symmetric weights of the blur along either axis.
        iterations: how many.

    Source: Richardson 1972, Lucy 1974, as in scikit-image.
    """
    return _per_plane(images, partial(_richardson_lucy, window=window.numpy(), iterations=iterations))


Planes = np.ndarray[Any, np.dtype[np.float32]]


def _richardson_lucy(planes: Planes, window: np.ndarray[Any, Any], iterations: int) -> Planes:
    estimate: Planes = np.full_like(planes, 0.5)
    for _ in range(iterations):
        estimate *= _blurred(planes / (_blurred(estimate, window) + np.float32(1e-12)), window)
    clipped: Planes = np.clip(estimate, -1, 1)
    return clipped


def blurred(images: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """A blur with mirrored borders: float32 ``[N, 3, H, W]``, weights ``[k]`` along either axis."""
    return _per_plane(images, partial(_blurred, window=window.numpy()))


def _blurred(planes: Planes, window: np.ndarray[Any, Any]) -> Planes:
    done = cv2.sepFilter2D(planes, -1, window, window, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(done, np.float32).reshape(planes.shape)  # one plane comes back without its last axis


def _per_plane(images: torch.Tensor, operation: Callable[[Planes], Planes]) -> torch.Tensor:
    """Applies to planes ``[H, W, C]`` what treats channels alike."""
    planes = images.reshape(-1, *images.shape[2:]).permute(1, 2, 0)
    parts = [operation(np.ascontiguousarray(part.numpy())) for part in planes.split(LANES, 2)]
    return torch.from_numpy(np.concatenate(parts, 2)).permute(2, 0, 1).reshape(images.shape)


def bicubic(images: torch.Tensor, factor: int) -> torch.Tensor:
    """Down- and upsampling by ``factor``, bicubic, with antialiasing: takes out what is finer."""
    small = [max(1, side // factor) for side in images.shape[-2:]]
    reduced = functional.interpolate(images, small, mode="bicubic", antialias=True)
    return functional.interpolate(reduced, images.shape[-2:], mode="bicubic")


def wavelet(images: torch.Tensor, noise: float) -> torch.Tensor:
    """Denoising by soft thresholds on wavelet bands (BayesShrink), image by image as scikit-image does it.

    Args:
        images: float32 ``[N, 3, H, W]``.
        noise: standard deviation of the noise, on the scale of ``images``.

    Source: Chang, Yu, Vetterli 2000.
    """
    from skimage.restoration import denoise_wavelet

    if noise <= 0:
        return images
    made = [denoise_wavelet(image, sigma=noise, channel_axis=0, rescale_sigma=False) for image in images.numpy()]
    return torch.from_numpy(np.stack(made)).float()


@dataclass(frozen=True, eq=False)
class Ridge:
    """Ridge regression from all released to all original pixels, in the dual form.

    Attributes:
        inputs: float32 ``[n, D]``, released photographs less their mean.
        dual: float32 ``[n, D]``, what each of them contributes.
        centre: means of released and of original photographs, float32 ``[D]`` each.
        left_out: float32 ``[n, D]``, what the regression on all other pairs makes of each released photograph.
        ridge: the regularisation, relative to the mean squared length of ``inputs``.
    """

    inputs: torch.Tensor
    dual: torch.Tensor
    centre: tuple[torch.Tensor, torch.Tensor]
    left_out: torch.Tensor
    ridge: float

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Restores float32 ``[N, ...]`` with D values each."""
        likeness = (images.flatten(1) - self.centre[0]) @ self.inputs.T
        return (likeness @ self.dual + self.centre[1]).reshape(images.shape)


def fit_ridge(released: torch.Tensor, original: torch.Tensor, ridges: Sequence[float] = RIDGES) -> Ridge:
    """Fits a ``Ridge`` with the regularisation that has the smallest leave-one-out error.

    Undoes whatever moves, mixes or scales pixels the same way in all photographs, a fixed permutation for one.

    Args:
        released: float32 ``[n, ...]``, n at least 2.
        original: the same shape.
        ridges: regularisations to choose from.

    Source: leave-one-out residuals of ridge regression in closed form, Allen 1974 (PRESS).
    """
    inputs, targets = released.flatten(1), original.flatten(1)
    centre = inputs.mean(0), targets.mean(0)
    inputs, targets = inputs - centre[0], targets - centre[1]
    values, vectors = torch.linalg.eigh((inputs @ inputs.T).double())
    scale = float(values.clamp_min(0).mean()) or 1.0
    few = targets[:, :: max(1, targets.shape[1] // THINNED)]
    spectrum = _Spectrum(values.clamp_min(0), vectors)
    best = min(ridges, key=lambda ridge: float(spectrum.residuals(few, ridge * scale)[1].square().mean()))
    dual, residual = spectrum.residuals(targets, best * scale)
    return Ridge(inputs, dual, centre, targets + centre[1] - residual, best)


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """Eigenvalues (float64 ``[n]``) and eigenvectors (columns of ``[n, n]``) of the inner products of the inputs."""

    values: torch.Tensor
    vectors: torch.Tensor

    def residuals(self, targets: torch.Tensor, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Dual coefficients and leave-one-out residuals, float32 ``[n, D]`` each."""
        weights = 1 / (self.values + penalty)
        if targets.shape[1] > len(targets):  # the cheaper order of the products
            dual = ((self.vectors * weights) @ self.vectors.T).float() @ targets
        else:
            dual = (self.vectors @ ((self.vectors.T @ targets.double()) * weights[:, None])).float()
        share = penalty * (self.vectors.square() @ weights) - 1 / len(targets)  # less the mean's own residual
        return dual, dual * (penalty / share.clamp_min(1e-9)).float()[:, None]


def classical(released: torch.Tensor, original: torch.Tensor, count: int) -> dict[str, Restore]:
    """The classical inverters that bring these pairs nearest to each other, tuned on them, by name.

    Args:
        released: float32 ``[n, 3, H, W]``, a few photographs.
        original: what they were made from.
        count: at most so many, those with the largest PSNR; none that changes next to nothing.
    """
    deviation = float((released - original).std())
    shapes = _likely_windows(released, original)
    candidates: dict[str, list[Restore]] = {
        "bicubic": [partial(bicubic, factor=factor) for factor in FACTORS],
        "wiener": [partial(wiener, window=window, balance=balance) for window in shapes for balance in BALANCES],
        "richardson-lucy": [
            partial(richardson_lucy, window=window, iterations=iterations)
            for window in shapes[:1]
            for iterations in ITERATIONS
        ],
        "wavelet": [partial(wavelet, noise=share * deviation) for share in NOISES],
    }
    tuned = {name: _nearest(tried, released, original) for name, tried in candidates.items() if tried}
    enough = WORTHWHILE * _error(released, original)
    worthwhile = sorted(name for name, (error, _) in tuned.items() if error < enough)
    return {name: tuned[name][1] for name in sorted(worthwhile, key=lambda name: tuned[name][0])[:count]}


def _nearest(restores: Sequence[Restore], released: torch.Tensor, original: torch.Tensor) -> tuple[float, Restore]:
    """The one with the smallest error on the pairs, after that error."""
    errors = [_error(restore(released), original) for restore in restores]
    best = min(range(len(errors)), key=errors.__getitem__)
    return errors[best], restores[best]


def _likely_windows(released: torch.Tensor, original: torch.Tensor) -> list[torch.Tensor]:
    """The blurs that turn the originals into the released photographs most nearly, best first."""
    tried = windows(min(released.shape[-2:]))
    errors = [_error(blurred(original, window), released) for window in tried]
    return [tried[row] for row in sorted(range(len(tried)), key=errors.__getitem__)[:SHAPES]]


def _error(images: torch.Tensor, original: torch.Tensor) -> float:
    return float((images.clamp(0, 1) - original).square().mean())
