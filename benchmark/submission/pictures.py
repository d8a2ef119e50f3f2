"""Rules about the files of a record: only those it names, ordinary, small, and what their names say."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from benchmark.decode import one_line
from benchmark.hashing import sha256_file
from benchmark.records import ORIGINALS, Record
from benchmark.submission.facts import Finding
from benchmark.submission.places import (
    LARGEST_PICTURE,
    MOST_FILES,
    PACKAGES,
    RECORD,
    TABLE,
    Entry,
    allowed,
    largest,
)

ORIGINAL = re.compile(rf"\.\./\.\./\.\./{ORIGINALS}/([0-9a-f]{{20}})\.png")
_REMOVE = "Remove it; a record's folder holds what `anonbench run` wrote and nothing else"
_AGAIN = "Run and score the entrant again"
Named = tuple[str, Finding]
"""The file, and what is wrong with it."""


def findings_of_files(entries: list[Entry]) -> Iterator[Named]:
    """Files that may not lie in a record's folder, links, and files that are too large."""
    if len(entries) > MOST_FILES:
        yield "", ("schema", f"more than {MOST_FILES} files", _REMOVE)
    for entry in entries:
        if not entry.ordinary:
            yield entry.name, ("schema", "is no ordinary file (a link, or something else)", _REMOVE)
        elif not allowed(entry.name):
            yield entry.name, ("schema", "is no file of a record", _REMOVE)
        elif entry.size > largest(entry.name):
            yield entry.name, ("schema", f"has {entry.size} bytes; at most {largest(entry.name)}", _AGAIN)
    names = {entry.name for entry in entries}
    for name in (RECORD, PACKAGES):
        if name not in names:
            yield name, ("schema", "is missing", _AGAIN)


def findings_of_named(record: Record, folder: Path, entries: list[Entry]) -> Iterator[Named]:
    """Files against what the record says there is: no picture too many or too few, and each what it says."""
    names = {entry.name for entry in entries if entry.ordinary and entry.size <= largest(entry.name)}
    wanted = pictures_named(record)
    for name in sorted(wanted.keys() - names):
        yield name, ("schema", "is named by the record and missing", _AGAIN)
    for name in sorted(names - wanted.keys() - {RECORD, TABLE, PACKAGES}):
        if allowed(name):
            yield name, ("schema", "is not named by the record", _REMOVE)
    if (TABLE in names) == (record.status == "failed"):
        yield TABLE, ("schema", "is missing" if TABLE not in names else "lies beside a failed record", _AGAIN)
    if PACKAGES in names:
        yield from _packages(folder / PACKAGES)
    for name, size in wanted.items():
        if name in names and allowed(name):
            yield from _picture(folder / name, name, size)


def pictures_named(record: Record) -> dict[str, tuple[int, int]]:
    """Width and height by name of the pictures beside a record."""
    side = record.suite.image_size
    found = {example.released: (side, side) for example in record.examples}
    sequences = () if record.trace is None else record.trace.sequences
    found |= {step.picture: (side, 2 * side) for part in sequences for step in part.steps}
    sheet = record.sheet
    return found if sheet is None else found | {sheet.picture: (sheet.width, sheet.height)}


def _packages(path: Path) -> Iterator[Named]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        yield path.name, ("text", "is no text", _AGAIN)
        return
    if not all(line.isprintable() for line in text.split("\n")):
        yield path.name, ("text", "holds characters that cannot be printed", _AGAIN)


def _picture(path: Path, name: str, size: tuple[int, int]) -> Iterator[Named]:
    """The header of a picture; its pixels are not decoded."""
    from PIL import Image

    wanted = "PNG" if name.endswith(".png") else "WEBP"
    extra = whole(path.read_bytes())
    if extra:
        yield name, ("pictures", extra, _AGAIN)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(path, formats=[wanted]) as picture:
                have, frames = picture.size, getattr(picture, "n_frames", 1)
    except Exception as error:  # noqa: BLE001 - a decoder on a stranger's bytes may raise anything
        yield name, ("pictures", f"is no {wanted} picture ({type(error).__name__})", _AGAIN)
        return
    if have != size or frames != 1:
        text = f"is {have[0]} x {have[1]} px in {frames} frames instead of {size[0]} x {size[1]} in one"
        yield name, ("pictures", text, _AGAIN)


CHUNKS = (b"IHDR", b"PLTE", b"sRGB", b"gAMA", b"pHYs", b"IDAT", b"IEND")
"""What a PNG holds besides nothing: no text, no time, no profile."""


def whole(data: bytes) -> str:
    """What a PNG or WebP file holds that is no picture; empty if nothing."""
    if data[:4] == b"RIFF":
        size = int.from_bytes(data[4:8], "little") + 8
        return "" if len(data) == size else "has bytes behind its end"
    place = 8
    while place + 12 <= len(data):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind not in CHUNKS:
            return f"holds a part that is no picture ({kind.decode('ascii', errors='replace')!r})"
        place += size + 12
        if kind == b"IEND":
            return "" if place == len(data) and not size else "has bytes behind its end"
    return "ends too early"


def findings_of_examples(record: Record, result: Path) -> Iterator[Finding]:
    """The originals that examples show: in the result folder, named by their content."""
    for example in record.examples:
        named = ORIGINAL.fullmatch(example.original)
        path = result / ORIGINALS / f"{named[1]}.png" if named else None
        if named is None or path is None:
            yield "pictures", f"the original {one_line(example.original)} is outside the folder of originals", _AGAIN
        elif path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_PICTURE:
            yield "pictures", f"{ORIGINALS}/{path.name} is missing, a link, or too large", _AGAIN
        elif not sha256_file(path).startswith(named[1]):
            yield "pictures", f"{ORIGINALS}/{path.name} has another content than its name says", _AGAIN
