"""The colour of the face: skin, lips, brows, beard, marks and creases, before it is lit."""

from __future__ import annotations

import torch
from torch import Tensor

from suites.portraits.features import Eyes, Mouth
from suites.portraits.fields import (
    Traits,
    blob,
    colour_constant,
    coverage,
    layer,
    linear_light,
    paint,
    ridge,
    smooth_step,
    stack_colour,
)
from suites.portraits.geometry import Face, chin_level, mouth_half_width, mouth_level
from suites.portraits.relief import Relief

BLUSH = colour_constant(0.08, -0.11, -0.10)
PIGMENT = colour_constant(0.75, 1.0, 1.08)
"""Marks and creases darken blue and green more than red."""
LIP_TINT = colour_constant(0.86, 0.54, 0.55)
LIPSTICK = colour_constant(0.62, 0.14, 0.18)


def skin_colour(traits: Traits) -> Tensor:
    """Returns the base albedo of the skin in linear light, [B, 3, 1, 1]."""
    return linear_light(stack_colour([traits.skin_red, traits.skin_green, traits.skin_blue]))


def face_albedo(
    traits: Traits,
    face: Face,
    eyes: Eyes,
    mouth: Mouth,
    relief: Relief,
    brows: Tensor,
    hair: Tensor,
    pixel: float,
) -> Tensor:
    """Returns the albedo of the face [B, 3, S, S]; `hair` [B, 3, 1, 1] colours brows and beard."""
    skin = skin_colour(traits)
    albedo = skin * (1 + layer(_blush(traits, face, eyes, relief)) * BLUSH)
    marks = _freckles(traits, face) + _age_spots(traits, face) + _creases(traits, eyes, relief, pixel)
    marks += _mottling(traits, face)
    albedo *= 1 - layer(marks.clamp_(-0.1, 0.7)) * PIGMENT
    paint(albedo, skin * 0.25, _moles(traits, face, pixel))
    paint(albedo, hair * 0.9 + 0.10 * skin, _beard(traits, face, mouth))
    paint(
        albedo,
        hair * 0.55 + 0.07 * skin,
        brows * (0.74 + 0.18 * smooth_step(0.014, 0.026, traits.brow_thick)),
    )
    paint(albedo, _lip_colour(traits, skin), mouth.lips * (0.84 - 0.26 * traits.ageing))
    albedo *= 1 - layer(_lip_line(traits, mouth, pixel))
    return albedo


def _blush(traits: Traits, face: Face, eyes: Eyes, relief: Relief) -> Tensor:
    ruddy = 0.4 + 0.8 * traits.ruddiness + 0.5 * traits.makeup
    lids = blob(eyes.across, eyes.down + 0.045, 0.075, 0.028) * (0.25 + 0.9 * traits.makeup)
    return ruddy * relief.cheek + 0.7 * relief.nose_ball * traits.ruddiness + lids


def _mottling(traits: Traits, face: Face) -> Tensor:
    """Unevenness of skin, stronger with age."""
    phase = traits.skin_pattern
    broad = torch.sin(19 * face.u + phase) * torch.sin(17 * face.v + 2 * phase)
    fine = torch.sin(43 * face.u - 31 * face.v - phase) * torch.sin(37 * face.v + 29 * face.u + 3 * phase)
    return (0.012 + 0.018 * traits.ageing) * broad + (0.006 + 0.028 * traits.ageing) * fine


def _freckles(traits: Traits, face: Face) -> Tensor:
    phase = traits.skin_pattern
    dots = torch.sin(83 * face.u + 3 * phase) * torch.sin(71 * face.v - phase)
    dots += 0.8 * torch.sin(57 * face.u - 43 * face.v + phase)
    area = blob(face.across - 0.16, face.v - 0.12, 0.15, 0.10)
    return 0.55 * (dots - 0.50).clamp_(min=0) * area * traits.freckles


def _age_spots(traits: Traits, face: Face) -> Tensor:
    phase = traits.wrinkle_pattern
    dots = torch.sin(23 * face.u + 2 * phase) * torch.sin(19 * face.v + phase)
    dots += 0.7 * torch.sin(31 * face.u + 17 * face.v - phase)
    area = smooth_step(0.18, 0.36, face.across) * smooth_step(0.42, 0.10, face.v)
    return 0.30 * (dots - 0.75).clamp_(min=0) * area * traits.age_spots


def _moles(traits: Traits, face: Face, pixel: float) -> Tensor:
    edge = max(1.2 * pixel, 0.014)
    low = (face.u - traits.mole_across) ** 2 + (face.v - traits.mole_down) ** 2
    high = (face.u - traits.mole_high_across) ** 2 + (face.v - traits.mole_high_down) ** 2
    low_dot = coverage(low.clamp(min=1e-8).sqrt() - 0.015, edge) * traits.mole_dark
    high_dot = coverage(high.clamp(min=1e-8).sqrt() - 0.013, edge) * traits.mole_high_dark
    return torch.maximum(low_dot, high_dot)


def _creases(traits: Traits, eyes: Eyes, relief: Relief, pixel: float) -> Tensor:
    """Darkening inside folds, where light hardly gets."""
    age, smile, folds = traits.ageing, traits.smile, relief.folds
    dark = folds.nasolabial * (0.01 + 0.34 * age + 0.03 * smile)
    dark += folds.forehead * 0.24 * age + folds.eye_bag * (0.03 + 0.36 * age)
    dark += folds.crow * (0.22 * age + 0.03 * smile) + folds.marionette * 0.09 * age
    dark += folds.frown * 0.16 * age
    lid = ridge(eyes.above_upper - traits.lid_crease, 0.0065 + 0.28 * pixel) * eyes.arch.clamp(min=0).sqrt()
    dark += lid * (0.24 + 0.10 * traits.eye_depth)
    hollow = blob(eyes.across + 0.02, eyes.down - 0.058, 0.075, 0.024)
    return dark + hollow * (0.04 + 0.14 * age)


def _beard(traits: Traits, face: Face, mouth: Mouth) -> Tensor:
    level, half_width = mouth_level(traits), mouth_half_width(traits)
    sides = smooth_step(0.30, 0.62, face.level + 0.12 * ridge(face.u, 0.10) * smooth_step(level, level + 0.1, face.v))
    sides = sides * smooth_step(0.10, 0.34, face.v + 0.22 * smooth_step(0.30, 0.46, face.across))
    sides = sides * traits.beard_sides
    moustache = (
        traits.moustache * ridge(face.v - level + 0.050, 0.023) * smooth_step(1.2, 0.7, face.across / half_width)
    )
    goatee = ridge(face.u, 0.10) * smooth_step(level + 0.05, level + 0.11, face.v)
    goatee = goatee * smooth_step(0.3, 0.6, traits.beard_today)
    area = torch.maximum(torch.maximum(sides, moustache), goatee) * (1 - mouth.lips)
    warp = 2.0 * torch.sin(17 * face.u + 23 * face.v + traits.skin_pattern)
    grain = 0.86 + 0.09 * torch.sin(71 * face.u + 31 * face.v + warp) * torch.sin(103 * face.v - 47 * face.u - warp)
    return (area * grain * (0.12 + 0.85 * traits.beard_today) * traits.male).clamp_(0, 0.92)


def _lip_colour(traits: Traits, skin: Tensor) -> Tensor:
    bare = skin * (LIP_TINT + layer(traits.lip_red) * colour_constant(0.12, -0.25, -0.2))
    painted = linear_light(LIPSTICK) * (0.45 + 0.9 * skin.mean(1, keepdim=True))
    return torch.lerp(bare, painted, (0.50 * layer(traits.makeup)).expand_as(bare))


def _lip_line(traits: Traits, mouth: Mouth, pixel: float) -> Tensor:
    line = ridge(mouth.below, 0.0075 + 0.32 * pixel) * coverage((mouth.across.abs() - 1.04) * 0.15, 0.035)
    corner = blob(mouth.across.abs() - 1.0, mouth.below, 0.07, 0.016)
    return (line * (1 - mouth.cavity) * (0.55 - 0.15 * traits.smile) + 0.22 * corner).clamp_(0, 0.8)


def face_occlusion(traits: Traits, face: Face, eyes: Eyes, mouth: Mouth) -> Tensor:
    """Returns how much of the dome of light the skin sees, [B, S, S]."""
    depth = 0.16 + 0.20 * traits.eye_depth
    open_sky = 1 - depth * blob(eyes.across + 0.03, eyes.down + 0.030, 0.088, 0.046)
    under_nose = face.v - traits.nose_drop
    open_sky *= 1 - 0.26 * ridge(under_nose - 0.022, 0.020) * ridge(face.across, 0.70 * traits.nose_width)
    open_sky *= 1 - 0.13 * blob(face.across - 1.18 * traits.nose_width, under_nose + 0.015, 0.014, 0.030)
    open_sky *= 1 - 0.16 * blob(face.u, mouth.below - mouth.lower_gap - 0.072, 0.095, 0.022)
    return open_sky * (1 - 0.20 * smooth_step(0.70, 1.0, face.level))


def nose_shadow(traits: Traits, face: Face, light_x: Tensor) -> Tensor:
    """Returns the key light that is left beside the nose, [B, S, S]."""
    cast = blob(face.u + 0.085 * light_x, face.v - traits.nose_drop + 0.045, 0.042, 0.078)
    return 1 - 0.40 * cast * (1 - ridge(face.u, 0.045)) * smooth_step(0.15, 0.55, light_x.abs())


def nostrils(traits: Traits, face: Face, pixel: float) -> Tensor:
    """Returns the mask of the nostrils."""
    across = face.across - 0.45 * traits.nose_width
    tall = 0.0085 + 0.22 * pixel + 0.004 * traits.pitch.clamp(-0.2, 0.2)
    return 0.80 * blob(across, face.v - traits.nose_drop - 0.004 + 0.25 * across, 0.20 * traits.nose_width, tall)


def chin_shade(traits: Traits, v: Tensor) -> Tensor:
    """Returns the light under the chin on the neck, [B, S, S]."""
    return 1 - 0.58 * smooth_step(0.34, 0.0, v - 0.97 * chin_level(traits))
