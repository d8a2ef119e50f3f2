"""A picture of groups: some members' originals in a row, and the surrogate that is released for all of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from benchmark.images import ImageSet
from benchmark.records import Sheet, SheetGroup
from benchmark.statistics import clusters_of

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE = "groups.webp"
GROUPS, MEMBERS = 6, 6
TILE, GAP, STEP = 96, 4, 20
"""Side of an image, space between groups, and space before the surrogate, px."""
MOST_BYTES = 60_000
QUALITIES = (85, 75, 65, 50, 35, 20, 10, 1)
"""Of WebP; the first that is small enough is taken, or the last."""


def sheet_of(group: torch.Tensor | None, original: ImageSet, delivered: torch.Tensor) -> Sheet | None:
    """What a sheet shows: groups spread evenly over their numbers, one image of each of their first members.

    Args:
        group: the published note, int64 ``[N]``; None where there is none.
        original: the probe images.
        delivered: bool ``[N]``.

    Returns:
        None where no group is published, or nothing of any group was delivered.
    """
    if group is None or group.dtype not in (torch.int64, torch.int32) or group.shape != (len(original),):
        return None
    numbers = group[delivered].unique()
    if not len(numbers):
        return None
    chosen = numbers[torch.linspace(0, len(numbers) - 1, min(GROUPS, len(numbers))).round().long()]
    people = clusters_of(original)
    shown = [_shown((group == number) & delivered, people, original.keys) for number in chosen]
    side = min(TILE, original.size[1])
    columns = max(len(part.keys) for part in shown)
    height = len(shown) * side + (len(shown) - 1) * GAP
    return Sheet(picture=PICTURE, width=(columns + 1) * side + STEP, height=height, groups=tuple(shown))


def _shown(chosen: torch.Tensor, people: torch.Tensor, keys: Sequence[str]) -> SheetGroup:
    first: dict[int, int] = {}
    for row in chosen.nonzero().flatten().tolist():
        first.setdefault(int(people[row]), row)
    return SheetGroup(members=len(first), keys=tuple(keys[row] for row in list(first.values())[:MEMBERS]))


def picture_of(sheet: Sheet, original: ImageSet, released: ImageSet) -> bytes:
    """The picture that ``sheet`` describes, a WebP; what lies between the images is transparent."""
    from PIL import Image

    place = {key: row for row, key in enumerate(original.keys)}
    side = sheet.width - STEP
    side //= 1 + max(len(group.keys) for group in sheet.groups)
    canvas = Image.new("RGBA", (sheet.width, sheet.height))
    for line, group in enumerate(sheet.groups):
        rows, top = [place[key] for key in group.keys], line * (side + GAP)
        for column, row in enumerate(rows):
            canvas.paste(_tile(original.images[row], side), (column * side, top))
        canvas.paste(_tile(released.images[rows[0]], side), (sheet.width - side, top))
    return _small(canvas)


def _tile(image: torch.Tensor, side: int) -> Image:
    from PIL import Image

    tile = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    return tile if tile.size == (side, side) else tile.resize((side, side), Image.Resampling.LANCZOS)


def _small(canvas: Image) -> bytes:
    data = b""
    for quality in QUALITIES:
        buffer = io.BytesIO()
        canvas.save(buffer, "webp", quality=quality, method=6)
        data = buffer.getvalue()
        if len(data) <= MOST_BYTES:
            break
    return data
