"""Runs as a process of its own: sets the limits of the kernel on itself, then becomes the command.

Started as ``python -I -S launch.py SETTINGS COMMAND...``; it needs nothing but the standard library. What it becomes is
the wrapper of the tier, so that the variables of the command, which a stranger chose, never reach the wrapper.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
_NICE = 10
"""Where the scheduler does not share by session, hundreds of busy processes would starve the watchdog."""
UNLIMITED = resource.RLIM_INFINITY


def _limit(name: str, value: int) -> None:
    which = getattr(resource, name, None)
    if which is None:
        return
    hard = resource.getrlimit(which)[1]
    value = value if hard == UNLIMITED else min(value, hard)
    with contextlib.suppress(OSError, ValueError):  # some systems know a limit by name and refuse to set it
        resource.setrlimit(which, (value, value))


def _first_to_go() -> None:
    """Where memory runs out, the kernel ends the command before anything else; it ends with whoever started it."""
    os.nice(_NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Sets limits, gives signals back their usual meaning, and becomes ``sys.argv[2:]``."""
    settings, command = json.loads(sys.argv[1]), sys.argv[2:]
    _first_to_go()
    for name, value in settings["limits"].items():
        _limit(name, value)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a command inherits that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
