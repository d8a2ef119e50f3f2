"""All benches, one after the other: ``python -m tests.bench``."""

from __future__ import annotations

from benchmark.machine import prepare_environment

prepare_environment()  # before torch is imported, as the commands do

# ruff: noqa: E402
from tests.bench import (
    bench_anonymizers,
    bench_distribution,
    bench_edi_anon,
    bench_entering,
    bench_ladder,
    bench_metrics,
    bench_partition,
    bench_partition_modern,
    bench_street,
)

if __name__ == "__main__":
    bench_anonymizers.main()
    print()
    bench_metrics.main()
    print()
    bench_distribution.main()
    print()
    bench_ladder.main()
    print()
    bench_edi_anon.main()
    print()
    bench_entering.main()
    print()
    bench_partition.main()
    print()
    bench_partition_modern.main()
    print()
    bench_street.main()
