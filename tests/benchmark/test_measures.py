"""What an entrant of some kind brings along: metrics of its own rows, and a picture of its groups."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark.board import render_board
from benchmark.compacting import compact
from benchmark.decode import decode_png, encode_png
from benchmark.errors import EntrantError
from benchmark.images import ImageSet, Labels, Released
from benchmark.pipeline import Pipeline, parquet, record_folder
from benchmark.protocols import Controller, Referees, Report, quiet
from benchmark.records import EntrantFacts, Record, SplitFacts, SuiteFacts, read_record, result_id
from benchmark.registry import Entrant, build_entrant, build_metric, source_hash
from benchmark.sheets import GAP, MOST_BYTES, STEP, TILE, picture_of, sheet_of
from benchmark.specs import Spec
from benchmark.store import Store
from benchmark.submission.known import Known
from benchmark.submission.places import allowed, places_under
from benchmark.submission.validating import validate

COUNT, SIDE = 24, 32
PEOPLE = tuple("abcdef")
LEVELS = torch.arange(COUNT, dtype=torch.uint8) * 10
PROBES = ImageSet(
    LEVELS[:, None, None, None].expand(-1, 3, SIDE, SIDE).contiguous(),
    tuple(f"image {number:02d}" for number in range(COUNT)),
    Labels(torch.arange(COUNT) // 4, PEOPLE),
)


class Suite:
    """Twenty-four grey images of six people."""

    metrics = ("mse", "k-anonymity")
    entrants = ()

    def __init__(self, shows_faces: bool = True) -> None:
        splits = (SplitFacts(name="probe", n_images=COUNT, n_identities=6, manifest_sha256="0"),)
        facts: dict[str, Any] = {"name": "s", "version": "1", "suite_hash": "salt", "title": "s", "image_size": SIDE}
        self.facts = SuiteFacts(splits=splits, shows_faces=shows_faces, **facts)

    def images(self, split: str, report: Report = quiet) -> ImageSet:
        return PROBES if split == "probe" else PROBES[:0]

    def referees(self, report: Report = quiet) -> Referees:
        return Referees()


class InPairs:
    """Releases one image for two people, and says so."""

    measures: ClassVar[tuple[str, ...]] = ("homogeneity", "sse-sst")
    k_anonymity: ClassVar[int] = 2
    uses: ClassVar[frozenset[str]] = frozenset({"identity"})

    def __init__(self, lost: int = 0) -> None:
        self.lost = lost

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        assert images.identity is not None
        pair = images.identity.values // 2
        pixels = (pair * 50 + 100).to(torch.uint8)[:, None, None, None].expand_as(images.images).contiguous()
        missing = torch.arange(len(images)) < self.lost
        return Released(pixels, {"group": 10 * pair}, missing=missing if self.lost else None)


def entrant(anonymizer: Any, k: int | None = 2, name: str = "pairs") -> Entrant:
    facts = EntrantFacts(name=name, family=name, params={}, entry_hash="0" * 64, uses=("identity",), k_anonymity=k)
    return Entrant(Spec(name, {}), anonymizer, facts)


def pipeline_at(root: Path, shows_faces: bool = True) -> Pipeline:
    return Pipeline(Suite(shows_faces), Store(root / "store"), root / "out")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    root = tmp_path_factory.mktemp("made")
    record = pipeline_at(root).run(entrant(InPairs()), 0)
    return record_folder(root / "out", record), record


# Measures


def test_a_row_is_measured_in_what_its_entrant_brings_along(made: tuple[Path, Record], tmp_path: Path) -> None:
    names = [card.name for card in made[1].metrics]
    assert names == ["mse", "k-anonymity", "homogeneity", "sse-sst(network=background)"]
    assert [score.metric for score in made[1].scores] == names
    plain = pipeline_at(tmp_path).run(build_entrant("identity"), 0)
    assert [card.name for card in plain.metrics] == ["mse", "k-anonymity"]


def test_one_pipeline_keeps_rows_apart(tmp_path: Path) -> None:
    pipeline = pipeline_at(tmp_path)
    records = [pipeline.run(one, 0) for one in (build_entrant("identity"), entrant(InPairs()), build_entrant("black"))]
    assert [len(record.metrics) for record in records] == [2, 4, 2]
    board = render_board(tmp_path / "out").parent
    assert "SSE / SST" not in (board / "index.html").read_text()
    assert "SSE / SST" in (board / "groups.html").read_text()


def test_a_metric_that_was_asked_for_as_well_stands_once(tmp_path: Path) -> None:
    pipeline = Pipeline(Suite(), Store(tmp_path / "store"), tmp_path / "out", extra_metrics=("sse-sst",))
    record = pipeline.run(entrant(InPairs()), 0)
    assert sorted(card.name for card in record.metrics) == [
        "homogeneity", "k-anonymity", "mse", "sse-sst(network=background)",
    ]  # fmt: skip


def test_scores_of_measures_are_kept(made: tuple[Path, Record], tmp_path: Path) -> None:
    pipeline = pipeline_at(tmp_path)
    pipeline.run(entrant(InPairs()), 0)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.json")}
    again = pipeline_at(tmp_path).run(entrant(InPairs()), 0)
    assert again.result_id == made[1].result_id
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.json")} == kept


STRANGE = '''
class Strange:
    """Measures what nobody knows."""

    measures = ("homogenity",)

    def anonymize(self, images, controller):
        return None
'''


def test_a_measure_that_nobody_knows_is_a_fault_of_the_entrant(tmp_path: Path) -> None:
    (tmp_path / "strange.py").write_text(STRANGE)
    with pytest.raises(EntrantError, match=r"measures 'homogenity'\. Did you mean 'homogeneity'\?"):
        build_entrant(f"{tmp_path}/strange.py:Strange")


def test_a_record_with_measures_is_valid(tmp_path: Path) -> None:
    pipeline = pipeline_at(tmp_path)
    for one in (build_entrant("identity"), build_entrant("black"), entrant(InPairs())):
        pipeline.run(one, 0)
    report = validate([tmp_path / "out"], root=tmp_path, known=Known(suite_of=lambda _: None))
    assert not report.problems


# Source of packages that stand apart


def test_a_package_that_stands_apart_is_no_part_of_those_around_it(tmp_path: Path) -> None:
    outer, inner = type(build_metric("psnr")), type(build_metric("homogeneity"))
    assert source_hash(outer) != source_hash(inner)
    metrics = Path(__file__).parents[2] / "metrics"
    for init in metrics.rglob("__init__.py"):
        if "__apart__ = True" in init.read_text().splitlines():
            name = f"metrics.{init.parent.name}"
            inside = [path for path in metrics.rglob("*.py") if not path.is_relative_to(init.parent)]
            assert not [path for path in inside if name in path.read_text()], (
                "who imports it would not be hashed with it"
            )


def test_only_the_line_itself_sets_a_package_apart(tmp_path: Path) -> None:
    def hashed(text: str) -> str:
        folder = tmp_path / f"p{len(list(tmp_path.iterdir()))}"
        (folder / "sub").mkdir(parents=True)
        (folder / "__init__.py").write_text("__apart__ = True\n")  # of the package itself: says nothing here
        (folder / "own.py").write_text("class Own: ...\n")
        (folder / "sub" / "__init__.py").write_text(text)
        spec = importlib.util.spec_from_file_location(f"{folder.name}_own", folder / "own.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        kind: type = module.Own
        return source_hash(kind)

    assert hashed("__apart__ = True\n") == hashed('"""Other."""\n__apart__ = True\nmore = 1\n')
    assert hashed("# __apart__ = True\n") != hashed("__apart__ = True\n")
    assert hashed("a = 1\n") != hashed("a = 2\n")


# Sheets


def test_a_sheet_shows_members_and_their_surrogate(made: tuple[Path, Record]) -> None:
    folder, record = made
    sheet = record.sheet
    assert sheet is not None
    assert [(group.members, group.keys) for group in sheet.groups] == [
        (2, ("image 00", "image 04")), (2, ("image 08", "image 12")), (2, ("image 16", "image 20")),
    ]  # fmt: skip
    with Image.open(folder / sheet.picture) as opened:
        assert (opened.format, opened.size) == ("WEBP", (sheet.width, sheet.height))
        pixels = np.asarray(opened.convert("RGBA"), dtype=float)
    assert pixels.shape[:2] == (3 * SIDE + 2 * GAP, 3 * SIDE + STEP)
    for line, group in enumerate(sheet.groups):
        middle = line * (SIDE + GAP) + SIDE // 2
        shown = [pixels[middle, column * SIDE + SIDE // 2] for column in range(2)]
        wanted = [float(LEVELS[PROBES.keys.index(key)]) for key in group.keys]
        assert [tile[:3].mean() for tile in shown] == pytest.approx(wanted, abs=3)
        assert pixels[middle, -SIDE // 2, :3].mean() == pytest.approx(100 + 50 * line, abs=3)
        assert pixels[middle, 2 * SIDE + STEP // 2, 3] == 0


def test_a_record_without_groups_has_no_sheet_and_the_id_it_had(tmp_path: Path) -> None:
    record = pipeline_at(tmp_path).run(build_entrant("black"), 0)
    assert record.sheet is None
    data = record.model_dump(mode="json")
    data.pop("sheet")
    assert result_id(Record.model_validate(data)) == record.result_id
    assert not list((tmp_path / "out").rglob("groups.webp"))


def test_no_sheet_where_the_licence_forbids_faces(tmp_path: Path) -> None:
    record = pipeline_at(tmp_path, shows_faces=False).run(entrant(InPairs()), 0)
    assert record.sheet is None
    assert not list((tmp_path / "out").rglob("*.webp"))


@pytest.mark.parametrize(
    "note", [None, torch.zeros(COUNT), torch.zeros(COUNT - 1, dtype=torch.int64), torch.zeros(COUNT, 1).long()]
)
def test_what_is_no_group_per_image_gives_no_sheet(note: torch.Tensor | None) -> None:
    assert sheet_of(note, PROBES, torch.ones(COUNT, dtype=torch.bool)) is None


def test_what_was_never_delivered_is_not_shown(tmp_path: Path) -> None:
    group = torch.arange(COUNT) // 8
    delivered = torch.arange(COUNT) >= 10
    sheet = sheet_of(group, PROBES, delivered)
    assert sheet is not None
    assert [part.keys[0] for part in sheet.groups] == ["image 10", "image 16"]
    assert sheet_of(group, PROBES, torch.zeros(COUNT, dtype=torch.bool)) is None
    record = pipeline_at(tmp_path).run(entrant(InPairs(lost=5)), 0)
    assert record.sheet is not None
    assert record.coverage.n_failed == 5


def test_large_groups_of_large_noisy_images_stay_small() -> None:
    noise = torch.randint(0, 256, (120, 3, 200, 200), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    original = ImageSet(noise, tuple(f"{row:03d}" for row in range(120)))
    sheet = sheet_of(torch.arange(120) // 12, original, torch.ones(120, dtype=torch.bool))
    assert sheet is not None
    assert (len(sheet.groups), sheet.groups[0].members, len(sheet.groups[0].keys)) == (6, 12, 6)
    assert sheet.width == 7 * TILE + STEP
    assert len(picture_of(sheet, original, original.with_images(noise.flip(0)))) <= MOST_BYTES


def test_the_place_of_a_sheet_is_known_to_who_validates() -> None:
    assert allowed("groups.webp")
    assert not allowed("groups.webp.exe")
    assert not allowed("examples/groups.webp")


# Small files


def test_values_are_written_small_and_keep_seven_digits() -> None:
    values = [1 / 3, 1e-12, 65025.123456, float("nan"), 1e300, None, 0.0, -2.5]
    texts = {name: ["x"] * 8 for name in ("image_id", "identity_id", "metric", "status")}
    read = pd.read_parquet(io.BytesIO(parquet({**texts, "value": values, "seed": [0] * 8})))
    assert read["value"].dtype == "float64"
    assert read["value"].to_numpy() == pytest.approx(
        np.array([v if v is not None else np.nan for v in values]), rel=1e-7, nan_ok=True
    )
    assert parquet(dict(read.items())) == parquet({**texts, "value": values, "seed": [0] * 8})


def test_compacting_changes_neither_pixels_nor_records(made: tuple[Path, Record], tmp_path: Path) -> None:
    pipeline = pipeline_at(tmp_path)
    record = pipeline.run(entrant(InPairs()), 0)
    folder = record_folder(tmp_path / "out", record)
    frame = pd.read_parquet(folder / "per_image.parquet")
    frame.to_parquet(folder / "per_image.parquet", index=False, compression="zstd")
    pictures = {path: path.read_bytes() for path in folder.glob("examples/*.png")}
    for path, data in pictures.items():
        path.write_bytes(encode_png(decode_png(data)))
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("originals/*.png"))}
    saved = compact(tmp_path / "out")
    assert saved > 0
    assert compact(tmp_path / "out") == 0, "what is small stays as it is"
    assert {path: path.read_bytes() for path in pictures} == pictures
    assert {path: path.read_bytes() for path in before} == before
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "per_image.parquet"), frame)
    assert read_record(places_under(tmp_path / "out")[0].record) == record
