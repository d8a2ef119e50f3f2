"""One table of paths, identities and attributes to decoded images: the end of the road of every data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from benchmark.decode import load_images, one_line
from benchmark.errors import UsageError
from benchmark.hashing import sha256_json
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Progress, silent
from suites.folder.attributes import Grouping, grouping, read_attributes, to_labels
from suites.folder.listing import EXTENSIONS, IDENTITY, PATH, some_of
from suites.folder.table import CSV, read_table


@dataclass(frozen=True, eq=False)
class FolderData:
    """The images of a folder.

    Attributes:
        images: pixels, keys (relative paths with forward slashes), identities and attributes; sorted by key.
        manifest_sha256: hash over every key and the bytes of its file.
        notes: what was left out, and why, one sentence each.
    """

    images: ImageSet
    manifest_sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """What a layout says about a folder, before any image is read.

    Attributes:
        root: folder the paths are relative to.
        table: columns ``path``, ``identity`` (``""`` where unknown) and one per attribute, all strings.
        notes: what the layout left out.
    """

    root: Path
    table: pd.DataFrame
    notes: tuple[str, ...] = ()


def read_folder(
    root: Path,
    size: int,
    groups: Mapping[str, Sequence[float]] = MappingProxyType({}),
    progress: Progress = silent,
) -> FolderData:
    """Reads ``identity/*.png`` folders, or the images that an ``attributes.csv`` lists.

    Args:
        root: the folder.
        size: side in pixels that images are cropped and resized to.
        groups: cut points of attributes that are numbers: ``{"height": [160, 180]}``.
        progress: told 1 after each image.

    Raises:
        AnonbenchError: the folder, its table or an image cannot be used; one line that says what to do.
    """
    return read_listing(Listing(root, read_table(root)), size, cut_at(groups), progress)


def cut_at(groups: Mapping[str, Sequence[float]]) -> dict[str, Grouping]:
    """Groupings for cut points by attribute name."""
    return {name: grouping(cuts) for name, cuts in groups.items()}


def read_listing(
    listing: Listing,
    size: int,
    groups: Mapping[str, Grouping] = MappingProxyType({}),
    progress: Progress = silent,
    least: int = 1,
) -> FolderData:
    """Checks the labels of a table, then reads and hashes its images.

    Args:
        listing: the table and the folder it speaks of.
        size: side in pixels that images are cropped and resized to.
        groups: how to group attributes that are numbers.
        progress: told 1 after each image.
        least: people with fewer photographs are left out, with a note.
    """
    _check_any(listing)
    table, rare = _without_rare(listing.table.sort_values(PATH, ignore_index=True), least)
    identity = _identity(table, listing.root)
    attributes, dropped = read_attributes(table, groups)
    if identity is None and not attributes:
        raise UsageError(f"{one_line(listing.root)} has neither people nor attributes; make one sub-folder per person")
    keys = tuple(str(path) for path in table[PATH])
    images, hashes = load_images([listing.root / key for key in keys], size, progress)
    manifest = sha256_json(list(zip(keys, hashes, strict=True)))
    return FolderData(ImageSet(images, keys, identity, attributes), manifest, (*listing.notes, *rare, *dropped))


def _check_any(listing: Listing) -> None:
    if listing.table.empty:
        raise UsageError(
            f"{one_line(listing.root)} has no images ({', '.join(EXTENSIONS)}); "
            "name a folder with one sub-folder per person: --data DIR"
        )


def _without_rare(table: pd.DataFrame, least: int) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if least <= 1:
        return table, ()
    counts = table[IDENTITY].value_counts()
    rare = counts[(counts < least) & (counts.index != "")]
    if rare.empty:
        return table, ()
    kept = table[~table[IDENTITY].isin(rare.index)].reset_index(drop=True)
    if kept.empty:
        raise UsageError(f"nobody has {least} photographs (at most {counts.max()}); ask for fewer per person")
    return kept, (f"{len(rare)} people with fewer than {least} photographs ({rare.sum()} images) are left out",)


def _identity(table: pd.DataFrame, root: Path) -> Labels | None:
    names = [str(name) for name in table[IDENTITY]]
    unknown = [str(path) for path, name in zip(table[PATH], names, strict=True) if not name]
    if len(unknown) == len(names):
        return None
    if unknown:
        raise UsageError(
            f"nobody is named for {some_of(unknown)}, but for other images of {one_line(root)}; put the file into a "
            f"person's folder or fill the column '{IDENTITY}' of {CSV}"
        )
    labels = to_labels(names)
    if len(labels.classes) == 1:
        raise UsageError(
            f"{one_line(root)} shows one person only ('{one_line(names[0])}'), and re-identification needs at least "
            "two people; name the folder above, with one sub-folder per person: --data DIR"
        )
    return labels
