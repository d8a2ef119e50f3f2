"""The street: cells of entrant x suite x seed, each anonymized, scored and recorded, none stopping another."""

from __future__ import annotations

import io
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import benchmark
from benchmark import machine
from benchmark.decode import encode_png
from benchmark.errors import NothingComparable, UsageError
from benchmark.hashing import sha256_bytes
from benchmark.learning.classifier import SCORING_BATCH
from benchmark.notes import load_note, load_trace
from benchmark.protocols import Report, Scores, Suite, quiet
from benchmark.records import ORIGINALS, Cost, Coverage, Example, Record, RunFacts, Sheet, read_record
from benchmark.registry import Entrant
from benchmark.release import EntrantFailed, Release, Settings, cell_key, find_release, forget_release, make_release
from benchmark.scoring import Scorer, per_image_rows
from benchmark.sheets import PICTURE, picture_of, sheet_of
from benchmark.store import Store, write_atomic
from benchmark.trace import Trace
from benchmark.tracing import PICTURES, columns_of, facts_of, pictures_of

EXAMPLES = 3


@dataclass
class Pipeline:
    """Everything a run shares between its cells.

    Attributes:
        suite: what is measured on.
        store: where releases and scores are kept.
        out: folder of the records.
        settings: how to run.
        report: shows progress.
        command: what was typed, for the records.
        extra_metrics: specs of metrics beyond the suite's.
    """

    suite: Suite
    store: Store
    out: Path
    settings: Settings = field(default_factory=Settings)
    report: Report = quiet
    command: str = field(default_factory=lambda: shlex.join(["anonbench", *sys.argv[1:]]))
    extra_metrics: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.scorer = Scorer(self.store, self.suite, self.report, self.settings.device, self.extra_metrics)

    def anonymize(self, entrant: Entrant, seed: int) -> Release:
        """Step 1 for one cell.

        Raises:
            EntrantFailed: the entrant broke.
        """
        return make_release(self.store, self.suite, entrant, seed, self.settings, self.report)

    def score(self, entrant: Entrant, seed: int) -> Record:
        """Step 2 for one cell that is anonymized already; writes and returns its record.

        Raises:
            NothingComparable: it is not anonymized yet.
        """
        release = find_release(self.store, cell_key(self.suite, entrant, seed))
        if release is None:
            raise NothingComparable(
                f"{entrant.spec} is not anonymized yet. Try, with the same options: "
                f"anonbench anonymize {self.suite.facts.name} -e '{entrant.spec}'"
            )
        try:
            return self._recorded(entrant, seed, release, _now())
        except EntrantFailed as failed:
            return self._write(self._failed(entrant, seed, failed, _now()), None)

    def run(self, entrant: Entrant, seed: int) -> Record:
        """Steps 1 and 2 for one cell; a failing entrant gives a record that says so."""
        started = _now()
        try:
            return self._recorded(entrant, seed, self.anonymize(entrant, seed), started)
        except EntrantFailed as failed:
            return self._write(self._failed(entrant, seed, failed, started), None)

    def _recorded(self, entrant: Entrant, seed: int, release: Release, started: str) -> Record:
        release, trace = self._traced(entrant, seed, release)
        known = self.scorer.known(entrant, release) is not None
        scores = self.scorer.score(entrant, seed, release, self.settings)
        reused = [name for name, found in (("released", release.reused), ("scores", known)) if found]
        flags = self.scorer.flags(entrant, seed, release, self.settings, scores)
        lost = len(release.missing)
        base = self._record(entrant, seed, started, reused)
        record = base.model_copy(
            update={
                "run": base.run.model_copy(update={"isolation": release.isolation}),
                "status": "partial" if lost or any(part.score.status == "failed" for part in scores) else "ok",
                "flags": flags,
                "scores": tuple(part.score for part in scores),
                "release_sha256": release.sha256,
                "notes": dict(release.notes),
                "coverage": Coverage(
                    n_expected=len(release), n_output=len(release) - lost, n_scored=len(release), n_failed=lost
                ),
                "cost": Cost(
                    seconds_per_image=release.seconds / max(1, len(release)),
                    seconds_fit=release.seconds_fit,
                    peak_memory_mb=release.peak_memory_mb,
                ),
                "examples": self._examples if self.suite.facts.shows_faces else (),
                "trace": None if trace is None else facts_of(trace, self.scorer.original, self.suite.facts.shows_faces),
                "sheet": self._sheet(release) if self.suite.facts.shows_faces else None,
            }
        )
        return self._write(record, _Made(entrant, release, scores, trace))

    def _sheet(self, release: Release) -> Sheet | None:
        """Some groups of a release that publishes groups."""
        original = self.scorer.original
        delivered = torch.ones(len(original), dtype=torch.bool)
        delivered[list(release.missing)] = False
        group = load_note(self.store, release, "group", self.suite.facts.suite_hash)
        return sheet_of(group, original, delivered)

    def _traced(self, entrant: Entrant, seed: int, release: Release) -> tuple[Release, Trace | None]:
        """A release with its rounds; both are made again if somebody removed or damaged the file of the rounds."""
        trace = load_trace(self.store, release, self.suite.facts.suite_hash)
        if trace is not None or not release.traced:
            return release, trace
        forget_release(self.store, release)
        again = self.anonymize(entrant, seed)
        return again, load_trace(self.store, again, self.suite.facts.suite_hash)

    @cached_property
    def _examples(self) -> tuple[Example, ...]:
        original = self.scorer.original
        return tuple(
            Example(
                key=original.keys[row],
                original=f"../../../{ORIGINALS}/{sha256_bytes(encode_png(original.images[row]))[:20]}.png",
                released=f"examples/{row}-released.png",
            )
            for row in _example_rows(len(original))
        )

    def _failed(self, entrant: Entrant, seed: int, failed: EntrantFailed, started: str) -> Record:
        expected = next(split.n_images for split in self.suite.facts.splits if split.name == "probe")
        coverage = Coverage(n_expected=expected, n_output=0, n_scored=0, n_failed=expected, failures=(failed.failure,))
        record = self._record(entrant, seed, started, [])
        return record.model_copy(update={"status": "failed", "coverage": coverage})

    def _record(self, entrant: Entrant, seed: int, started: str, reused: Sequence[str]) -> Record:
        commit, dirty = machine.harness_commit()
        run = RunFacts(
            seed=seed,
            batch_size=self.settings.batch_size,
            scoring_batch=SCORING_BATCH,
            threads=self.settings.threads,
            device=self.settings.device,
            harness_version=benchmark.__version__,
            harness_commit=commit,
            harness_dirty=dirty,
            python=sys.version.split()[0],
            packages=machine.packages(),
            machine=machine.describe_machine(),
            command=self.command,
            started_utc=started,
            ended_utc=_now(),
            reused=tuple(reused),
        )
        return Record(
            created_utc=run.ended_utc,
            status="ok",
            entry=entrant.facts,
            suite=self.suite.facts,
            seed=seed,
            metrics=self.scorer.cards_of(entrant),
            scores=(),
            coverage=Coverage(n_expected=0, n_output=0, n_scored=0, n_failed=0),
            run=run,
            cost=Cost(),
        )

    def _write(self, record: Record, made: _Made | None) -> Record:
        """Keeps the record, last of its files; one that says the same as before stays as it was."""
        record = record.identified()
        folder = record_folder(self.out, record)
        before = _readable(folder / "record.json")
        if before is not None and before.result_id == record.result_id:
            return before
        if before is not None and _of_other_data(before, record):
            raise UsageError(
                f"{folder} holds a record of other images ({before.suite.title}, {before.suite.suite_hash[:8]}); choose "
                "another folder with --out, or delete that one"
            )
        if before is not None:
            record = record.model_copy(update={"supersedes": before.result_id})
        if made is not None:
            self._write_beside(folder, record, made)
        write_atomic(folder / "environment.txt", machine.environment_text().encode())
        write_atomic(folder / "record.json", (record.model_dump_json(indent=1) + "\n").encode())
        return record

    def _write_beside(self, folder: Path, record: Record, made: _Made) -> None:
        original = self.scorer.original
        columns = [item for part in made.scores for item in part.per_image.items()]
        traced = [] if made.trace is None else list(columns_of(made.trace).items())
        write_atomic(folder / "per_image.parquet", parquet(per_image_rows(original, columns + traced, record.seed)))
        shutil.rmtree(folder / PICTURES, ignore_errors=True)  # of the record that this one supersedes
        (folder / PICTURE).unlink(missing_ok=True)
        if made.trace is not None and record.trace is not None:
            for name, data in pictures_of(made.trace, record.trace):
                write_atomic(folder / name, data)
        if not record.examples:
            return
        released = self.scorer.released(made.entrant, record.seed, made.release, self.settings)
        for row, example in zip(_example_rows(len(original)), record.examples, strict=True):
            picture = self.out / ORIGINALS / Path(example.original).name
            write_atomic(picture, encode_png(original.images[row]), replace=False)
            write_atomic(folder / example.released, encode_png(released.images[row], small=True))
        if record.sheet is not None:
            write_atomic(folder / record.sheet.picture, picture_of(record.sheet, original, released))


@dataclass(frozen=True)
class _Made:
    """What the files beside a record are made of."""

    entrant: Entrant
    release: Release
    scores: list[Scores]
    trace: Trace | None


def record_folder(out: Path, record: Record) -> Path:
    """Where a record lives: the path says what is inside."""
    from benchmark.specs import parse_spec

    return out / "records" / parse_spec(record.entry.name).slug / f"seed-{record.seed}"


def _of_other_data(before: Record, record: Record) -> bool:
    """Whether two records of one name and version of a suite were made of different images."""
    old, new = before.suite, record.suite
    return (old.name, old.version) != (new.name, new.version) or (
        [split.manifest_sha256 for split in old.splits] != [split.manifest_sha256 for split in new.splits]
        and not new.synthetic
    )


def _readable(path: Path) -> Record | None:
    try:
        return read_record(path)
    except (OSError, ValueError):
        return None


def _example_rows(count: int) -> list[int]:
    """Images spread evenly over the set, which is sorted by person."""
    return torch.linspace(0, count - 1, min(EXAMPLES, count)).round().long().tolist()


TEXTS = ["image_id", "identity_id", "metric", "status"]
PACKED: Mapping[str, Any] = {
    "compression": "zstd",
    "compression_level": 19,
    "use_dictionary": [*TEXTS, "seed"],
    "column_encoding": {"value": "BYTE_STREAM_SPLIT"},
}
"""Bytes of equal weight side by side, which is what makes numbers small."""


def parquet(columns: Mapping[str, Any]) -> bytes:
    """A table of values per image as the bytes of a Parquet file; values keep 24 bits, seven digits."""
    import pandas as pd

    buffer = io.BytesIO()
    frame = pd.DataFrame(dict(columns))
    for name in TEXTS:
        frame[name] = frame[name].astype("category")
    frame["value"] = _of_24_bits(frame["value"].to_numpy(dtype="float64", na_value=np.nan))
    frame.to_parquet(buffer, index=False, **PACKED)
    return buffer.getvalue()


def _of_24_bits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        short = values.astype(np.float32)
    return np.where(np.isfinite(short), short, values)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def run_all(pipeline: Pipeline, entrants: Sequence[Entrant], seed: int) -> Iterator[Record]:
    """Runs every entrant in turn and yields its record as soon as it is written."""
    for entrant in entrants:
        yield pipeline.run(entrant, seed)
