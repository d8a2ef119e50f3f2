"""The pictures an entrant is tried on: drawn faces, and what else turns up among photographs of faces."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from benchmark.conformance.faces import draw_faces
from benchmark.conformance.painting import Canvas
from benchmark.images import ImageSet, Labels
from benchmark.seeding import uniform

SIDE = 40
"""Height and width of most pictures in pixels."""
SIZES = ((16, 16), (33, 33), (61, 97))
"""Height and width of tiny and odd pictures."""
OTHERS = 1000
"""Number of the first of the other people, whom the entrant may train on."""
OF_EACH_KIND = 4
"""Pictures of each unusual kind."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of the colours in a grey level (ITU-R BT.601)."""


def faces(people: int, size: tuple[int, int] = (SIDE, SIDE), photographs: int = 2) -> ImageSet:
    """Photographs of the people the kit tries entrants on."""
    return draw_faces(people, photographs, size)


def other_faces(other: bool = False) -> ImageSet:
    """Photographs of 12 other people, for entrants that train; ``other`` ones where wanted."""
    return draw_faces(12, 4, (SIDE, SIDE), first=OTHERS * (1 + other))


def unusual(people: int) -> dict[str, ImageSet]:
    """Pictures that are not one coloured face, by kind.

    They bear the names of the same people, and the labels of their photographs: whoever relies on labels is handed
    labels, right or wrong.
    """
    whole = draw_faces(people, 1, (SIDE, SIDE), take=200)
    rows = torch.arange(OF_EACH_KIND)
    made = {
        "grey": grey(whole.images[:OF_EACH_KIND]),
        "no face": scenery(OF_EACH_KIND, whole.size),
        "several faces": side_by_side(people),
        "one colour": constant(whole.size),
        "noise": noise(OF_EACH_KIND, whole.size),
    }
    named = [whole.select((rows + number * OF_EACH_KIND) % people) for number in range(len(made))]
    return {kind: _as(kind, part, images) for (kind, images), part in zip(made.items(), named, strict=True)}


def _as(kind: str, labelled: ImageSet, images: torch.Tensor) -> ImageSet:
    keys = tuple(f"{kind}/{row}" for row in range(len(images)))
    return dataclasses.replace(labelled, images=images, keys=keys)


def grey(images: torch.Tensor) -> torch.Tensor:
    """Colour pictures as grey ones; both uint8 ``[N, 3, H, W]``."""
    levels = (images.double() * torch.tensor(LUMA, dtype=torch.float64)[:, None, None]).sum(1, keepdim=True)
    return levels.round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()


def scenery(count: int, size: tuple[int, int]) -> torch.Tensor:
    """Hills under a sky, uint8 ``[count, 3, H, W]``."""
    canvas = Canvas(count, size)
    draws = uniform(0, "conformance scenery", [str(number) for number in range(count)], (20,))
    canvas.paint(torch.ones_like(canvas.pixels[:, 0]), 0.5 + 0.5 * draws[:, :3])
    for hill in range(3):
        part = draws[:, 3 + 5 * hill : 8 + 5 * hill]
        centre = torch.stack([part[:, 0] - 0.5, 0.5 + 0.2 * part[:, 1]], 1)
        canvas.paint(canvas.ellipse(centre, 0.2 + 0.4 * part[:, 1:3]), part[:, 2:5] * 0.6)
    return canvas.finished()


def side_by_side(people: int) -> torch.Tensor:
    """Two faces on every picture, uint8 ``[OF_EACH_KIND, 3, SIDE, SIDE]``."""
    halves = draw_faces(people, 1, (SIDE, SIDE // 2), take=300).images
    return torch.cat([halves[:OF_EACH_KIND], halves[OF_EACH_KIND : 2 * OF_EACH_KIND]], 3)


def constant(size: tuple[int, int]) -> torch.Tensor:
    """Black, white, grey and one colour, uint8 ``[4, 3, H, W]``."""
    colours = torch.tensor([[0, 0, 0], [255, 255, 255], [128, 128, 128], [200, 30, 90]], dtype=torch.uint8)
    return colours[:, :, None, None].expand(-1, -1, *size).contiguous()


def noise(count: int, size: tuple[int, int]) -> torch.Tensor:
    """Every value by chance, uint8 ``[count, 3, H, W]``."""
    draws = uniform(0, "conformance noise", [str(number) for number in range(count)], (3, *size))
    return (draws * 256).to(torch.uint8)


def joined(sets: Sequence[ImageSet]) -> ImageSet:
    """Sets of one size with the same labels as one set."""
    first = sets[0]
    assert first.identity is not None
    return ImageSet(
        torch.cat([part.images for part in sets]),
        tuple(key for part in sets for key in part.keys),
        Labels(torch.cat([part.identity.values for part in sets if part.identity]), first.identity.classes),
        {
            name: Labels(torch.cat([part.attributes[name].values for part in sets]), labels.classes)
            for name, labels in first.attributes.items()
        },
        torch.cat([part.landmarks for part in sets if part.landmarks is not None]),
    )


def shuffled(count: int) -> torch.Tensor:
    """An order in which no image keeps its place and which is not its own inverse, int64 ``[count]``, count over 2.

    Turning the set round would not do: who releases everything in reverse would not be noticed.
    """
    order = uniform(0, "conformance order", [str(row) for row in range(count)], (1,))[:, 0].argsort(stable=True)
    successor = torch.empty_like(order)
    successor[order] = order.roll(-1)  # one cycle through all rows
    return successor
