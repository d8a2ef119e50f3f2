"""Step 1, ``anonymize``: an entrant turns a suite's probe images into released images, once, and they are kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

import benchmark
from benchmark.decode import decode_png, encode_png
from benchmark.errors import AnonbenchError, EntrantError, EnvironmentProblem
from benchmark.hashing import sha256_bytes, sha256_json, sha256_tensor
from benchmark.images import ImageSet, Released, check_released
from benchmark.machine import PeakMemory
from benchmark.protocols import USES, Controller, Report, Suite, quiet
from benchmark.records import Failure
from benchmark.registry import Entrant
from benchmark.store import Store, read_json, write_atomic, write_json

FORMAT = 3
"""Version of what is kept; raised when old releases may not be reused."""
Made = TypeVar("Made")
SHARD = 256
"""Images per shard: what a killed run loses at most, of an entrant whose set may be cut."""


class EntrantFailed(Exception):
    """The entrant broke; carries what the record will say."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class Settings:
    """How the pipeline runs; none of it changes a number.

    ``private`` are folders with labels, ``covered`` folders of records: a command sees neither.
    """

    batch_size: int = 64
    device: str = "cpu"
    threads: int = 1
    private: tuple[Path, ...] = ()
    covered: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Release:
    """A finished release in the store.

    Attributes:
        cell: hash of suite, entrant and seed.
        sha256: of keys and released pixels.
        keys: of the images.
        objects: names of the stored files, in the order of the keys.
        seconds: time inside the entrant.
        seconds_fit: time inside its ``fit``, None where it has none.
        peak_memory_mb: see ``PeakMemory``.
        notes: short facts the entrant published.
        missing: rows of images that were never delivered.
        traced: whether it came with a trace.
        reused: whether all of it was found in the store.
        isolation: what kept a command apart from the machine; empty for code that runs in the harness.
    """

    cell: str
    sha256: str
    keys: tuple[str, ...]
    objects: tuple[str, ...]
    seconds: float
    seconds_fit: float | None
    peak_memory_mb: float | None
    notes: Mapping[str, str]
    missing: tuple[int, ...]
    reused: bool
    traced: bool = False
    isolation: str = ""

    def __len__(self) -> int:
        return len(self.keys)


def cell_key(suite: Suite, entrant: Entrant, seed: int) -> str:
    """Content address of a release: harness, suite, entrant, parameters, source and found files of the method, seed."""
    facts, found = entrant.facts, getattr(entrant.anonymizer, "found", dict)
    method = [facts.family, facts.params, facts.entry_hash, dict(found())]
    return sha256_json([FORMAT, benchmark.__version__, suite.facts.suite_hash, method, seed])


def find_release(store: Store, cell: str) -> Release | None:
    """A finished release, or None."""
    found = read_json(store.path("releases", cell, "release.json"))
    try:
        return None if found is None else _as_release(cell, found, reused=True)
    except (KeyError, TypeError):  # damaged
        return None


def _as_release(cell: str, facts: dict[str, Any], reused: bool) -> Release:
    tuples = {name: tuple(facts[name]) for name in ("keys", "objects", "missing")}
    return Release(cell=cell, reused=reused, **{**facts, **tuples})


def forget_release(store: Store, release: Release) -> None:
    """Makes the next run make the release anew; its images stay in the store."""
    for path in store.path("releases", release.cell).glob("*.json"):
        path.unlink(missing_ok=True)


def load_released(store: Store, release: Release, original: ImageSet) -> ImageSet | None:
    """The released images as they are published, decoded from their files.

    Returns:
        The set, or None where files are gone or damaged; the release is then forgotten and has to be made again.
    """
    files = store.get_all(list(release.objects))
    if files is not None:
        gone = torch.zeros(len(original), dtype=torch.bool)
        gone[list(release.missing)] = True
        images = original.with_images(torch.stack([decode_png(data) for data in files]))
        return dataclasses.replace(images, missing=gone) if release.missing else images
    store.path("releases", release.cell, "release.json").unlink(missing_ok=True)
    return None


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
    given = disguised(probe, entrant.uses, suite.facts.suite_hash)
    parts = list(given.batches(SHARD if entrant.shardable else max(1, len(given))))
    controller = _controller(suite, entrant, seed, settings, report)
    with report(str(entrant.spec), len(probe)) as progress:
        work = _Work(store, cell, entrant, dataclasses.replace(controller, progress=progress))
        done = [work.shard(number, part) for number, part in enumerate(parts)]
    return _finish(store, cell, suite, probe, done, work.seconds_fit)


def _controller(suite: Suite, entrant: Entrant, seed: int, settings: Settings, report: Report) -> Controller:
    """Hands over copies of what the entrant declared, and nothing else: what it does to them harms itself alone."""
    train = recogniser = None
    if "train" in entrant.uses:
        others = share_of(suite.images("background", report), "controller")
        train = disguised(others, USES, suite.facts.suite_hash)
    if "recogniser" in entrant.uses:
        given = suite.referees(report).recogniser
        recogniser = None if given is None else given.copy()
    return Controller(
        seed=seed,
        device=settings.device,
        batch_size=settings.batch_size,
        train=train,
        recogniser=recogniser,
        private=settings.private,
        covered=settings.covered,
    )


def share_of(background: ImageSet, owner: Literal["controller", "attacker"]) -> ImageSet:
    """One half of the background people: every second person, or image where nobody is known.

    Who anonymizes and who attacks share no photograph and no person; only the attackers' model ``embedding``, like
    the classifiers of attributes, has learned all of them.
    """
    people = torch.arange(len(background)) if background.identity is None else background.identity.values
    return background.select((people % 2 == (owner == "attacker")).nonzero().flatten())


def disguised_key(key: str, suite_hash: str) -> str:
    """A name that says nothing about who is on an image, and is the same in every run."""
    return sha256_bytes(f"{suite_hash}/{key}".encode())[:16]


def disguised(images: ImageSet, uses: frozenset[str], suite_hash: str) -> ImageSet:
    """What an entrant may see of a set: copies, the labels it declared, in an order and under keys that name nobody.

    Folders are named after people and images are sorted by person, so keys and order would give identities away.
    """
    keys = [disguised_key(key, suite_hash) for key in images.keys]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    hidden = {name: name not in uses for name in ("identity", "attributes", "landmarks")}
    shuffled = images.select(torch.tensor(order, dtype=torch.int64)).without(**hidden)
    return dataclasses.replace(shuffled, keys=tuple(keys[row] for row in order))


def released_once(entrant: Entrant, images: ImageSet, controller: Controller, salt: str) -> torch.Tensor:
    """What an entrant makes of images of anybody's choice; nothing is kept.

    Args:
        entrant: who anonymizes.
        images: what it is given, disguised as in a run.
        controller: what it has at hand; it must hold what the entrant declared.
        salt: makes the keys the entrant sees.

    Returns:
        uint8 ``[N, 3, H, W]`` in the order of ``images``.

    Raises:
        EntrantFailed: the entrant raised, broke the protocol, or delivered less than half of the images.
    """
    given = disguised(images, entrant.uses, salt)
    work = _Work(None, "", entrant, controller)
    work.fit()
    released, _ = work.anonymize(given)
    _check_delivered(released)
    place = {key: row for row, key in enumerate(given.keys)}
    return _published(released)[
        torch.tensor([place[disguised_key(key, salt)] for key in images.keys], dtype=torch.int64)
    ]


def _check_delivered(released: Released) -> None:
    """Who learns from black images learns nothing: that is no protection but an attack that could not be run."""
    lost = 0 if released.missing is None else int(released.missing.sum())
    if 2 * lost > len(released.images):
        message = f"it delivered only {len(released.images) - lost} of {len(released.images)} images"
        raise EntrantFailed(Failure(stage="anonymize", kind="entrant", message=message))


@dataclass
class _Work:
    """One release in the making."""

    store: Store | None
    cell: str
    entrant: Entrant
    controller: Controller
    seconds_fit: float | None = None
    fitted: bool = False

    def shard(self, number: int, part: ImageSet) -> dict[str, Any]:
        """What a shard consists of, from the store or made now."""
        assert self.store is not None
        path = self.store.path("releases", self.cell, f"{number:04d}.json")
        kept = self._kept(self.store, path, part)
        if kept is not None:
            self.controller.progress(len(part))
            return kept
        self.fit()
        with PeakMemory() as memory:
            started = time.perf_counter()
            released, arrays = self.anonymize(part)
            seconds = time.perf_counter() - started
        made = {
            "keys": list(part.keys),
            "seconds": seconds,
            "peak_memory_mb": getattr(self.entrant.anonymizer, "peak_memory_mb", memory.peak),
            "isolation": str(getattr(self.entrant.anonymizer, "isolation", "")),
            "objects": self.store.put_all([encode_png(image) for image in _published(released)]),
            "missing": [] if released.missing is None else released.missing.nonzero().flatten().tolist(),
            "traced": released.trace is not None,
            "notes": {name: note for name, note in released.notes.items() if isinstance(note, str)},
        }
        if arrays:
            write_atomic(path.with_suffix(".safetensors"), arrays)
        write_json(path, made)
        return made

    def _kept(self, store: Store, path: Path, part: ImageSet) -> dict[str, Any] | None:
        kept = read_json(path)
        parts = {"keys", "seconds", "peak_memory_mb", "objects", "missing", "notes"}
        if not isinstance(kept, dict) or not parts <= set(kept) or kept["keys"] != list(part.keys):
            return None
        return kept if store.get_all(kept["objects"]) is not None else None

    def fit(self) -> None:
        """Lets the entrant prepare itself, once."""
        fit = getattr(self.entrant.anonymizer, "fit", None)
        if self.fitted or fit is None:
            return
        started = time.perf_counter()
        self._guarded("fit", lambda: fit(self.controller.train, self.controller))
        self.seconds_fit, self.fitted = time.perf_counter() - started, True

    def anonymize(self, part: ImageSet) -> tuple[Released, bytes]:
        """The released part, checked, and its arrays of notes as a file (empty where there are none)."""

        def call() -> tuple[Released, bytes]:
            released = check_released(self.entrant.anonymizer.anonymize(part, self.controller), part)
            if released.trace is not None and self.entrant.shardable:
                raise EntrantError("a trace is of a whole set, and this entrant declares that its set may be cut")
            return released, _arrays(released)

        return self._guarded("anonymize", call)

    def _guarded(self, stage: Literal["fit", "anonymize"], call: Callable[[], Made]) -> Made:
        """The one boundary between the harness and an entrant's code: whatever it raises becomes a failure."""
        try:
            return call()
        except (KeyboardInterrupt, EntrantFailed):
            raise
        except BaseException as error:
            raise EntrantFailed(failure_of(stage, error)) from error


def failure_of(stage: Literal["fit", "anonymize"], error: BaseException) -> Failure:
    """What a record says about something that was raised."""
    text = str(error) if isinstance(error, AnonbenchError) else f"{type(error).__name__}: {error}"
    line = " ".join(text.encode(errors="replace").decode().split())[:500]
    if isinstance(error, MemoryError):
        return Failure(stage=stage, kind="ambiguous", message=line)
    kind: Literal["environment", "entrant"] = "environment" if isinstance(error, EnvironmentProblem) else "entrant"
    return Failure(stage=stage, kind=kind, message=line)


def _published(released: Released) -> torch.Tensor:
    """The released pixels; black in place of what is missing."""
    if released.missing is None:
        return released.images
    return released.images.masked_fill(released.missing[:, None, None, None], 0)


def _arrays(released: Released) -> bytes:
    from safetensors.torch import save

    arrays = {
        name: note.clone(memory_format=torch.contiguous_format)
        for name, note in released.notes.items()
        if isinstance(note, torch.Tensor)
    }
    if released.trace is not None:
        arrays |= released.trace.arrays()
    return save(arrays) if arrays else b""


def _finish(
    store: Store, cell: str, suite: Suite, probe: ImageSet, done: list[dict[str, Any]], seconds_fit: float | None
) -> Release:
    named = {key: name for part in done for key, name in zip(part["keys"], part["objects"], strict=True)}
    objects = [named[disguised_key(key, suite.facts.suite_hash)] for key in probe.keys]
    files = store.get_all(objects)
    if files is None:
        raise EnvironmentProblem(f"files vanish from {store.root} while it is used; run the same command again")
    pixels = torch.stack([decode_png(data) for data in files])
    lost = {part["keys"][row] for part in done for row in part["missing"]}
    missing = [row for row, key in enumerate(probe.keys) if disguised_key(key, suite.facts.suite_hash) in lost]
    peaks = [part["peak_memory_mb"] for part in done if part["peak_memory_mb"] is not None]
    facts: dict[str, Any] = {
        "sha256": sha256_json([list(probe.keys), sha256_tensor(pixels), missing]),
        "keys": list(probe.keys),
        "objects": objects,
        "seconds": sum(part["seconds"] for part in done),
        "seconds_fit": seconds_fit,
        "peak_memory_mb": max(peaks) if peaks else None,
        "notes": merged_notes([part["notes"] for part in done]),
        "missing": missing,
        "traced": any(part.get("traced") for part in done),
        "isolation": "; ".join(dict.fromkeys(part["isolation"] for part in done if part.get("isolation"))),
    }
    write_json(store.path("releases", cell, "release.json"), facts)
    return _as_release(cell, facts, reused=False)


def merged_notes(notes: list[dict[str, str]]) -> dict[str, str]:
    """The notes of all shards: each distinct text once, in order."""
    names = sorted({name for part in notes for name in part})
    return {name: "; ".join(dict.fromkeys(part[name] for part in notes if name in part)) for name in names}
