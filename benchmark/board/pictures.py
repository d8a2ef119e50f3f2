"""Pictures of examples, rounds and groups: a board shows them where they lie, beside the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from benchmark.board.load import Entrant, LoadedRecord

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass
class Pictures:
    """The pictures of a board."""

    addresses: dict[Path, str] = field(default_factory=dict)
    """Address seen from the board's folder, by source."""

    @classmethod
    def of(cls, entrants: Sequence[Entrant]) -> Pictures:
        """Collects those of each entrant's main record where the suite's licence lets a board show them."""
        pictures = cls()
        for entrant in entrants:
            if entrant.record.suite.shows_faces:
                pictures._collect(entrant.main)
        return pictures

    def address(self, run: LoadedRecord, name: str) -> str:
        """Address of a picture seen from the board's folder, or empty where it cannot be shown."""
        return self.addresses.get(run.folder / name, "")

    def _collect(self, run: LoadedRecord) -> None:
        # A record is somebody else's text: it may name only pictures beside it, and the originals all records share.
        for example in run.record.examples:
            for name in (example.original, example.released):
                self._add(run, name, (run.folder, run.originals))
        if run.record.status == "failed":
            return
        trace, sheet = run.record.trace, run.record.sheet
        for step in (step for sequence in (trace.sequences if trace else ()) for step in sequence.steps):
            self._add(run, step.picture, (run.folder,))
        if sheet is not None:
            self._add(run, sheet.picture, (run.folder,))

    def _add(self, run: LoadedRecord, name: str, allowed: Sequence[Path]) -> None:
        source = run.folder / name
        try:
            if not source.is_file():
                return
            place = source.resolve()
            part = next((part for part in allowed if place.is_relative_to(part.resolve())), None)
            if part is None:
                return
            with source.open("rb") as file:
                suffix = _suffix(file.read(12))
        except OSError:  # a name that no file can have
            return
        if suffix and suffix == place.suffix:  # a server tells readers what it is by its name
            # Seen through the folder it was found in, which may be a link to a place outside the result folder.
            inside = part.relative_to(run.originals.parent) / place.relative_to(part.resolve())
            self.addresses[source] = f"../{quote(inside.as_posix())}"


def _suffix(data: bytes) -> str:
    """What a picture's name ends in, by its first bytes and not by the name it came with; empty for anything else."""
    if data.startswith(PNG_SIGNATURE):
        return ".png"
    return ".webp" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else ""
