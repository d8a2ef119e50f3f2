"""The rounds of an anonymizer that works in rounds: planted by an entrant, found again in record, table and pictures."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark.hashing import sha256_json
from benchmark.images import ImageSet, Released
from benchmark.notes import load_note, load_trace
from benchmark.pipeline import Pipeline, record_folder
from benchmark.protocols import Controller, Referees, Report, quiet
from benchmark.records import EntrantFacts, Record, SplitFacts, SuiteFacts, read_record, result_id
from benchmark.registry import Entrant
from benchmark.release import Settings, make_release
from benchmark.specs import Spec
from benchmark.store import Store
from benchmark.trace import Sequence, Trace

COUNT, HEIGHT, WIDTH = 24, 32, 40
RAMP = torch.linspace(0, 80, HEIGHT)[:, None] + torch.linspace(0, 30, WIDTH)
PROBES = ImageSet(
    torch.stack([(RAMP + 6 * row).expand(3, -1, -1) for row in range(COUNT)]).to(torch.uint8),
    tuple(f"person-{row // 3}/{row}" for row in range(COUNT)),
)
"""Smooth pictures; the first value of each is six times its number."""
SALIENCY = torch.cat([torch.zeros(HEIGHT, WIDTH // 2), torch.ones(HEIGHT, WIDTH // 2)], 1)
SHOWN = (19, 4, 14, 9)
"""Images that went through four rounds."""
CURVE = (1.0, 0.75, 0.5, 0.25, 1 / 3)
ROUNDS = [row % 5 for row in range(COUNT)]
CHANGED = [7 * row for row in range(COUNT)]
RECOGNISED = [row % 3 == 0 for row in range(COUNT)]


class Suite:
    metrics = ("mse",)
    entrants = ()

    def __init__(self, shows_faces: bool = True) -> None:
        self.facts = SuiteFacts(
            name="s", version="1", suite_hash="salt", title="s", image_size=HEIGHT, shows_faces=shows_faces,
            splits=(SplitFacts(name="probe", n_images=COUNT, n_identities=0, manifest_sha256=""),),
        )  # fmt: skip

    def images(self, split: str, report: Report = quiet) -> ImageSet:
        return PROBES

    def referees(self, report: Report = quiet) -> Referees:
        return Referees()


def numbers(images: ImageSet) -> torch.Tensor:
    """Which of the suite's images these are, read from their pixels."""
    return images.images[:, 0, 0, 0].long() // 6


def planted(images: ImageSet) -> Trace:
    """A trace whose every value follows from the number of an image; all sequences share one ``after``."""
    number = numbers(images)
    after = torch.tensor([0, 2, 4])
    return Trace(
        risk=torch.tensor(CURVE, dtype=torch.float64),
        target=0.05,
        rounds=number % 5,
        changed=7 * number,
        recognised=number % 3 == 0,
        sequences=tuple(_planted_sequence(images.images, number.tolist().index(row), after) for row in SHOWN),
    )


def _planted_sequence(images: torch.Tensor, row: int, after: torch.Tensor) -> Sequence:
    return Sequence(row, after, frames(images[row]), SALIENCY.expand(3, -1, -1))


def frames(image: torch.Tensor) -> torch.Tensor:
    """An image on its way: as it is, half as bright, as it is released."""
    return torch.stack([image, image // 2, 255 - image])


class Stepwise:
    """Inverts images and says it took rounds."""

    def __init__(self, trace: Callable[[ImageSet], Any] = planted, shardable: bool = False, **notes: Any) -> None:
        self.trace, self.shardable, self.notes = trace, shardable, notes

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        self.seen = images
        trace = self.trace(images)
        notes = {name.replace("_", "."): note for name, note in self.notes.items()}
        return Released(255 - images.images, {"own": trace.changed} | notes, trace=trace)


def entrant(anonymizer: Stepwise) -> Entrant:
    facts = EntrantFacts(name="stepwise", family="stepwise", params={}, entry_hash="0")
    return Entrant(Spec("stepwise", {}), anonymizer, facts)


def pipeline_at(root: Path, shows_faces: bool = True) -> Pipeline:
    return Pipeline(Suite(shows_faces), Store(root / "store"), root / "out")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """A record with a trace, and its folder."""
    root = tmp_path_factory.mktemp("made")
    record = pipeline_at(root).run(entrant(Stepwise()), 0)
    return record_folder(root / "out", record), record


def plain(value: object) -> Any:
    """Nested plain values, equal if and only if traces are, dtypes included."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), value.tolist()
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return (
        {part.name: plain(getattr(value, part.name)) for part in dataclasses.fields(value)}
        if dataclasses.is_dataclass(value)
        else value
    )


def test_values_come_back_in_the_order_of_the_suite(tmp_path: Path) -> None:
    store, who = Store(tmp_path), Stepwise()
    release = make_release(store, Suite(), entrant(who), 0, Settings())
    assert numbers(who.seen).tolist() != list(range(COUNT)), "the entrant sees another order"
    assert not set(who.seen.keys) & set(PROBES.keys)
    trace = load_trace(store, release, "salt")
    assert plain(trace) == plain(planted(PROBES))
    assert load_trace(store, release, "another suite") is None
    note = load_note(store, release, "own", "salt")
    assert note is not None
    assert note.tolist() == CHANGED


@pytest.mark.parametrize("note", [torch.tensor(3), torch.arange(2)])
def test_a_note_that_is_not_per_image_is_none(note: torch.Tensor, tmp_path: Path) -> None:
    store = Store(tmp_path)
    release = make_release(store, Suite(), entrant(Stepwise(single=note)), 0, Settings())
    assert load_note(store, release, "single", "salt") is None


def test_the_record_says_what_was_planted(made: tuple[Path, Record]) -> None:
    folder, record = made
    assert read_record(folder / "record.json") == record
    assert record.status == "ok"
    facts = record.trace
    assert facts is not None
    assert facts.risk == CURVE
    assert facts.target == 0.05
    assert not facts.converged
    assert facts.recognised == sum(RECOGNISED)
    assert (facts.rounds_median, facts.rounds_max) == (statistics.median(ROUNDS), max(ROUNDS))
    assert facts.changed_mean == pytest.approx(statistics.fmean(CHANGED) / (3 * HEIGHT * WIDTH), rel=1e-12)
    assert [part.key for part in facts.sequences] == [PROBES.keys[row] for row in SHOWN]
    assert [[step.after for step in part.steps] for part in facts.sequences] == [[0, 2, 4]] * len(SHOWN)


def test_the_table_has_a_row_per_image_and_column(made: tuple[Path, Record]) -> None:
    table = pd.read_parquet(made[0] / "per_image.parquet")
    for name, values in (("rounds", ROUNDS), ("changed", CHANGED), ("recognised", RECOGNISED)):
        part = table[table["metric"] == f"trace.{name}"]
        assert dict(zip(part["image_id"], part["value"], strict=True)) == dict(zip(PROBES.keys, values, strict=True))
        assert set(part["status"]) == {"ok"}
    assert set(table["metric"]) == {"mse", "trace.rounds", "trace.changed", "trace.recognised"}


def test_pictures_show_the_image_above_what_mattered(made: tuple[Path, Record]) -> None:
    folder, record = made
    assert record.trace is not None
    every = torch.stack([frames(image) for image in PROBES.images]).permute(0, 1, 3, 4, 2).double().numpy()
    for row, part in zip(SHOWN, record.trace.sequences, strict=True):
        for number, step in enumerate(part.steps):
            shown = picture(folder / step.picture)
            errors = ((every[:, number] - shown[:HEIGHT]) ** 2).mean((1, 2, 3))
            assert errors.argmin() == row, "it is the image whose key stands beside it"
            assert 10 * np.log10(255**2 / errors[row]) > 25
            dark, bright = shown[HEIGHT + 2 :, : WIDTH // 2 - 2], shown[HEIGHT + 2 :, WIDTH // 2 + 2 :]
            assert dark.mean() < 20
            assert bright.mean() > 200
    named = {step.picture for part in record.trace.sequences for step in part.steps}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.webp")} == named


def picture(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as opened:
        assert opened.format == "WEBP"
        assert opened.size == (WIDTH, 2 * HEIGHT)
        return np.asarray(opened.convert("RGB"), dtype=np.float64)


def test_a_suite_that_shows_no_faces_keeps_no_pictures(made: tuple[Path, Record], tmp_path: Path) -> None:
    record = pipeline_at(tmp_path, shows_faces=False).run(entrant(Stepwise()), 0)
    assert record.trace is not None
    assert made[1].trace is not None
    assert record.trace == made[1].trace.model_copy(update={"sequences": ()})
    pictures = {".webp", ".png"}
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix in pictures]
    assert "trace.rounds" in set(
        pd.read_parquet(record_folder(tmp_path / "out", record) / "per_image.parquet")["metric"]
    )


def test_a_record_without_a_trace_keeps_its_identity(made: tuple[Path, Record]) -> None:
    data = json.loads((made[0] / "record.json").read_bytes())
    for name in ("result_id", "created_utc", "run", "cost", "claims", "supersedes", "invalidated"):
        del data[name]
    assert data.pop("sheet") is None
    assert made[1].result_id == sha256_json(data)
    del data["trace"]
    assert result_id(made[1].model_copy(update={"trace": None})) == sha256_json(data) != made[1].result_id


def files_in(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_running_again_writes_nothing(tmp_path: Path) -> None:
    first = pipeline_at(tmp_path).run(entrant(Stepwise()), 0)
    files = files_in(tmp_path / "out")
    again = pipeline_at(tmp_path).run(entrant(Stepwise()), 0)
    anew = Pipeline(Suite(), Store(tmp_path / "another"), tmp_path / "out").run(entrant(Stepwise()), 0)
    assert first.result_id == again.result_id == anew.result_id
    assert files_in(tmp_path / "out") == files


def test_another_curve_is_another_result(made: tuple[Path, Record], tmp_path: Path) -> None:
    def steeper(images: ImageSet) -> Trace:
        return dataclasses.replace(planted(images), risk=torch.tensor([1.0, 0.5, 0.5, 0.25, 1 / 3]).double())

    other = pipeline_at(tmp_path).run(entrant(Stepwise(steeper)), 0)
    assert other.result_id != made[1].result_id
    assert other.release_sha256 == made[1].release_sha256
    assert other.scores == made[1].scores
