"""Hair: a style of the day (length, parting, bangs, sweep, waves), strands, and soft edges."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from suites.portraits.fields import (
    Traits,
    colour_constant,
    coverage,
    layer,
    linear_light,
    palette,
    ridge,
    smooth_step,
)
from suites.portraits.geometry import Face, Frame
from suites.portraits.shading import Light

HAIR_COLOURS = (
    (0.070, 0.058, 0.056),
    (0.150, 0.100, 0.078),
    (0.255, 0.165, 0.110),
    (0.365, 0.230, 0.140),
    (0.520, 0.385, 0.255),
    (0.700, 0.585, 0.430),
)
GREY = colour_constant(0.66, 0.655, 0.645)


@dataclass(frozen=True)
class Hair:
    """Hair fields, masks [B, S, S] and colours [B, 3, S, S].

    Attributes:
        behind: mask of what hangs behind face and neck.
        front: mask of what lies on the head and over the face's edges.
        root_distance: signed distance below the hairline (negative is hair).
        behind_colour, front_colour: lit colours.
    """

    behind: Tensor
    front: Tensor
    root_distance: Tensor
    behind_colour: Tensor
    front_colour: Tensor


def hair_colour(traits: Traits) -> Tensor:
    """Returns today's hair colour in linear light, [B, 3, 1, 1]."""
    tinted = palette(HAIR_COLOURS, traits.hair_colour)
    tinted = tinted * (1 + layer(traits.hair_red) * colour_constant(0.9, -0.35, -0.7))
    return linear_light(torch.lerp(tinted, GREY, layer(traits.hair_grey).expand_as(tinted)))


def brow_colour(traits: Traits) -> Tensor:
    """Returns the colour of brows and beard: natural, not quite as grey as the hair."""
    natural = palette(HAIR_COLOURS, traits.natural_colour)
    grey = torch.lerp(natural, GREY, layer(0.70 * traits.grey).expand_as(natural))
    return linear_light(grey)


def make_hair(traits: Traits, frame: Frame, face: Face, light: Light) -> Hair:
    """Shapes and lights the hair."""
    strands = _strands(traits, face)
    cap_level = _cap_level(traits, frame)
    curtain = _curtain(traits, frame, strands)
    behind = torch.maximum(_cap_mask(traits, cap_level, strands, frame.pixel), curtain)
    distance = _root_distance(traits, face, strands)
    front = _front_mask(traits, frame, face, distance, strands, cap_level)
    front_colour, behind_colour = _lit(traits, frame, face, light, strands, cap_level, distance)
    return Hair(behind, front, distance, behind_colour, front_colour)


def _strands(traits: Traits, face: Face) -> Tensor:
    """Returns brightness noise that runs along the hair, roughly in -1..1."""
    fan = (face.u - 0.5 * traits.hair_part) / (0.30 + 0.62 * (face.v + 0.78).clamp(min=0))
    phase, wave = traits.hair_pattern, traits.hair_wave
    bend = (0.25 + 0.9 * wave) * torch.sin(6 * face.v + phase + 2 * fan)
    coarse = torch.sin(11 * fan + 3 * phase + bend)
    middle = torch.sin(27 * fan + phase + 1.6 * bend + 0.7 * coarse)
    fine = torch.sin(61 * fan - 2 * phase + 2.2 * bend + middle)
    parted = ridge(face.u - 0.5 * traits.hair_part, 0.022) * smooth_step(-0.35, -0.50, face.v)
    return 0.38 * coarse + 0.34 * middle + 0.28 * fine - 0.9 * parted * _is_long(traits) * (1 - traits.hair_bangs)


def _is_long(traits: Traits) -> Tensor:
    return smooth_step(0.18, 0.34, traits.hair_length)


def _cap_level(traits: Traits, frame: Frame) -> Tensor:
    """Returns the squared radius of the hair on the skull; short hair hugs the sides."""
    kept = 1 - smooth_step(0.05, 0.4, traits.baldness_today)
    volume = traits.hair_volume * (0.55 + 0.45 * _is_long(traits))
    wide = traits.face_width + 0.010 + volume * (0.35 + 0.65 * _is_long(traits)) * (0.4 + 0.6 * kept)
    tall = traits.skull_height + (0.85 * traits.hair_volume + 0.012) * kept - 0.03 * (1 - kept)
    x, y = frame.x - 0.05 * torch.sin(traits.yaw), frame.y + 0.03
    across2 = (x / wide) ** 2
    along2 = (y.clamp(max=0) / tall) ** 2 + (y.clamp(min=0) / (0.55 + 0.5 * _is_long(traits))) ** 2
    return across2 + along2 - 0.42 * across2.clamp(max=1.4) * along2.clamp(max=1.4)


def _cap_mask(traits: Traits, level: Tensor, strands: Tensor, pixel: float) -> Tensor:
    fuzz = (0.004 + 0.016 * traits.hair_wave) * strands
    return coverage((level.clamp(min=1e-6).sqrt() - 1) * 0.52 + fuzz, 0.030 + 2 * pixel)


def _curtain(traits: Traits, frame: Frame, strands: Tensor) -> Tensor:
    """Long hair beside and behind the neck, wavy at the side and uneven at its end."""
    x = frame.x + 0.10 * torch.sin(traits.yaw)
    end = 0.06 + 0.95 * traits.hair_length
    down = ((frame.y + 0.1) / (end + 0.1)).clamp(0, 1.2)
    flare = 0.02 + traits.hair_volume * 0.9 + (0.05 + 0.10 * traits.hair_wave) * down * (1.1 - 0.8 * down)
    wavy = 0.020 * traits.hair_wave * torch.sin(13 * frame.y + traits.hair_pattern)
    side = x.abs() - traits.face_width - flare - wavy + 0.014 * strands
    bottom = frame.y - end + 0.035 * strands + 0.10 * (x * x)
    edge = 0.035 + 2 * frame.pixel
    mask = coverage(side, edge) * coverage(bottom, 0.10) * smooth_step(-0.30, -0.05, frame.y)
    return mask * _is_long(traits)


def _root_distance(traits: Traits, face: Face, strands: Tensor) -> Tensor:
    """Returns how far below the hairline a face point is; bangs and a swept lock lower the line."""
    part = traits.hair_part
    x = face.across / traits.face_width
    x2 = x * x
    bald = traits.baldness_today
    peak = 0.030 * traits.widow_peak.clamp(min=0) * ridge(face.u, 0.06)
    recede = (0.05 + 0.13 * bald + 0.02 * traits.male + 0.02 * traits.ageing) * ridge(x - 0.62, 0.15)
    line = -traits.hairline - 0.40 * bald + 0.10 * x2 + peak - recede
    sweep = traits.hair_sweep.clamp(-1, 1)
    swept = smooth_step(-0.25, 0.85, (face.u * torch.sign(sweep) + part.abs() * 0.4) / traits.face_width)
    line = line + sweep.abs() * (1 - bald) * (0.05 + 0.11 * _is_long(traits)) * swept
    bangs = traits.hair_bangs * (1 - bald)
    line = line + bangs * (0.215 - 0.05 * x2) + 0.02 * bangs * strands
    sideburn = 0.02 + 0.09 * (1 - _is_long(traits)) * traits.male
    drop = smooth_step(0.74 - 0.34 * _is_long(traits), 1.04, x)
    line = line + (sideburn - line) * drop
    return face.v - line + (0.016 + 0.014 * bangs) * strands


def _front_mask(
    traits: Traits, frame: Frame, face: Face, distance: Tensor, strands: Tensor, cap_level: Tensor
) -> Tensor:
    inside = coverage((cap_level.clamp(min=1e-6).sqrt() - 1) * 0.52 + 0.012 * strands, 0.030 + 2 * frame.pixel)
    softness = 0.050 + 0.035 * (1 - traits.hair_bangs)
    crown = coverage(distance, softness) * inside
    # Long hair falls over the edges of the face, more on the swept side.
    lean = 0.05 * traits.hair_sweep.clamp(-1, 1) * face.side
    cover = 0.02 + 0.11 * traits.hair_cover * (0.5 + 0.5 * traits.hair_wave) + lean
    cover = cover * (1 - 0.75 * smooth_step(-0.05, 0.45, face.v))
    width = traits.face_width * (1 + 0.05 * torch.sin(5 * face.v + traits.hair_pattern) * traits.hair_wave)
    locks = coverage(width - cover - face.across + 0.020 * strands, 0.060)
    end = 0.06 + 0.95 * traits.hair_length
    locks = locks * coverage(frame.y - end + 0.035 * strands, 0.12) * smooth_step(-0.50, -0.20, face.v)
    outer = coverage(frame.x.abs() - traits.face_width - 0.03 - 0.8 * traits.hair_volume, 0.06)
    locks = locks * outer * _is_long(traits) * (1 - smooth_step(0.1, 0.4, traits.baldness_today))
    return torch.maximum(crown, locks)


def _lit(
    traits: Traits,
    frame: Frame,
    face: Face,
    light: Light,
    strands: Tensor,
    cap_level: Tensor,
    distance: Tensor,
) -> tuple[Tensor, Tensor]:
    base = hair_colour(traits)
    wide, tall = traits.face_width + 0.10, traits.skull_height + 0.10
    nx, ny = frame.x / wide, (frame.y / tall).clamp(max=0.15)
    nz = (1.02 - nx * nx - ny * ny).clamp(min=0.04).sqrt()
    facing = (0.85 * nx * light.x + 0.85 * ny * light.y + nz * light.z).clamp(min=-0.1)
    body = light.ambient * (0.85 - 0.25 * ny) + light.key * (0.28 + 0.80 * facing)
    matte = body * (1 + 0.24 * strands)
    along = frame.y + 0.50 - 0.10 * light.y - 0.13 * frame.x * light.x - 0.05 * strands
    gloss = ridge(along, 0.095) * nz * (0.6 + 0.5 * strands).clamp(min=0) * light.key
    inner = 0.70 + 0.30 * smooth_step(0.0, -0.10, distance)
    rim = light.rim * smooth_step(0.75, 1.0, cap_level) * (-nx * torch.sign(light.x)).clamp(0, 1)
    shine = light.colour * (base * 0.35 + 0.014)
    behind = base * light.colour * layer(matte * (0.80 - 0.42 * smooth_step(0.0, 0.45, frame.y)))
    front = base * light.colour * layer(matte * inner) + shine * layer(gloss + 0.5 * rim)
    return front, behind + shine * layer(0.4 * gloss + 0.5 * rim)
