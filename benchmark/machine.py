"""The machine: threads, devices, memory, and what a record says about all that."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.records import Machine


def prepare_environment() -> None:
    """Must run before torch and onnxruntime are imported.

    Waiting threads sleep instead of spinning on cores others could use, and onnxruntime reports to nobody.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def available_cores() -> int:
    """Cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def idle_cores(interval: float = 0.1) -> int:
    """Cores that nobody uses at the moment, at least 1.

    Args:
        interval: seconds to watch.
    """
    import psutil

    cores = available_cores()
    busy: float = psutil.cpu_percent(interval) / 100 * (psutil.cpu_count() or cores)
    return max(1, min(cores, round(cores - busy)))


def use_threads(threads: int | None) -> int:
    """Sets the number of computing threads (idle cores where None) and flushes denormals; returns the number."""
    import cv2
    import torch

    count = threads or idle_cores()
    torch.set_num_threads(count)
    torch.set_flush_denormal(True)
    cv2.setNumThreads(1)
    return count


def choose_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def checked_device(name: str) -> str:
    """A torch device somebody asked for.

    Raises:
        UsageError: torch knows no such device.
        EnvironmentProblem: this machine has none.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: no such device; write cpu, cuda or cuda:0") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name}: only cpu and cuda are supported")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EnvironmentProblem(f"--device {name}: this machine has {torch.cuda.device_count()} such devices; try cpu")
    return name


class PeakMemory:
    """Largest resident memory of this process above what it held at the start, in MB (10^6 bytes).

    Linux only (the kernel's high-water mark is reset at the start); elsewhere ``peak`` stays None.
    """

    def __init__(self) -> None:
        self.peak: float | None = None
        self._start: int | None = None

    def __enter__(self) -> PeakMemory:
        try:
            _give_back_free_memory()
            Path("/proc/self/clear_refs").write_text("5")
            self._start = _status_kb("VmRSS")
        except OSError:
            pass
        return self

    def __exit__(self, *_: object) -> None:
        if self._start is not None:
            self.peak = max(0, _status_kb("VmHWM") - self._start) * 1024 / 1e6


def _give_back_free_memory() -> None:
    """Lets the allocator return what nobody uses, so that reusing it later shows as growth."""
    gc.collect()
    with contextlib.suppress(TypeError, OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


def _status_kb(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


@cache
def describe_machine() -> Machine:
    """What a record says about the machine."""
    import psutil

    return Machine(
        system=platform.system(),
        machine=platform.machine(),
        processor=_processor(),
        cores=available_cores(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        gpus=_gpus(),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _gpus() -> tuple[str, ...]:
    import torch

    return tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))


DIRECT = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pillow",
    "scikit-image",
    "scikit-learn",
    "deepface",
    "onnxruntime",
    "opencv-contrib-python-headless",
)


@cache
def packages() -> dict[str, str]:
    """Versions of the packages that numbers depend on."""
    return {name: metadata.version(name) for name in DIRECT}


@cache
def environment_text() -> str:
    """Every installed distribution with its version, one per line."""
    found = {(part.name or "").lower(): part.version for part in metadata.distributions()}
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()) if name)


@cache
def harness_commit() -> tuple[str, bool | None]:
    """Commit of the harness's checkout and whether it has changes; empty outside a checkout."""
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return "", None
    commit = _git(folder, "rev-parse", "HEAD")
    return commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no")) if commit else None


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
