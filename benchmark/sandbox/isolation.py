"""What this system allows to keep a command apart with, found out once by really doing it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from benchmark.errors import EnvironmentProblem, UsageError, did_you_mean

Tier = Literal["bubblewrap", "namespaces", "none"]
TIERS: tuple[Tier, ...] = get_args(Tier)
VARIABLE = "ANONBENCH_ISOLATION"
"""Names the tier that is to be used, instead of the best one that works."""

SENTENCES: dict[Tier, str] = {
    "bubblewrap": "bubblewrap: no network, own files, own processes",
    "namespaces": "namespaces: no network, own processes; files not kept apart, which bubblewrap would do",
    "none": "files, network and processes not kept apart, which bubblewrap would do",
}
_RESERVED = 300
"""Numbers of processes that the kernel does not give out again once it has counted through."""
_OVERHEAD = 8
_NAMESPACE_LIMITS_SINCE = (6, 14)
"""Linux version from which ``pid_max`` belongs to a namespace. Before, root would change it for the whole machine."""

_BUBBLE = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
_NO_NESTING = ["--disable-userns"]
_MINIMAL = ["--ro-bind", "/", "/", "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"]
_NETWORK = "/proc/self/ns/net"
_UNSHARE = ["unshare", "--user", "--pid", "--fork", "--kill-child", "--mount-proc"]
_APART = [*_UNSHARE, "--net", "--ipc", "--uts"]


@dataclass(frozen=True)
class Isolation:
    """How a command is kept apart.

    Attributes:
        tier: what is used.
        bounded: whether the kernel bounds the number of its processes.
        nesting: whether it may make namespaces of its own, which old versions of bubblewrap cannot forbid.
    """

    tier: Tier
    bounded: bool = False
    nesting: bool = True

    @property
    def sentence(self) -> str:
        """For the record."""
        return SENTENCES[self.tier]

    def wrapped(self, command: list[str], view: list[str], processes: int) -> list[str]:
        """The command inside what keeps it apart.

        Args:
            command: program and arguments.
            view: options of bubblewrap that say which files are seen; other tiers do without.
            processes: most processes and threads at a time.
        """
        inner = {"bubblewrap": self._bubble(view), "namespaces": _apart(), "none": []}[self.tier]
        return [*(_bound(processes) if self.bounded else []), *inner, *command]

    def _bubble(self, view: list[str]) -> list[str]:
        user = ["--unshare-user", "--uid", str(os.getuid()), "--gid", str(os.getgid())]
        return [*_BUBBLE, *user, *([] if self.nesting else _NO_NESTING), *view, "--"]


def _apart() -> list[str]:
    """Namespaces in which the user stays who it is, and so has no rights in them."""
    return [*_APART, f"--map-user={os.getuid()}", f"--map-group={os.getgid()}", "--"]


def _bound(processes: int) -> list[str]:
    """An outer namespace whose process numbers end early; from the inner one it cannot be reached, so it stays."""
    most = _RESERVED + processes + _OVERHEAD
    script = f'echo {most} > /proc/sys/kernel/pid_max && exec "$@"'
    return [*_UNSHARE, "--map-root-user", "--", "sh", "-c", script, "sh"]


def isolation() -> Isolation:
    """The best tier that works here, or the one that ``ANONBENCH_ISOLATION`` names.

    Raises:
        UsageError: the variable names no tier.
        EnvironmentProblem: the tier it names does not work here.
    """
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return next(found for tier in TIERS if (found := probed(tier)) is not None)
    if wanted not in TIERS:
        raise UsageError(f"{VARIABLE} names no way to keep commands apart.{did_you_mean(wanted, TIERS)}")
    found = probed(next(tier for tier in TIERS if tier == wanted))
    if found is None:
        raise EnvironmentProblem(
            f"{VARIABLE}={wanted} does not work on this system. Install bubblewrap (apt install bubblewrap), allow "
            f"unprivileged user namespaces, or take {VARIABLE} away to use what works"
        )
    return found


@cache
def probed(tier: Tier) -> Isolation | None:
    """How a tier works here, or None where it does not."""
    if tier == "none":
        return Isolation("none")
    nestings = (False, True) if tier == "bubblewrap" else (True,)
    bounds = (True, False) if _namespaces_have_limits() else (False,)
    ways = [Isolation(tier, bounded, nesting) for bounded in bounds for nesting in nestings]
    return next((way for way in ways if _works(way)), None)


def _namespaces_have_limits() -> bool:
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    linux = platform.system() == "Linux" and found is not None
    return bool(linux and found and (int(found[1]), int(found[2])) >= _NAMESPACE_LIMITS_SINCE)


def _works(way: Isolation) -> bool:
    """Runs a command that tells which network it is in."""
    command = way.wrapped(["readlink", _NETWORK], _MINIMAL, 64)
    if shutil.which(command[0]) is None:
        return False
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True, stdin=subprocess.DEVNULL)  # noqa: S603
        return done.stdout.strip().decode() not in ("", str(Path(_NETWORK).readlink()))
    except (OSError, subprocess.SubprocessError):
        return False
