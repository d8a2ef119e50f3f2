"""``file.py:Name``: a class from a file that belongs to no package."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark.errors import UsageError, as_line, did_you_mean
from benchmark.files import one_line, read_file
from benchmark.hashing import sha256_bytes


def class_in_file(path: Path, name: str) -> type:
    """The class ``name`` that the file defines.

    The file is run as a module of its own. Its folder is not searched for imports, so nothing that lies there stands
    in for an installed package.

    Raises:
        UsageError: there is no such file or class, or the file cannot be run.
    """
    module = _module(path)
    found = _classes(module)
    if name in found:
        return found[name]
    if hasattr(module, name):
        raise UsageError(f"{one_line(path)}: '{name}' is not a class defined in this file. Define it there as a class")
    raise UsageError(f"{one_line(path)} defines no class '{name}'.{did_you_mean(name, found)} Write FILE.py:Name")


def _classes(module: ModuleType) -> dict[str, type]:
    found = inspect.getmembers(module, inspect.isclass)
    return {name: kind for name, kind in found if kind.__module__ == module.__name__}


def _module(path: Path) -> ModuleType:
    """The file as a module, run once per content."""
    shown = one_line(path)
    if not path.stem.isidentifier():
        raise UsageError(f"{shown}: a Python file is named with letters, digits and underscores. Rename it")
    name = f"anonbench_file_{path.stem}_{sha256_bytes(str(path.resolve()).encode() + read_file(path))[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it runs
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        del sys.modules[name]
        raise UsageError(f"{shown} cannot be run: {as_line(error)}. {_remedy(error)}") from error
    return module


def _remedy(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return (
            "A file stands alone: install what it imports into this environment, or make it a package with an entry "
            "point 'anonbench.anonymizers'"
        )
    return "Mend it"
