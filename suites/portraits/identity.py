"""Who a person is: a gender, an age group, a skin tone, and some fifty continuous traits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from suites.portraits.randomness import Draws, raw_words

BLOCK = 16
"""Identities come in blocks that hold every gender x age x skin tone combination once."""
DRAWS_PER_IDENTITY = 160


class Trait(NamedTuple):
    """How a trait is spread over people; lengths in head units (the face is about 0.95 wide)."""

    mean: float
    spread: float
    male: float = 0.0
    old: float = 0.0


SHAPE: dict[str, Trait] = {
    # outline
    "face_width": Trait(0.462, 0.0335, 0.010, 0.006),
    "skull_height": Trait(0.665, 0.0173),
    "chin_drop": Trait(0.640, 0.0373, 0.016, 0.012),
    "jaw_square": Trait(0.16, 0.129, 0.13, 0.03),
    "jaw_taper": Trait(0.215, 0.0615, -0.040, -0.020),
    "jaw_angle": Trait(0.002, 0.0207, 0.010, 0.0),
    "cheekbone": Trait(0.018, 0.0155, 0.0, 0.004),
    "cheek_fullness": Trait(0.55, 0.31, -0.08, -0.40),
    "chin_size": Trait(0.50, 0.345, 0.14, 0.0),
    "chin_cleft": Trait(-0.1, 0.46, 0.15, 0.0),
    # eyes
    "eye_gap": Trait(0.198, 0.0211, 0.001, 0.0),
    "eye_level": Trait(-0.025, 0.0285),
    "eye_width": Trait(0.104, 0.0116, -0.001, -0.004),
    "eye_open": Trait(0.0520, 0.00926, -0.0035, -0.0075),
    "eye_tilt": Trait(0.06, 0.085, -0.02, -0.05),
    "iris_size": Trait(0.0465, 0.00368),
    "eye_depth": Trait(0.50, 0.391, 0.16, 0.26),
    "lid_crease": Trait(0.024, 0.0126, -0.003, -0.004),
    # brows
    "brow_raise": Trait(0.104, 0.019, -0.011, -0.004),
    "brow_thick": Trait(0.0200, 0.00745, 0.0068, -0.0010),
    "brow_arch": Trait(0.020, 0.0218, -0.008, 0.0),
    "brow_slant": Trait(-0.020, 0.0425, -0.02, 0.03),
    "brow_length": Trait(0.116, 0.0184, 0.004, 0.0),
    "brow_inset": Trait(0.0, 0.0184, -0.003, 0.0),
    # nose
    "nose_drop": Trait(0.215, 0.0337, 0.006, 0.014),
    "nose_width": Trait(0.081, 0.0211, 0.006, 0.006),
    "nose_bridge": Trait(0.50, 0.46, 0.12, 0.05),
    "nose_bridge_width": Trait(0.50, 0.437, 0.08, 0.05),
    "nose_tip": Trait(0.50, 0.414, 0.06, 0.12),
    "nose_lean": Trait(0.0, 0.0138),
    # mouth
    "mouth_level": Trait(0.382, 0.0242, 0.005, 0.006),
    "mouth_width": Trait(0.152, 0.0253, 0.005, 0.003),
    "upper_lip": Trait(0.0350, 0.0103, -0.0055, -0.0140),
    "lower_lip": Trait(0.0470, 0.0121, -0.0055, -0.0150),
    "cupid_bow": Trait(0.50, 0.397, -0.05, -0.15),
    "mouth_curve": Trait(0.009, 0.0060, -0.001, -0.009),
    "mouth_lean": Trait(0.0, 0.0103),
    # ears and hairline
    "ear_size": Trait(0.50, 0.391, 0.10, 0.25),
    "ear_stick": Trait(0.50, 0.439, 0.05, 0.0),
    "hairline": Trait(0.455, 0.0571, 0.012, 0.024),
    "widow_peak": Trait(0.0, 0.5, 0.1, 0.0),
}
"""Traits that also jitter a little from photograph to photograph."""

SKIN_TONES: tuple[tuple[float, float, float], ...] = (
    (0.925, 0.780, 0.695),
    (0.800, 0.605, 0.470),
    (0.585, 0.405, 0.290),
    (0.375, 0.250, 0.188),
)


@dataclass(frozen=True)
class People:
    """Persons, one row each.

    Attributes:
        traits: each float64 [N].
        labels: "gender", "age" and "skin_tone", each int64 [N].
    """

    traits: dict[str, Tensor]
    labels: dict[str, Tensor]

    def select(self, rows: Tensor) -> People:
        """Returns the persons at `rows` (int64 [M], with repetition)."""
        return People(
            {name: value[rows] for name, value in self.traits.items()},
            {name: value[rows] for name, value in self.labels.items()},
        )


def sample_people(seed: int, people: str, identities: Sequence[int]) -> People:
    """Draws the persons with the given indices from the set named `people`."""
    labels = balanced_labels(seed, people, identities)
    draws = Draws([f"{seed}/{people}/{index}/-/traits" for index in identities], DRAWS_PER_IDENTITY)
    male, old = labels["gender"] == 1, labels["age"] == 1
    years = torch.where(old, draws.uniform(60, 80), draws.uniform(18, 32))
    ageing = ((years - 30) / 40).clamp(min=0)
    traits = _shape_traits(draws, male, ageing) | {"ageing": ageing, "years": years}
    traits |= {"male": male.double(), "old": old.double()}
    traits |= _colour_traits(draws, labels["skin_tone"], male, ageing)
    traits |= _hair_traits(draws, labels["skin_tone"], male, ageing, old)
    return People(traits, labels)


def balanced_labels(seed: int, people: str, identities: Sequence[int]) -> dict[str, Tensor]:
    """Cycles gender x age x skin tone over the identity index, shuffled within each block of 16."""
    cells = torch.tensor([_cell(seed, people, index) for index in identities], dtype=torch.int64)
    return {"gender": cells % 2, "age": cells // 2 % 2, "skin_tone": cells // 4}


def _cell(seed: int, people: str, index: int) -> int:
    block, place = divmod(index, BLOCK)
    order = np.argsort(raw_words(f"{seed}/{people}/block {block}/-/labels", BLOCK), kind="stable")
    return int(order[place])


def _shape_traits(draws: Draws, male: Tensor, ageing: Tensor) -> dict[str, Tensor]:
    strength = draws.uniform(0.90, 1.30) * (2 * male.double() - 1)
    traits = {
        name: trait.mean + draws.spread_evenly(trait.spread) + trait.male * strength + trait.old * ageing
        for name, trait in SHAPE.items()
    }
    # Neighbours move together, so that no feature runs into another.
    long_nose = traits["nose_drop"] - SHAPE["nose_drop"].mean
    wide_open = traits["eye_open"] - SHAPE["eye_open"].mean
    traits["mouth_level"] = traits["mouth_level"] + 0.6 * long_nose
    traits["chin_drop"] = traits["chin_drop"] + 0.4 * long_nose
    traits["brow_raise"] = traits["brow_raise"] + 0.6 * wide_open
    return traits


def _colour_traits(draws: Draws, tone: Tensor, male: Tensor, ageing: Tensor) -> dict[str, Tensor]:
    base = torch.tensor(SKIN_TONES, dtype=torch.float64)[tone]
    light, warm = 1 + draws.spread_evenly(0.055), draws.spread_evenly(0.05)
    dark_share = torch.tensor([0.0, 0.25, 0.75, 0.92], dtype=torch.float64)[tone]
    return {
        "skin_red": base[:, 0] * light * (1 + 0.6 * warm),
        "skin_green": base[:, 1] * light * (1 - 0.3 * warm),
        "skin_blue": base[:, 2] * light * (1 - 0.7 * warm),
        "ruddiness": draws.uniform(0.2, 1.0),
        "iris_colour": draws.uniform() * (1 - dark_share),
        "freckles": (draws.normal(0.7) - 0.15).clamp(min=0) * (1 - 0.6 * dark_share),
        "age_spots": draws.uniform(0.7, 1.2) * ageing,
        "exposure_bias": 1 + 0.20 * dark_share,
        "skin_pattern": draws.uniform(0, 6.283),
        "mole_across": draws.uniform(-0.30, 0.30),
        "mole_down": draws.uniform(0.03, 0.46),
        "mole_dark": torch.where(draws.chance(0.5), draws.uniform(0.6, 0.95), 0.0),
        "mole_high_across": draws.uniform(-0.34, 0.34),
        "mole_high_down": draws.uniform(-0.36, 0.20),
        "mole_high_dark": torch.where(draws.chance(0.35), draws.uniform(0.6, 0.95), 0.0),
        "makeup": torch.where(male, 0.0, draws.uniform(0.2, 1.0) * (1 - 0.25 * ageing)),
        "lip_red": draws.spread_evenly(0.15),
        "wrinkle_pattern": draws.uniform(0, 6.283),
    }


def _hair_traits(draws: Draws, tone: Tensor, male: Tensor, ageing: Tensor, old: Tensor) -> dict[str, Tensor]:
    darkest = torch.tensor([1.0, 0.75, 0.28, 0.15], dtype=torch.float64)[tone]
    bearded = male & draws.chance(0.40)
    return {
        "natural_colour": draws.uniform() * darkest,
        "grey": torch.where(old, draws.uniform(0.50, 1.20).clamp(max=1), 0.0),
        "baldness": torch.where(male & draws.chance(0.15 + 0.35 * old.double()), draws.uniform(0.2, 1.0), 0.0)
        * (0.35 + 0.65 * ageing.clamp(max=1)),
        "beard": torch.where(bearded, draws.uniform(0.35, 0.9), draws.uniform(0.02, 0.14)) * male.double(),
        "beard_sides": torch.where(draws.chance(0.6), 1.0, 0.0),
        "moustache": torch.where(draws.chance(0.7), draws.uniform(0.7, 1.0), 0.1),
        "part_preference": draws.spread_evenly(0.10),
        "length_preference": draws.uniform(),
        "wave_preference": draws.uniform(),
        "volume_preference": draws.uniform(),
        "bangs_preference": draws.uniform(),
        "sweep_preference": draws.spread_evenly(0.40),
    }
