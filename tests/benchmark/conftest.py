from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmark.cli import cli

Invoke = Callable[..., Result]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests: portraits are rendered once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def invoke(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs the command line in this process with one thread."""
    monkeypatch.setenv("ANONBENCH_CACHE", str(cache))
    monkeypatch.delenv("ANONBENCH_DATA", raising=False)

    def call(*words: str | Path) -> Result:
        return CliRunner().invoke(cli, [str(word) for word in words])

    return call


@pytest.fixture
def spawn(cache: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts the command line as a process of its own; what it says goes to ``tmp_path / "said"``."""

    def start(*words: str | Path, cache_at: Path = cache) -> subprocess.Popen[bytes]:
        with (tmp_path / "said").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-c", "from benchmark.cli import main; main()", *map(str, words)],
                env={**os.environ, "ANONBENCH_CACHE": str(cache_at)},
                stdout=said,
                stderr=said,
            )

    return start
