"""Fidelity of the released pixels: MSE, PSNR, SSIM. They say how much changed, never how private it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmark.images import ImageSet
from benchmark.protocols import Referees, Scores
from benchmark.records import MetricCard, Score
from benchmark.statistics import clusters_of, mean_interval, mean_scores

PEAK = 255.0


def squared_error(original: torch.Tensor, released: torch.Tensor) -> torch.Tensor:
    """Mean squared error per image, exact: uint8 ``[N, 3, H, W]`` twice to float64 ``[N]``, grey levels²."""
    totals = [_sum_of_squares(a, b) for a, b in zip(original.numpy(), released.numpy(), strict=True)]
    return torch.tensor(totals, dtype=torch.float64) / max(1, math.prod(original.shape[1:]))


def _sum_of_squares(original: npt.NDArray[np.uint8], released: npt.NDArray[np.uint8]) -> int:
    import cv2

    width = original.shape[-1]
    return round(cv2.norm(original.reshape(-1, width), released.reshape(-1, width), cv2.NORM_L2SQR))


def decibels(error: torch.Tensor) -> torch.Tensor:
    """PSNR in dB of mean squared errors; infinite for 0."""
    return 10 * torch.log10(PEAK**2 / error)


@dataclass(frozen=True)
class Mse:
    """Mean squared error over all pixels and channels."""

    card = MetricCard(
        name="mse",
        version=1,
        title="MSE",
        group="quality",
        unit="grey levels²",
        higher_is_better=False,
        range=(0.0, PEAK**2),
        definition="Mean over images of the mean squared difference over pixels and channels, values 0..255.",
        source="scikit-image mean_squared_error",
        calibration="exact integer sums of squares; the PSNR made from it equals scikit-image's",
    )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Mean over images, one value per image."""
        return mean_scores("mse", squared_error(original.images, released.images), original)


@dataclass(frozen=True)
class Psnr:
    """Peak signal-to-noise ratio: mean of the finite dB values, identical images counted apart."""

    card = MetricCard(
        name="psnr",
        version=1,
        title="PSNR",
        group="quality",
        unit="dB",
        higher_is_better=True,
        range=(0.0, None),
        definition=(
            "10 log10(255² / MSE) per image over RGB; mean over the images that changed. Images identical to their "
            "original have no finite PSNR and are counted; the PSNR of the mean MSE covers all images."
        ),
        source="scikit-image peak_signal_noise_ratio, data_range 255",
        calibration=(
            "scikit-image to 1e-6 dB per image; the example pairs ex_ref/ex_p0 and ex_ref/ex_p1 of LPIPS: 18.045541 and "
            "13.867510 dB"
        ),
    )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Mean finite dB, with the number of identical images and the PSNR of the mean MSE in ``details``."""
        error = squared_error(original.images, released.images)
        changed = error > 0
        details = {"identical images": float((~changed).sum())}
        if not changed.any():
            reason = f"all {len(original)} released images are identical to the originals: PSNR is infinite"
            score = Score(metric="psnr", status="not-applicable", reason=reason, n=len(original), details=details)
            return Scores(score, {"psnr": decibels(error)})
        details["PSNR of the mean MSE"] = float(decibels(error.mean()))
        values, clusters = decibels(error[changed]), clusters_of(original)[changed]
        clusters = torch.unique(clusters, return_inverse=True)[1]
        score = Score(
            metric=self.card.name,
            value=float(values.mean()),
            n=int(changed.sum()),
            n_clusters=len(clusters.unique()),
            interval=mean_interval(values, clusters),
            details=details,
        )
        return Scores(score, {"psnr": decibels(error)})


WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
CACHED = 60_000
"""Pixels filtered at a time: the planes of a step stay in the processor's cache."""


def gaussian_window() -> npt.NDArray[np.float64]:
    """The 11 weights of a Gaussian with sigma 1.5, sum 1."""
    weights = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2)
    normed: npt.NDArray[np.float64] = weights / weights.sum()
    return normed


def structural_similarity(original: torch.Tensor, released: torch.Tensor) -> torch.Tensor:
    """SSIM per image: Gaussian window 11, sigma 1.5, population covariance, valid region, mean over RGB.

    Equals ``skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)``.
    Squares and products of bytes are exact integers; only the filter itself runs in float64.

    Args:
        original: uint8 ``[N, 3, H, W]``, sides of at least 11 px.
        released: the same shape.

    Returns:
        float64 ``[N]``, -1..1.
    """
    height, width = int(original.shape[2]), int(original.shape[3])
    a, b = original.numpy().reshape(-1, width), released.numpy().reshape(-1, width)
    step = height * max(1, CACHED // (height * width))
    parts = [_ssim_of_planes(a[top : top + step], b[top : top + step], height) for top in range(0, len(a), step)]
    planes: torch.Tensor = torch.from_numpy(np.concatenate(parts))
    return planes.view(-1, 3).mean(1)


def _ssim_of_planes(
    original: npt.NDArray[np.uint8], released: npt.NDArray[np.uint8], height: int
) -> npt.NDArray[np.float64]:
    """Mean SSIM of planes that lie below one another, ``[P * H, W]`` twice to ``[P]``; works in place."""
    import cv2

    mx, my = _smooth(original, height), _smooth(released, height)
    mixed = _smooth(np.multiply(original, released, dtype=np.uint16), height)
    apart = cv2.absdiff(original, released)
    variance = _smooth(np.multiply(apart, apart, dtype=np.uint16), height) + 2 * mixed
    product, squares = mx * my, mx * mx
    squares += my * my
    covariance = mixed - product
    covariance *= 2
    covariance += C2
    variance -= squares
    variance += C2
    product *= 2
    product += C1
    product *= covariance
    squares += C1
    squares *= variance
    product /= squares
    mean: npt.NDArray[np.float64] = product.mean((1, 2))
    return mean


def _smooth(planes: npt.NDArray[Any], height: int) -> npt.NDArray[np.float64]:
    """Gaussian window over the valid region of each plane."""
    import cv2

    weights, margin = gaussian_window(), WINDOW // 2
    tall = np.asarray(cv2.sepFilter2D(planes, cv2.CV_64F, weights, weights), np.float64)
    return tall.reshape(-1, height, planes.shape[1])[:, margin:-margin, margin:-margin]


@dataclass(frozen=True)
class Ssim:
    """Structural similarity: Gaussian window 11, sigma 1.5, population covariance, valid region, RGB mean."""

    card = MetricCard(
        name="ssim",
        version=1,
        title="SSIM",
        group="quality",
        unit="1",
        higher_is_better=True,
        range=(-1.0, 1.0),
        definition="Gaussian window 11, sigma 1.5, population covariance, valid region, mean over RGB, range 255.",
        source="Wang et al. 2004, IEEE TIP 13(4)",
        calibration="scikit-image with gaussian_weights=True, sigma=1.5, use_sample_covariance=False: to 1e-6 per image",
    )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Mean over images, one value per image."""
        if min(original.size) < WINDOW:
            reason = f"images of {original.size[0]} x {original.size[1]} px are smaller than the {WINDOW} px window"
            return Scores(Score(metric="ssim", status="not-applicable", reason=reason, n=len(original)))
        return mean_scores("ssim", structural_similarity(original.images, released.images), original)
