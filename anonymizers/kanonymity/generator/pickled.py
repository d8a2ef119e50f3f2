"""Reads pickles of networks into plain values without executing anything.

A pickle is a program: it names functions and says what to call them with. Here every name is looked up in a table of
harmless stand-ins, whole and by equality (no module is imported, no dotted name is followed), and everything else is
refused. What comes out is made of numbers, texts, lists, dictionaries and the records of this module; tensors stay
bytes until somebody asks for them with ``blocks.tensor_in``.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from anonymizers.kanonymity.generator.scanning import Refused, scan
from benchmark.errors import EntrantError, EnvironmentProblem

REMEDY = "give a file of safetensors or a torch state dict, or the original file from its publisher"
MOST = 16
"""Most elements of what a stand-in copies, so that a short file cannot fill the memory with copies."""
Kind = TypeVar("Kind")


class StoredBlock(NamedTuple):
    """The bytes that torch wrote for a block of numbers."""

    data: bytes


class StoredTensor(NamedTuple):
    """A tensor as a view of a block."""

    block: StoredBlock
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class StoredObject(NamedTuple):
    """An object of a class whose program travelled with it; the program is thrown away.

    Attributes:
        name: of its class.
        state: its attributes by name.
    """

    name: str
    state: dict[str, Any]


class StoredArray:
    """A NumPy array or type of which nothing is kept: networks hold their weights in tensors."""

    __slots__ = ("code",)

    def __init__(self, code: str = "") -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Lets its state go."""


class Sealed(type):
    """Makes classes that cannot be changed, and that are called without arguments."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise Refused(f"a change of the class {cls.__name__}")

    def __call__(cls, *args: object) -> Any:
        """An empty object."""
        if args:
            raise Refused(f"{cls.__name__} with arguments")
        return super().__call__()


class Fields(dict[Any, Any], metaclass=Sealed):
    """A dictionary of the pickle; unlike ``OrderedDict`` it has no attributes that a pickle could set."""

    __slots__ = ()


class StandIn(NamedTuple):
    """What a name of the pickle becomes; being a tuple, it has no attributes that a pickle could set."""

    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        """Calls the harmless function."""
        return self.function(*args)


def _block(data: object) -> StoredBlock:
    return StoredBlock(_is(bytes, data))


def _tensor(block: object, offset: object, shape: object, stride: object, *_: object) -> StoredTensor:
    sizes, steps = (tuple(_is(int, value) for value in _short(_is(tuple, values))) for values in (shape, stride))
    return StoredTensor(_is(StoredBlock, block), _is(int, offset), sizes, steps)


def _parameter(data: object, *_: object) -> StoredTensor:
    return _is(StoredTensor, data)


def _object(meta: object) -> StoredObject:
    fields = _is(dict, meta)
    return StoredObject(_is(str, fields.get("class_name")), _is(dict, fields.get("state")))


def _array(*_: object) -> StoredArray:
    return StoredArray()


def _number_type(code: object, *_: object) -> StoredArray:
    return StoredArray(_is(str, code))


def _number(kind: object, data: object = None) -> float | None:
    """A NumPy scalar; None for what is no number."""
    code = _is(StoredArray, kind).code.lstrip("<=|")
    if code not in {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}:
        return None
    values = np.frombuffer(_is(bytes, data), dtype=np.dtype(f"<{code}"))
    return values[0].item() if len(values) == 1 else None


def _encoded(text: object, encoding: object) -> bytes:
    """The bytes of a number as old protocols wrote them."""
    if encoding != "latin1":
        raise Refused("_codecs.encode with another encoding than latin1")
    text = _is(str, text)
    _short(text)
    return text.encode("latin1")


def _size(values: object) -> tuple[Any, ...]:
    return tuple(_short(_is(tuple, values)))


def _set(values: object) -> set[Any]:
    return set(_short(_is(list, values)))


def _short(values: Any) -> Any:
    if len(values) > MOST:
        raise Refused(f"a copy of {len(values)} elements")
    return values


def _is(kind: type[Kind], value: object) -> Kind:
    if not isinstance(value, kind):
        raise Refused(f"{type(value).__name__} where {kind.__name__} should be")
    return value


ALLOWED: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): StandIn(_tensor),
    ("torch._utils", "_rebuild_parameter"): StandIn(_parameter),
    ("torch.storage", "_load_from_bytes"): StandIn(_block),
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): StandIn(_object),
    ("collections", "OrderedDict"): Fields,
    ("dnnlib.util", "EasyDict"): Fields,
    ("builtins", "set"): StandIn(_set),
    ("__builtin__", "set"): StandIn(_set),
    ("torch", "Size"): StandIn(_size),
    ("torch", "device"): StandIn(_array),
    ("numpy", "ndarray"): StandIn(_array),
    ("numpy", "dtype"): StandIn(_number_type),
    ("_codecs", "encode"): StandIn(_encoded),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): StandIn(_array) for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): StandIn(_number) for core in ("core", "_core")},
    **{("torch", name): StoredArray() for name in ("float16", "float32", "float64", "int64", "int32", "uint8", "bool")},
}
"""Every name a pickle may use, and what it gets."""


class RestrictedUnpickler(pickle.Unpickler):
    """Knows the names of ``ALLOWED`` and no others."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name; nothing is imported."""
        if (module, name) not in ALLOWED:
            raise Refused(f"{module}.{name}")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """There are no persistent names here."""
        raise Refused("a persistent name")


def read_pickle(path: Path) -> Any:
    """What is in the pickle, as plain values and the records of this module.

    Raises:
        EntrantError: it asks for anything that is not in the table; names it. Nothing has been executed.
        EnvironmentProblem: it is absent, truncated or no pickle.
    """
    try:
        with path.open("rb") as file:
            scan(file)
            file.seek(0)
            return RestrictedUnpickler(file).load()
    except Refused as error:
        raise refused(path, str(error)) from error
    except OSError as error:
        raise unreadable(path, error.strerror or "it cannot be opened") from error
    except Exception as error:
        # A damaged or malicious pickle makes the reader raise anything; an allowed type with wrong arguments, too.
        raise unreadable(path, f"it is truncated, damaged or malformed ({type(error).__name__})") from error


def refused(path: Path, what: str) -> EntrantError:
    """The error about a pickle that asks for more than tensors."""
    line = " ".join(what.split())[:200]
    if line.startswith("dnnlib.tflib"):
        return EntrantError(
            f"{path} holds a TensorFlow network ({line}), which is not read; convert it with legacy.py of "
            "stylegan2-ada-pytorch: python legacy.py --source=OLD.pkl --dest=NEW.pkl"
        )
    return EntrantError(f"{path} was refused: its pickle asks for {line}; nothing was executed; {REMEDY}")


def unreadable(path: Path, reason: str) -> EnvironmentProblem:
    """The error about a file that is no pickle, or not a whole one."""
    return EnvironmentProblem(f"{path} cannot be read as a pickle of a network: {reason}; {REMEDY}")
