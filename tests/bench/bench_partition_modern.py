"""How good and how fast the modern partitions are: ``python -m tests.bench.bench_partition_modern [--million]``.

SSE/SST on the embeddings of the method card against the best known there, one thread, CPU seconds. Then many persons,
each run in a process of its own for its peak memory, against MDAV of all of them. ``--million`` adds a million
persons (minutes). Gaussian rows with mean and covariance of the card's embeddings, or with a falling spectrum without them.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from anonymizers.kanonymity.clustering.best import best
from anonymizers.kanonymity.clustering.groups import CHUNK, sse, sst
from anonymizers.kanonymity.clustering.mdav import mdav

ORACLE = Path(__file__).parents[2].parent / "shared" / "data" / "anonfaces_oracle"
FILES = {"dlib": "celeba979_dlib", "facenet": "celeba979_facenet", "pca": "celeba979_pca10", "rafd": "rafd67_dlib"}
WORSE, SECONDS = {2: 1.01, 3: 1.005, 5: 1.005, 10: 1.005, 20: 1.005}, {2: 20.0, 3: 2.0, 5: 2.0, 10: 2.0, 20: 2.0}
"""How much more than the best known SSE, and how many seconds on one thread, the default may take at each k."""
MANY = {100_000: (30.0, 1.0), 1_000_000: (360.0, 4.0)}
"""Seconds and GiB on two cores, the points included, that so many persons may take at k=10."""
DIMENSIONS, K, GIB = 128, 10, 2**20


def embeddings(name: str) -> np.ndarray:
    with np.load(ORACLE / f"{FILES[name]}.npz", allow_pickle=False) as archive:
        return archive["X"].astype(np.float64)


def quality() -> None:
    """One line per embedding and k."""
    known = json.loads((ORACLE / "reference_clustering.json").read_text())["best_known_equal_size"]
    print(
        f"{'embedding':10} {'k':>3} {'SSE/SST':>8} {'best known':>11} {'ratio':>7} {'demand':>7} {'CPU s':>7} {'bar s':>6}"
    )
    for name in FILES:
        points = embeddings(name)
        for k, worse in WORSE.items():
            started = time.process_time()
            error = sse(points, best(points, k, 0, False))
            took, ratio = time.process_time() - started, error / known[name][str(k)]["sse"]
            figures = (
                f"{error / sst(points):8.4f} {known[name][str(k)]['sse_over_sst']:11.4f} {ratio:7.4f} {worse:7.3f}"
            )
            verdict = "ok" if ratio <= worse and took <= SECONDS[k] else "MISS"
            print(f"{name:10} {k:3} {figures} {took:7.2f} {SECONDS[k]:6.0f}  {verdict}")


def crowd(count: int) -> np.ndarray:
    """Gaussian rows as face embeddings have them, float32 ``[count, 128]``."""
    rng = np.random.default_rng(0)
    factor, mean = np.diag(np.arange(1, DIMENSIONS + 1) ** -0.5), np.ones(DIMENSIONS)
    if ORACLE.is_dir():
        faces = embeddings("dlib")
        factor, mean = np.linalg.cholesky(np.cov(faces.T) + 1e-12 * np.eye(DIMENSIONS)).T, faces.mean(0)
    points = np.empty((count, DIMENSIONS), dtype=np.float32)
    for at in range(0, count, CHUNK):
        part = points[at : at + CHUNK]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32) @ factor.astype(np.float32) + mean
    return points


def measured(method: str, count: int) -> dict[str, float]:
    """SSE/SST, wall and CPU seconds of a partition, and peak memory of a process that did nothing else."""
    words = [sys.executable, "-m", "tests.bench.bench_partition_modern", method, str(count)]
    result: dict[str, float] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return result


def measure(method: str, count: int) -> None:
    """What ``measured`` starts."""
    points = crowd(count)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB
    wall, cpu = time.perf_counter(), time.process_time()
    labels = {"best": best, "mdav": mdav}[method](points, K, 0, False)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB
    if np.bincount(labels).min() < K:
        raise SystemExit(f"{method} made a group of fewer than {K}")
    figures = {"error": sse(points, labels) / sst(points), "wall": wall, "cpu": cpu, "held": held, "peak": peak}
    print(json.dumps(figures))


def scale(counts: tuple[int, ...]) -> None:
    """One line per number of persons and method; a million rows of MDAV would take an hour."""
    columns = f"{'SSE/SST':>8} {'wall s':>7} {'CPU s':>7} {'bar s':>6} {'peak GiB':>9} {'before GiB':>11} {'bar':>4}"
    print(f"{'persons':>9} {'method':6} {columns}")
    for count in counts:
        bar, memory = MANY[count]
        found = measured("best", count)
        rows, good = {"best": found}, found["wall"] <= bar and found["peak"] <= memory
        if count == min(MANY):
            rows["mdav"] = measured("mdav", count)
            good = good and found["error"] <= rows["mdav"]["error"]
        for name, row in rows.items():
            times = f"{row['error']:8.4f} {row['wall']:7.1f} {row['cpu']:7.1f} {bar:6.0f}"
            verdict = ("ok" if good else "MISS") if name == "best" else ""
            print(f"{count:9} {name:6} {times} {row['peak']:9.2f} {row['held']:11.2f} {memory:4.0f}  {verdict}")


def main() -> None:
    """Both tables."""
    if ORACLE.is_dir():
        best(np.random.default_rng(0).normal(size=(9, 2)), 2, 0, False)  # imports what is imported late
        with threadpool_limits(1):
            quality()
        print()
    scale(tuple(MANY) if "--million" in sys.argv else (min(MANY),))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        main()
