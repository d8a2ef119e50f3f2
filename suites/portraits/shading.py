"""Light: its direction and colour, surface normals, and how skin answers to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from suites.portraits.fields import Traits, colour_constant, layer, stack_colour

SCATTER = colour_constant(0.52, 0.38, 0.32)
"""Light wraps around skin, red the most, since it scatters below the surface."""


@dataclass(frozen=True)
class Light:
    """One key light, a rim light from the other side, and an ambient dome.

    Attributes:
        x, y, z: direction to the key light, [B, 1, 1].
        colour: [B, 3, 1, 1].
        ambient, key, rim: strengths, [B, 1, 1].
    """

    x: Tensor
    y: Tensor
    z: Tensor
    colour: Tensor
    ambient: Tensor
    key: Tensor
    rim: Tensor

    def flat(self, share: float = 0.6) -> Tensor:
        """Returns the light on a matt surface that faces the camera, [B, 3, 1, 1]."""
        return self.colour * layer(self.ambient + share * self.key)


@dataclass(frozen=True)
class Normals:
    """Unit normals of a surface, each [B, S, S]."""

    x: Tensor
    y: Tensor
    z: Tensor


def make_light(traits: Traits) -> Light:
    """Builds the light of each photograph."""
    flat = torch.cos(traits.light_elevation)
    colour = stack_colour([1 + traits.warmth, 1 + traits.tint, 1 - traits.warmth])
    return Light(
        torch.sin(traits.light_azimuth) * flat,
        -torch.sin(traits.light_elevation),
        torch.cos(traits.light_azimuth) * flat,
        colour,
        traits.ambient,
        traits.key_light,
        traits.rim_light,
    )


def surface_normals(height: Tensor, slope_x: Tensor, slope_y: Tensor, pixel: float) -> Normals:
    """Differentiates a height field [B, S, S]; the slopes [B, 1, 1] turn the surface with the head."""
    across, down = torch.zeros_like(height), torch.zeros_like(height)
    across[:, :, 1:-1] = (height[:, :, 2:] - height[:, :, :-2]) * (0.5 / pixel)
    down[:, 1:-1] = (height[:, 2:] - height[:, :-2]) * (0.5 / pixel)
    across -= slope_x
    down -= slope_y
    length = torch.rsqrt(across * across + down * down + 1)
    return Normals(-across * length, -down * length, length)


def facing(normals: Normals, light: Light) -> Tensor:
    """Returns the cosine between normals and the key light."""
    return normals.x * light.x + normals.y * light.y + normals.z * light.z


def skin_radiance(albedo: Tensor, normals: Normals, light: Light, occlusion: Tensor, shadow: Tensor) -> Tensor:
    """Lights skin of the given albedo [B, 3, S, S] with wrapped diffuse light and a soft sheen."""
    wrapped = (layer(facing(normals, light)) + SCATTER).clamp_(min=0) / (1 + SCATTER)
    wrapped *= layer(1.08 * light.key * shadow)
    dome = light.ambient * (0.86 - 0.20 * normals.y)
    wrapped += layer(dome)
    edge = (1 - normals.z) * (1 - normals.z)
    rim = edge * (-normals.x * torch.sign(light.x)).clamp_(min=0) * light.rim
    wrapped += layer(rim)
    lit = albedo * wrapped * layer(occlusion)
    lit += layer(_sheen(normals, light) * light.key * shadow * occlusion + 0.06 * rim)
    lit *= light.colour
    return lit


def _sheen(normals: Normals, light: Light) -> Tensor:
    """Highlights around the half vector: a broad one, and a narrow one for moist skin."""
    scale = torch.rsqrt(light.x * light.x + light.y * light.y + (light.z + 1) * (light.z + 1))
    half = (normals.x * light.x + normals.y * light.y + normals.z * (light.z + 1)).mul_(scale).clamp_(0, 1)
    fourth = half * half
    fourth *= fourth
    broad = fourth * fourth * fourth
    narrow = broad * broad * broad
    return 0.050 * broad + 0.045 * narrow
