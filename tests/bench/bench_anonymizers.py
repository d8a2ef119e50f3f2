"""Speed of the conventional anonymizers against straightforward code: ``python tests/bench/bench_anonymizers.py``.

Single thread on both sides, both sides in one run, alternating; medians of process CPU time over 200 images of
224 x 224 px. OpenCV gets its images as it likes them (H x W x 3 each), ours come and go as ``[N, 3, H, W]``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from anonymizers.conventional.blur import Blur, GaussianBlur
from anonymizers.conventional.differential import DpBlur, DpPix
from anonymizers.conventional.ksame import KSameEigen, KSamePixel
from anonymizers.conventional.mask import Mask
from anonymizers.conventional.noise import GaussianNoise, SaltPepper
from anonymizers.conventional.pixelate import Pixelate
from benchmark.images import ImageSet
from benchmark.protocols import Anonymizer, Controller

COUNT, SIDE = 200, 224
Run = Callable[[], object]


def loop_dp_pix(images: np.ndarray, b: int, m: int, eps: float) -> list[np.ndarray]:
    """DP-Pix cell by cell, as the published baselines do, but clipped."""
    generator = np.random.default_rng(0)
    released = []
    for image in images:
        noisy = np.empty_like(image)
        for top in range(0, image.shape[0], b):
            for left in range(0, image.shape[1], b):
                for channel in range(3):
                    mean = image[top : top + b, left : left + b, channel].mean()
                    value = mean + generator.laplace(0, 255 * m / (b * b * eps))
                    noisy[top : top + b, left : left + b, channel] = np.clip(value, 0, 255)
        released.append(noisy)
    return released


def opencv_blur(images: np.ndarray, kernel: int) -> list[np.ndarray]:
    return [cv2.blur(image, (kernel, kernel), borderType=cv2.BORDER_REFLECT_101) for image in images]


def opencv_gaussian(images: np.ndarray, kernel: int) -> list[np.ndarray]:
    return [cv2.GaussianBlur(image, (kernel, kernel), 0) for image in images]


def opencv_pixelate(images: np.ndarray, size: int) -> list[np.ndarray]:
    released = []
    for image in images:
        height, width = image.shape[:2]
        small = cv2.resize(image, (width // size, height // size), interpolation=cv2.INTER_AREA)
        released.append(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST))
    return released


def seconds(run: Run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(ours: Run, theirs: Run, repetitions: int, share: float = 1.0) -> tuple[float, float]:
    """Images per second of both; ``share`` is the part of the images that ``theirs`` treats."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(repetitions + 1)][1:]
    mine, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    return COUNT / mine, COUNT * share / other


def row(name: str, against: str, ours: float, theirs: float, demand: float) -> None:
    ratio = ours / theirs
    verdict = "ok" if ratio >= demand else "MISS"
    print(f"{name:24} {ours:9.0f} {against:26} {theirs:9.1f} {ratio:8.2f} {demand:8.1f}  {verdict}")


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pixels = np.random.default_rng(20240601).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    planar = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    images = ImageSet(planar, tuple(f"{index:04}" for index in range(COUNT)))

    def ours(entrant: Anonymizer) -> Run:
        return lambda: entrant.anonymize(images, Controller())

    print(f"{'entrant':24} {'img/s':>9} {'against':26} {'img/s':>9} {'ratio':>8} {'demand':>8}")
    for kernel in (9, 40):
        row(f"blur {kernel}", "cv2.blur", *compare(ours(Blur(kernel)), lambda k=kernel: opencv_blur(pixels, k), 15), 1)
    row("pixelate 16", "cv2.resize twice", *compare(ours(Pixelate(16)), lambda: opencv_pixelate(pixels, 16), 15), 1)
    for kernel in (9, 29):
        theirs = lambda k=kernel: opencv_gaussian(pixels, k)  # noqa: E731
        row(f"gaussian-blur {kernel}", "cv2.GaussianBlur", *compare(ours(GaussianBlur(kernel)), theirs, 3), 1)
    for b, part, demand in ((16, 20, 30.0), (4, 4, 200.0)):
        few = lambda b=b, part=part: loop_dp_pix(pixels[:part], b, 16, 1.0)  # noqa: E731
        row(f"dp-pix {b}", "loop over cells", *compare(ours(DpPix(b)), few, 3, part / COUNT), demand)
    others = [DpBlur(), GaussianNoise(), SaltPepper(), Mask("eyes+mouth"), KSamePixel(), KSameEigen()]
    for entrant in others:
        print(f"{type(entrant).__name__:24} {COUNT / seconds(ours(entrant)):9.0f}")


if __name__ == "__main__":
    main()
