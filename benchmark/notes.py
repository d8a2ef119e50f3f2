"""What an entrant published beside its images, read back in the order of the release."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch

from benchmark.release import Release, disguised_key
from benchmark.store import Store, read_json
from benchmark.trace import Trace, from_arrays

LARGE = (2**15, 2**15)
"""No image is larger."""


def load_note(store: Store, release: Release, name: str, salt: str) -> torch.Tensor | None:
    """An array an entrant published per image, in the order of the release; None where it did not.

    Args:
        store: where the release is kept.
        release: whose note.
        name: of the note.
        salt: hash of the suite, which made the keys the entrant saw.
    """
    rows: dict[str, torch.Tensor] = {}
    for keys, arrays in _shards(store, release):
        note = arrays.get(name)
        if note is None or note.shape[:1] != (len(keys),):
            return None
        rows |= dict(zip(keys, note, strict=True))
    keys = [disguised_key(key, salt) for key in release.keys]
    if not keys or not set(keys) <= set(rows) or len({row.shape for row in rows.values()}) > 1:
        return None
    return torch.stack([rows[key] for key in keys])


def load_trace(store: Store, release: Release, salt: str) -> Trace | None:
    """The rounds of a release, images in its order; None where it has none. Arguments as ``load_note``."""
    shards = _shards(store, release)
    trace = _sound(shards[0][1], len(release)) if len(shards) == 1 else None
    if trace is None:
        return None
    place = {key: row for row, key in enumerate(shards[0][0])}
    known = [place.get(disguised_key(key, salt), -1) for key in release.keys]
    return _in_order(trace, known) if sorted(known) == list(range(len(known))) else None


def _sound(arrays: Mapping[str, torch.Tensor], count: int) -> Trace | None:
    """The trace of ``count`` images in a file; None where there is none or it is damaged."""
    try:
        trace = from_arrays(arrays)
        return None if trace is None or trace.problem(count, _size_of(trace)) else trace
    except (LookupError, ValueError, TypeError, RuntimeError):
        return None


def _size_of(trace: Trace) -> tuple[int, int]:
    """Height and width of the images, as far as the trace knows; large ones where it does not."""
    shapes = [tuple(part.images.shape) for part in trace.sequences]
    return (shapes[0][-2], shapes[0][-1]) if shapes else LARGE


def _in_order(trace: Trace, order: list[int]) -> Trace:
    """The trace of the images in ``order``, a permutation of its rows."""
    rows = torch.tensor(order, dtype=torch.int64)
    now = {row: number for number, row in enumerate(order)}
    return dataclasses.replace(
        trace,
        rounds=trace.rounds[rows],
        changed=trace.changed[rows],
        recognised=trace.recognised[rows],
        sequences=tuple(dataclasses.replace(part, row=now[part.row]) for part in trace.sequences),
    )


def _shards(store: Store, release: Release) -> list[tuple[list[str], dict[str, torch.Tensor]]]:
    """Keys and arrays of the parts of a release that have arrays; empty where one of them is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = []
    for path in sorted(store.path("releases", release.cell).glob("*.safetensors")):
        shard = read_json(path.with_suffix(".json"))
        try:
            arrays = load_file(path)
        except (OSError, SafetensorError):
            return []
        if not isinstance(shard, dict) or not isinstance(shard.get("keys"), list):
            return []
        found.append((shard["keys"], arrays))
    return found
