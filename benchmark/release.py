"""Step 1, ``anonymize``: an entrant turns a suite's probe images into released images, once, and they are kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from benchmark.decode import decode_png, encode_png
from benchmark.errors import AnonbenchError, EnvironmentProblem
from benchmark.hashing import sha256_bytes, sha256_json, sha256_tensor
from benchmark.images import ImageSet, Released, check_released
from benchmark.machine import PeakMemory
from benchmark.protocols import Controller, Report, Suite, quiet
from benchmark.records import Failure
from benchmark.registry import Entrant
from benchmark.store import Store, read_json, write_atomic, write_json

FORMAT = 1
"""Version of what is kept; raised when old releases may not be reused."""
SHARD = 256
"""Images per shard: what a killed run loses at most, of an entrant whose set may be cut."""


class EntrantFailed(Exception):
    """The entrant broke; carries what the record will say."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class Settings:
    """How the pipeline runs; none of it changes a number."""

    batch_size: int = 64
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Release:
    """A finished release in the store.

    Attributes:
        cell: hash of suite, entrant and seed.
        sha256: of keys and released pixels.
        keys: of the images.
        shards: names of the stored files, by shard.
        seconds: time inside the entrant.
        seconds_fit: time inside its ``fit``, None where it has none.
        peak_memory_mb: see ``PeakMemory``.
        notes: short facts the entrant published.
        reused: whether all of it was found in the store.
    """

    cell: str
    sha256: str
    keys: tuple[str, ...]
    shards: tuple[tuple[str, ...], ...]
    seconds: float
    seconds_fit: float | None
    peak_memory_mb: float | None
    notes: Mapping[str, str]
    reused: bool

    def __len__(self) -> int:
        return len(self.keys)


def cell_key(suite: Suite, entrant: Entrant, seed: int) -> str:
    """Content address of a release: suite, entrant, parameters, source of the method, seed."""
    facts = entrant.facts
    return sha256_json([FORMAT, suite.facts.suite_hash, facts.family, facts.params, facts.entry_hash, seed])


def find_release(store: Store, cell: str) -> Release | None:
    """A finished release, or None."""
    found = read_json(store.path("releases", cell, "release.json"))
    if found is None:
        return None
    return _as_release(cell, found, reused=True)


def _as_release(cell: str, facts: dict[str, Any], reused: bool) -> Release:
    tuples = {"keys": tuple(facts["keys"]), "shards": tuple(tuple(names) for names in facts["shards"])}
    return Release(cell=cell, reused=reused, **{**facts, **tuples})


def load_released(store: Store, release: Release, original: ImageSet) -> ImageSet | None:
    """The released images as they are published, decoded from their files.

    Returns:
        The set, or None where files are gone or damaged; the release is then forgotten and has to be made again.
    """
    parts = [_load_shard(store, names) for names in release.shards]
    whole = [part for part in parts if part is not None]
    if len(whole) == len(parts):
        return original.with_images(torch.cat(whole))
    store.path("releases", release.cell, "release.json").unlink(missing_ok=True)
    return None


def _load_shard(store: Store, names: tuple[str, ...]) -> torch.Tensor | None:
    files = store.get_all(list(names))
    return None if files is None else torch.stack([decode_png(data) for data in files])


def make_release(
    store: Store, suite: Suite, entrant: Entrant, seed: int, settings: Settings, report: Report = quiet
) -> Release:
    """Runs an entrant on a suite's probe images, shard by shard, resuming where an earlier run stopped.

    Raises:
        EntrantFailed: the entrant raised or broke the protocol.
    """
    cell = cell_key(suite, entrant, seed)
    found = find_release(store, cell)
    if found is not None:
        return found
    probe = suite.images("probe", report)
    parts = list(probe.batches(SHARD if entrant.shardable else max(1, len(probe))))
    controller = _controller(suite, entrant, seed, settings, report)
    with report(str(entrant.spec), len(probe)) as progress:
        work = _Work(store, cell, entrant, dataclasses.replace(controller, progress=progress))
        done = [work.shard(number, part) for number, part in enumerate(parts)]
    return _finish(store, cell, probe, done, work.seconds_fit)


def _controller(suite: Suite, entrant: Entrant, seed: int, settings: Settings, report: Report) -> Controller:
    """Hands over what the entrant declared, and nothing else."""
    return Controller(
        seed=seed,
        device=settings.device,
        batch_size=settings.batch_size,
        train=suite.images("background", report) if "train" in entrant.uses else None,
        recogniser=suite.referees(report).recogniser if "recogniser" in entrant.uses else None,
    )


def handed_over(images: ImageSet, uses: frozenset[str]) -> ImageSet:
    """What an entrant may see of a set: a copy of the pixels, the labels it declared, and keys that name nobody.

    Folders are named after people, and so are the keys; an entrant gets their hashes, which are as stable.
    """
    hidden = {name: name not in uses for name in ("identity", "attributes", "landmarks")}
    keys = tuple(sha256_bytes(key.encode())[:16] for key in images.keys)
    return dataclasses.replace(images.without(**hidden), images=images.images.clone(), keys=keys)


@dataclass
class _Work:
    """One release in the making."""

    store: Store
    cell: str
    entrant: Entrant
    controller: Controller
    seconds_fit: float | None = None
    fitted: bool = False

    def shard(self, number: int, part: ImageSet) -> dict[str, Any]:
        """What a shard consists of, from the store or made now."""
        path = self.store.path("releases", self.cell, f"{number:04d}.json")
        kept = read_json(path)
        if kept is not None and kept["keys"] == list(part.keys) and self.store.get_all(kept["objects"]) is not None:
            self.controller.progress(len(part))
            return dict(kept)
        self._fit()
        with PeakMemory() as memory:
            started = time.perf_counter()
            released = self._anonymize(part)
            seconds = time.perf_counter() - started
        made = {
            "keys": list(part.keys),
            "seconds": seconds,
            "peak_memory_mb": memory.peak,
            "objects": self.store.put_all([encode_png(image) for image in released.images]),
            "notes": {name: note for name, note in released.notes.items() if isinstance(note, str)},
        }
        self._keep_arrays(number, released)
        write_json(path, made)
        return made

    def _fit(self) -> None:
        fit = getattr(self.entrant.anonymizer, "fit", None)
        if self.fitted or fit is None:
            return
        started = time.perf_counter()
        self._guarded("fit", lambda: fit(self.controller.train, self.controller))
        self.seconds_fit, self.fitted = time.perf_counter() - started, True

    def _anonymize(self, part: ImageSet) -> Released:
        given, anonymize = handed_over(part, self.entrant.uses), self.entrant.anonymizer.anonymize
        released = self._guarded("anonymize", lambda: check_released(anonymize(given, self.controller), part))
        assert isinstance(released, Released)
        return released

    def _guarded(self, stage: Any, call: Any) -> object:
        """The one boundary between the harness and an entrant's code: whatever it raises becomes a failure."""
        try:
            return call()
        except Exception as error:
            kind = "environment" if isinstance(error, EnvironmentProblem) else "entrant"
            text = str(error) if isinstance(error, AnonbenchError) else f"{type(error).__name__}: {error}"
            line = " ".join(text.split())[:500]
            failure = Failure(stage=stage, kind="ambiguous" if isinstance(error, MemoryError) else kind, message=line)
            raise EntrantFailed(failure) from error

    def _keep_arrays(self, number: int, released: Released) -> None:
        from safetensors.torch import save

        arrays = {name: note.contiguous() for name, note in released.notes.items() if isinstance(note, torch.Tensor)}
        if arrays:
            write_atomic(self.store.path("releases", self.cell, f"{number:04d}.safetensors"), save(arrays))


def _finish(store: Store, cell: str, probe: ImageSet, done: list[dict[str, Any]], seconds_fit: float | None) -> Release:
    names = [list(part["objects"]) for part in done]
    pixels = [_load_shard(store, tuple(part)) for part in names]
    peaks = [part["peak_memory_mb"] for part in done if part["peak_memory_mb"] is not None]
    facts: dict[str, Any] = {
        "sha256": sha256_json(
            [list(probe.keys), sha256_tensor(torch.cat([part for part in pixels if part is not None]))]
        ),
        "keys": list(probe.keys),
        "shards": names,
        "seconds": sum(part["seconds"] for part in done),
        "seconds_fit": seconds_fit,
        "peak_memory_mb": max(peaks) if peaks else None,
        "notes": merged_notes([part["notes"] for part in done]),
    }
    write_json(store.path("releases", cell, "release.json"), facts)
    return _as_release(cell, facts, reused=False)


def merged_notes(notes: list[dict[str, str]]) -> dict[str, str]:
    """The notes of all shards: each distinct text once, in order."""
    names = sorted({name for part in notes for name in part})
    return {name: "; ".join(dict.fromkeys(part[name] for part in notes if name in part)) for name in names}
