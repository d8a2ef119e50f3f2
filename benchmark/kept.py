"""Tensors that are the same for every entrant: made once, and kept by content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmark.hashing import sha256_json
from benchmark.store import Store

FORMAT = 1
Tensors = dict[str, torch.Tensor]
_memo: dict[str, Tensors] = {}


def kept(store: Store | None, folder: str, parts: Sequence[Any], make: Callable[[], Tensors]) -> Tensors:
    """Named tensors under a key, from the store or made now.

    Args:
        store: where they are kept; None keeps them in memory alone.
        folder: inside the store.
        parts: what they depend on, hashes and settings that JSON can write.
        make: computes them.
    """
    key = sha256_json([FORMAT, folder, list(parts)])
    if store is None:
        if key not in _memo:
            _memo[key] = make()
        return _memo[key]
    from safetensors import SafetensorError
    from safetensors.torch import load, save

    path = store.path(folder, f"{key}.safetensors")
    for _ in range(2):
        try:
            return load(store.remember(path, lambda: save({k: v.contiguous() for k, v in make().items()})))
        except SafetensorError:  # damaged: made again
            path.unlink(missing_ok=True)
    raise AssertionError("a file just written cannot be read")
