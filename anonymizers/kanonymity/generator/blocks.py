"""Tensors out of the bytes that torch writes for a block of numbers inside a pickle; nothing is executed.

Such a block is five pickles and the numbers. Their instructions are looked at first: they may name a kind of number and
nothing else, and may not declare more numbers than there are bytes. Then torch's own reader of tensors takes them.
"""

from __future__ import annotations

import io
import math
import pickletools
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anonymizers.kanonymity.generator.pickled import StoredTensor, refused, unreadable
from anonymizers.kanonymity.generator.scanning import Refused, Sizes

STORAGES = frozenset(
    f"torch {kind}Storage" for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
)  # fmt: skip
PLAIN = frozenset(
    {"PROTO", "LONG1", "STOP", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "MARK", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
    | {"BINUNICODE", "BININT", "BININT1", "BININT2", "NEWTRUE", "NEWFALSE", "NONE", "SETITEM", "SETITEMS", "APPEND"}
    | {"APPENDS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "BINPERSID", "GLOBAL"}
)
"""Instructions that stand in a stored block of numbers."""
BLOCK_PICKLES = 5
"""Pickles at the beginning of a stored block; the fourth declares how many numbers follow."""


def tensor_in(path: Path, name: str, stored: StoredTensor) -> Tensor:
    """The tensor of a record, float32 on the CPU.

    Raises:
        EntrantError: its bytes ask for more than numbers, or it declares more than it has.
        EnvironmentProblem: its bytes are damaged.
    """
    try:
        return _tensor_of(stored)
    except Refused as error:
        raise refused(path, f"{error} ({name})") from error
    except Exception as error:
        raise unreadable(path, f"{name} is truncated or damaged ({type(error).__name__})") from error


def _tensor_of(stored: StoredTensor) -> Tensor:
    """The tensor of a record, float32 on the CPU, with memory of its own.

    Raises:
        Refused: its bytes hold more than numbers, or fewer numbers than it declares.
    """
    whole = _numbers(stored.block.data)
    spans = [(size - 1) * step for size, step in zip(stored.shape, stored.stride, strict=True)]
    count = math.prod(stored.shape)
    if min((0, stored.offset, *stored.shape, *stored.stride)) < 0 or count > len(whole):
        raise Refused("a tensor that declares more numbers than there are")
    if count and stored.offset + sum(spans) >= len(whole):
        raise Refused("a tensor outside its block of numbers")
    if not count:
        return torch.zeros(stored.shape)
    return whole.as_strided(stored.shape, stored.stride, stored.offset).float().clone()


def _numbers(data: bytes) -> Tensor:
    """A block of numbers, ``[n]``, by torch's reader of tensors, after a look at what it will be asked to do."""
    stream = io.BytesIO(data)
    for part in range(BLOCK_PICKLES):
        _check_block(pickletools.genops(stream), len(data) if part == BLOCK_PICKLES - 2 else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates the format that it still writes
        storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if not isinstance(storage, torch.storage.TypedStorage):
            raise Refused(f"{type(storage).__name__} inside a block of numbers")
        return torch.empty(0, dtype=storage.dtype).set_(storage.untyped())


def _check_block(operations: Iterable[tuple[Any, Any, Any]], most: int | None) -> None:
    sizes = Sizes()
    for code, value, _ in operations:
        if code.name == "GLOBAL" and value not in STORAGES:
            raise Refused(f"{str(value).replace(' ', '.', 1)} inside a block of numbers")
        if code.name not in PLAIN:
            raise Refused(f"the instruction {code.name} inside a block of numbers")
        sizes.follow(code, value)
        if most is not None and isinstance(value, int) and value > most:
            raise Refused("a block that declares more numbers than it holds")
