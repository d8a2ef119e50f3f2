"""What entering costs: ``check``, a contained start, ``validate``, and a board: ``python -m tests.bench.bench_entering``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmark.entrants.described import Limits
from benchmark.sandbox import run_contained
from tests.bench.bench_street import row, seconds

ROOT = Path(__file__).parents[2]
CHECK, VALIDATE = 10.0, 10.0
"""Seconds that a conformance test and the validation of the official board may take."""
CHECKED = ("blur(kernel=9)", "ksame-eigen(k=5)", "edi-anon(perturb=pixelate, preset=paper)", "edi-anon", "deface")


def contained(times: int = 10) -> tuple[float, float, str]:
    """Seconds of the shortest program bare and kept apart, the best of some, and what kept it apart."""
    words, bare, apart, said = [sys.executable, "-c", "pass"], [], [], ""
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run(words, check=True)
        bare.append(time.perf_counter() - started)
        with tempfile.TemporaryDirectory() as place:
            scratch, here = Path(place, "scratch"), Path(place, "here")
            for folder in (scratch / "input", scratch / "output", here):
                folder.mkdir(parents=True)
            started = time.perf_counter()
            done = run_contained(words, scratch=scratch, env={}, limits=Limits(), reads=[], private=[], here=here)
            apart.append(time.perf_counter() - started)
            said = done.isolation
    return min(bare), min(apart), said


def main() -> None:
    """Times the conformance test of several entrants, a contained start and the validation of the official board."""
    with tempfile.TemporaryDirectory() as place:
        for spec in CHECKED:
            if spec == "deface" and shutil.which("deface") is None:
                print("check deface: not timed, deface is not in PATH")
                continue
            row(f"check {spec}", seconds(Path(place), "check", spec, "--threads", "1"), CHECK)
        row("validate results", seconds(Path(place), "validate", str(ROOT / "results")), VALIDATE)
    bare, apart, said = contained()
    print(
        f"start of a program: bare {1000 * bare:.0f} ms, kept apart {1000 * apart:.0f} ms, {apart / bare:.1f}x ({said})"
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
