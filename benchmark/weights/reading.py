"""Reading weights without ever running what is in the file."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import EnvironmentProblem
from benchmark.weights.content import looks_like_html

if TYPE_CHECKING:
    import torch

NESTS = ("state_dict", "net_state_dict")
"""Keys under which training programs keep the tensors."""


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Reads the tensors of a weight file on the CPU: safetensors, or what ``torch.save`` wrote.

    Tensors under ``state_dict`` or ``net_state_dict`` are taken out. Nothing in the file is executed.

    Raises:
        EnvironmentProblem: the file is absent, damaged, a web page, a pickle that would run code, or holds something
            else than tensors by name.
    """
    try:
        if looks_like_html(path):
            raise _unreadable(path, "it is an HTML page")
        content = _content(path)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    for key in NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    return _tensors(path, content)


def _content(path: Path) -> Any:
    """What is in the file, read by the two readers that execute nothing."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(str(path), device="cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickles that it refuses a moment later
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged file makes the readers raise anything, even an OSError for a place before its beginning.
        refused = isinstance(error, pickle.UnpicklingError) and _is_program(path, str(error))
        kind = "it is a pickle that may run code, which is never done" if refused else "it is truncated or damaged"
        raise _unreadable(path, kind) from error


def _is_program(path: Path, message: str) -> bool:
    """Whether the reader of tensors met a class or function, or a pickle of a kind that torch does not write."""
    with path.open("rb") as file:
        is_pickle = file.read(1) == pickle.PROTO
    return "GLOBAL" in message or "nsupported class" in message or (is_pickle and "nsupported operand" in message)


def _tensors(path: Path, content: Any) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(content, Mapping) or not content:
        raise _unreadable(path, f"it holds no tensors by name but {type(content).__name__}")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise _unreadable(path, f"it holds {type(value).__name__} under {key!r} where a tensor should be")
    return dict(content)


def _unreadable(path: Path, reason: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"{path} cannot be read as weights: {reason}; replace it by a file of tensors (safetensors or a torch state "
        "dict). To see which weights are whole, type: anonbench weights verify"
    )
