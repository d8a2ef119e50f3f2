"""The default run as a newcomer types it, with an empty cache: ``python -m tests.bench.bench_street``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIRST, AGAIN, HELP = 300.0, 5.0, 0.5
"""Seconds on two cores that the first run, the same run again and ``--help`` may take."""
RUN = ("run", "portraits-smoke")


def seconds(folder: Path, *words: str) -> float:
    """Wall seconds of one call of the command line, cache and results in ``folder``."""
    environment = {**os.environ, "ANONBENCH_CACHE": str(folder / "cache")}
    started = time.perf_counter()
    program = [sys.executable, "-c", "from benchmark.cli import main; main()", *words]
    subprocess.run(program, env=environment, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


def row(name: str, took: float, bar: float) -> None:
    """Prints one line: how long it took, and the share of what it may take."""
    print(f"{name:44} {took:8.2f} s  bar {bar:6.1f} s  {took / bar:6.2f}  {'ok' if took <= bar else 'MISS'}")


def main() -> None:
    """Times an empty cache, the same call again, and the help."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        row("run portraits-smoke, empty cache", seconds(folder, *RUN), FIRST)
        row("the same again", seconds(folder, *RUN), AGAIN)
        row("--help", min(seconds(folder, "--help") for _ in range(3)), HELP)


if __name__ == "__main__":
    main()
