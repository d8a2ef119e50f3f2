"""The face as a height field: skull, nose, lips, and the folds that age and expression add."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from suites.portraits.features import Eyes, Mouth, lid_heights
from suites.portraits.fields import Traits, blob, ridge, smooth_step
from suites.portraits.geometry import Face, chin_level, mouth_half_width, mouth_level


@dataclass(frozen=True)
class Folds:
    """Creases of the skin, each a mask [B, S, S] in 0..1 before strength."""

    nasolabial: Tensor
    forehead: Tensor
    eye_bag: Tensor
    crow: Tensor
    marionette: Tensor
    frown: Tensor


@dataclass(frozen=True)
class Relief:
    """Height [B, S, S] in head units, and the masks that the skin's colour needs again."""

    height: Tensor
    folds: Folds
    nose_ball: Tensor
    cheek: Tensor


def face_relief(traits: Traits, face: Face, eyes: Eyes, mouth: Mouth, pixel: float) -> Relief:
    """Sums up the whole height field."""
    folds = skin_folds(traits, face, eyes, pixel)
    nose, ball = _nose(traits, face)
    cheek_level = 0.150 - 0.025 * traits.smile + 0.045 * traits.ageing
    cheek = blob(face.across - 0.265, face.v - cheek_level, 0.11, 0.095)
    height = 0.47 * (1.045 - face.level).clamp(min=0.012).sqrt() + nose
    height += (0.012 + 0.026 * traits.cheek_fullness + 0.026 * traits.smile) * cheek
    height += 0.020 * traits.ageing * blob(face.across - 0.275, face.v - 0.445, 0.075, 0.065)
    height -= 0.016 * traits.ageing * blob(face.across - 0.31, face.v - 0.275, 0.06, 0.09)
    height += _eye_region(traits, face, eyes)
    height += _mouth_region(traits, face, mouth)
    height -= _fold_depth(traits, folds)
    return Relief(height, folds, ball, cheek)


def _nose(traits: Traits, face: Face) -> tuple[Tensor, Tensor]:
    level, width = traits.nose_drop, traits.nose_width * (1 + 0.09 * traits.smile)
    progress = smooth_step(traits.eye_level - 0.09, level - 0.02, face.v)
    centred = face.u - traits.nose_lean * progress
    bridge = (0.014 + 0.036 * traits.nose_bridge * (1 - 0.4 * progress) + 0.052 * progress) * ridge(
        centred, 0.028 + 0.010 * traits.nose_bridge_width + 0.018 * progress
    )
    bridge = bridge * smooth_step(level + 0.050, level - 0.045, face.v)
    bridge = bridge * smooth_step(traits.eye_level - 0.20, traits.eye_level + 0.03, face.v)
    ball = blob(centred, face.v - level + 0.030, 0.041 + 0.012 * traits.nose_tip, 0.036)
    wing = blob(centred.abs() - 0.76 * width, face.v - level + 0.016, 0.027, 0.028)
    return bridge + (0.034 + 0.018 * traits.nose_tip) * ball + 0.030 * wing, ball


def _eye_region(traits: Traits, face: Face, eyes: Eyes) -> Tensor:
    prominence = 0.6 + 0.9 * traits.eye_depth * (1 + 0.35 * (2 * traits.male - 1))
    height = 0.020 * prominence * blob(face.across - 0.17, eyes.down + 0.085, 0.14, 0.052)
    height -= (0.026 + 0.020 * traits.eye_depth) * blob(eyes.across + 0.015, eyes.down + 0.004, 0.115, 0.062)
    height += 0.020 * blob(eyes.across, eyes.down, 0.085, 0.045)
    crease = ridge(eyes.above_upper - traits.lid_crease, 0.009) * eyes.arch.clamp(min=0)
    return height - 0.005 * crease


def _mouth_region(traits: Traits, face: Face, mouth: Mouth) -> Tensor:
    level, chin = mouth_level(traits), chin_level(traits)
    upper = ridge(mouth.below + mouth.upper_gap + 0.5 * mouth.upper_lip, 0.019)
    lower = ridge(mouth.below - mouth.lower_gap - 0.5 * mouth.lower_lip, 0.021)
    height = 0.016 * mouth.taper.sqrt() * (upper + 1.3 * lower) * (1 - mouth.cavity)
    height += 0.022 * blob(face.u, face.v - level, 0.19, 0.10)
    height += (0.016 + 0.022 * traits.chin_size) * blob(face.u, face.v - chin + 0.125, 0.085, 0.058)
    height -= 0.014 * traits.chin_cleft.clamp(min=0) * blob(face.u, face.v - chin + 0.10, 0.014, 0.04)
    height -= 0.018 * blob(face.u, mouth.below - mouth.lower_gap - 0.078, 0.10, 0.026)
    philtrum = smooth_step(traits.nose_drop + 0.01, traits.nose_drop + 0.04, face.v)
    philtrum = philtrum * smooth_step(level, level - 0.03, face.v)
    return height - 0.009 * ridge(face.u, 0.017) * philtrum


def skin_folds(traits: Traits, face: Face, eyes: Eyes, pixel: float) -> Folds:
    """Places the folds; narrow ones are kept at least about a pixel wide."""
    thin = 0.30 * pixel
    _, lower = lid_heights(traits)
    bag_line = eyes.tilted - lower * eyes.arch.clamp(min=-0.3) - 0.042
    bag = ridge(bag_line, 0.009 + thin) * ridge(eyes.across, 0.075)
    frown = blob(face.across - 0.034, eyes.down + 0.095, 0.009 + thin, 0.042)
    return Folds(
        _nasolabial(traits, face),
        _forehead(traits, face),
        bag,
        _crow(traits, eyes),
        _marionette(traits, face),
        frown,
    )


def _nasolabial(traits: Traits, face: Face) -> Tensor:
    start, mouth_u = traits.nose_drop - 0.02, mouth_half_width(traits)
    progress = ((face.v - start) / (mouth_level(traits) + 0.03 - start)).clamp(-0.3, 1.5)
    ahead = progress.clamp(min=0)
    line = traits.nose_width * 1.08 + (mouth_u * 1.16 - traits.nose_width) * ahead * (0.6 + 0.4 * ahead)
    ends = smooth_step(-0.05, 0.35, progress) * smooth_step(1.35, 0.60, progress)
    return ridge(face.across - line, 0.016 + 0.011 * ahead.clamp(max=1)) * ends


def _marionette(traits: Traits, face: Face) -> Tensor:
    level = mouth_level(traits)
    line = mouth_half_width(traits) * 1.06 + 0.30 * (face.v - level)
    ends = smooth_step(level, level + 0.03, face.v) * smooth_step(level + 0.15, level + 0.07, face.v)
    return ridge(face.across - line, 0.018) * ends


def _forehead(traits: Traits, face: Face) -> Tensor:
    brow = traits.eye_level - traits.brow_raise
    area = smooth_step(0.40, 0.20, face.across) * smooth_step(-0.50, -0.40, face.v)
    area = area * smooth_step(brow - 0.02, brow - 0.08, face.v)
    bent = face.v + 0.016 * torch.cos(7 * face.u + traits.wrinkle_pattern) + 0.05 * face.u * face.u
    wave = 0.5 + 0.5 * torch.cos(bent * (72 + 6 * torch.sin(traits.wrinkle_pattern)))
    return wave * wave * area


def _crow(traits: Traits, eyes: Eyes) -> Tensor:
    away = eyes.across - traits.eye_width
    fan = torch.cos(eyes.tilted / (0.02 + away.clamp(min=0)) * 7.0)
    return (0.5 + 0.5 * fan) * blob(away - 0.062, eyes.tilted, 0.026, 0.042)


def _fold_depth(traits: Traits, folds: Folds) -> Tensor:
    age, smile = traits.ageing, traits.smile
    depth = folds.nasolabial * (0.001 + 0.028 * age + 0.006 * smile)
    depth += folds.forehead * (0.0085 * age + 0.0015 * traits.surprise)
    depth += folds.eye_bag * (0.001 + 0.019 * age)
    depth += folds.crow * (0.0070 * age + 0.001 * smile)
    depth += folds.marionette * 0.009 * age
    return depth + folds.frown * 0.008 * age
