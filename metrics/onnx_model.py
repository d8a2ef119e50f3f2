"""ONNX graphs of weight files: opened on the processor or the accelerator, and checked for what goes in and out.

Since 1.29 onnxruntime tells its makers which models are run, and keeps an identifier in the user's cache folder, unless
it is told not to before it is imported. So it is imported here and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.errors import EnvironmentProblem, as_line

Shape = tuple[int | None, ...]
"""Sizes of a tensor; None where any will do."""
ERRORS_ONLY = 3


@dataclass(frozen=True)
class GraphShape:
    """What a graph has to look like.

    Attributes:
        takes: shape of its first input.
        gives: shape of its first output.
    """

    takes: Shape
    gives: Shape


def open_graph(name: str, path: Path, shape: GraphShape, device: str) -> Any:
    """Opens an ONNX graph in onnxruntime, with as many threads as torch has.

    Args:
        name: of the registry, for messages.
        path: the file.
        shape: what its first input and output must be.
        device: torch device name; without onnxruntime's package for it the graph runs on the processor.

    Returns:
        An ``onnxruntime.InferenceSession``.

    Raises:
        EnvironmentProblem: the file is no ONNX graph, or the graph of another model.
    """
    onnxruntime = _quiet_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=_providers(device))
    except Exception as error:
        raise EnvironmentProblem(
            f"{path} cannot be read as an ONNX graph ({as_line(error)}); {_replace(name)}"
        ) from error
    _check(name, path, "input", session.get_inputs(), shape.takes)
    _check(name, path, "output", session.get_outputs(), shape.gives)
    return session


def fixed_batch(session: Any) -> int | None:
    """How many images the graph takes at a time; None if any number."""
    size = session.get_inputs()[0].shape[0]
    return size if isinstance(size, int) else None


def _quiet_onnxruntime() -> Any:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def _providers(device: str) -> list[str]:
    wanted = ["CUDAExecutionProvider"] if torch.device(device).type == "cuda" else []
    there = _quiet_onnxruntime().get_available_providers()
    return [name for name in (*wanted, "CPUExecutionProvider") if name in there]


def _check(name: str, path: Path, side: str, tensors: Sequence[Any], wanted: Shape) -> None:
    if not tensors:
        raise EnvironmentProblem(f"{path} is not the graph of {name}: it has no {side}; {_replace(name)}")
    first = tensors[0]
    if not _fits(first.shape, wanted):
        raise EnvironmentProblem(
            f"{path} is not the graph of {name}: its {side} '{first.name}' is {_said(first.shape)} where "
            f"{_said(wanted)} should be; {_replace(name)}"
        )


def _fits(found: Sequence[Any], wanted: Shape) -> bool:
    """Whether all sizes that both sides state are equal; graphs name the sizes that they leave open."""
    if not found and wanted:
        return False
    pairs = zip(found, wanted, strict=False)
    return len(found) == len(wanted) and all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))


def _said(shape: Sequence[Any]) -> str:
    return "[" + ", ".join(str(size) if isinstance(size, int) else "any" for size in shape) + "]"


def _replace(name: str) -> str:
    return f"replace it by {name} of the registry. To see where that comes from, type: anonbench weights list"
