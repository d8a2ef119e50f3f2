"""How a person is photographed: pose, expression, hair of the day, light, lens, and surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from suites.portraits.fields import smooth_step
from suites.portraits.identity import SHAPE, People
from suites.portraits.randomness import Draws

DRAWS_PER_PHOTOGRAPH = 160
SHAPE_JITTER = 0.025
"""Jitter of each shape trait between photographs, as a part of its spread over people."""
GLASSES_SHARE = 0.35


@dataclass(frozen=True)
class Photographs:
    """What is needed to draw N photographs.

    Attributes:
        values: scalars of person and photograph together, each float64 [N].
        labels: int64 [N] each, all five attributes.
        noise_keys: name of each photograph's sensor noise stream.
    """

    values: dict[str, Tensor]
    labels: dict[str, Tensor]
    noise_keys: list[str]


def sample_photographs(people: People, keys: Sequence[str]) -> Photographs:
    """Draws one photograph for each row of `people`; `keys` names them."""
    draws = Draws([f"{key}/photograph" for key in keys], DRAWS_PER_PHOTOGRAPH)
    values = dict(people.traits)
    for name, trait in SHAPE.items():
        values[name] = values[name] + draws.normal(SHAPE_JITTER * trait.spread)
    expression, glasses = (draws.uniform() * 3).long(), draws.chance(GLASSES_SHARE)
    values |= _expression(draws, expression)
    values |= _pose(draws)
    values |= _hair(draws, people.traits)
    values |= _light(draws, people.traits["exposure_bias"])
    values |= _glasses(draws, glasses)
    values |= _surroundings(draws)
    values |= _lens(draws)
    labels = people.labels | {"expression": expression, "glasses": glasses.long()}
    return Photographs(values, labels, [f"{key}/noise" for key in keys])


def _expression(draws: Draws, expression: Tensor) -> dict[str, Tensor]:
    strength = draws.uniform(0.75, 1.0)
    smiling, surprised = expression == 1, expression == 2
    smile_open = torch.where(draws.chance(0.65), draws.uniform(0.30, 0.55), 0.0) * strength
    surprise_open = strength * draws.uniform(0.80, 1.0)
    return {
        "smile": torch.where(smiling, strength, draws.uniform(0, 0.06)),
        "surprise": torch.where(surprised, strength, 0.0),
        "mouth_open": torch.where(surprised, surprise_open, torch.where(smiling, smile_open, 0.0)),
        "gaze_across": draws.normal(0.22),
        "gaze_down": draws.normal(0.14),
    }


def _pose(draws: Draws) -> dict[str, Tensor]:
    return {
        "yaw": draws.normal(0.10),
        "pitch": draws.normal(0.045),
        "roll": draws.normal(0.040),
        "shift_across": draws.normal(0.016),
        "shift_down": draws.normal(0.015) + 0.040,
        "zoom": 1.34 * (1 + draws.normal(0.022)),
    }


def _hair(draws: Draws, traits: dict[str, Tensor]) -> dict[str, Tensor]:
    male = traits["male"] == 1
    tied = draws.chance(0.04 + 0.14 * traits["length_preference"])
    long_hair = 0.34 + 0.66 * (0.6 * traits["length_preference"] + 0.4 * draws.uniform())
    short_hair = draws.uniform(0.0, 0.14)
    bangs_share = (0.05 + 0.75 * smooth_step(0.6, 0.95, traits["bangs_preference"])) * (1 - 0.5 * traits["male"])
    is_long = torch.where(male, draws.uniform() < 0.07, ~tied)
    dyed = draws.chance(0.25 - 0.08 * traits["male"] - 0.12 * traits["old"])
    natural = (traits["natural_colour"] + draws.normal(0.10)).clamp(0, 1)
    greyed = torch.where(dyed, 0.0, traits["grey"] * draws.uniform(0.6, 1.0))
    silvered = draws.chance(0.03) & dyed
    return {
        "hair_length": torch.where(is_long, torch.where(male, 0.25 + 0.3 * long_hair, long_hair), short_hair),
        "hair_volume": 0.035
        - 0.02 * traits["male"]
        + 0.09 * (0.55 * traits["volume_preference"] + 0.45 * draws.uniform()),
        "hair_wave": (0.65 * traits["wave_preference"] + draws.uniform(0, 0.35)).clamp(0, 1),
        "hair_part": traits["part_preference"] + draws.normal(0.10),
        "hair_cover": draws.uniform(0.0, 1.0),
        "hair_bangs": torch.where(draws.chance(bangs_share), draws.uniform(0.5, 1.0), 0.0),
        "hair_sweep": traits["sweep_preference"] + draws.normal(0.25),
        "hair_pattern": draws.uniform(0, 6.283),
        "hair_colour": torch.where(dyed, draws.uniform(), natural),
        "hair_red": draws.normal(0.06),
        "hair_grey": torch.where(silvered, draws.uniform(0.6, 1.0), greyed),
        "beard_today": (traits["beard"] * draws.uniform(0.75, 1.15)).clamp(0, 1),
        "baldness_today": (traits["baldness"] * draws.uniform(0.85, 1.1)).clamp(0, 1),
    }


def _light(draws: Draws, exposure_bias: Tensor) -> dict[str, Tensor]:
    return {
        "light_azimuth": draws.normal(0.32),
        "light_elevation": draws.uniform(0.30, 0.70),
        "ambient": draws.uniform(0.30, 0.50),
        "key_light": draws.uniform(0.62, 0.92),
        "rim_light": draws.uniform(0.0, 0.25),
        "warmth": draws.normal(0.050),
        "tint": draws.normal(0.018),
        # A photographer gives darker skin more light, so that its features show.
        "exposure": exposure_bias * (1 + draws.normal(0.12)),
    }


def _glasses(draws: Draws, worn: Tensor) -> dict[str, Tensor]:
    return {
        "glasses": worn.double(),
        "lens_size": draws.uniform(0.92, 1.15),
        "lens_square": draws.uniform(0.0, 0.75),
        "rim_width": draws.uniform(0.0095, 0.018),
        "rim_colour": draws.uniform(),
        "rim_light_colour": draws.uniform(),
    }


def _surroundings(draws: Draws) -> dict[str, Tensor]:
    values = {f"backdrop_{name}": draws.uniform() for name in ("hue", "other_hue", "bright", "contrast")}
    values |= {f"backdrop_{name}": draws.uniform(0, 6.283) for name in ("angle", "phase", "ripple")}
    values |= {"backdrop_saturation": 0.02 + 0.16 * draws.uniform() ** 2}
    values |= {f"bokeh_{axis}_{spot}": draws.uniform(-1, 1) for spot in range(3) for axis in ("x", "y")}
    values |= {"bokeh": torch.where(draws.chance(0.5), draws.uniform(0.1, 0.5), 0.0)}
    values |= {"cloth_hue": draws.uniform(), "cloth_saturation": draws.uniform(0.05, 0.55)}
    values |= {"cloth_bright": draws.uniform(0.08, 0.85), "collar": draws.uniform(), "shirt": draws.uniform()}
    return values


def _lens(draws: Draws) -> dict[str, Tensor]:
    return {
        "defocus": draws.uniform(0.0, 0.15),
        "noise": draws.uniform(0.003, 0.008),
        "vignette": draws.uniform(0.02, 0.14),
    }
