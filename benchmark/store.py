"""The store: released images and scores by content, written atomically, so that a killed run resumes.

    objects/ab/ab12....png            released images, named by the sha256 of their file
    releases/<cell>/<n>.json          what shard n of a release consists of
    releases/<cell>/<n>.safetensors   arrays an entrant published with it
    releases/<cell>/release.json      the whole release, once all shards are there
    scores/<key>.json                 scores, and per-image values beside them
    data/, referees/                  rendered images, and referees trained on a folder
    copies/                           what a slow entrant makes of the attackers' photographs
    attackers/, ...                   tensors of metrics that do not depend on the entrant or cost much, by content

Two runs may share a store: names are hashes of what is inside, and a file appears only when it is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import platformdirs

from benchmark.errors import EnvironmentProblem
from benchmark.hashing import sha256_bytes


def cache_root() -> Path:
    """``ANONBENCH_CACHE``, or the user's cache folder."""
    given = os.environ.get("ANONBENCH_CACHE")
    return Path(given).expanduser() if given else platformdirs.user_cache_path("anonbench")


def write_atomic(path: Path, data: bytes, replace: bool = True) -> None:
    """Writes a file that is either complete or absent, whatever happens.

    Args:
        path: the file.
        data: what to write.
        replace: False leaves a file alone that is there already.

    Raises:
        EnvironmentProblem: the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o644)
            if replace:
                Path(temporary).replace(path)
            else:
                _link(Path(temporary), path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {path}: {error.strerror}. What was finished is kept; free some space or mend the "
            "permissions, then run the same command again"
        ) from error


def _link(made: Path, path: Path) -> None:
    """Gives ``made`` its name unless somebody was faster."""
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(made)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically."""
    write_atomic(path, (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any | None:
    """The JSON in a file, or None if the file is absent or not readable as JSON."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None


class Store:
    """Files by content under one folder.

    Args:
        root: the folder; made when something is written.
        threads: files written or read at a time.
    """

    def __init__(self, root: Path, threads: int = 4) -> None:
        self.root = root
        self.threads = threads

    def path(self, *parts: str) -> Path:
        """A path inside the store."""
        return self.root.joinpath(*parts)

    def _object(self, name: str) -> Path:
        return self.root / "objects" / name[:2] / f"{name}.png"

    def put_all(self, items: list[bytes]) -> list[str]:
        """Keeps files and returns their names (sha256)."""
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(self._put, items))

    def _put(self, data: bytes) -> str:
        name = sha256_bytes(data)
        if self._get(name) is None:
            write_atomic(self._object(name), data)
        return name

    def get_all(self, names: list[str]) -> list[bytes] | None:
        """The files of these names, or None if one is missing or damaged."""
        with ThreadPoolExecutor(self.threads) as pool:
            found = list(pool.map(self._get, names))
        whole = [data for data in found if data is not None]
        return whole if len(whole) == len(names) else None

    def _get(self, name: str) -> bytes | None:
        try:
            data = self._object(name).read_bytes()
        except FileNotFoundError:
            return None
        if sha256_bytes(data) == name:
            return data
        self._object(name).unlink(missing_ok=True)
        return None

    def remember(self, path: Path, make: Callable[[], bytes]) -> bytes:
        """The bytes of ``path``, made and kept if absent; of two runs at once, the first to finish wins."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            write_atomic(path, make(), replace=False)
            return path.read_bytes()
