"""From what stands before the bracket of a spec to what builds the entrant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from benchmark.entrants.archives import suffix_of
from benchmark.entrants.described import FILE, DescribedPrecomputed, DescribedProcess, read_description
from benchmark.errors import UsageError
from benchmark.files import one_line
from benchmark.protocols import Anonymizer
from benchmark.records import ParamValue

REFUSED = "-refused"
"""What the name of a refused entrant ends in: it has a row of its own, and takes nobody's place."""


@dataclass(frozen=True)
class Found:
    """What a spec names.

    Attributes:
        family: name of its rows, without parameters.
        factory: builds the anonymizer from the parameters.
    """

    family: str
    factory: Callable[..., Any]


def place_of(text: str) -> Path:
    """A path as it was typed, ``~`` expanded.

    Raises:
        UsageError: nobody is called like that.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{one_line(text)}: there is no such home folder. Write the path without ~") from error


def is_place(text: str) -> bool:
    """Whether the text names a file or folder rather than an installed anonymizer."""
    path = place_of(text)
    return ".py:" in text or text.endswith((".py", ".toml", "/")) or bool(suffix_of(path)) or path.is_dir()


def found_in(text: str, taken: frozenset[str]) -> Found:
    """What a file, folder or archive holds.

    Args:
        text: ``file.py:Name``, an ``entrant.toml``, a folder or an archive with one.
        taken: names of installed anonymizers; no description may bear one of them.

    Raises:
        UsageError: there is no such thing, or it is not an entrant.
    """
    file, colon, name = text.rpartition(":")
    if colon and file.endswith(".py"):
        from benchmark.entrants.python_file import class_in_file

        path = place_of(file)
        return Found(f"{path.stem}.{name}", class_in_file(path, name))
    if text.endswith(".py"):
        raise UsageError(f"{one_line(text)}: which class? Write {one_line(text)}:Name")
    return _described(place_of(text), taken)


def _described(path: Path, taken: frozenset[str]) -> Found:
    if suffix_of(path) and not path.is_dir():
        return _precomputed(path, taken)
    file = path / FILE if path.is_dir() else path
    if file.name != FILE:
        raise UsageError(
            f"{one_line(file)}: a description is called {FILE}. Rename it, and give each a folder of its own"
        )
    if not file.is_file():
        raise UsageError(
            f"{one_line(file)} does not exist; an entrant is described there. For a start type: anonbench new my-tool "
            "--kind process (a command) or --kind precomputed (images)"
        )
    described = read_description(file)
    if isinstance(described, DescribedPrecomputed):
        return _precomputed(file.parent, taken)
    _check_name(described.name, file, taken)
    return Found(described.name, ProcessFactory(described, file.parent.resolve()))


def _precomputed(path: Path, taken: frozenset[str]) -> Found:
    from benchmark.entrants.precomputed import open_precomputed

    made = open_precomputed(path)
    _check_name(made.family, path, taken)
    return Found(made.family, ReadyMade(made))


def _check_name(name: str, path: Path, taken: frozenset[str]) -> None:
    if name.endswith(REFUSED):
        raise UsageError(
            f"{one_line(path)}: names that end in {REFUSED} are kept for what was refused. Give another in {FILE}"
        )
    if name in taken:
        raise UsageError(
            f"{one_line(path)}: an installed anonymizer is called '{name}', and two methods of one name could not be told "
            f"apart. Give another name in {FILE}"
        )


@dataclass(frozen=True)
class ReadyMade:
    """Builds what is built already: it has no parameters and remembers nothing of earlier calls."""

    anonymizer: Anonymizer

    def __call__(self) -> Anonymizer:
        """The anonymizer."""
        return self.anonymizer


class ProcessFactory:
    """Builds a command with its parameters.

    Args:
        described: the description.
        here: the folder it lies in.
    """

    def __init__(self, described: DescribedProcess, here: Path) -> None:
        self.described, self.here = described, here
        self.__doc__ = described.description
        self.__signature__ = Signature(
            [Parameter(name, Parameter.KEYWORD_ONLY, default=value) for name, value in described.parameters.items()]
        )

    def __call__(self, **given: ParamValue) -> Anonymizer:
        """The command as an anonymizer.

        Raises:
            ValueError: a value is of another type than its default.
        """
        from benchmark.entrants.process import ProcessEntrant

        values = {
            name: _typed(name, given[name], value) for name, value in self.described.parameters.items() if name in given
        }
        return ProcessEntrant(self.described, self.here, {**self.described.parameters, **values})


def _typed(name: str, given: ParamValue, default: ParamValue) -> ParamValue:
    if isinstance(default, float) and type(given) is int:
        return float(given)
    if type(given) is not type(default):
        raise ValueError(f"{name} must be {_KINDS[type(default)]}, like its default {default}")
    return given


_KINDS: Mapping[type, str] = {bool: "True or False", int: "a whole number", float: "a number", str: "a word"}
