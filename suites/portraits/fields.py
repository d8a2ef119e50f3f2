"""Small vocabulary shared by the drawing modules: named scalars, soft masks, blending, colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Traits:
    """Named scalars of a batch, read as attributes that broadcast over images: float64 [B, 1, 1]."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        """Wraps tensors of shape [B]."""
        self._values = {name: value.reshape(-1, 1, 1) for name, value in values.items()}

    def __getattr__(self, name: str) -> Tensor:
        """Returns the scalar `name`."""
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(name) from None


def smooth_step(low: float | Tensor, high: float | Tensor, value: Tensor) -> Tensor:
    """Returns 0 where `value` is at `low`, 1 at `high`, and a cubic ease between (either may be larger)."""
    ramp = ((value - low) / (high - low)).clamp_(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def coverage(distance: Tensor, width: float | Tensor) -> Tensor:
    """Returns 1 inside (negative distance), 0 outside, eased over an edge of the given full width."""
    ramp = (0.5 - distance / width).clamp_(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def bump(squared: Tensor) -> Tensor:
    """Returns a bell of the squared distance in standard deviations.

    A polynomial of compact support: cheaper than an exponential, and it never becomes denormal.
    """
    bell = (1 - squared * 0.125).clamp_(min=0)
    bell *= bell
    bell *= bell
    return bell


def ridge(offset: Tensor, width: float | Tensor) -> Tensor:
    """Returns a bell across a line: 1 at offset 0, `width` is its standard deviation."""
    scaled = offset / width
    return bump(scaled * scaled)


def blob(across: Tensor, down: Tensor, width: float | Tensor, height: float | Tensor) -> Tensor:
    """Returns a two-dimensional bell around offset (0, 0)."""
    horizontal, vertical = across / width, down / height
    return bump(horizontal * horizontal + vertical * vertical)


def layer(field: Tensor) -> Tensor:
    """Adds the channel dimension to a field: [B, S, S] to [B, 1, S, S]."""
    return field.unsqueeze(1)


def paint(image: Tensor, colour: Tensor, mask: Tensor) -> None:
    """Blends `colour` into `image` [B, 3, S, S] in place where `mask` [B, S, S] is positive."""
    image.lerp_(colour.expand_as(image), layer(mask).expand_as(image))


def colour_constant(*channels: float) -> Tensor:
    """Returns a constant of three channels: float64 [1, 3, 1, 1]."""
    return torch.tensor(channels, dtype=torch.float64).reshape(1, 3, 1, 1)


def stack_colour(channels: Sequence[Tensor]) -> Tensor:
    """Joins three scalars [B, 1, 1] to a colour [B, 3, 1, 1]."""
    return torch.stack(list(channels), 1)


def linear_light(display: Tensor) -> Tensor:
    """Turns display values in [0, 1] into linear light."""
    return display.clamp(0, 1) ** 2.2


def palette(table: Sequence[Sequence[float]], position: Tensor) -> Tensor:
    """Reads a colour ramp at position [B, 1, 1] in [0, 1]; returns display colours [B, 3, 1, 1]."""
    stops = torch.tensor(table, dtype=torch.float64)
    scaled = position.reshape(-1).clamp(0, 1) * (len(table) - 1)
    index = scaled.floor().long().clamp(0, len(table) - 2)
    mixed = torch.lerp(stops[index], stops[index + 1], (scaled - index)[:, None].expand(-1, 3))
    return mixed.reshape(-1, 3, 1, 1)
