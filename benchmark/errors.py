"""The exceptions of the harness, each with the exit code of the command line.

AnonbenchError (1)
├── UsageError (2)        what was asked for cannot be done: a name, a parameter, a folder, a broken input
├── EntrantError (3)      an anonymizer failed or broke the protocol
├── EnvironmentProblem (4)  the machine is in the way: disk, permissions, a missing or wrong weight file
└── NothingComparable (5) there is no record to show or to compare
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AnonbenchError(Exception):
    """Root of all errors that are meant for the user: the message is one line and says what to type next."""

    exit_code = 1


class UsageError(AnonbenchError):
    """The request cannot be carried out as given."""

    exit_code = 2


class EntrantError(AnonbenchError):
    """An anonymizer raised, or returned something that is not a released image set."""

    exit_code = 3


class EnvironmentProblem(AnonbenchError):
    """Disk, permissions, weights or packages of this machine stand in the way."""

    exit_code = 4


class NothingComparable(AnonbenchError):
    """No record matches what was asked for."""

    exit_code = 5


def as_line(error: BaseException) -> str:
    """What somebody else's code raised, as one line of bounded length."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ends an error message about an unknown name.

    Returns:
        ``" Did you mean 'blur'?"`` where something close exists, else the list of known names.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(names)}." if names else ""
