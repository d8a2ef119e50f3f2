"""Eyes, brows and mouth: their outlines as soft masks over the face."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from suites.portraits.fields import Traits, coverage, ridge, smooth_step
from suites.portraits.geometry import (
    Face,
    eye_centre_level,
    mouth_corner_lift,
    mouth_half_width,
    mouth_level,
)


@dataclass(frozen=True)
class Eyes:
    """Both eyes at once (mirrored), all [B, S, S].

    Attributes:
        across, down: offset from the eye centre; `across` is positive outwards.
        tilted: `down` along the tilted eye axis.
        arch: 1 at the middle of the lids, 0 at the corners, negative beyond.
        above_upper: signed height over the upper lid's edge (positive is above, on the lid).
        below_lower: signed depth under the lower lid's edge.
        opening: mask of the visible eyeball.
    """

    across: Tensor
    down: Tensor
    tilted: Tensor
    arch: Tensor
    above_upper: Tensor
    below_lower: Tensor
    opening: Tensor


@dataclass(frozen=True)
class Mouth:
    """The mouth, all [B, S, S].

    Attributes:
        across: offset in mouth half widths, 0 at the centre.
        below: signed offset from the line between the lips.
        taper: 1 at the centre, 0 at the corners and beyond.
        upper_gap, lower_gap: how far the lips' inner edges are from the line.
        upper_lip, lower_lip: lip heights.
        lips, cavity: masks.
    """

    across: Tensor
    below: Tensor
    taper: Tensor
    upper_gap: Tensor
    lower_gap: Tensor
    upper_lip: Tensor
    lower_lip: Tensor
    lips: Tensor
    cavity: Tensor


def eye_fields(traits: Traits, face: Face, pixel: float) -> Eyes:
    """Draws the lids as two parabolas around the tilted eye axis."""
    across = face.across - traits.eye_gap
    down = face.v - eye_centre_level(traits)
    tilted = down + traits.eye_tilt * across
    along = across / traits.eye_width
    arch = 1 - along * along
    upper, lower = lid_heights(traits)
    hooding = 0.016 * traits.ageing * smooth_step(-0.3, 1.0, along)
    above_upper = -upper * arch * (1 - 0.10 * along) + hooding - tilted
    below_lower = tilted - lower * arch * (1 + 0.12 * along)
    opening = coverage(torch.maximum(above_upper, below_lower), 1.5 * pixel)
    return Eyes(across, down, tilted, arch, above_upper, below_lower, opening)


def lid_heights(traits: Traits) -> tuple[Tensor, Tensor]:
    """Returns how far the upper and the lower lid are from the eye axis, [B, 1, 1]."""
    upper = traits.eye_open * (1 - 0.26 * traits.smile + 0.38 * traits.surprise)
    lower = traits.eye_open * (0.62 - 0.30 * traits.smile + 0.12 * traits.surprise)
    return upper, lower


def brow_mask(traits: Traits, face: Face, pixel: float) -> Tensor:
    """Returns the eyebrows: arched bars that taper outwards, soft along the upper edge."""
    across = face.across - traits.eye_gap - traits.brow_inset
    along = across / traits.brow_length
    lift = traits.brow_raise + 0.068 * traits.surprise - 0.006 * traits.smile
    curve = traits.brow_arch.clamp(min=0.003) * (1 - (along - 0.25) ** 2) - traits.brow_slant * across
    centre = traits.eye_level - lift - curve + 0.010
    thickness = (
        traits.brow_thick.clamp(min=0.011)
        * (1 - 0.45 * smooth_step(-0.2, 1.05, along))
        * (1 + 0.10 * along.clamp(-1, 0))
    )
    bar = coverage((face.v - centre).abs() - thickness, 0.022 + 0.6 * pixel)
    return bar * coverage(along.abs() - 0.98, 0.34)


def mouth_fields(traits: Traits, face: Face, pixel: float) -> Mouth:
    """Draws the lips around a curved line; the corners close the mouth."""
    across = face.u / mouth_half_width(traits)
    held = across.clamp(-1.3, 1.3)
    corner = held * held
    taper = (1 - corner).clamp(min=0)
    line = mouth_level(traits) - mouth_corner_lift(traits) * corner + traits.mouth_lean * held
    below = face.v - line
    root = taper.sqrt()
    upper_gap = traits.mouth_open * (0.026 - 0.006 * traits.smile) * root
    lower_gap = traits.mouth_open * (0.054 + 0.028 * traits.surprise) * root * (0.4 + 0.6 * taper)
    bow = 1 - 0.26 * traits.cupid_bow * ridge(across, 0.14) + 0.10 * traits.cupid_bow * ridge(across.abs() - 0.27, 0.18)
    fullness = 1 - 0.18 * traits.smile
    upper_lip = traits.upper_lip.clamp(min=0.008) * fullness * root * (0.25 + 0.75 * taper) * bow
    lower_lip = traits.lower_lip.clamp(min=0.012) * fullness * root * (0.45 + 0.55 * taper)
    within = coverage((across.abs() - 1) * 0.15, 1.6 * pixel)
    lips = coverage(torch.maximum(-upper_gap - upper_lip - below, below - lower_gap - lower_lip), 0.012 + pixel)
    cavity = coverage(torch.maximum(-upper_gap - below, below - lower_gap), pixel) * within
    cavity = cavity * smooth_step(0.02, 0.20, traits.mouth_open)
    return Mouth(across, below, taper, upper_gap, lower_gap, upper_lip, lower_lip, lips * within, cavity)
