"""Speed of the pixel metrics against scikit-image: ``python tests/bench/bench_metrics.py``.

Single thread on both sides, both sides in one run, alternating; medians of process CPU time per image. The images are
smooth fields with camera noise, released with a little more noise, so that nothing is flat and nothing is a shortcut.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio
from skimage.metrics import structural_similarity as reference_ssim

from metrics.pixel import decibels, squared_error, structural_similarity

SIDES, REPETITIONS, DEMAND = (64, 96, 224), 9, 3.0
Run = Callable[[], object]


def natural(count: int, side: int, generator: np.random.Generator) -> np.ndarray:
    """Smooth fields plus noise, uint8 ``[N, 3, H, W]``."""
    fields = [cv2.GaussianBlur(generator.normal(0, 1, (side, side, 3)), (0, 0), side / 12) for _ in range(count)]
    planar = np.ascontiguousarray(np.stack(fields).transpose(0, 3, 1, 2))
    scaled = 128 + 50 * planar / planar.std() + generator.normal(0, 3, planar.shape)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def skimage_ssim(original: np.ndarray, released: np.ndarray) -> list[float]:
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return [reference_ssim(a, b, channel_axis=0, **settings) for a, b in zip(original, released, strict=True)]


def skimage_psnr(original: np.ndarray, released: np.ndarray) -> list[float]:
    return [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(original, released, strict=True)]


def seconds(run: Run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(ours: Run, theirs: Run) -> tuple[float, float]:
    """Median seconds of both, after one round to warm up."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(REPETITIONS + 1)][1:]
    mine, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    return mine, other


def row(name: str, count: int, ours: Run, theirs: Run) -> None:
    mine, other = compare(ours, theirs)
    verdict = "ok" if other / mine >= DEMAND else "MISS"
    print(
        f"{name:12} {1e6 * mine / count:12.0f} {1e6 * other / count:14.0f} {other / mine:8.2f} {DEMAND:8.1f}  {verdict}"
    )


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    generator = np.random.default_rng(20240601)
    print(f"{'metric':12} {'ours us/img':>12} {'skimage us/img':>14} {'ratio':>8} {'demand':>8}")
    for side in SIDES:
        count = 16 * 224 // side
        original = natural(count, side, generator)
        released = np.clip(original + generator.normal(0, 10, original.shape), 0, 255).astype(np.uint8)
        a, b = torch.from_numpy(original), torch.from_numpy(released)
        ssim = lambda a=a, b=b: structural_similarity(a, b)  # noqa: E731
        psnr = lambda a=a, b=b: decibels(squared_error(a, b))  # noqa: E731
        row(f"ssim {side}", count, ssim, lambda x=original, y=released: skimage_ssim(x, y))
        row(f"psnr {side}", count, psnr, lambda x=original, y=released: skimage_psnr(x, y))


if __name__ == "__main__":
    main()
