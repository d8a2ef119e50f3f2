"""Models that come from elsewhere: one registry, fetched into the user's cache, always checked by hash."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import EnvironmentProblem, UsageError, did_you_mean
from benchmark.hashing import sha256_file
from benchmark.store import cache_root


@dataclass(frozen=True)
class WeightEntry:
    """A model file of somebody else.

    Attributes:
        name: short name used in code and records.
        file: file name in the cache and in the folder ``ANONBENCH_WEIGHTS``.
        url: where to fetch it.
        sha256: of the whole file, or its first digits (at least 8) where the publisher gives no more.
        size: bytes.
        licence: of the file.
        purpose: what the harness uses it for.
    """

    name: str
    file: str
    url: str
    sha256: str
    size: int
    licence: str
    purpose: str


class WeightsMissing(EnvironmentProblem):
    """A weight file is not on this machine; the message says how to get it here."""


REGISTRY: dict[str, WeightEntry] = {
    entry.name: entry
    for entry in (
        WeightEntry(
            name="yunet",
            file="face_detection_yunet_2026may.onnx",
            url="https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/"
            "face_detection_yunet_2026may.onnx",
            sha256="ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
            size=229738,
            licence="MIT",
            purpose="face detector with five landmarks, for masks",
        ),
        WeightEntry(
            name="convnext-base-imagenet",
            file="convnext_base-6075fbad.pth",
            url="https://download.pytorch.org/models/convnext_base-6075fbad.pth",
            sha256="6075fbad",
            size=354467647,
            licence="BSD-3-Clause",
            purpose="start of the ConvNeXt-Base referees of data sets of the size of MTF",
        ),
    )
}
"""Every model file of somebody else that the harness knows, by short name."""


def locate(name: str) -> Path:
    """Finds a weight file on this machine; never downloads.

    The folder named by ``ANONBENCH_WEIGHTS`` comes first, then the cache. A wrong file in that folder is an error,
    since somebody put it there on purpose; a damaged one in the cache counts as absent.

    Raises:
        UsageError: no entry of the registry has this name.
        WeightsMissing: the file is in neither place.
        EnvironmentProblem: the file in ``ANONBENCH_WEIGHTS`` has another hash.
    """
    entry = _entry(name)
    given = _given(entry)
    if given is not None:
        return given
    cached = _cached(entry)
    if cached.is_file() and sha256_file(cached).startswith(entry.sha256):
        return cached
    raise WeightsMissing(
        f"{name} weights unavailable: put {entry.file} ({entry.url}) into the folder named by ANONBENCH_WEIGHTS"
    )


def fetch(name: str) -> Path:
    """Downloads a weight file into the cache, unless it is there already, and checks its hash.

    Raises:
        UsageError: no entry of the registry has this name.
        EnvironmentProblem: the download failed, or what came has another hash.
    """
    import pooch

    entry = _entry(name)
    target = _cached(entry)
    try:
        if not target.is_file() or not sha256_file(target).startswith(entry.sha256):
            target.unlink(missing_ok=True)
            pooch.retrieve(entry.url, None, fname=f"{target.name}.part", path=target.parent)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        raise EnvironmentProblem(f"cannot fetch {name} from {entry.url}: {error}") from error
    return _checked(entry, target)


def _checked(entry: WeightEntry, target: Path) -> Path:
    """Gives a download its name once its hash is right."""
    part = target.with_name(f"{target.name}.part")
    if part.is_file():
        found = sha256_file(part)
        if not found.startswith(entry.sha256):
            part.unlink()
            raise EnvironmentProblem(
                f"cannot fetch {entry.name} from {entry.url}: expected sha256 {entry.sha256}, found {found}"
            )
        part.replace(target)
    return target


def _entry(name: str) -> WeightEntry:
    if name not in REGISTRY:
        raise UsageError(f"unknown weights {name!r}.{did_you_mean(name, REGISTRY)}")
    return REGISTRY[name]


def _given(entry: WeightEntry) -> Path | None:
    """The file in ``ANONBENCH_WEIGHTS``, if there is one."""
    folder = os.environ.get("ANONBENCH_WEIGHTS")
    if not folder:
        return None
    path = Path(folder).expanduser() / entry.file
    if not path.is_file():
        return None
    found = sha256_file(path)
    if not found.startswith(entry.sha256):
        raise EnvironmentProblem(
            f"{path} is not the {entry.name} file of the registry: expected sha256 {entry.sha256}, found {found}; "
            f"remove it or replace it by {entry.url}"
        )
    return path


def _cached(entry: WeightEntry) -> Path:
    """Where the cache keeps the file; the hash in the name keeps versions apart."""
    return cache_root() / "weights" / f"{entry.sha256[:16]}-{entry.file}"
