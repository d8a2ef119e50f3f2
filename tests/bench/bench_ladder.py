"""What the ladder of attackers costs for one more entrant: ``python -m tests.bench.bench_ladder``."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmark.machine import idle_cores, use_threads
from benchmark.protocols import SuiteOptions
from benchmark.registry import build_entrant, load
from benchmark.release import Settings, make_release
from benchmark.scoring import Scorer
from benchmark.store import Store, cache_root
from tests.bench.bench_street import row

BARS = {"portraits-smoke": 8.0, "portraits-v1": 120.0}
"""Seconds on two cores that all attackers may take for an entrant, once originals are known."""
FIRST, ANOTHER = "blur(kernel=9)", "blur(kernel=15)"


def seconds(suite_name: str, folder: Path) -> float:
    """Wall seconds of all attackers against one more entrant, its copy's releases included."""
    suite = load("suites", suite_name)(SuiteOptions(store=cache_root() / "store"))
    store = Store(folder)
    scorer = Scorer(store, suite)
    took = 0.0
    for spec in (FIRST, ANOTHER):  # the first one pays for originals and imports
        entrant, settings = build_entrant(spec), Settings()
        release = make_release(store, suite, entrant, 0, settings)
        released = scorer.released(entrant, 0, release, settings)
        referees = scorer.referees_against(entrant, 0, release, settings)
        started = time.perf_counter()
        for metric in scorer.metrics:
            if metric.card.rung:
                metric.score(scorer.original, released, referees)
        took = time.perf_counter() - started
    return took


def main() -> None:
    """Prints the cost on both portraits suites beside what it may be."""
    use_threads(idle_cores())
    for name, bar in BARS.items():
        with tempfile.TemporaryDirectory() as place:
            row(f"ladder, one more entrant, {name}", seconds(name, Path(place)), bar)


if __name__ == "__main__":
    main()
