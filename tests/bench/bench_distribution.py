"""Speed of the Fréchet distance against scipy's matrix square root, as pytorch-fid takes it.

``python -m tests.bench.bench_distribution``. Single thread on both sides, both sides in one run, alternating; process
CPU time from features to distance, covariances included. The features have the spectrum of Inception's.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from metrics.frechet import frechet_distance

DIMENSIONS = 2048
CASES = ((1000, 50.0, 3), (5000, 3.0, 3))
"""Images, demanded ratio, repetitions."""


def features(count: int, seed: int) -> torch.Tensor:
    """Gaussian rows whose eigenvalues fall like Inception's, float32 ``[N, 2048]``."""
    generator = torch.Generator().manual_seed(seed)
    deviations = 6.7 * torch.arange(1, DIMENSIONS + 1) ** -0.6
    return torch.randn(count, DIMENSIONS, generator=generator) * deviations


def pytorch_fid(x: np.ndarray, y: np.ndarray) -> float:
    from pytorch_fid.fid_score import calculate_frechet_distance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        moments = [part for rows in (x, y) for part in (rows.mean(0), np.cov(rows, rowvar=False))]
        return float(calculate_frechet_distance(*moments))


def seconds(run: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    value = run()
    return time.process_time() - start, value


def row(count: int, demand: float, repetitions: int) -> None:
    x, y = features(count, 1), features(count, 2)
    a, b = x.double().numpy(), y.double().numpy()
    pairs = [(seconds(lambda: frechet_distance(x, y)), seconds(lambda: pytorch_fid(a, b))) for _ in range(repetitions)]
    mine, other = (statistics.median(side[0] for side in sides) for sides in zip(*pairs, strict=True))
    apart = abs(pairs[0][0][1] / pairs[0][1][1] - 1)
    verdict = "ok" if other / mine >= demand else "MISS"
    print(f"{count:8} {mine:10.2f} {other:14.2f} {other / mine:8.1f} {demand:8.1f} {apart:12.1e}  {verdict}")


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'images':>8} {'ours s':>10} {'pytorch-fid s':>14} {'ratio':>8} {'demand':>8} {'rel. diff.':>12}")
    with threadpool_limits(1):
        for case in CASES:
            row(*case)


if __name__ == "__main__":
    main()
