"""What is around the face: backdrop, neck, clothes and ears."""

from __future__ import annotations

import torch
from torch import Tensor

from suites.portraits.fields import (
    Traits,
    blob,
    colour_constant,
    coverage,
    layer,
    linear_light,
    paint,
    smooth_step,
    stack_colour,
)
from suites.portraits.geometry import Frame
from suites.portraits.shading import Light
from suites.portraits.skin import chin_shade

EAR_TINT = colour_constant(1.0, 0.86, 0.84)


def hue_colour(hue: Tensor, saturation: Tensor, bright: Tensor) -> Tensor:
    """Returns a muted display colour [B, 3, 1, 1] from a hue in turns."""
    turns = [hue, hue - 1 / 3, hue - 2 / 3]
    return stack_colour([bright * (1 + saturation * torch.cos(6.283185307179586 * turn)) for turn in turns])


def backdrop(traits: Traits, frame: Frame, light: Light) -> Tensor:
    """Returns a softly lit, desaturated background [B, 3, S, S], sometimes with blurred lights."""
    bright = 0.22 + 0.58 * traits.backdrop_bright
    other = (bright + 0.34 * (traits.backdrop_contrast - 0.5)).clamp(0.10, 0.90)
    saturation = traits.backdrop_saturation
    first = linear_light(hue_colour(traits.backdrop_hue, saturation, bright))
    second = linear_light(hue_colour(traits.backdrop_other_hue, saturation, other))
    slope = frame.image_x * torch.cos(traits.backdrop_angle) + frame.image_y * torch.sin(traits.backdrop_angle)
    ripple = torch.sin(2.3 * frame.image_x + traits.backdrop_phase) * torch.sin(
        1.9 * frame.image_y + traits.backdrop_ripple
    )
    share = (0.5 + 0.38 * slope + 0.22 * ripple).clamp_(0, 1)
    image = torch.lerp(first, second, layer(share).expand(-1, 3, -1, -1))
    for spot in range(3):
        x, y = getattr(traits, f"bokeh_x_{spot}"), getattr(traits, f"bokeh_y_{spot}")
        disc = blob(frame.image_x - x, frame.image_y - y, 0.22, 0.22)
        image *= 1 + layer(traits.bokeh * disc)
    image *= 0.70 + 0.35 * light.colour * layer(light.key)
    return image


def paint_body(image: Tensor, traits: Traits, frame: Frame, light: Light, skin: Tensor) -> None:
    """Paints neck, shoulders and clothes."""
    x, y = frame.x - 0.04 * torch.sin(traits.yaw), frame.y
    half = (0.232 + 0.024 * (2 * traits.male - 1) + 0.07 * smooth_step(0.66, 1.0, y)) * (traits.face_width / 0.47)
    neck = coverage(x.abs() - half, 2 * frame.pixel) * smooth_step(0.15, 0.25, y)
    bend = x / half
    round_ = (1 - 0.94 * bend * bend).clamp(min=0.05).sqrt()
    facing = ((0.8 * bend * light.x + round_ * light.z + 0.30) / 1.30).clamp(min=0)
    lit = skin * light.colour * layer((0.75 * light.ambient + 0.85 * light.key * facing) * _neck_shade(traits, x, y))
    paint(image, lit, neck)
    shoulders = ((x / (0.92 + 0.07 * traits.male)) ** 2 + ((y - 1.38) / 0.48) ** 2).sqrt() - 1
    body = coverage(0.5 * shoulders, 2.2 * frame.pixel)
    paint(image, lit, body)
    paint(image, _cloth(traits, x, y, light), body * coverage(-_collar(traits, x, y), 2.5 * frame.pixel))


def _neck_shade(traits: Traits, x: Tensor, y: Tensor) -> Tensor:
    shade = chin_shade(traits, y)
    cords = 0.10 * traits.ageing * blob(x.abs() - 0.075, y - 0.86, 0.02, 0.14)
    return shade - cords


def _collar(traits: Traits, x: Tensor, y: Tensor) -> Tensor:
    """Returns the signed distance to the neckline: round or pointed."""
    round_line = ((x / 0.30) ** 2 + ((y - 0.80) / (0.16 + 0.10 * traits.collar)) ** 2).sqrt() - 1
    pointed = x.abs() * 1.1 + (y - 1.10 - 0.1 * traits.collar)
    return torch.where(traits.shirt < 0.35, 0.6 * pointed, 0.25 * round_line)


def _cloth(traits: Traits, x: Tensor, y: Tensor, light: Light) -> Tensor:
    base = linear_light(hue_colour(traits.cloth_hue, traits.cloth_saturation, traits.cloth_bright))
    facing = 0.55 + 0.35 * (0.8 * x * light.x).clamp(-0.5, 0.8)
    fold = 1 + 0.05 * torch.sin(9 * x + 7 * y + traits.backdrop_phase)
    return base * light.colour * layer((light.ambient + light.key * facing) * fold)


def paint_ears(image: Tensor, traits: Traits, frame: Frame, light: Light, skin: Tensor) -> None:
    """Paints the ears beside the head; the one turned away disappears."""
    side = (frame.x / 0.1).clamp(-1, 1)
    turn = torch.sin(traits.yaw) * side
    wide = 0.046 + 0.014 * traits.ear_size + 0.014 * traits.ear_stick
    tall = 0.100 + 0.026 * traits.ear_size
    across = frame.x.abs() - traits.face_width - 0.004 - 0.018 * traits.ear_stick + 0.05 * turn
    down = frame.y - traits.eye_level - 0.085 - 0.1 * torch.sin(traits.pitch)
    radius = ((across / wide) ** 2 + ((down - 0.3 * across) / tall) ** 2).clamp(min=1e-6).sqrt()
    visible = smooth_step(0.30, 0.05, turn)
    shade = 0.70 + 0.30 * smooth_step(0.35, 0.80, radius)
    lit = (light.ambient + light.key * (0.42 + 0.30 * side * light.x)) * shade
    paint(
        image,
        skin * EAR_TINT * light.colour * layer(lit),
        coverage(0.06 * (radius - 1), 1.6 * frame.pixel) * visible,
    )
