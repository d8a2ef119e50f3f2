"""Pictures of examples and rounds: copied under the hash of their content, so that a shared original is stored once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.board.load import Entrant, LoadedRecord
from benchmark.hashing import sha256_bytes

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass
class Pictures:
    """The pictures of a board."""

    files: dict[str, Path] = field(default_factory=dict)
    """Source by address on the board."""
    addresses: dict[Path, str] = field(default_factory=dict)
    """Address on the board by source."""

    @classmethod
    def of(cls, entrants: Sequence[Entrant]) -> Pictures:
        """Collects examples and rounds of each entrant's main record where the suite's licence lets a board show them."""
        pictures = cls()
        for entrant in entrants:
            if entrant.record.suite.shows_faces:
                pictures._collect(entrant.main)
        return pictures

    def address(self, run: LoadedRecord, name: str) -> str:
        """Address of a picture on the board, or empty where it cannot be shown."""
        return self.addresses.get(run.folder / name, "")

    def _collect(self, run: LoadedRecord) -> None:
        # A record is somebody else's text: it may name only pictures beside it, and the originals all records share.
        for example in run.record.examples:
            for name in (example.original, example.released):
                self._add(run.folder / name, (run.folder, run.originals))
        if run.record.trace and run.record.status != "failed":
            for step in (step for sequence in run.record.trace.sequences for step in sequence.steps):
                self._add(run.folder / step.picture, (run.folder,))

    def _add(self, source: Path, allowed: Sequence[Path]) -> None:
        try:
            if not source.is_file() or not any(source.resolve().is_relative_to(place.resolve()) for place in allowed):
                return
        except OSError:  # a name that no file can have
            return
        data = source.read_bytes()
        if suffix := _suffix(data):
            address = f"images/{sha256_bytes(data)[:20]}{suffix}"
            self.files.setdefault(address, source)
            self.addresses[source] = address


def _suffix(data: bytes) -> str:
    """What a picture's name ends in, by its first bytes and not by the name it came with; empty for anything else."""
    if data.startswith(PNG_SIGNATURE):
        return ".png"
    return ".webp" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else ""
