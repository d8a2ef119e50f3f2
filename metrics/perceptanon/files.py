"""Which image files a command is about, and their scores."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmark.decode import one_line
from benchmark.errors import UsageError
from benchmark.protocols import Report, quiet
from metrics.perceptanon.checkpoint import Perception
from metrics.perceptanon.data import load_pictures

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
AT_A_TIME = 512
"""Images in memory at once."""


@dataclass(frozen=True)
class Item:
    """An image to judge.

    Attributes:
        path: its file.
        name: path below the folder it was found in; its file name if it was named itself.
    """

    path: Path
    name: Path


def find_images(paths: Sequence[Path]) -> list[Item]:
    """Files as they are named, and all images below folders, sorted.

    Raises:
        UsageError: a path does not exist, or nothing was found.
    """
    items: list[Item] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            items += [Item(file, file.relative_to(path)) for file in inside]
        elif path.exists():
            items.append(Item(path, Path(path.name)))
        else:
            raise UsageError(f"{one_line(path)} does not exist; check the path")
    if not items:
        raise UsageError(f"there are no images in {', '.join(map(one_line, paths))}; name another folder")
    return items


def originals_of(items: Sequence[Item], folder: Path | None, study: str) -> list[Path] | None:
    """The original of every image: the file of the same name in ``folder``, whatever its ending.

    Returns:
        None for HA1, which does not look at originals.

    Raises:
        UsageError: HA2 without a folder, or an original is missing.
    """
    if study == "HA1":
        return None
    if folder is None:
        raise UsageError("this checkpoint compares with the originals (HA2); name their folder with --original DIR")
    return [_original(item.name, folder) for item in items]


def _original(name: Path, folder: Path) -> Path:
    if (folder / name).is_file():
        return folder / name
    same = [folder / name.with_suffix(suffix) for suffix in sorted(SUFFIXES)]
    found = [path for path in same if path.is_file()]
    if len(found) != 1:
        what = "several originals" if found else "no original"
        raise UsageError(f"there is {what} of {one_line(name)} in {one_line(folder)}; give it the same name")
    return found[0]


def batches(
    items: Sequence[Item], originals: Sequence[Path] | None, size: int, report: Report = quiet, title: str = "score"
) -> Iterator[tuple[torch.Tensor | None, torch.Tensor]]:
    """Originals (None for HA1) and images, uint8 ``[n, 3, size, size]``, a few hundred at a time."""
    with report(f"{title} images", len(items)) as progress:
        for start in range(0, len(items), AT_A_TIME):
            part = slice(start, start + AT_A_TIME)
            first = None if originals is None else load_pictures(originals[part], size)
            yield first, load_pictures([item.path for item in items[part]], size, progress)


def score_files(
    perception: Perception, items: Sequence[Item], original: Path | None = None, report: Report = quiet
) -> np.ndarray:
    """Scores float64 ``[N]`` of image files; see ``Perception.scores``."""
    settings = perception.settings
    pairs = batches(items, originals_of(items, original, settings.study), settings.size, report)
    return np.concatenate([perception.scores(first, released) for first, released in pairs])


def as_csv(items: Sequence[Item], scores: np.ndarray, panel: str) -> str:
    """A table of paths and scores; every row says whose scores the network learned."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "score", "panel"])
    writer.writerows(
        [str(item.path), f"{score:.6g}", panel] for item, score in zip(items, scores.tolist(), strict=True)
    )
    return text.getvalue()


def picture_files(items: Sequence[Item], out: Path) -> list[Path]:
    """Where the explanations go: the same names in ``out``, as PNG.

    Raises:
        UsageError: two images would share a file, or one would be overwritten.
    """
    files = [out / item.name.with_suffix(".png") for item in items]
    twice = next((file for row, file in enumerate(files) if file in files[:row]), None)
    if twice is not None:
        raise UsageError(f"two images would become {one_line(twice)}; explain them one after the other")
    sources = {item.path.resolve() for item in items}
    if any(file.resolve() in sources for file in files):
        raise UsageError(f"--out {one_line(out)} holds the images themselves; name another folder")
    return files
