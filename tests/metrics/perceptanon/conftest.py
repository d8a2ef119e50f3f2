"""Made studies: a picture with a black square, and a SYNTHETIC score that grows with the square. Nobody was asked."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.decode import encode_png

HEADER = ["img1", "img2", "dataset", "scope", "method", "a1", "a2", "score_mean"]
DATASETS = ("coco", "voc", "celeba", "lfw")
METHODS = ("mask", "blurpix", "inpaint", "gen")


def picture(seed: int, covered: int, side: int = 32) -> torch.Tensor:
    """Noise in a colour of its own with a black square of ``covered`` pixels a side."""
    generator = np.random.default_rng(seed)
    colour = generator.integers(110, 200, (3, 1, 1))
    image = np.clip(colour + generator.integers(-40, 40, (3, side, side)), 0, 255).astype(np.uint8)
    image[:, :covered, :covered] = 0
    return torch.from_numpy(image)


def write(path: Path, image: torch.Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(image))


def write_rows(path: Path, rows: list[list[str]], header: list[str] | None = None) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header or HEADER)
        writer.writerows(rows)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty-four released images of sixteen photographs; both tables."""
    root = tmp_path_factory.mktemp("study")
    rows = []
    for photograph in range(16):
        dataset = DATASETS[photograph % 4]
        original = f"data/{dataset}/original/{photograph}.png"
        write(root / original, picture(photograph, 0))
        for place, method in enumerate(METHODS):
            covered = 4 + 7 * place + photograph % 5
            score = 1 + 9 * covered / 32
            released = f"data/{dataset}/global_{method}/{photograph}.png"
            write(root / released, picture(photograph, covered))
            rows.append([original, released, dataset, "global", method, "1", "", f"{score:.3f}"])
    for name in ("HA1", "HA2"):
        write_rows(root / f"{name}.csv", rows)
    return root


@pytest.fixture
def one_row(tmp_path: Path) -> Callable[..., Path]:
    """Writes a study of one row, with some of its cells replaced."""
    write(tmp_path / "o.png", picture(1, 0))
    write(tmp_path / "r.png", picture(1, 9))

    def make(**cells: str) -> Path:
        row = dict(zip(HEADER, ["o.png", "r.png", "coco", "global", "mask", "3", "4", "3.5"], strict=True)) | cells
        for name in ("HA1", "HA2"):
            write_rows(tmp_path / f"{name}.csv", [list(row.values())])
        return tmp_path

    return make


@pytest.fixture(autouse=True)
def same_draws() -> Iterator[None]:
    """Tests leave the global generator as they found it."""
    with torch.random.fork_rng():
        yield
