"""Black masks over parts of a face."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from anonymizers.conventional.landmarks import find_landmarks
from benchmark.hashing import sha256_file
from benchmark.images import ImageSet, Released
from benchmark.protocols import Controller
from benchmark.weights import WeightsMissing, locate

Region = Annotated[Literal["eyes", "mouth", "eyes+mouth", "face"], Field(description="what is painted black")]

EYE_RADIUS = 0.5
MOUTH_MARGIN = 0.25
MOUTH_HALF_HEIGHT = 0.35
FACE_HALF_WIDTH = 1.1
FACE_HALF_HEIGHT = 1.5
"""Fractions of the distance between the eyes; see ``Mask``."""

PAINTED_AT_ONCE = 8
"""Images per step of the painting: their coordinate grids fit into the cache, which makes it five times as fast."""

LEAST_HALF_SIDE = 0.75
"""px; on tiny images a shape still covers the pixel its centre lies in (half a diagonal is 0.71)."""


class Shape(NamedTuple):
    """One shape per image, turned with the eye line.

    Attributes:
        centre: float64 ``[N, 2]`` (x, y) in px.
        half: float64 ``[N, 2]``, half sides or half axes in px, along and across the eye line.
        round: ellipse rather than box.
    """

    centre: torch.Tensor
    half: torch.Tensor
    round: bool


def eye_shapes(points: torch.Tensor, distance: torch.Tensor) -> list[Shape]:
    """A disc around each eye; ``points`` ``[N, 5, 2]``, ``distance`` between the eyes ``[N]``, both in px."""
    half = (EYE_RADIUS * distance)[:, None].expand(-1, 2)
    return [Shape(points[:, eye], half, round=True) for eye in (0, 1)]


def mouth_shapes(points: torch.Tensor, distance: torch.Tensor) -> list[Shape]:
    """A box over the mouth; arguments as ``eye_shapes``."""
    left, right = points[:, 3], points[:, 4]
    half_width = _length(right - left) / 2 + MOUTH_MARGIN * distance
    return [Shape((left + right) / 2, torch.stack([half_width, MOUTH_HALF_HEIGHT * distance], dim=1), round=False)]


def face_shapes(points: torch.Tensor, distance: torch.Tensor) -> list[Shape]:
    """An ellipse around the nose tip; arguments as ``eye_shapes``."""
    half = torch.stack([FACE_HALF_WIDTH * distance, FACE_HALF_HEIGHT * distance], dim=1)
    return [Shape(points[:, 2], half, round=True)]


def _length(vectors: torch.Tensor) -> torch.Tensor:
    return vectors.square().sum(dim=-1).sqrt()


def shapes_of(region: str, points: torch.Tensor) -> list[Shape]:
    """The shapes of a region; ``points`` float64 ``[N, 5, 2]`` in px."""
    makers = {"eyes": eye_shapes, "mouth": mouth_shapes, "face": face_shapes}
    distance = _length(points[:, 1] - points[:, 0])
    return [shape for part in region.split("+") for shape in makers[part](points, distance)]


def covered(shape: Shape, along: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Which pixel centres lie in the shape, bool ``[N, height, width]``.

    Args:
        shape: one per image.
        along: unit vector of the eye line, float64 ``[N, 2]``.
        height: of the images in px.
        width: of the images in px.
    """
    x = torch.arange(width, dtype=torch.float64) - shape.centre[:, :1]
    y = torch.arange(height, dtype=torch.float64) - shape.centre[:, 1:]
    half = shape.half.clamp(min=LEAST_HALF_SIDE)
    unit = (along / half[:, :1]).unbind(1), (along / half[:, 1:]).unbind(1)
    u = (x * unit[0][0][:, None])[:, None, :] + (y * unit[0][1][:, None])[:, :, None]
    v = (y * unit[1][0][:, None])[:, :, None] - (x * unit[1][1][:, None])[:, None, :]
    return u.square() + v.square() <= 1 if shape.round else torch.maximum(u.abs(), v.abs()) <= 1


def paint(images: torch.Tensor, points: torch.Tensor, region: str) -> torch.Tensor:
    """Paints a region black; uint8 ``[N, 3, H, W]`` and landmarks float64 ``[N, 5, 2]`` in px."""
    eye_line = points[:, 1] - points[:, 0]
    along = eye_line / _length(eye_line)[:, None]
    black = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)
    for shape in shapes_of(region, points):
        black |= covered(shape, along, *images.shape[2:])
    return images.masked_fill(black[:, None], 0)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Mask:
    """Black mask over eyes, mouth, both, or the whole face, scaled and turned with the eyes.

    With d the distance between the eyes: eyes, a disc of radius 0.5 d around each; mouth, a box reaching 0.25 d beyond
    the corners and 0.35 d up and down; face, an ellipse around the nose tip, 1.1 d to the sides and 1.5 d up and down.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"landmarks"})
    shardable: ClassVar[bool] = True
    source: ClassVar[str] = "masks of EDI-Anon (Transactions on Data Privacy, 2025), here from landmarks"

    region: Region = "eyes"

    def found(self) -> dict[str, str]:
        """The detector on this machine by hash: where landmarks are unknown, the masks depend on it."""
        try:
            return {"yunet": sha256_file(locate("yunet"))}
        except WeightsMissing:
            return {}

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Paints the set; the notes say where the landmarks come from."""
        points, sources = find_landmarks(images)
        released = torch.empty_like(images.images)
        for start in range(0, len(images), PAINTED_AT_ONCE):
            part = slice(start, start + PAINTED_AT_ONCE)
            released[part] = paint(images.images[part], points[part], self.region)
            controller.progress(len(released[part]))
        return Released(released, {"landmarks": sources})
