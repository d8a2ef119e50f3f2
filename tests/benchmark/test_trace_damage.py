"""Traces whose file is gone or damaged: never a crash, and the release is made again rather than its rounds lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmark.images import ImageSet, Released
from benchmark.notes import load_trace
from benchmark.pipeline import Pipeline, record_folder
from benchmark.protocols import Controller
from benchmark.records import Record
from benchmark.release import Release, Settings, find_release, make_release
from benchmark.store import Store
from benchmark.tracing import facts_of
from tests.benchmark.test_trace import COUNT, PROBES, Stepwise, Suite, entrant, pipeline_at, plain, planted

NAN = float("nan")


def released(root: Path) -> tuple[Store, Release]:
    store = Store(root / "store")
    return store, make_release(store, Suite(), entrant(Stepwise()), 0, Settings())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """A record with a trace, and the folder of its store and its files."""
    root = tmp_path_factory.mktemp("made")
    return root, pipeline_at(root).run(entrant(Stepwise()), 0)


def without(name: str) -> Callable[[Path], None]:
    return lambda path: save_file({key: part for key, part in load_file(path).items() if key != name}, path)


def with_array(name: str, values: torch.Tensor) -> Callable[[Path], None]:
    return lambda path: save_file(load_file(path) | {name: values}, path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "header": lambda path: path.write_bytes(b"\xff" * 40 + path.read_bytes()[40:]),
    "no risk": without("trace.risk"),
    "no row": without("trace.sequences.2.row"),
    "no target": with_array("trace.target", torch.arange(2.0)),
    "another row": with_array("trace.sequences.1.row", torch.tensor(COUNT)),
    "no number": with_array("trace.sequences.x.row", torch.tensor(0)),
    "one dimension": with_array("trace.sequences.0.images", torch.zeros(3, dtype=torch.uint8)),
    "too short": with_array("trace.rounds", torch.zeros(3, dtype=torch.int64)),
    "not finite": with_array("trace.risk", torch.tensor([NAN])),
    "another end": with_array("trace.recognised", torch.ones(COUNT, dtype=torch.bool)),
    "no trace": lambda path: save_file({"own": torch.arange(COUNT)}, path),
    "no keys": lambda path: path.with_suffix(".json").write_text('{"keys": null}'),
    "other keys": lambda path: path.with_suffix(".json").write_text(json.dumps({"keys": ["k"] * COUNT})),
}


class Counted(Stepwise):
    """Counts how often it is asked."""

    calls = 0

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        self.calls += 1
        return super().anonymize(images, controller)


def beside(out: Path, record: Record) -> dict[str, bytes]:
    """Table and pictures of a record."""
    folder = record_folder(out, record)
    found = [path for path in folder.rglob("*") if path.suffix in {".parquet", ".png", ".webp"}]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_release_with_a_damaged_file_is_made_again(
    damage: Callable[[Path], object], made: tuple[Path, Record], tmp_path: Path
) -> None:
    root, first = made
    shutil.copytree(root / "store", tmp_path / "store")
    store, release = released(tmp_path)
    assert release.reused
    assert release.traced
    (path,) = store.path("releases", release.cell).glob("*.safetensors")
    damage(path)
    assert load_trace(store, release, "salt") is None, "no trace and no crash"

    who = Counted()
    record = Pipeline(Suite(), store, tmp_path / "again").score(entrant(who), 0)
    assert who.calls == 1
    assert record.status == "ok"
    assert (record.result_id, record.trace) == (first.result_id, first.trace)
    assert beside(tmp_path / "again", record) == beside(root / "out", first)
    assert plain(load_trace(store, release, "salt")) == plain(planted(PROBES))

    Pipeline(Suite(), store, tmp_path / "thrice").run(entrant(who), 0)
    assert who.calls == 1, "what was mended is reused"


class Plain(Counted):
    """Keeps its rounds to itself."""

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        made = super().anonymize(images, controller)
        return Released(made.images, made.notes)


def test_a_release_that_never_had_a_trace_is_not_made_again(tmp_path: Path) -> None:
    who = Plain()
    first = pipeline_at(tmp_path).run(entrant(who), 0)
    (path,) = (tmp_path / "store").rglob("*.safetensors")
    path.unlink()
    again = Pipeline(Suite(), Store(tmp_path / "store"), tmp_path / "again").run(entrant(who), 0)
    assert who.calls == 1
    assert again.trace is None
    assert again.result_id == first.result_id


def test_whether_there_was_a_trace_is_remembered(tmp_path: Path) -> None:
    store, release = released(tmp_path)
    assert (release.reused, release.traced) == (False, True)
    found = find_release(store, release.cell)
    assert found is not None
    assert (found.reused, found.traced) == (True, True)


def test_no_single_damaged_byte_stops_a_record(made: tuple[Path, Record], tmp_path: Path) -> None:
    shutil.copytree(made[0] / "store", tmp_path / "store")
    store, release = released(tmp_path)
    (path,) = store.path("releases", release.cell).glob("*.safetensors")
    sound = path.read_bytes()
    generator = np.random.default_rng(7)
    header = 8 + int.from_bytes(sound[:8], "little")
    for place in [*generator.integers(0, header, 120), *generator.integers(header, header + 900, 80)]:
        path.write_bytes(sound[:place] + bytes([sound[place] ^ (1 << generator.integers(8))]) + sound[place + 1 :])
        trace = load_trace(store, release, "salt")
        if trace is not None:
            facts_of(trace, PROBES, shows_faces=True)
