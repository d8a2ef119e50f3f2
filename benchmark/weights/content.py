"""What is in a weight file: its hash, and what it is instead where it is not the right one."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from benchmark.hashing import sha256_file
from benchmark.weights.entries import WeightEntry

HEAD = 512
"""Bytes in which an HTML page shows itself."""


def file_hash(path: Path) -> str:
    """The sha256 of a file, computed again only if the file has changed.

    Weights are located often and have hundreds of megabytes.
    """
    facts = path.stat()
    return _hashed(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


@lru_cache(maxsize=1024)
def _hashed(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    return sha256_file(path)


def looks_like_html(path: Path) -> bool:
    """Whether a file begins like a web page, as refused or unconfirmed downloads do."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith((b"<!doctype html", b"<html"))


def trouble(entry: WeightEntry, path: Path, sha256: str) -> str:
    """Why a file is not the one of the registry; empty if it is.

    Args:
        entry: what it should be.
        path: the file.
        sha256: its whole hash.
    """
    hashes = f"expected sha256 {entry.sha256}, found {sha256}" if entry.sha256 else ""
    if entry.sha256 and sha256.startswith(entry.sha256):
        return ""
    size = path.stat().st_size
    if looks_like_html(path):
        kind = "an HTML page saved under the name of the weights"
    elif size == 0:
        kind = "an empty file"
    elif size < entry.size:
        kind = f"truncated, {size} of {entry.size} bytes"
    else:
        return hashes
    return f"{kind}, {hashes}" if hashes else kind
