"""Where things are: from pixels to the head, from the head to the face, and landmarks back to pixels.

Head units: x to the right, y down, the origin between the eyes at about eye level, the chin near y = 0.65.
A face point (u, v) lies at depth z(u, v) and appears at (u + z sin yaw, v + z sin pitch) in the head frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from suites.portraits.fields import Traits, coverage, ridge, smooth_step

FACE_DEPTH = 0.40
SOLVER_STEPS = 3


@dataclass(frozen=True)
class Frame:
    """Pixel centres in the head frame.

    Attributes:
        image_x, image_y: [S], from -1 to 1 over the image.
        x, y: [B, S, S] in head units.
        pixel: size of a pixel in head units, about the same for all images.
        size: S.
    """

    image_x: Tensor
    image_y: Tensor
    x: Tensor
    y: Tensor
    pixel: float
    size: int


@dataclass(frozen=True)
class Face:
    """The face surface under each pixel, all [B, S, S].

    Attributes:
        u, v: face coordinates.
        side: -1 on the left of the image, 1 on the right, a ramp between.
        across: |u|.
        level: squared radius of the outline: below 1 is inside.
        cover: soft mask of the head.
    """

    u: Tensor
    v: Tensor
    side: Tensor
    across: Tensor
    level: Tensor
    cover: Tensor


def camera_frame(traits: Traits, size: int) -> Frame:
    """Places the pixel grid in the head frame (crop and roll undone)."""
    axis = (torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1
    across = (axis.reshape(1, 1, size) - traits.shift_across) / traits.zoom
    down = (axis.reshape(1, size, 1) - traits.shift_down) / traits.zoom
    cosine, sine = torch.cos(traits.roll), torch.sin(traits.roll)
    x = cosine * across + sine * down
    y = cosine * down - sine * across
    return Frame(axis.reshape(1, 1, size), axis.reshape(1, size, 1), x, y, 2 / size / 1.34, size)


def chin_level(traits: Traits) -> Tensor:
    """Returns how far down the chin is; an open mouth lowers it."""
    return traits.chin_drop + 0.050 * traits.mouth_open


def surface_depth(traits: Traits, u: Tensor, v: Tensor) -> Tensor:
    """Returns the depth used for parallax: a paraboloid with a nose."""
    base = FACE_DEPTH - FACE_DEPTH * (u * u) * _curve_across(traits) - FACE_DEPTH * (v * v) * _curve_down(traits)
    base = base.clamp(min=-0.10)
    height = 0.095 + 0.045 * traits.nose_bridge
    profile = smooth_step(traits.eye_level - 0.05, traits.nose_drop - 0.03, v)
    profile = profile * smooth_step(traits.nose_drop + 0.06, traits.nose_drop - 0.01, v)
    return base + height * profile * ridge(u, 0.060)


def _curve_across(traits: Traits) -> Tensor:
    return 0.95 / (traits.face_width * traits.face_width)


def _curve_down(traits: Traits) -> Tensor:
    return 0.60 / (traits.skull_height * chin_level(traits))


def face_surface(traits: Traits, frame: Frame) -> Face:
    """Finds the face point seen at each pixel, and the head outline there."""
    u, v = _solve_parallax(traits, frame)
    across = u.abs()
    level = outline_level(traits, across, v)
    cover = coverage((level.clamp(min=1e-6).sqrt() - 1) * 0.48, 1.7 * frame.pixel)
    return Face(u, v, (u / 0.03).clamp(-1, 1), across, level, cover)


def _solve_parallax(traits: Traits, frame: Frame) -> tuple[Tensor, Tensor]:
    """Solves x = u + z(u, v) sin yaw and the like in y by damped Newton steps on the paraboloid's slope."""
    yaw, pitch = torch.sin(traits.yaw), torch.sin(traits.pitch)
    bend_u = -2 * FACE_DEPTH * _curve_across(traits) * yaw
    bend_v = -2 * FACE_DEPTH * _curve_down(traits) * pitch
    u, v = frame.x - 0.25 * yaw, frame.y - 0.25 * pitch
    for _ in range(SOLVER_STEPS):
        depth = surface_depth(traits, u, v)
        slope_u, slope_v = (1 + bend_u * u).clamp_(min=0.45), (1 + bend_v * v).clamp_(min=0.45)
        u = u + (frame.x - u - depth * yaw) / slope_u
        v = v + (frame.y - v - depth * pitch) / slope_v
    return u, v


def outline_level(traits: Traits, across: Tensor, v: Tensor) -> Tensor:
    """Returns the squared radius of a squircle whose width follows temple, cheek, jaw and chin."""
    lower = (v / chin_level(traits)).clamp(min=0)
    upper = (v / traits.skull_height).clamp(max=0)
    width = traits.face_width * (1 - traits.jaw_taper * smooth_step(0.15, 1.0, lower) - 0.045 * upper * upper)
    width = width + traits.cheekbone * ridge(v - 0.10, 0.13)
    width = width + (traits.jaw_angle + 0.013 * traits.ageing) * ridge(v - 0.42, 0.10)
    across2 = (across / width) ** 2
    along2 = lower * lower + upper * upper
    square = (traits.jaw_square * smooth_step(-0.1, 0.3, v) + 0.26 * smooth_step(0.1, -0.3, v)).clamp(-0.1, 0.6)
    return across2 + along2 - square * across2.clamp(max=1.5) * along2.clamp(max=1.5)


def mouth_half_width(traits: Traits) -> Tensor:
    """Returns the half width of the mouth with its expression."""
    return traits.mouth_width * (1 + 0.26 * traits.smile - 0.25 * traits.surprise)


def mouth_level(traits: Traits) -> Tensor:
    """Returns the level of the closed lips' line at its centre."""
    return traits.mouth_level - 0.012 * traits.smile + 0.018 * traits.mouth_open


def mouth_corner_lift(traits: Traits) -> Tensor:
    """Returns how much higher the mouth corners are than its centre."""
    return 0.064 * traits.smile - 0.012 * traits.surprise + traits.mouth_curve


def eye_centre_level(traits: Traits) -> Tensor:
    """Returns the level of the eye centres."""
    return traits.eye_level


def nose_tip_level(traits: Traits) -> Tensor:
    """Returns the level of the tip of the nose."""
    return traits.nose_drop - 0.030


def landmarks(traits: Traits, size: int) -> Tensor:
    """Returns the five points in pixels, float64 [B, 5, 2], (x, y); the top left pixel's centre is (0, 0)."""
    corner_v = mouth_level(traits) - mouth_corner_lift(traits)
    mouth_u = mouth_half_width(traits)
    eye_v = eye_centre_level(traits)
    points = [
        (-traits.eye_gap, eye_v),
        (traits.eye_gap, eye_v),
        (traits.nose_lean, nose_tip_level(traits)),
        (-mouth_u, corner_v - traits.mouth_lean),
        (mouth_u, corner_v + traits.mouth_lean),
    ]
    return torch.stack([_project(traits, u, v, size) for u, v in points], 1)


def _project(traits: Traits, u: Tensor, v: Tensor, size: int) -> Tensor:
    """Maps face points [B, 1, 1] to pixels [B, 2]: parallax, roll, crop."""
    depth = surface_depth(traits, u, v)
    x, y = u + depth * torch.sin(traits.yaw), v + depth * torch.sin(traits.pitch)
    cosine, sine = torch.cos(traits.roll), torch.sin(traits.roll)
    across = (cosine * x - sine * y) * traits.zoom + traits.shift_across
    down = (sine * x + cosine * y) * traits.zoom + traits.shift_down
    return torch.stack([across, down], -1).reshape(-1, 2).add(1).mul(size / 2).sub(0.5)
