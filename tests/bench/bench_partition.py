"""HP compat against the original: ``python -m tests.bench.bench_partition``.

The original's seconds are stored beside the reference partitions, taken on an idle machine with one thread; ours are process
CPU seconds of one thread, medians. Both divide the same 979 real embeddings, and the labels are compared.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from anonymizers.kanonymity.partition import partition

ORACLE = Path(__file__).parents[2].parent / "shared" / "data" / "anonfaces_oracle"
DEMANDS = {2: 7.0, 3: 20.0, 5: 20.0, 10: 20.0, 20: 20.0}
"""How often faster than the original, by k."""
REPETITIONS = 3


def original_seconds() -> dict[int, float]:
    """Wall seconds of the original by k."""
    rows = json.loads((ORACLE / "reference_clustering.json").read_text(encoding="utf-8"))["original"]
    clean = [row for row in rows if (row["emb"], row["alg"]) == ("dlib", "hp:ward") and row["timed_on_idle_machine"]]
    return {row["k"]: row["wall_s"] for row in clean}


def seconds(points: np.ndarray, k: int) -> tuple[float, np.ndarray]:
    start = time.process_time()
    labels = partition(points, k, "hp", compat=True)
    return time.process_time() - start, labels


def row(points: np.ndarray, reference: np.ndarray, k: int, original: float) -> None:
    runs = [seconds(points, k) for _ in range(REPETITIONS)]
    mine = statistics.median(took for took, _ in runs)
    equal = all(np.array_equal(labels, reference) for _, labels in runs)
    verdict = "ok" if equal and original / mine >= DEMANDS[k] else "MISS"
    said = "equal" if equal else "DIFFER"
    print(f"{k:4} {mine:8.2f} {original:12.1f} {original / mine:8.1f} {DEMANDS[k]:8.1f} {said:>8}  {verdict}")


def main() -> None:
    if not ORACLE.is_dir():
        print("HP compat against the original: not timed, anonfaces_oracle is not in shared/data beside the checkout")
        return
    points = np.load(ORACLE / "celeba979_dlib.npz", allow_pickle=False)["X"]
    references = np.load(ORACLE / "reference_labels.npz", allow_pickle=False)
    partition(points[:50], 5, "hp", compat=True)  # imports
    print("HP compat against the original, 979 x 128")
    print(f"{'k':>4} {'ours s':>8} {'original s':>12} {'ratio':>8} {'demand':>8} {'labels':>8}")
    with threadpool_limits(1):
        for k, original in sorted(original_seconds().items()):
            row(points, references[f"orig__dlib__hp-ward__k{k}__s0"], k, original)


if __name__ == "__main__":
    main()
