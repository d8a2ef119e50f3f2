"""Images that were released elsewhere: a folder or an archive with a manifest, as an entrant."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import torch

from benchmark.decode import declared_size, decode_whole_bytes
from benchmark.entrants.archives import kept, suffix_of
from benchmark.entrants.described import FILE, DescribedPrecomputed, read_description
from benchmark.entrants.manifest import FOLDERS, entries, file_problem, key_of, mapped, read_manifest, verify
from benchmark.errors import AnonbenchError, EntrantError, UsageError
from benchmark.files import one_line, read_file
from benchmark.hashing import sha256_bytes, sha256_json
from benchmark.images import ImageSet, Released
from benchmark.protocols import Controller
from benchmark.store import cache_root

UNLISTED, SIZE, BROKEN = "not listed", "of another size", "not readable as an image"
"""Why an image is missing."""
_START = "For a start type: anonbench new my-images --kind precomputed"


class PrecomputedEntrant:
    """Released images from a folder, looked up by the keys of the images they were made of.

    An image that is not listed, not of its original's size or not readable is missing. Files that are not listed are
    ignored and counted.

    Args:
        description: what ``entrant.toml`` says.
        folder: with ``manifest.json`` and the sub-folders ``probe``, ``enrol`` and ``background``.

    Attributes:
        family: name of its rows.
        probes_alone: there are no released images of the enrol or the background people, so attackers that learn from
            what the method releases cannot be run.
        entry_hash: sha256 over description and manifest.

    Raises:
        UsageError: the manifest is missing or broken, or a file is not the one that it lists.
    """

    kind = "precomputed"
    uses: frozenset[str] = frozenset()
    shardable = False  # whether a folder belongs to another suite is seen on the whole set alone
    deterministic = True

    def __init__(self, description: DescribedPrecomputed, folder: Path) -> None:
        self.family, self.folder = description.name, folder
        self.manifest = read_manifest(folder)
        verify(folder, self.manifest)
        self.files = {key_of(name): name for name in self.manifest.files}
        self.extra = sum(
            f"{part}/{name}" not in self.manifest.files for part in FOLDERS for name in entries(folder / part)
        )
        self.probes_alone = not (self.manifest.count("enrol") and self.manifest.count("background"))
        said = description.model_dump(mode="json")
        self.entry_hash = sha256_json(["precomputed", 1, said, self.manifest.files])
        self.version, self.description = description.version, description.description
        self.source, self.authors = description.source, description.authors
        self.licence, self.code_url = description.licence, description.code_url
        self.training_data, self.weights = description.training_data, description.weights

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Looks up what was released of ``images``.

        Args:
            images: a whole set, under the keys it was exported with.
            controller: told about the progress; nothing else of it is used.

        Raises:
            EntrantError: none of the images is listed, or a file was changed since the entrant was opened.
        """
        if len(images) and not any(key in self.files for key in images.keys):
            raise EntrantError(
                f"none of its {len(self.files)} files is named like an image of this suite: it was made for another suite "
                "or version; export again with: anonbench export SUITE --out DIR"
            )
        released = torch.zeros_like(images.images)
        height, width = images.size

        def place(row: int) -> str:
            return self._place(images.keys[row], released[row], (width, height))

        with warnings.catch_warnings():  # around the threads: the filters belong to the whole process
            warnings.simplefilter("ignore")
            reasons = list(mapped(place, range(len(images)), controller.progress))
        missing = torch.tensor([bool(reason) for reason in reasons], dtype=torch.bool)
        return Released(released, self._notes(reasons), missing if missing.any() else None)

    def _place(self, key: str, row: torch.Tensor, size: tuple[int, int]) -> str:
        """Decodes an image into its row; returns why it is missing, or nothing."""
        if key not in self.files:
            return UNLISTED
        path = self.folder / self.files[key]
        data = self._unchanged(path, self.manifest.files[self.files[key]])
        declared = declared_size(data)
        if declared is None:
            return BROKEN
        if sorted(declared) != sorted(size):  # before decoding, which takes memory; EXIF may turn the image yet
            return SIZE
        try:
            pixels = decode_whole_bytes(data, one_line(path))
        except UsageError:
            return BROKEN
        if pixels.shape != row.shape:
            return SIZE
        row.copy_(pixels)
        return ""

    def _unchanged(self, path: Path, sha256: str) -> bytes:
        problem = file_problem(path)
        data = b"" if problem else read_file(path)
        if problem or sha256_bytes(data) != sha256:
            raise EntrantError(f"{one_line(path)} was changed while it was used; pack the folder again and run again")
        return data

    def _notes(self, reasons: list[str]) -> dict[str, str]:
        counts = Counter(reason for reason in reasons if reason)
        notes = {}
        if counts:
            words = ", ".join(f"{counts[reason]} {reason}" for reason in (UNLISTED, SIZE, BROKEN) if counts[reason])
            notes["missing outputs"] = f"{counts.total()} of {len(reasons)}: {words}"
        if self.extra:
            files = "1 file" if self.extra == 1 else f"{self.extra} files"
            notes["extra files"] = f"{files} that the manifest does not list"
        return notes


def open_precomputed(path: Path, cache: Path | None = None) -> PrecomputedEntrant:
    """Opens released images.

    Args:
        path: a folder, its ``entrant.toml``, or an archive of such a folder.
        cache: where archives are unpacked, below ``precomputed``; by default the user's cache folder.

    Raises:
        UsageError: something is missing, broken, or breaks a rule.
        EnvironmentProblem: an archive cannot be unpacked on this machine.
    """
    if suffix_of(path) and not path.is_dir():
        return _from_archive(path, (cache or cache_root()) / "precomputed")
    return PrecomputedEntrant(precomputed_description(path), path if path.is_dir() else path.parent)


def _from_archive(path: Path, into: Path) -> PrecomputedEntrant:
    """Unpacks an archive, and once more if what an earlier call unpacked was damaged since."""
    folder, found = kept(path, into)
    try:
        return PrecomputedEntrant(precomputed_description(folder), folder)
    except (AnonbenchError, OSError):
        if not found:
            raise
    folder, _ = kept(path, into, anew=True)
    return PrecomputedEntrant(precomputed_description(folder), folder)


def precomputed_description(path: Path) -> DescribedPrecomputed:
    """Reads the description of released images; ``path`` is a folder or its ``entrant.toml``.

    Raises:
        UsageError: it is missing, no ordinary file, broken, or of another kind.
    """
    file = path / FILE if path.is_dir() else path
    problem = file_problem(file)
    if problem:
        raise UsageError(f"{one_line(file)} {problem}. {_START}")
    description = read_description(file)
    if not isinstance(description, DescribedPrecomputed):
        raise UsageError(
            f'{one_line(file)} describes a {description.kind}; released images have kind = "precomputed". {_START}'
        )
    return description
