"""``manifest.json``: the released images of a folder, each with its sha256."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from benchmark.errors import UsageError
from benchmark.files import one_line, read_file
from benchmark.hashing import sha256_file
from benchmark.protocols import Progress, Report, quiet, silent

FILE = "manifest.json"
"""What a manifest is called."""
FOLDERS = ("probe", "enrol", "background")
"""Sub-folders of released images."""
LARGEST = 64 * 10**6
"""Bytes of the largest image that is read, and of the largest manifest."""
_SHAPE = re.compile(rf"({'|'.join(FOLDERS)})/[0-9a-f]{{16}}\.(png|jpg|jpeg|webp|bmp|tiff|tif)")
_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tiff", ".tif", ".gif", ".jfif", ".ppm", ".avif"})
_RULE = (
    "files are called probe/KEY.png, with the KEY of the exported image (16 hexadecimal digits) under probe, enrol or "
    "background; jpg, jpeg, webp, bmp, tiff and tif are taken as well"
)
_WORKERS = min(8, os.cpu_count() or 1)
_BLOCK = 1024
Item = TypeVar("Item")
Made = TypeVar("Made")


class Manifest(BaseModel):
    """What was released, by content."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    files: dict[str, str]
    """sha256 by path, as in ``probe/0123456789abcdef.png``."""

    @field_validator("files")
    @classmethod
    def _names_and_hashes(cls, files: dict[str, str]) -> dict[str, str]:
        keys: dict[str, str] = {}
        for name, sha256 in files.items():
            if not _SHAPE.fullmatch(name):
                raise ValueError(f"'{one_line(name)[:200]}' cannot be listed: {_RULE}")
            if not re.fullmatch(r"[0-9a-f]{64}", sha256):
                raise ValueError(f"'{name}' has '{one_line(sha256)[:80]}' for a sha256: 64 hexadecimal digits are one")
            other = keys.setdefault(key_of(name), name)
            if other != name:
                raise ValueError(f"'{other}' and '{name}' are two files for one image; keep one of them")
        if not any(name.startswith("probe/") for name in files):
            raise ValueError(f"there is no image under probe: {_RULE}")
        return dict(sorted(files.items()))

    def count(self, folder: str) -> int:
        """Images in one of ``FOLDERS``."""
        return sum(name.startswith(f"{folder}/") for name in self.files)


def key_of(name: str) -> str:
    """The key of the image that a file is."""
    return PurePosixPath(name).stem


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a folder; its files are not looked at.

    Raises:
        UsageError: it is missing, no ordinary file, not JSON, or lists what may not be listed.
        EnvironmentProblem: it may not be read.
    """
    path, name = folder / FILE, one_line(folder / FILE)
    remedy = f"Write it anew with: anonbench pack {one_line(folder)}"
    problem = file_problem(path)
    if problem:
        raise UsageError(f"{name} {problem}. {remedy}")
    try:
        return Manifest.model_validate(json.loads(read_file(path), object_pairs_hook=_unique))
    except ValidationError as error:
        raise UsageError(f"{name}: {_first(error)}. {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not JSON of a manifest ({one_line(error)[:300]}). {remedy}") from error


def make_manifest(folder: Path, report: Report = quiet) -> Manifest:
    """Hashes the images under ``FOLDERS``.

    Hidden files and files that are no images by their names are left out.

    Raises:
        UsageError: an image has a name that cannot be listed, or is no ordinary file; or there are none.
    """
    names = [f"{part}/{name}" for part in FOLDERS for name in _images_in(folder / part)]
    for name in names:
        problem = file_problem(folder / name)
        if problem:
            raise UsageError(f"{one_line(folder / name)} {problem}. Put the image itself there")
    with report(f"hash the files of {one_line(folder)}", len(names)) as progress:
        hashes = list(mapped(lambda name: sha256_file(folder / name), names, progress))
    try:
        return Manifest(files=dict(zip(names, hashes, strict=True)))
    except ValidationError as error:
        raise UsageError(f"{one_line(folder)}: {_first(error)}. Rename or remove it, then pack again") from error


def _images_in(folder: Path) -> list[str]:
    names = entries(folder)
    return [name for name in names if not name.startswith(".") and Path(name).suffix.lower() in _IMAGES]


def entries(folder: Path) -> list[str]:
    """Names in one of the sub-folders, sorted; none where it is missing.

    Raises:
        UsageError: it is a link or a file.
    """
    if not os.path.lexists(folder):
        return []
    if folder.is_symlink() or not folder.is_dir():
        raise UsageError(f"{one_line(folder)} must be an ordinary folder, no link. Put the images themselves there")
    return sorted(entry.name for entry in os.scandir(folder))


def verify(folder: Path, manifest: Manifest) -> None:
    """Holds the files of a folder against its manifest.

    Raises:
        UsageError: a listed file is missing, no ordinary file, too large, or another than was listed.
    """
    for part in FOLDERS:
        entries(folder / part)
    for problem in mapped(lambda name: _difference(folder / name, manifest.files[name]), list(manifest.files)):
        if problem:
            raise UsageError(f"{problem}. After a change on purpose type: anonbench pack {one_line(folder)}")


def _difference(path: Path, sha256: str) -> str:
    problem = file_problem(path)
    if not problem and sha256_file(path) != sha256:
        problem = f"is not the file that {FILE} lists: its sha256 differs"
    return problem and f"{one_line(path)} {problem}"


def file_problem(path: Path) -> str:
    """What keeps a file from being read; empty where nothing does."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "is not there"
    if not stat.S_ISREG(found.st_mode):
        return "is no ordinary file (a link, a folder or a device)"
    return f"has more than {LARGEST} bytes" if found.st_size > LARGEST else ""


def mapped(work: Callable[[Item], Made], items: Sequence[Item], progress: Progress = silent) -> Iterator[Made]:
    """``work`` of every item in threads, in order; only so many at a time that memory does not fill with results."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        for start in range(0, len(items), _BLOCK):
            for made in pool.map(work, items[start : start + _BLOCK]):
                yield made
                progress(1)


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it says '{one_line(name)[:200]}' twice")
        found[name] = value
    return found


def _first(error: ValidationError) -> str:
    first: Any = error.errors()[0]
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":  # ours, which says what it is about
        return one_line(said)
    return one_line(f"{'.'.join(str(part)[:200] for part in first['loc'])}: {said}")
