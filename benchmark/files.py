"""Reading somebody else's files, and saying their names in a line."""

from __future__ import annotations

from pathlib import Path

from benchmark.errors import EnvironmentProblem, UsageError


def one_line(text: object) -> str:
    """``text`` with line breaks and other unprintable characters escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text))


def read_file(path: Path) -> bytes:
    """All bytes of a file.

    Raises:
        UsageError: there is no such file, or it is a folder.
        EnvironmentProblem: it may not be read, or the disk fails.
    """
    name = one_line(path)
    try:
        if not path.is_dir() and path.exists() and not path.is_file():
            raise UsageError(f"{name} is no ordinary file; take it away")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{name} does not exist; check the path, or take it off the list") from error
    except IsADirectoryError as error:
        raise UsageError(f"{name} is a folder, not a file; name a file in it") from error
    except PermissionError as error:
        raise EnvironmentProblem(f"{name} may not be read; give yourself access with: chmod u+rX '{name}'") from error
    except OSError as error:
        raise EnvironmentProblem(f"{name} cannot be read ({error.strerror}); check the disk") from error
