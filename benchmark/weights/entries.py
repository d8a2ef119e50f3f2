"""The model files of other people that the harness knows; the list itself is ``registry.toml``."""

from __future__ import annotations

import string
import tomllib
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UsageError, did_you_mean

LEAST_DIGITS = 8
"""Digits of a sha256 that are still worth comparing; torchvision's file names have that many."""


@dataclass(frozen=True)
class WeightEntry:
    """A model file of somebody else.

    Attributes:
        name: short name used in code and records.
        file: file name in the cache and in the folder ``ANONBENCH_WEIGHTS``.
        url: where to fetch it, or the page that leads there; empty if there is no public place.
        sha256: of the whole file, its first digits (at least 8) where no more is known, or empty where none is.
        size: bytes, 0 where not known.
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

    def __post_init__(self) -> None:
        """Refuses what would make a check pass by accident."""
        if self.sha256 and (not LEAST_DIGITS <= len(self.sha256) <= 64 or set(self.sha256) - set(string.hexdigits)):
            raise ValueError(f"{self.name}: sha256 must be empty or 8 to 64 hexadecimal digits")
        if self.sha256 != self.sha256.lower() or self.size < 0 or Path(self.file).name != self.file:
            raise ValueError(f"{self.name}: needs a lower-case sha256, a size of 0 or more and a plain file name")

    @property
    def fetchable(self) -> bool:
        """Whether it may be downloaded: what cannot be checked is not."""
        return bool(self.url and self.sha256)


def read_registry(path: Path) -> dict[str, WeightEntry]:
    """Reads a registry: one TOML table per file, named by its short name."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: WeightEntry(name=name, **table) for name, table in tables.items()}


REGISTRY: dict[str, WeightEntry] = read_registry(Path(__file__).with_name("registry.toml"))
"""Every model file of somebody else that the harness knows, by short name."""


def entry_of(name: str) -> WeightEntry:
    """The entry of this name.

    Raises:
        UsageError: there is none; the message suggests the closest.
    """
    if name not in REGISTRY:
        raise UsageError(f"unknown weights {name!r}.{did_you_mean(name, REGISTRY)} Try: anonbench weights list")
    return REGISTRY[name]


def remedy_of(entry: WeightEntry) -> str:
    """How to get a file that is not here."""
    if entry.fetchable:
        return (
            f"put {entry.file} into the cache (anonbench weights fetch {entry.name}), "
            f"or from {entry.url} into the folder named by ANONBENCH_WEIGHTS"
        )
    source = f" ({entry.url})" if entry.url else " (it has no public address)"
    return f"put {entry.file}{source} by hand into the folder named by ANONBENCH_WEIGHTS"
