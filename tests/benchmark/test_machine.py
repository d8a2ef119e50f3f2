"""What a record says about the machine, and how memory is measured."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import machine


def test_description_of_the_machine_is_filled_in() -> None:
    found = machine.describe_machine()
    assert found.system
    assert found.processor
    assert found.cores == machine.available_cores() >= 1
    assert found.memory_gib > 0
    assert len(found.gpus) == torch.cuda.device_count()


def test_idle_cores_are_some_of_those_available() -> None:
    assert 1 <= machine.idle_cores(0.01) <= machine.available_cores()


def test_threads_are_set_and_told() -> None:
    before = torch.get_num_threads()
    try:
        assert machine.use_threads(1) == torch.get_num_threads() == 1
        assert 1 <= machine.use_threads(None) <= machine.available_cores()
    finally:
        torch.set_num_threads(before)


def test_packages_are_those_that_are_imported() -> None:
    assert machine.packages()["numpy"] == np.__version__
    assert machine.packages()["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_environment_has_one_line_per_distribution() -> None:
    lines = machine.environment_text().splitlines()
    assert f"numpy=={np.__version__}" in lines
    assert lines == sorted(lines, key=lambda line: line.split("==")[0])
    assert len(lines) == len(set(lines))


def test_commit_is_a_hash_or_unknown() -> None:
    commit, dirty = machine.harness_commit()
    assert (len(commit) == 40 and dirty in (True, False)) or (commit, dirty) == ("", None)


def test_waiting_threads_sleep_unless_somebody_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.delenv("KMP_BLOCKTIME", raising=False)
    machine.prepare_environment()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ.pop("KMP_BLOCKTIME")) == ("active", "0")


@pytest.mark.skipif(sys.platform != "linux" or not Path("/proc/self/clear_refs").exists(), reason="Linux only")
def test_peak_memory_sees_what_was_used_in_between() -> None:
    with machine.PeakMemory() as memory:
        block = np.ones(64 * 10**6, np.uint8)
        del block
    if memory.peak is None:
        pytest.skip("the kernel does not let a process reset its high-water mark")
    assert 60 < memory.peak < 120


@pytest.mark.skipif(sys.platform != "linux" or not Path("/proc/self/clear_refs").exists(), reason="Linux only")
def test_peak_memory_of_nothing_is_almost_nothing() -> None:
    with machine.PeakMemory() as memory:
        pass
    if memory.peak is None:
        pytest.skip("the kernel does not let a process reset its high-water mark")
    assert memory.peak < 10
