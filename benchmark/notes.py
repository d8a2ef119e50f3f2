"""What an entrant published beside its images, read back in the order of the release."""

from __future__ import annotations

import dataclasses

import torch

from benchmark.release import Release, disguised_key
from benchmark.store import Store, read_json
from benchmark.trace import Trace, from_arrays


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
        if note is None or len(note) != len(keys):
            return None
        rows |= dict(zip(keys, note, strict=True))
    keys = [disguised_key(key, salt) for key in release.keys]
    return torch.stack([rows[key] for key in keys]) if rows and set(keys) <= set(rows) else None


def load_trace(store: Store, release: Release, salt: str) -> Trace | None:
    """The rounds of a release, images in its order; None where it has none. Arguments as ``load_note``."""
    shards = _shards(store, release)
    if len(shards) != 1:
        return None
    keys, arrays = shards[0]
    place = {key: row for row, key in enumerate(keys)}
    order = [place.get(disguised_key(key, salt)) for key in release.keys]
    try:
        trace = from_arrays(arrays)
    except KeyError:  # damaged
        return None
    known = [row for row in order if row is not None]
    if trace is None or len(known) != len(order) or len(trace.rounds) != len(known):
        return None
    rows = torch.tensor(known, dtype=torch.int64)
    now = {row: number for number, row in enumerate(known)}
    return dataclasses.replace(
        trace,
        rounds=trace.rounds[rows],
        changed=trace.changed[rows],
        recognised=trace.recognised[rows],
        sequences=tuple(dataclasses.replace(part, row=now[part.row]) for part in trace.sequences),
    )


def _shards(store: Store, release: Release) -> list[tuple[list[str], dict[str, torch.Tensor]]]:
    """Keys and arrays of the parts a release was made in; empty where one of them has none or is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = []
    for path in sorted(store.path("releases", release.cell).glob("*.safetensors")):
        shard = read_json(path.with_suffix(".json"))
        try:
            arrays = load_file(path)
        except (OSError, SafetensorError):
            return []
        if not isinstance(shard, dict) or "keys" not in shard:
            return []
        found.append((shard["keys"], arrays))
    return found
