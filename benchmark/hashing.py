"""Content addresses: sha256 of bytes, files, tensors and canonical JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def sha256_bytes(data: bytes | memoryview) -> str:
    """Hexadecimal sha256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hexadecimal sha256 of the canonical JSON of ``value`` (sorted keys, no spaces, no NaN)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256_bytes(text.encode())


def sha256_tensor(tensor: torch.Tensor) -> str:
    """Hexadecimal sha256 of a tensor's dtype, shape and values."""
    values = tensor.detach().cpu().contiguous()
    head = f"{values.dtype}{tuple(values.shape)}".encode()
    return sha256_bytes(head + values.numpy().tobytes())
