"""ONNX graphs of a few kilobytes in the shape of deepface's files, written without the package onnx."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmark.weights import REGISTRY


def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ``ANONBENCH_WEIGHTS``, an empty cache and an empty home."""
    for name in ("weights", "cache", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DEEPFACE_HOME", raising=False)
    return tmp_path / "weights"


def put(folder: Path, name: str, content: bytes) -> Path:
    """A file under the name that the registry has for it."""
    path = folder / REGISTRY[name].file
    path.write_bytes(content)
    return path


def bgr(images: torch.Tensor) -> list[np.ndarray]:
    """RGB uint8 ``[B, 3, H, W]`` as whoever reads files with OpenCV has them."""
    return [cv2.cvtColor(image.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2BGR) for image in images]


@contextmanager
def deepface_home(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package as it comes, on onnxruntime, with a weight file in a home of its own."""
    from deepface.commons import backend_utils
    from deepface.modules import modeling

    weights = path.parent.parent / "deepface-home" / ".deepface" / "weights"
    weights.mkdir(parents=True)
    (weights / path.name).write_bytes(path.read_bytes())
    with monkeypatch.context() as patched:
        patched.setenv("DEEPFACE_HOME", str(weights.parents[1]))
        patched.setattr(backend_utils, "_backend_engine", "onnx")
        patched.setattr(modeling, "cached_models", {task: {} for task in modeling.AVAILABLE_MODELS}, raising=False)
        yield


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _tensor_type(name: str, shape: tuple[int | str, ...]) -> bytes:
    sizes = [_number(1, size) if isinstance(size, int) else _bytes(2, size) for size in shape]
    typed = _number(1, 1) + _bytes(2, b"".join(_bytes(1, size) for size in sizes))
    return _bytes(1, name) + _bytes(2, _bytes(1, typed))


def _node(kind: str, inputs: list[str], output: str, **attributes: list[int]) -> bytes:
    named = b"".join(
        _bytes(5, _bytes(1, name) + b"".join(_number(8, value) for value in values) + _number(20, 7))
        for name, values in attributes.items()
    )
    return b"".join(_bytes(1, name) for name in inputs) + _bytes(2, output) + _bytes(4, kind) + named


def tiny_graph(
    takes: tuple[int | str, ...],
    outputs: int,
    *,
    channels_last: bool = True,
    softmax: bool = False,
    seed: int = 0,
    stated: bool = True,
    scale: float = 1.0,
) -> bytes:
    """Means of the cells of a coarse grid times random weights: sensitive to channel order, range, size and place.

    Args:
        takes: shape of the input; a word leaves a size open.
        outputs: numbers per image.
        channels_last: whether the input is ``[N, H, W, C]``.
        softmax: whether the outputs are probabilities.
        seed: of the weights.
        scale: what the weights are multiplied by.
        stated: whether the graph says how many outputs it has.
    """
    height, width, channels = [int(size) for size in (takes[1:] if channels_last else (*takes[2:], takes[1]))]
    cell = max(height, width) // 4
    inner = channels * (height // cell) * (width // cell)
    weights = np.random.default_rng(seed).standard_normal((inner, outputs), dtype=np.float32)
    weights = weights - weights.mean(0) if softmax else weights  # so that more than one class wins
    nodes = [
        _node("Transpose", ["image"], "planes", perm=[0, 3, 1, 2] if channels_last else [0, 1, 2, 3]),
        _node("AveragePool", ["planes"], "means", kernel_shape=[cell, cell], strides=[cell, cell]),
        _node("Flatten", ["means"], "row"),
        _node("MatMul", ["row", "weights"], "scores" if softmax else "out"),
        *([_node("Softmax", ["scores"], "out")] if softmax else []),
    ]
    stored = _number(1, inner) + _number(1, outputs) + _number(2, 1) + _bytes(8, "weights")
    stored += _bytes(9, (weights * np.float32(scale)).tobytes())
    graph = b"".join(_bytes(1, node) for node in nodes) + _bytes(2, "tiny") + _bytes(5, stored)
    graph += _bytes(11, _tensor_type("image", takes)) + _bytes(
        12, _tensor_type("out", (takes[0], outputs if stated else "k"))
    )
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 13))
