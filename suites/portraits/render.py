"""From persons and photographs to images and landmarks, in chunks that fit the processor's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from suites.portraits.camera import develop
from suites.portraits.details import brow_shade, paint_eyes, paint_glasses, paint_mouth_inside
from suites.portraits.features import brow_mask, eye_fields, mouth_fields
from suites.portraits.fields import Traits, paint, smooth_step
from suites.portraits.geometry import Face, Frame, camera_frame, face_surface, landmarks
from suites.portraits.hair import Hair, brow_colour, make_hair
from suites.portraits.identity import sample_people
from suites.portraits.photograph import Photographs, sample_photographs
from suites.portraits.randomness import bell_noise
from suites.portraits.relief import face_relief
from suites.portraits.shading import Light, make_light, skin_radiance, surface_normals
from suites.portraits.skin import face_albedo, face_occlusion, nose_shadow, nostrils, skin_colour
from suites.portraits.surroundings import backdrop, paint_body, paint_ears

CLASSES: dict[str, tuple[str, ...]] = {
    "gender": ("female", "male"),
    "age": ("young", "old"),
    "skin_tone": ("monk-1-3", "monk-4-5", "monk-6-7", "monk-8-10"),
    "expression": ("neutral", "smile", "surprise"),
    "glasses": ("no", "yes"),
}
"""Class names of each label, in the order of the label's values."""


@dataclass(frozen=True)
class Portraits:
    """Photographs of people who do not exist.

    Attributes:
        images: uint8 [N, 3, S, S], RGB.
        landmarks: float32 [N, 5, 2], pixel coordinates (x, y) where the centre of the top left pixel is
            (0, 0): left eye, right eye, tip of the nose, left and right corner of the mouth; left is the
            left side of the image.
        identity: int64 [N], the identity index within its set.
        labels: each int64 [N], an index into `CLASSES[name]`.
    """

    images: Tensor
    landmarks: Tensor
    identity: Tensor
    labels: dict[str, Tensor]


def render_portraits(
    *,
    seed: int,
    people: str,
    identities: range,
    photographs: range,
    size: int,
    progress: Callable[[int], None] | None = None,
    chunk: int = 24,
) -> Portraits:
    """Renders every photograph of every identity, identity-major.

    A person depends on (seed, people, identity index) only, a photograph also on its own index: neither the
    ranges asked for nor the chunk changes a byte.

    Args:
        seed: seed of the whole world of people.
        people: name of a set of identities, as "background", "evaluated" or "spare"; sets are disjoint.
        identities: indices of the persons.
        photographs: indices of the photographs of each person.
        size: width and height in pixels.
        progress: called with the number of images just finished, after each chunk.
        chunk: images drawn at once.

    Returns:
        Images, landmarks, identities and labels of len(identities) * len(photographs) photographs.
    """
    parts = []
    for pairs in _chunks(identities, photographs, chunk):
        parts.append(_render_chunk(seed, people, pairs, size))
        if progress is not None:
            progress(len(pairs))
    return _join(parts, size)


def _chunks(identities: range, photographs: range, chunk: int) -> Iterator[list[tuple[int, int]]]:
    pairs = [(identity, photograph) for identity in identities for photograph in photographs]
    for start in range(0, len(pairs), chunk):
        yield pairs[start : start + chunk]


def _join(parts: list[Portraits], size: int) -> Portraits:
    if not parts:
        empty = torch.zeros(0, dtype=torch.int64)
        return Portraits(
            torch.zeros(0, 3, size, size, dtype=torch.uint8),
            torch.zeros(0, 5, 2, dtype=torch.float32),
            empty,
            dict.fromkeys(CLASSES, empty),
        )
    return Portraits(
        torch.cat([part.images for part in parts]),
        torch.cat([part.landmarks for part in parts]),
        torch.cat([part.identity for part in parts]),
        {name: torch.cat([part.labels[name] for part in parts]) for name in CLASSES},
    )


@torch.no_grad()
def _render_chunk(seed: int, people: str, pairs: list[tuple[int, int]], size: int) -> Portraits:
    persons = sorted({identity for identity, _ in pairs})
    place = {identity: row for row, identity in enumerate(persons)}
    rows = torch.tensor([place[identity] for identity, _ in pairs])
    keys = [f"{seed}/{people}/{identity}/{photograph}" for identity, photograph in pairs]
    photographs = sample_photographs(sample_people(seed, people, persons).select(rows), keys)
    images, points = draw(photographs, size)
    identity = torch.tensor([identity for identity, _ in pairs])
    return Portraits(images, points.to(torch.float32), identity, photographs.labels)


def draw(photographs: Photographs, size: int) -> tuple[Tensor, Tensor]:
    """Draws one chunk: uint8 [B, 3, S, S] and landmarks float64 [B, 5, 2]."""
    traits = Traits(photographs.values)
    frame = camera_frame(traits, size)
    face = face_surface(traits, frame)
    light = make_light(traits)
    hair = make_hair(traits, frame, face, light)
    image = _behind(traits, frame, light, hair)
    paint(image, _face(traits, frame, face, light, hair), face.cover)
    paint(image, hair.front_colour, hair.front)
    eyes = eye_fields(traits, face, frame.pixel)
    paint_glasses(image, traits, face, eyes, light, frame.pixel)
    noise = bell_noise(photographs.noise_keys, (3, size, size))
    return develop(image, traits, frame, noise), landmarks(traits, size)


def _behind(traits: Traits, frame: Frame, light: Light, hair: Hair) -> Tensor:
    """Paints everything behind the face."""
    skin = skin_colour(traits)
    image = backdrop(traits, frame, light)
    paint(image, hair.behind_colour, hair.behind)
    paint_body(image, traits, frame, light, skin)
    paint_ears(image, traits, frame, light, skin)
    return image


def _face(traits: Traits, frame: Frame, face: Face, light: Light, hair: Hair) -> Tensor:
    """Paints the lit face, without its outline, [B, 3, S, S]."""
    pixel, skin = frame.pixel, skin_colour(traits)
    eyes, mouth = eye_fields(traits, face, pixel), mouth_fields(traits, face, pixel)
    relief = face_relief(traits, face, eyes, mouth, pixel)
    brows = brow_mask(traits, face, pixel)
    albedo = face_albedo(traits, face, eyes, mouth, relief, brows, brow_colour(traits), pixel)
    normals = surface_normals(relief.height, 0.5 * torch.sin(traits.yaw), 0.5 * torch.sin(traits.pitch), pixel)
    occlusion = face_occlusion(traits, face, eyes, mouth) * brow_shade(eyes) * _hair_shade(hair)
    image = skin_radiance(albedo, normals, light, occlusion, nose_shadow(traits, face, light.x))
    paint(image, skin * 0.06, nostrils(traits, face, pixel))
    paint_eyes(image, traits, face, eyes, light, skin, pixel)
    paint_mouth_inside(image, traits, mouth, light, pixel)
    return image


def _hair_shade(hair: Hair) -> Tensor:
    """Returns the shade that hair throws on the skin just below it."""
    return 1 - 0.22 * smooth_step(0.10, 0.0, hair.root_distance)
