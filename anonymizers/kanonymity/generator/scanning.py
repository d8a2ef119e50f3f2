"""Looks at the instructions of a pickle before anybody follows them.

What a pickle builds is followed by size alone. A tuple that holds itself twice, that tuple twice and so on takes a few
bytes, and years as the key of a dictionary: tuples are hashed and compared in full, each time anew. So every value has
the size it would have written out, where lists, dictionaries and objects, which cannot be hashed, count as one. Keys are
of size one: tuples and long whole numbers can be chosen so that they all fall into one place of the dictionary.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

CALLS = frozenset({"INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER"})
SLOW = frozenset({"FROZENSET", "LONG4"})
"""Sets in sets are compared in full like tuples; so are whole numbers of more than 255 bytes."""
UNUSED = CALLS | SLOW
"""Instructions that no pickle of a network needs."""
LARGEST = 1000
"""Most values in a tuple and all that it holds."""
WIDEST = 64
"""Bits of a whole number that counts as one value."""
PUT = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
GET = frozenset({"GET", "BINGET", "LONG_BINGET"})
TUPLES = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"})
KEYS = {"SETITEM": slice(1, 2), "SETITEMS": slice(1, None, 2), "ADDITEMS": slice(1, None), "DICT": slice(0, None, 2)}
"""Where keys lie in what an instruction takes."""
FILLS = frozenset({"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"})
"""Instructions that leave the container they fill."""
TORCH_PICKLES = 5
"""Pickles at the beginning of a file of torch's first format."""


class Refused(pickle.UnpicklingError):
    """The pickle asks for something that no network needs."""


def scan(file: IO[bytes]) -> None:
    """Looks at all instructions.

    Lengths are checked against the file, places in the memo against the number of instructions, and the size of tuples,
    so that a short file can ask for neither much memory nor much time.

    Raises:
        Refused: an instruction, or a tuple, that no network needs.
        ValueError, LookupError: it is truncated or no pickle.
    """
    sizes = Sizes()
    for count, (code, value, _) in enumerate(pickletools.genops(file)):
        if code.name in UNUSED:
            raise Refused(f"the instruction {code.name}")
        if code.name in PUT and isinstance(value, int) and value > count:
            raise Refused(f"place {value} of the memo after {count} instructions")
        sizes.follow(code, value)


def scan_saved(path: Path) -> None:
    """Looks at all instructions of a file of ``torch.save``, of either format; torch itself looks at what they call.

    Raises:
        Refused: a key or tuple that no network needs.
        ValueError, LookupError, OSError, zipfile.BadZipFile: it is truncated or no such file.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for part in archive.infolist():
                if part.filename.endswith("data.pkl"):
                    _scan_part(archive, part)
        return
    with path.open("rb") as file:
        for _ in range(TORCH_PICKLES):
            follow_all(pickletools.genops(file))


def _scan_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    if part.compress_type != zipfile.ZIP_STORED:
        raise Refused("a compressed part, which torch never writes")
    with archive.open(part) as file:
        follow_all(pickletools.genops(file))


def follow_all(operations: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]]) -> None:
    """Follows instructions by size alone; raises what ``Sizes.follow`` raises."""
    sizes = Sizes()
    for code, value, _ in operations:
        sizes.follow(code, value)


class Sizes:
    """The stack, with the size of each value in its place, as the unpickler has it."""

    def __init__(self) -> None:
        self.stack: list[int] = []
        self.below: list[list[int]] = []
        """The stacks below each mark."""
        self.memo: dict[int, int] = {}

    def follow(self, code: pickletools.OpcodeInfo, value: Any) -> None:
        """Does what an instruction does.

        Raises:
            Refused: it makes a tuple that is too large, or takes one for a key.
            LookupError: it takes what is not there.
        """
        if code.name == "MARK":
            self.below.append(self.stack)
            self.stack = []
        elif code.name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif code.name in PUT:
            self.memo[value] = self.stack[-1]
        elif code.name in GET:
            self.stack.append(self.memo[value])
        else:
            taken = self._taken(code)
            if code.name in KEYS and max(taken[KEYS[code.name]], default=1) > 1:
                raise Refused("a key that is neither a text nor a short number")
            wide = isinstance(value, int) and value.bit_length() > WIDEST
            self.stack += [2 if wide else _made(code.name, taken)] * len(code.stack_after)

    def _taken(self, code: pickletools.OpcodeInfo) -> list[int]:
        """What an instruction takes off the stack, the lowest first."""
        before, above = list(code.stack_before), []
        if pickletools.markobject in before or (code.name == "POP" and not self.stack):
            above, self.stack = self.stack, self.below.pop()
            before = before[: before.index(pickletools.markobject)] if pickletools.markobject in before else []
        start = len(self.stack) - len(before)
        if start < 0:
            raise IndexError("nothing is left on the stack")
        taken = self.stack[start:]
        del self.stack[start:]
        return taken + above


def _made(name: str, taken: list[int]) -> int:
    """Size of what an instruction makes of values of these sizes; of a call, never less than what it was given."""
    if name in FILLS:
        return taken[0]
    if name in ("LIST", "DICT"):
        return 1
    size = taken[0] if name == "DUP" else sum(taken) + (name in TUPLES or not taken)
    if size > LARGEST:
        raise Refused(f"a tuple of more than {LARGEST} values in all")
    return size
