"""Fidelity of the released pixels: MSE, PSNR, SSIM. They say how much changed, never how private it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from benchmark.images import ImageSet
from benchmark.protocols import Referees, Scores
from benchmark.records import MetricCard, Score
from benchmark.statistics import clusters_of, mean_interval

PEAK = 255.0
EXACT_ROW = 256
"""So many squared differences (at most 255² each) add up exactly in float32: the sum stays below 2^24."""
CHUNK = 16
"""Images per step: the planes of a step stay in the processor's cache."""


def squared_error(original: torch.Tensor, released: torch.Tensor) -> torch.Tensor:
    """Mean squared error per image, exact: uint8 ``[N, 3, H, W]`` twice to float64 ``[N]``, grey levels²."""
    return torch.cat(
        [_sum_of_squares(a, b) for a, b in zip(original.split(CHUNK), released.split(CHUNK), strict=True)]
    ) / max(1, original[0].numel())


def _sum_of_squares(original: torch.Tensor, released: torch.Tensor) -> torch.Tensor:
    difference = (original.float() - released.float()).flatten(1)
    rows = torch.nn.functional.pad(difference, (0, -difference.shape[1] % EXACT_ROW)).unflatten(1, (-1, EXACT_ROW))
    total: torch.Tensor = torch.linalg.vecdot(rows, rows).sum(1, dtype=torch.float64)
    return total


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
    )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Mean over images, one value per image."""
        error = squared_error(original.images, released.images)
        clusters = clusters_of(original)
        score = Score(
            metric=self.card.name,
            value=float(error.mean()),
            n=len(original),
            n_clusters=len(clusters.unique()),
            interval=mean_interval(error, clusters),
        )
        return Scores(score, {"mse": error})


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
    )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Mean finite dB, with the number of identical images and the PSNR of the mean MSE in ``details``."""
        error = squared_error(original.images, released.images)
        changed = error > 0
        details = {"identical images": float((~changed).sum())}
        if not changed.any():
            reason = f"all {len(original)} released images are identical to the originals: PSNR is infinite"
            return Scores(
                Score(metric="psnr", status="not-applicable", reason=reason, n=len(original), details=details)
            )
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
FLAT_ERROR = 1e-7
"""Estimated error of the float32 path above which an image is computed in float64 instead."""


def gaussian_window() -> npt.NDArray[np.float64]:
    """The 11 weights of a Gaussian with sigma 1.5, sum 1."""
    weights = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2)
    normed: npt.NDArray[np.float64] = weights / weights.sum()
    return normed


def structural_similarity(original: torch.Tensor, released: torch.Tensor) -> torch.Tensor:
    """SSIM per image: Gaussian window 11, sigma 1.5, population covariance, valid region, mean over RGB.

    Equals ``skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)``
    to 1e-6. The filters run in float32 around each plane's mean; where large flat areas would let rounding errors
    add up, the image is computed by scikit-image in float64.

    Args:
        original: uint8 ``[N, 3, H, W]``, sides of at least 11 px.
        released: the same shape.

    Returns:
        float64 ``[N]``, -1..1.
    """
    parts = [_ssim_chunk(a.numpy(), b.numpy()) for a, b in zip(original.split(4), released.split(4), strict=True)]
    value, doubt = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True))
    for row in torch.nonzero(doubt > FLAT_ERROR).flatten().tolist():
        value[row] = _ssim_in_float64(original[row], released[row])
    return value


def _ssim_chunk(
    original: npt.NDArray[np.uint8], released: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """SSIM and its estimated rounding error per image, both float64 ``[N]``."""
    x, mean_x = _centred(original)
    y, mean_y = _centred(released)
    mx, my = _smooth(x), _smooth(y)
    power = _smooth(x * x + y * y)
    covariance = _smooth(x * y) - mx * my
    variance = power - (mx * mx + my * my)
    flat = np.where(variance < 1.0, power, 0.0).reshape(len(original), -1)
    doubt = flat.mean(1, dtype=np.float64) * float(np.finfo(np.float32).eps) / C2
    mx, my = mx + mean_x, my + mean_y
    top = (2 * mx * my + np.float32(C1)) * (2 * covariance + np.float32(C2))
    bottom = (mx * mx + my * my + np.float32(C1)) * (variance + np.float32(C2))
    return (top / bottom).reshape(len(original), -1).mean(1, dtype=np.float64), doubt


def _centred(images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Planes ``[3N, H, W]`` minus their rounded mean, and the mean ``[3N, 1, 1]``: covariances stay, rounding shrinks."""
    planes = images.reshape(-1, *images.shape[2:]).astype(np.float32)
    mean = np.round(planes.mean((1, 2), keepdims=True, dtype=np.float64)).astype(np.float32)
    return planes - mean, mean


def _smooth(planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Gaussian window over the valid region; the planes lie below one another, so one call filters all."""
    import cv2

    weights, margin = gaussian_window(), WINDOW // 2
    tall = cv2.sepFilter2D(planes.reshape(-1, planes.shape[2]), cv2.CV_32F, weights, weights)
    return np.asarray(tall, np.float32).reshape(planes.shape)[:, margin:-margin, margin:-margin]


def _ssim_in_float64(original: torch.Tensor, released: torch.Tensor) -> float:
    from skimage.metrics import structural_similarity as reference

    return float(
        reference(
            original.numpy(),
            released.numpy(),
            channel_axis=0,
            gaussian_weights=True,
            sigma=SIGMA,
            use_sample_covariance=False,
            data_range=PEAK,
        )
    )


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
    )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Mean over images, one value per image."""
        if min(original.size) < WINDOW:
            reason = f"images of {original.size[0]} x {original.size[1]} px are smaller than the {WINDOW} px window"
            return Scores(Score(metric="ssim", status="not-applicable", reason=reason, n=len(original)))
        value = structural_similarity(original.images, released.images)
        clusters = clusters_of(original)
        score = Score(
            metric=self.card.name,
            value=float(value.mean()),
            n=len(original),
            n_clusters=len(clusters.unique()),
            interval=mean_interval(value, clusters),
        )
        return Scores(score, {"ssim": value})
