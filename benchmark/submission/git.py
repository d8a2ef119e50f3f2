"""Git as a child process: what a submission needs of it, with errors as one line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmark.decode import one_line
from benchmark.errors import EnvironmentProblem, UsageError

OWN = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
)
"""Variables that would make git work on another repository than the one that is named."""
QUIET = ("-c", "core.fsmonitor=false", "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.quotePath=off",
         "-c", "core.hooksPath=/dev/null")  # fmt: skip
"""No program of the repository's is started: its hooks are for the work of whoever works there."""


class GitRefused(Exception):
    """Git said no; the text is what it said."""


def git(folder: Path, *words: str) -> bytes:
    """What ``git`` prints when it is called in ``folder``.

    Raises:
        GitRefused: it ended with an error.
        EnvironmentProblem: it is not installed.
    """
    environment = {name: value for name, value in os.environ.items() if name not in OWN}
    environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    command = ["git", "-C", str(folder), *QUIET, *words]
    try:
        done = subprocess.run(  # noqa: S603 - a list of words, no shell
            command, env=environment, capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise EnvironmentProblem("git is not installed; install it and run the same command again") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise GitRefused(one_line(" ".join(said.split()))[-400:])
    return done.stdout


def line(folder: Path, *words: str) -> str:
    """The same as one line of text."""
    return git(folder, *words).decode(errors="surrogateescape").strip()


def top_of(folder: Path) -> Path:
    """The top folder of the repository around ``folder``.

    Raises:
        UsageError: there is none.
    """
    try:
        return Path(line(folder, "rev-parse", "--show-toplevel"))
    except GitRefused as error:
        raise UsageError(
            f"{one_line(folder)} is in no git repository ({error}). Name one with --repo or --root"
        ) from error


def commit_of(folder: Path, name: str) -> str:
    """The full name of a commit.

    Raises:
        UsageError: there is none of that name.
    """
    try:
        return line(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except GitRefused as error:
        raise UsageError(
            f"no commit is called '{one_line(name)}' in {one_line(folder)}. Try: git fetch origin"
        ) from error


def known_ref(folder: Path, name: str) -> bool:
    """Whether a branch or another reference of this full name exists."""
    try:
        git(folder, "show-ref", "--verify", "--quiet", name)
    except GitRefused:
        return False
    return True


def paths_in(folder: Path, commit: str, under: str) -> list[str]:
    """The files of a commit below a folder, from the top of the repository; empty where there is none of that name."""
    words = ("ls-tree", "-r", "-z", "--full-tree", "--name-only", commit, "--", f"{under}/")
    return git(folder, *words).decode(errors="surrogateescape").split("\0")[:-1]


def folders_in(folder: Path, commit: str, results: str) -> set[str]:
    """The names of the result folders of a commit: those that hold records."""
    parts = [path.removeprefix(f"{results}/").split("/") for path in paths_in(folder, commit, results)]
    return {part[0] for part in parts if len(part) == 5 and part[1] == "records" and part[4] == "record.json"}
