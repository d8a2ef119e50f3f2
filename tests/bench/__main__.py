"""All benches, one after the other: ``python -m tests.bench``."""

from __future__ import annotations

from tests.bench import bench_anonymizers, bench_metrics

if __name__ == "__main__":
    bench_anonymizers.main()
    print()
    bench_metrics.main()
