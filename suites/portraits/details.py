"""Eyeballs, lashes, teeth and spectacles: what is painted over the lit skin."""

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
    palette,
    ridge,
    smooth_step,
    stack_colour,
)
from suites.portraits.geometry import Face
from suites.portraits.shading import Light

IRIS_COLOURS = (
    (0.20, 0.12, 0.07),
    (0.36, 0.23, 0.12),
    (0.38, 0.39, 0.23),
    (0.38, 0.52, 0.60),
    (0.47, 0.54, 0.58),
)
SCLERA = linear_light(colour_constant(0.91, 0.88, 0.86))
TEETH = linear_light(colour_constant(0.90, 0.87, 0.82))
THROAT = linear_light(colour_constant(0.26, 0.09, 0.09))


def paint_eyes(image: Tensor, traits: Traits, face: Face, eyes: Eyes, light: Light, skin: Tensor, pixel: float) -> None:
    """Paints eyeballs and lashes into the face [B, 3, S, S]."""
    across = eyes.across - 0.020 * traits.gaze_across * face.side
    down = eyes.down - 0.012 * traits.gaze_down + 0.004
    radius = (across * across + down * down).clamp(min=1e-8).sqrt()
    colour = _eyeball(traits, eyes, radius, down, pixel)
    lid_shade = 1 - 0.50 * smooth_step(0.034, 0.0, -eyes.above_upper)
    colour *= layer(lid_shade) * light.flat(0.62)
    glint = across * face.side - 0.013 * torch.sign(light.x), down + 0.013
    spot = glint[0] * glint[0] + glint[1] * glint[1]
    paint(colour, SCLERA * 1.1, 0.80 * coverage(spot.clamp(min=1e-8).sqrt() - 0.0080, max(pixel, 0.012)))
    paint(image, colour, eyes.opening)
    paint(image, skin * 0.10 + 0.004, _lashes(traits, eyes, pixel))


def _eyeball(traits: Traits, eyes: Eyes, radius: Tensor, down: Tensor, pixel: float) -> Tensor:
    iris = linear_light(palette(IRIS_COLOURS, traits.iris_colour))
    ball = SCLERA * layer(0.60 + 0.36 * eyes.arch.clamp(0, 1))
    scaled = (radius / traits.iris_size).clamp(0, 1.5)
    glow = (0.70 + 0.75 * smooth_step(0.2, 0.9, scaled)) * (0.75 + 0.45 * smooth_step(-0.02, 0.025, down))
    ring = iris * layer(glow * (1 - 0.60 * smooth_step(0.78, 1.0, scaled)))
    paint(ball, ring, coverage(radius - traits.iris_size, 1.3 * pixel))
    paint(ball, colour_constant(0.004, 0.004, 0.004), coverage(radius - 0.43 * traits.iris_size, 1.3 * pixel))
    return ball


def _lashes(traits: Traits, eyes: Eyes, pixel: float) -> Tensor:
    along = eyes.across / traits.eye_width
    ends = coverage((along.abs() - 1.05) * 0.1, 0.03)
    upper = ridge(eyes.above_upper - 0.001, 0.0070 + 0.24 * pixel + 0.0035 * traits.makeup) * ends
    lower = ridge(eyes.below_lower, 0.0055 + 0.22 * pixel) * coverage((along.abs() - 1.0) * 0.1, 0.03)
    upper = upper * (0.60 + 0.30 * traits.makeup - 0.06 * traits.ageing)
    return torch.maximum(upper, lower * (0.22 + 0.22 * traits.makeup)).clamp_(0, 0.92)


def paint_mouth_inside(image: Tensor, traits: Traits, mouth: Mouth, light: Light, pixel: float) -> None:
    """Paints throat and upper teeth where the mouth is open."""
    height = mouth.below + mouth.upper_gap
    teeth_end = (0.24 + 0.50 * traits.smile) * (mouth.upper_gap + mouth.lower_gap) + 0.004
    teeth = coverage(height - teeth_end, 1.2 * pixel) * smooth_step(1.0, 0.70, mouth.across.abs())
    colour = (THROAT * light.flat(0.5)).expand_as(image).clone()
    paint(colour, TEETH * light.flat(0.62) * layer(0.55 + 0.42 * mouth.taper), 0.90 * teeth)
    paint(image, colour, mouth.cavity)


def paint_glasses(image: Tensor, traits: Traits, face: Face, eyes: Eyes, light: Light, pixel: float) -> None:
    """Paints frames and a faint reflection over the photographs in which glasses are worn."""
    level = _lens_level(traits, eyes)
    radius = level.clamp(min=1e-6).sqrt()
    worn = traits.glasses
    lens = coverage((radius - 1) * 0.11, 1.6 * pixel) * worn
    image *= 1 - 0.07 * layer(lens)
    sweep = eyes.across * face.side * 5.5 + eyes.down * 8 - light.x + 0.3
    image += layer(lens * ridge(sweep, 0.24) * 0.10 * light.key)
    tone = 0.02 + 0.22 * traits.rim_light_colour * traits.rim_light_colour
    frame = stack_colour([tone, tone * (0.55 + 0.4 * traits.rim_colour), tone * (0.30 + 0.65 * traits.rim_colour)])
    paint(image, frame * light.flat(0.6), _frame_mask(traits, face, eyes, radius, pixel) * worn)


def _lens_level(traits: Traits, eyes: Eyes) -> Tensor:
    across2 = ((eyes.across - 0.004) / (0.142 * traits.lens_size)) ** 2
    down2 = ((eyes.down - 0.018) / (0.108 * traits.lens_size)) ** 2
    return across2 + down2 - traits.lens_square * across2.clamp(max=1.4) * down2.clamp(max=1.4)


def _frame_mask(traits: Traits, face: Face, eyes: Eyes, radius: Tensor, pixel: float) -> Tensor:
    ring = coverage((radius - 1).abs() * 0.115 - traits.rim_width * 0.75, 1.5 * pixel)
    bar = coverage((eyes.down + 0.008).abs() - 0.60 * traits.rim_width, 1.6 * pixel)
    bridge = bar * coverage(face.across - traits.eye_gap + 0.128 * traits.lens_size, 2 * pixel)
    temple = bar * coverage(traits.eye_gap + 0.138 * traits.lens_size - face.across, 2 * pixel)
    temple = temple * face.cover * smooth_step(1.05, 0.98, face.level)
    return 0.93 * torch.maximum(ring, torch.maximum(bridge, temple))


def brow_shade(eyes: Eyes) -> Tensor:
    """Returns the soft shade that a brow casts onto the lid, [B, S, S]."""
    return 1 - 0.12 * blob(eyes.across, eyes.down + 0.075, 0.09, 0.02)
