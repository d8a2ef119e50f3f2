"""A folder of released images made ready to be handed on: its manifest, and an archive that is always the same."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

from benchmark.entrants import described, manifest
from benchmark.entrants.manifest import Manifest, make_manifest
from benchmark.entrants.precomputed import precomputed_description
from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.files import one_line, read_file
from benchmark.hashing import sha256_bytes
from benchmark.protocols import Report, quiet
from benchmark.store import write_json

_TIME = (2000, 1, 1, 0, 0, 0)
_ORDINARY_FILE = 0o100644 << 16


def pack(folder: Path, report: Report = quiet) -> Manifest:
    """Writes the manifest of a folder with an ``entrant.toml`` of kind precomputed.

    Raises:
        UsageError: the description is missing or of another kind, or an image cannot be listed.
        EnvironmentProblem: the manifest cannot be written.
    """
    if not folder.is_dir():
        raise UsageError(f"{one_line(folder)} is no folder; name the one with {described.FILE} and probe/")
    precomputed_description(folder)
    made = make_manifest(folder, report)
    write_json(folder / manifest.FILE, made.model_dump(mode="json"))
    return made


def zip_folder(folder: Path, listed: Manifest, file: Path, report: Report = quiet) -> None:
    """Writes description, manifest and listed images into one archive: the same bytes for the same contents.

    Raises:
        UsageError: ``file`` does not end in .zip, or an image was changed since it was listed.
        EnvironmentProblem: it cannot be written.
    """
    if file.suffix != ".zip" or file.is_dir():
        raise UsageError(f"--zip {one_line(file)}: name a file that ends in .zip")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, half = tempfile.mkstemp(dir=file.parent, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
                _fill(archive, folder, listed, report)
            Path(half).chmod(0o644)
            Path(half).replace(file)
        finally:
            Path(half).unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {one_line(file)}: {error.strerror}; free some space and pack again"
        ) from error


def _fill(archive: zipfile.ZipFile, folder: Path, listed: Manifest, report: Report) -> None:
    for name in (described.FILE, manifest.FILE):
        archive.writestr(_info(name), read_file(folder / name))
    with report(f"write {one_line(archive.filename or 'the archive')}", len(listed.files)) as progress:
        for name, sha256 in sorted(listed.files.items()):
            data = read_file(folder / name)
            if sha256_bytes(data) != sha256:
                raise UsageError(f"{one_line(folder / name)} was changed while it was packed; pack again")
            archive.writestr(_info(name), data)
            progress(1)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.external_attr, info.create_system = _ORDINARY_FILE, 3  # 3: Unix, on whatever system this is
    return info
