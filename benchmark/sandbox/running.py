"""Runs one command: starts it inside what keeps it apart, watches it, ends it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmark.entrants.described import Limits
from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.files import one_line
from benchmark.sandbox.adopting import Orphans, adopting
from benchmark.sandbox.capture import Captured, Drain
from benchmark.sandbox.ending import end_all
from benchmark.sandbox.isolation import Isolation, isolation
from benchmark.sandbox.programs import find_program, needed
from benchmark.sandbox.view import Places, check_places, view
from benchmark.sandbox.watching import MEGABYTE, Stop, Watch, affordable, room_of

_LAUNCH = Path(__file__).with_name("launch.py")
_FILE_TOO_LARGE = (-signal.SIGXFSZ, 128 + signal.SIGXFSZ)
_INTERVAL = 0.05
"""Seconds between two looks of the watchdog."""
_SLACK = 256
"""Processes of the same user that may start elsewhere before those of the command are refused."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        returncode: its exit code; negative, or 128 + n, where signal n ended it.
        seconds: time on the clock.
        peak_memory_mb: most resident memory of all its processes together, in MB (10^6 bytes), as far as it was seen.
        stopped_by: the limit that ended it, or nothing.
        stdout: what it printed.
        stderr: the same for errors.
        isolation: what kept it apart, one sentence.
        limits: what it was held against: its own, or what this machine could bear, or what ``at_most`` says.
    """

    returncode: int
    seconds: float
    peak_memory_mb: float
    stopped_by: Stop
    stdout: Captured
    stderr: Captured
    isolation: str
    limits: Limits


_longest: ContextVar[float] = ContextVar("longest", default=math.inf)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """No command that is run inside may take longer, whatever its limits say."""
    before = _longest.set(seconds)
    try:
        yield
    finally:
        _longest.reset(before)


def run_contained(
    command: Sequence[str],
    *,
    scratch: Path,
    env: Mapping[str, str],
    limits: Limits,
    reads: Sequence[Path] = (),
    private: Sequence[Path] = (),
    here: Path,
    gpu: bool = False,
    programs: Sequence[Path] = (),
    covered: Sequence[Path] = (),
) -> Outcome:
    """Runs a command in ``scratch`` and ends whatever it started.

    Args:
        command: program and arguments; a program without a slash is looked for in ``PATH``.
        scratch: its working folder, the only place it may write to, with ``input``, which it may not.
        env: variables on top of ``PATH``, ``LANG``, ``HOME`` and ``TMPDIR``; the caller's are not handed on.
        limits: what it may use.
        reads: further folders and files that a stranger asks to read.
        private: what it may never see, even inside something that it may, and where nothing of it may lie.
        here: the folder its description lies in, read-only.
        gpu: whether it may use graphics processors.
        programs: further folders and files it may read; the caller answers for them.
        covered: what it does not see either, but what it may see may lie in it.

    Raises:
        UsageError: the program is not there, or a folder to show is one to hide.
        EnvironmentProblem: the tier that is asked for does not work, something does not end, or the machine is full.
    """
    folder, hidden = scratch.resolve(), _resolved(private)
    variables = {**_usual(folder), **env}
    program = _program(command[0], variables["PATH"])
    wanted = (*_resolved(programs), *needed(program, variables["PATH"], hidden))
    places = Places(here.resolve(), folder, _resolved(reads), wanted, hidden, _resolved(covered), gpu)
    return _apart([*_cleared(variables), str(program), *command[1:]], places, limits)


def _apart(command: list[str], places: Places, limits: Limits) -> Outcome:
    way, folder = isolation(), places.scratch
    check_places(places)
    for name in ("home", "tmp", "shm"):
        (folder / name).mkdir(exist_ok=True)
    outer = way.wrapped(command, [*view(places), "--chdir", str(folder)], limits.processes)
    with adopting(wanted=way.tier == "none") as orphans:
        return _run(way, outer, folder, limits, orphans)


def _resolved(paths: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(path.resolve() for path in paths)


def _usual(scratch: Path) -> dict[str, str]:
    given = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    own = {"HOME": str(scratch / "home"), "TMPDIR": str(scratch / "tmp")}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", **given, **own}


def _cleared(variables: Mapping[str, str]) -> list[str]:
    return ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]


def _program(name: str, path: str) -> Path:
    found = find_program(name, path)
    if found is not None:
        return found
    said = f"the program '{one_line(name)}' in the command of entrant.toml"
    if "/" in name and not name.startswith("/"):
        raise UsageError(f"{said} has no whole path; write '{{here}}/...'")
    raise UsageError(f"{said} is not there; install it, or write where it is")


def _run(way: Isolation, command: list[str], scratch: Path, limits: Limits, orphans: Orphans) -> Outcome:
    start = room_of(scratch)
    limits = affordable(limits, scratch, start)
    limits = limits.model_copy(update={"seconds": min(limits.seconds, _longest.get())})
    started = _start(command, scratch, limits)
    assert started.stdout is not None
    assert started.stderr is not None
    drains = [Drain(os.dup(pipe.fileno())) for pipe in (started.stdout, started.stderr)]
    watch = Watch(started.pid, scratch, limits, orphans, start)
    try:
        stopped = _watched(started, watch)
        seconds = watch.seconds
    finally:
        end_all(started, watch.seen, scratch / "home", orphans, hidden=way.tier == "none")
        started.stdout.close()
        started.stderr.close()
    if not stopped and (started.returncode in _FILE_TOO_LARGE or watch.written_too_much()):
        stopped = "output"
    out, err = (drain.captured() for drain in drains)
    return Outcome(started.returncode, seconds, watch.peak / MEGABYTE, stopped, out, err, way.sentence, limits)


def _start(command: list[str], scratch: Path, limits: Limits) -> subprocess.Popen[bytes]:
    settings = json.dumps({"limits": _kernel_limits(limits)})
    path = os.environ.get("PATH", os.defpath)
    try:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", str(_LAUNCH), settings, *command],
            cwd=scratch,
            env={"PATH": path, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise EnvironmentProblem(
            f"no process can be started: {error.strerror}; end other programs, try again"
        ) from error


def _kernel_limits(limits: Limits) -> dict[str, int]:
    """What the kernel holds by itself, between two looks of the watchdog.

    Memory is a little wider than the limit, so that it is the watchdog that ends a command and can say why. The number
    of processes counts all of the same user, and does not bind root: where it can, ``isolation`` bounds them as well.
    """
    mine = psutil.Process().username()
    everything = [process.info for process in psutil.process_iter(["username", "num_threads"])]
    others = sum(info["num_threads"] or 0 for info in everything if info["username"] == mine)
    return {
        "RLIMIT_CORE": 0,
        "RLIMIT_DATA": int(limits.memory_mb * MEGABYTE * 1.25) + 64 * MEGABYTE,
        "RLIMIT_FSIZE": int(limits.output_mb * MEGABYTE),
        "RLIMIT_NPROC": others + limits.processes + _SLACK,
    }


def _watched(started: subprocess.Popen[bytes], watch: Watch) -> Stop:
    """Waits for the end, or for a limit that is broken."""
    while True:
        stopped = watch.check()
        if stopped:
            return stopped
        try:
            started.wait(_INTERVAL)
        except subprocess.TimeoutExpired:
            continue
        return ""
