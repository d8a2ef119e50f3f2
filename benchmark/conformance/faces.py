"""Simple drawn faces of people who do not exist, with the labels a suite would have."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.conformance.painting import Canvas
from benchmark.images import ImageSet, Labels
from benchmark.seeding import uniform

EXPRESSION = ("neutral", "smile")
GLASSES = ("no", "yes")


@dataclass(frozen=True)
class Person:
    """What stays the same on all photographs of a person; one row per picture, lengths in units of the face.

    Attributes:
        skin, hair, iris: colours ``[N, 3]``, 0..1.
        shape: half width and half height of the head, ``[N, 2]``.
        apart: half of the distance between the eyes, ``[N]``.
        mouth: how far the mouth is below the eyes, ``[N]``.
        wide: half of the mouth's width, ``[N]``.
        glasses: whether there are any, bool ``[N]``.
    """

    skin: torch.Tensor
    hair: torch.Tensor
    iris: torch.Tensor
    shape: torch.Tensor
    apart: torch.Tensor
    mouth: torch.Tensor
    wide: torch.Tensor
    glasses: torch.Tensor


@dataclass(frozen=True)
class Pose:
    """What differs from photograph to photograph; one row per picture.

    Attributes:
        centre: where the middle of the face is, ``[N, 2]``.
        scale: size of the face in units of the picture's shorter side, ``[N, 1]``.
        light: factor on all grey levels, ``[N]``.
        backdrop: colour, ``[N, 3]``.
        smile: bool ``[N]``.
    """

    centre: torch.Tensor
    scale: torch.Tensor
    light: torch.Tensor
    backdrop: torch.Tensor
    smile: torch.Tensor

    def at(self, x: torch.Tensor | float, y: torch.Tensor | float) -> torch.Tensor:
        """Where a point of the face is on the picture, ``[N, 2]``."""
        point = torch.zeros_like(self.centre)
        point[:, 0], point[:, 1] = x, y
        return self.centre + self.scale * point

    def length(self, *sides: torch.Tensor | float) -> torch.Tensor:
        """Lengths of the face as lengths of the picture, ``[N, len(sides)]``."""
        return self.scale * torch.stack([torch.as_tensor(side).expand(len(self.scale)) for side in sides], 1)


def draw_faces(people: int, photographs: int, size: tuple[int, int], first: int = 0, take: int = 0) -> ImageSet:
    """Draws photographs of people, the same in every run.

    Args:
        people: how many.
        photographs: of each.
        size: height and width in pixels.
        first: number of the first person; others are other people.
        take: number of the first photograph of each; others are other photographs of the same people.

    Returns:
        ``people * photographs`` images sorted by person, with identity, the attributes ``expression`` and ``glasses``,
        and landmarks.
    """
    who = torch.arange(people).repeat_interleave(photographs)
    names = [f"person-{first + number:03d}" for number in range(people)]
    keys = tuple(f"{name}/{take + number}" for name in names for number in range(photographs))
    person, pose = _person([names[number] for number in who.tolist()]), _pose(keys)
    return ImageSet(
        _drawn(person, pose, size),
        keys,
        Labels(who, tuple(names)),
        {"expression": Labels(pose.smile.long(), EXPRESSION), "glasses": Labels(person.glasses.long(), GLASSES)},
        _landmarks(person, pose, size),
    )


def _person(names: list[str]) -> Person:
    draws = uniform(0, "conformance person", names, (17,))
    tone = 0.35 + 0.6 * draws[:, :1]
    skin = tone * torch.tensor([1.0, 0.8, 0.68], dtype=torch.float64) + 0.06 * (draws[:, 1:4] - 0.5)
    return Person(
        skin=skin.clamp(0, 1),
        hair=(draws[:, 4:5] ** 2) * torch.tensor([0.9, 0.7, 0.4], dtype=torch.float64) + 0.15 * draws[:, 5:8],
        iris=0.05 + 0.45 * draws[:, 8:11],
        shape=torch.stack([0.26 + 0.07 * draws[:, 11], 0.36 + 0.05 * draws[:, 12]], 1),
        apart=0.1 + 0.045 * draws[:, 13],
        mouth=0.21 + 0.06 * draws[:, 14],
        wide=0.08 + 0.05 * draws[:, 15],
        glasses=draws[:, 16] < 0.4,
    )


def _pose(keys: tuple[str, ...]) -> Pose:
    draws = uniform(0, "conformance photograph", keys, (8,))
    return Pose(
        centre=0.06 * (draws[:, :2] - 0.5),
        scale=0.95 + 0.1 * draws[:, 2:3],
        light=0.9 + 0.15 * draws[:, 3],
        backdrop=0.2 + 0.6 * draws[:, 4:7],
        smile=draws[:, 7] < 0.5,
    )


EYES = -0.06
"""Height of the eyes above the middle of the face."""


def _drawn(person: Person, pose: Pose, size: tuple[int, int]) -> torch.Tensor:
    canvas = Canvas(len(pose.scale), size)
    canvas.paint(torch.ones_like(canvas.pixels[:, 0]), pose.backdrop)
    wide, high = person.shape.unbind(1)
    canvas.paint(canvas.ellipse(pose.at(0.0, 0.62), pose.length(0.42, 0.25)), 1 - pose.backdrop)
    canvas.paint(canvas.ellipse(pose.at(0.0, -0.06), pose.length(wide + 0.05, high + 0.03)), person.hair)
    canvas.paint(canvas.ellipse(pose.at(0.0, 0.03), pose.length(wide, high - 0.03)), person.skin)
    for side in (-1, 1):
        _draw_eye(canvas, person, pose, side * person.apart)
    canvas.paint(canvas.ellipse(pose.at(0.0, 0.06), pose.length(0.025, 0.04)), person.skin * 0.7)
    _draw_mouth(canvas, person, pose)
    canvas.pixels *= pose.light[:, None, None, None]
    return canvas.finished()


def _draw_eye(canvas: Canvas, person: Person, pose: Pose, x: torch.Tensor) -> None:
    centre = pose.at(x, EYES)
    canvas.paint(canvas.ellipse(centre, pose.length(0.06, 0.035)), torch.full_like(person.skin, 0.95))
    canvas.paint(canvas.ellipse(centre, pose.length(0.028, 0.03)), person.iris)
    brow = canvas.bow(pose.at(x, EYES - 0.085), pose.length(0.06)[:, 0], pose.length(-0.02)[:, 0], 0.03)
    canvas.paint(brow, person.hair)
    frame = canvas.ring(centre, pose.length(0.085, 0.065), 0.022)
    canvas.paint(frame * person.glasses[:, None, None], torch.full_like(person.skin, 0.05))


def _draw_mouth(canvas: Canvas, person: Person, pose: Pose) -> None:
    lips = person.skin * torch.tensor([0.8, 0.35, 0.35], dtype=torch.float64)
    centre, bend = pose.at(0.0, EYES + person.mouth + _bend(pose)), pose.length(_bend(pose))[:, 0]
    canvas.paint(canvas.bow(centre, pose.length(person.wide)[:, 0], bend, 0.035), lips)


def _bend(pose: Pose) -> torch.Tensor:
    """How much higher the corners of the mouth are than its middle, ``[N]``."""
    return torch.where(pose.smile, 0.05, 0.0).double()


def _landmarks(person: Person, pose: Pose, size: tuple[int, int]) -> torch.Tensor:
    """Eyes, nose tip and corners of the mouth, float32 ``[N, 5, 2]`` in pixels."""
    corner = EYES + person.mouth
    points = [pose.at(-person.apart, EYES), pose.at(person.apart, EYES), pose.at(0.0, 0.08)]
    points += [pose.at(-person.wide, corner), pose.at(person.wide, corner)]
    middle = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2], dtype=torch.float64)
    return (torch.stack(points, 1) * min(size) + middle).float()
