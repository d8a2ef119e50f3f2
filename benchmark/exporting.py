"""A suite's images for somebody who anonymizes them elsewhere: under names that say nothing, without labels."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.decode import encode_png
from benchmark.entrants import described, manifest
from benchmark.entrants.manifest import FOLDERS, mapped
from benchmark.errors import UsageError
from benchmark.files import one_line
from benchmark.images import ImageSet
from benchmark.protocols import Report, Suite, quiet
from benchmark.release import disguised, share_of
from benchmark.store import read_json, write_atomic, write_json

FILE = "export.json"
"""What says which suite a folder was exported from."""
FORMAT = 1
EPOCH = 946_684_800
"""Time of every exported file, in seconds since 1970: the start of 2000."""
README = """\
These are the images of {suite} {version} to be anonymized: {counts}.
Their names and order say nothing about who is on them. Do not rename them.

1. Make a folder for what you release, here my-release, and describe the method in its entrant.toml:
   anonbench new my-release --kind precomputed
2. Release every image under the same name into it, with the same sub-folders: probe/0123456789abcdef.png becomes
   my-release/probe/0123456789abcdef.png, of exactly the same size, {size} x {size} pixels. PNG is best; jpg, webp, bmp
   and tiff are taken as well. An image that you leave out counts as missing: it protects nobody and is of no use.
   probe is what is published and attacked. enrol and background are for the attackers who learn from what the method
   releases: without them the row is not ranked by risk. Treat all of them with the same settings.
3. List the files with their hashes, and look whether all is in order:
   anonbench pack my-release
   anonbench check my-release
4. Run it, with the same options about the suite as in the export:
   anonbench run {suite} -e my-release
"""


def salt_of(suite_hash: str, split: str) -> str:
    """What makes the keys of a split: the same that an entrant sees in a run."""
    return suite_hash if split == "probe" else f"{suite_hash}/{split}"


def exported(suite: Suite, split: str, report: Report = quiet) -> ImageSet:
    """A split as it is exported: of the background people the attackers' half, sorted by key, without labels."""
    images = suite.images(split, report)
    given = share_of(images, "attacker") if split == "background" else images
    return disguised(given, frozenset(), salt_of(suite.facts.suite_hash, split))


def export_suite(suite: Suite, out: Path, report: Report = quiet) -> dict[str, int]:
    """Writes the images of a suite, its description and what to do next.

    Files of an earlier export that are right stay as they are.

    Args:
        suite: what is exported.
        out: an empty or new folder, or one with an export of the same suite.
        report: shows progress.

    Returns:
        Number of images by split, of those that have any.

    Raises:
        UsageError: something else is in ``out``.
        EnvironmentProblem: it cannot be written.
    """
    _check_folder(out)
    sets = {split: exported(suite, split, report) for split in FOLDERS}
    sets = {split: images for split, images in sets.items() if len(images)}
    facts = _facts(suite, sets)
    _check_same(out, facts)
    write_json(out / FILE, facts)  # first, so that a killed export goes on
    for split, images in sets.items():
        with report(f"export {split}", len(images)) as progress:
            _write_images(out / split, images, progress)
    counts = {split: len(images) for split, images in sets.items()}
    write_atomic(out / "README.txt", _readme(suite, counts).encode())
    return counts


def _facts(suite: Suite, sets: Mapping[str, ImageSet]) -> dict[str, Any]:
    facts = suite.facts
    return {
        "format": FORMAT,
        "suite": facts.name,
        "version": facts.version,
        "suite_hash": facts.suite_hash,
        "image_size": facts.image_size,
        "images": {split: len(images) for split, images in sets.items()},
    }


def _readme(suite: Suite, counts: Mapping[str, int]) -> str:
    words = ", ".join(f"{count} in {split}" for split, count in counts.items())
    facts = suite.facts
    return README.format(suite=facts.name, version=facts.version, size=facts.image_size, counts=words)


def _check_folder(out: Path) -> None:
    """Refuses a folder that holds something else, before anything is read or rendered."""
    name = one_line(out)
    if os.path.lexists(out) and not out.is_dir():
        raise UsageError(f"{name} is a file; name another folder with --out")
    if any((out / file).exists() for file in (manifest.FILE, described.FILE)):
        raise UsageError(
            f"{name} holds released images, which an export would overwrite; name another folder with --out"
        )
    if (
        out.is_dir()
        and any(not file.name.startswith(".part-") for file in out.iterdir())
        and not (out / FILE).is_file()
    ):
        raise UsageError(f"{name} is not empty and holds no export ({FILE}); name another folder with --out")


def _check_same(out: Path, facts: Mapping[str, Any]) -> None:
    if (out / FILE).exists() and read_json(out / FILE) != json.loads(json.dumps(facts)):
        raise UsageError(
            f"{one_line(out / FILE)} is of another suite or version than {facts['suite']} {facts['version']}, or damaged; "
            "name another folder with --out, or take this one away"
        )


def _write_images(folder: Path, images: ImageSet, progress: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".part-*"):
        left.unlink()

    def write(row: int) -> None:
        path, data = folder / f"{images.keys[row]}.png", encode_png(images.images[row])
        if not _holds(path, data):
            write_atomic(path, data)
        os.utime(path, (EPOCH, EPOCH))

    for _ in mapped(write, range(len(images)), progress):
        pass
    os.utime(folder, (EPOCH, EPOCH))


def _holds(path: Path, data: bytes) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != len(data):
        return False
    return path.read_bytes() == data
