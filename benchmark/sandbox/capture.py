"""What a command prints: its beginning and its end are kept, the rest is counted."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

KEEP = 32 * 1024
"""Bytes that are kept of the beginning, and again of the end."""
_BLOCK = 64 * 1024


@dataclass(frozen=True)
class Captured:
    """What was printed.

    Attributes:
        first: the first ``KEEP`` bytes.
        last: the last ``KEEP`` bytes of what came after them.
        count: bytes printed in all.
    """

    first: bytes = b""
    last: bytes = b""
    count: int = 0

    @property
    def text(self) -> str:
        """What is kept, with a line in place of what is not; bytes that are no UTF-8 are replaced."""
        left_out = self.count - len(self.first) - len(self.last)
        gap = f"\n[{left_out} bytes left out]\n".encode() if left_out else b""
        return (self.first + gap + self.last).decode(errors="replace")

    @property
    def last_line(self) -> str:
        """The last line that is not blank, or nothing."""
        lines = [line.strip() for line in self.text.splitlines()]
        return next((line for line in reversed(lines) if line), "")


class Drain(threading.Thread):
    """Reads a pipe to its end in a thread, so that its writer never waits and memory stays bounded.

    Args:
        pipe: a file descriptor, which is closed at the end.
    """

    def __init__(self, pipe: int) -> None:
        super().__init__(daemon=True)
        self._pipe, self._first, self._last, self._count = pipe, bytearray(), bytearray(), 0
        self.start()

    def run(self) -> None:
        """Reads until nobody holds the other end."""
        try:
            while block := os.read(self._pipe, _BLOCK):
                self._take(block)
        finally:
            os.close(self._pipe)

    def _take(self, block: bytes) -> None:
        self._count += len(block)
        room = KEEP - len(self._first)
        self._first += block[:room]
        self._last += block[room:]
        del self._last[:-KEEP]

    def captured(self, patience: float = 5.0) -> Captured:
        """What came so far; waits up to ``patience`` seconds for the end."""
        self.join(patience)
        return Captured(bytes(self._first), bytes(self._last), self._count)
