"""Rules about the examples of a row that is handed in: the usual images, and its own pictures of them."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.hashing import sha256_file
from benchmark.records import Record
from benchmark.submission.facts import AGAIN, Finding
from benchmark.submission.places import LARGEST_PICTURE, RECORD, RECORDS, Place, allowed
from benchmark.submission.validating import Unreadable, read_safely


def findings_of_shown(record: Record, place: Place, control: Record) -> Iterator[Finding]:
    """Examples of a row that is handed in: of the images that the controls show, and not taken from another row."""
    originals = {example.key: example.original for example in control.examples}
    for example in record.examples:
        if originals.get(example.key) != example.original:
            yield "pictures", f"beside {example.key} it shows another original than the controls do", AGAIN
    mine = _released(place, record)
    for path in sorted((place.result / RECORDS).glob(f"*/*/{RECORD}")) if mine else ():
        if path.parent.parent == place.folder.parent:
            continue
        other = Place(place.result, path.parent.parent.name, path.parent.name)
        try:
            theirs = read_safely(path)
        except Unreadable:
            continue
        if theirs.release_sha256 != record.release_sha256 and _released(other, theirs) == mine:
            yield "pictures", f"all its examples are those of {other.slug}, and it released something else", AGAIN


def _released(place: Place, record: Record) -> dict[str, str]:
    """sha256 of the released examples by key; of those that are there."""
    paths = {example.key: place.folder / example.released for example in record.examples if allowed(example.released)}
    there = {key: path for key, path in paths.items() if path.is_file() and not path.is_symlink()}
    return {key: sha256_file(path) for key, path in there.items() if path.stat().st_size <= LARGEST_PICTURE}
