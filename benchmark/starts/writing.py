"""Writes the folder of a start from its templates, whole or not at all."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.files import one_line
from benchmark.registry import names
from benchmark.specs import Spec

KINDS = ("python", "process", "precomputed")
"""What a start can be of."""
SUITE = "portraits-smoke"
"""The suite that the next commands name: it needs no data."""
FILES: Mapping[str, Mapping[str, str]] = {
    "python": {"{module}.py": "python.py.j2", "test_{module}.py": "python_test.py.j2"},
    "process": {
        "entrant.toml": "process.toml.j2",
        "anonymize.py": "process.py.j2",
        "test_{module}.py": "process_test.py.j2",
    },
    "precomputed": {
        "entrant.toml": "precomputed.toml.j2",
        "release.py": "precomputed.py.j2",
        "test_{module}.py": "precomputed_test.py.j2",
    },
}
"""Templates by the file that each becomes."""


@dataclass(frozen=True)
class Start:
    """A start that was written.

    Attributes:
        name: of the entrant.
        kind: one of ``KINDS``.
        folder: where it is.
    """

    name: str
    kind: str
    folder: Path

    @property
    def spec(self) -> str:
        """What names the entrant on the command line."""
        file = f"{module_of(self.name)}.py:{class_of(self.name)}" if self.kind == "python" else "entrant.toml"
        return f"{self.folder}/{file}"

    @property
    def files(self) -> tuple[Path, ...]:
        """What it consists of, sorted."""
        return tuple(sorted(self.folder.iterdir()))

    @property
    def commands(self) -> tuple[str, ...]:
        """What to type next, in order."""
        entrant, family = shlex.quote(self.spec), self.name
        if self.kind == "python":
            family = f"{module_of(self.name)}.{class_of(self.name)}"
        result = f"leaderboard/{SUITE}/records/{Spec(family, {}).slug}/seed-0"
        return (
            *(self._releasing() if self.kind == "precomputed" else ()),
            f"anonbench check {entrant}",
            f"anonbench run {SUITE} -e {entrant}",
            f"anonbench submit {result}",
        )

    def _releasing(self) -> tuple[str, ...]:
        images, folder = shlex.quote(f"{self.folder}-images"), shlex.quote(str(self.folder))
        return (
            f"anonbench export {SUITE} --out {images}",
            f"python {shlex.quote(str(self.folder / 'release.py'))} {images} {folder}",
            f"anonbench pack {folder}",
        )


def module_of(name: str) -> str:
    """``my-blur`` as the name of a module."""
    return name.replace("-", "_")


def class_of(name: str) -> str:
    """``my-blur`` as the name of a class."""
    return "".join(part.capitalize() for part in name.split("-"))


def write_start(name: str, kind: str, place: Path) -> Start:
    """Writes the folder ``place / name``.

    Args:
        name: lower-case letters, digits and hyphens.
        kind: one of ``KINDS``.
        place: the folder to write it in; it must be there.

    Raises:
        UsageError: the name cannot be used, or something of that name is there; nothing is written.
        EnvironmentProblem: the folder cannot be written; nothing is left behind.
    """
    _check_name(name)
    folder = place / name
    if not place.is_dir():
        raise UsageError(
            f"--dir {one_line(place)} is no folder. Make it with: mkdir -p {one_line(shlex.quote(str(place)))}"
        )
    if os.path.lexists(folder):
        raise UsageError(
            f"{one_line(folder)} is there already, and nothing is overwritten. Choose another name or --dir"
        )
    try:
        with tempfile.TemporaryDirectory(prefix=".anonbench-new-", dir=place) as half:
            made = Path(half) / name
            made.mkdir()
            for file, text in _rendered(name, kind).items():
                (made / file).write_text(text, encoding="utf-8")
            made.rename(folder)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {one_line(folder)}: {error.strerror or error}. Name a folder of yours with --dir"
        ) from error
    return Start(name, kind, folder)


def _check_name(name: str) -> None:
    shown = one_line(name)[:100]
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,59}", name):
        raise UsageError(
            f"'{shown}' cannot be a name: write lower-case letters, digits and hyphens, a letter first and at most 60, as "
            "in my-blur"
        )
    if name in names("anonymizers"):
        raise UsageError(f"an installed anonymizer is called '{shown}'. Choose another name, as in my-{shown}")
    words = (module_of(name), class_of(name))
    if any(keyword.iskeyword(word) for word in words) or importlib.util.find_spec(words[0]) is not None:
        raise UsageError(f"'{shown}' already means something in Python. Choose another name, as in my-{shown}")


def _rendered(name: str, kind: str) -> dict[str, str]:
    """The files of a start by name."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - no HTML; a name has nothing to escape
        loader=PackageLoader("benchmark.starts"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    context = {"name": name, "module": module_of(name), "class_name": class_of(name)}
    return {
        file.format(module=context["module"]): environment.get_template(template).render(context)
        for file, template in FILES[kind].items()
    }
