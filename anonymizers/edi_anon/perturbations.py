"""Base perturbations P: the conventional filters by name, and paint; with their published strengths."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch

from anonymizers.conventional.blur import Blur
from anonymizers.conventional.cells import enlarge
from anonymizers.conventional.differential import DpBlur, DpPix, noisy_means
from anonymizers.conventional.noise import GaussianNoise
from anonymizers.conventional.pixelate import Pixelate
from benchmark.filters import Filter, to_bytes
from benchmark.images import ImageSet
from benchmark.protocols import Controller
from benchmark.records import ParamValue

PUBLISHED_SIDE = 224
PUBLISHED: Mapping[str, Mapping[str, ParamValue]] = {
    "blur": {"kernel": 40},
    "pixelate": {"size": 20, "variant": "edi"},
    "dp-pix": {"b": 32, "m": 16, "eps": 100 / 255},
    "dp-blur": {"b": 32, "m": 16, "eps": 100 / 255, "kernel": 99},
    "mask": {"colour": "black"},
}
"""Strengths at 224 px. Published is eps = 100 in a formula for grey levels, applied to values from 0 to 1: 100 / 255."""
PUBLISHED_Q = {"mask": 99.0}
"""Percentile by perturbation, 90 for all others."""
LARGEST_KERNEL = 999
"""Of the conventional filters, in px."""
COLOURS = {"black": (0, 0, 0), "red": (255, 0, 0)}


class Perturbation(Protocol):
    """What takes the place of the selected values."""

    @property
    def deterministic(self) -> bool:
        """Whether it makes the same of the same image in every round."""
        ...

    def __call__(self, images: ImageSet, seed: int) -> torch.Tensor:
        """Perturbs whole images: uint8 ``[N, 3, H, W]``; draws depend on the seed and each image's key alone."""
        ...


@dataclass(frozen=True)
class Filtered:
    """A conventional filter."""

    filter: Filter
    deterministic: bool

    def __call__(self, images: ImageSet, seed: int) -> torch.Tensor:
        """The filtered images."""
        return self.filter.filter(images, Controller(seed=seed))


@dataclass(frozen=True)
class Painted:
    """One colour everywhere."""

    colour: tuple[int, int, int]
    deterministic: bool = True

    def __call__(self, images: ImageSet, seed: int) -> torch.Tensor:
        """Images of that colour."""
        return torch.tensor(self.colour, dtype=torch.uint8)[:, None, None].expand_as(images.images)


@dataclass(frozen=True)
class FloatDpBlur:
    """DP-Blur without rounding and clipping between its cells and its Gaussian, as the published arithmetic has it."""

    filter: DpBlur
    deterministic: bool = False

    def __call__(self, images: ImageSet, seed: int) -> torch.Tensor:
        """The blurred noisy cells, rounded once."""
        given, (height, width) = self.filter, images.size
        cells = noisy_means(images, seed, "dp-blur", given.b, given.m, given.eps)
        stacked = enlarge(cells, given.b, height, width).permute(0, 2, 3, 1).numpy()
        side, border = (given.kernel, given.kernel), cv2.BORDER_REFLECT_101
        # As OpenCV derives it from sigma 0; versions differ in how long a kernel has a table of its own instead.
        sigma = 0.3 * ((given.kernel - 1) / 2 - 1) + 0.8 if given.kernel > 7 else 0
        blurred = [cv2.GaussianBlur(image, side, sigma, borderType=border) for image in stacked]
        return to_bytes(torch.from_numpy(np.stack(blurred)).permute(0, 3, 1, 2))


FAMILIES: Mapping[str, type[Filter]] = {
    "blur": Blur,
    "pixelate": Pixelate,
    "dp-pix": DpPix,
    "dp-blur": DpBlur,
    "noise": GaussianNoise,
}
DETERMINISTIC = {"blur", "pixelate"}


def scaled(name: str, value: ParamValue, side: int) -> ParamValue:
    """A published strength on images whose shorter side is ``side`` px.

    Lengths (kernel, size, b) go with the side and ``m``, a number of pixels, with its square, rounded, at least 1; a
    kernel is at most 999, the Gaussian's odd; eps and words stay. The noise of DP-Pix, m / (b * b * eps), thus stays
    the same but for rounding.
    """
    factor = side / PUBLISHED_SIDE
    if isinstance(value, str) or name not in {"kernel", "size", "b", "m"}:
        return value
    rounded = max(1, round(value * (factor**2 if name == "m" else factor)))
    return min(rounded, LARGEST_KERNEL) if name == "kernel" else rounded


def published(perturb: str, side: int) -> dict[str, ParamValue]:
    """The published strength of a perturbation on images of ``side`` px; empty for ``noise``, which has none."""
    found = {name: scaled(name, value, side) for name, value in PUBLISHED.get(perturb, {}).items()}
    if perturb == "dp-blur":
        found["kernel"] = int(found["kernel"]) // 2 * 2 + 1
    return found


def names_of(perturb: str) -> set[str]:
    """The parameters of a perturbation."""
    return {"colour"} if perturb == "mask" else {part.name for part in dataclasses.fields(FAMILIES[perturb])}  # type: ignore[arg-type]


def build(perturb: str, given: Mapping[str, ParamValue], side: int, reference: bool) -> Perturbation:
    """A perturbation of published strength but for what is ``given``.

    Args:
        perturb: its name.
        given: parameters, which are not scaled.
        side: shorter side of the images in px.
        reference: in the published arithmetic, where it differs.

    Raises:
        ValueError: a parameter is unknown, missing or out of range.
    """
    unknown = sorted(set(given) - names_of(perturb))
    if unknown:
        raise ValueError(
            f"perturb={perturb} has no parameter '{unknown[0]}'; it has {', '.join(sorted(names_of(perturb)))}"
        )
    strength = {**published(perturb, side), **given}
    if not strength:
        raise ValueError(f"perturb={perturb} has no published strength; give one, as in perturb=noise, sigma=50")
    if strength.get("sigma") == 0:
        raise ValueError("noise of sigma=0 changes nothing; give more")
    if perturb == "mask":
        return Painted(COLOURS[str(strength["colour"])])
    filtering = FAMILIES[perturb](**strength)
    if reference and isinstance(filtering, DpBlur):
        return FloatDpBlur(filtering)
    return Filtered(filtering, perturb in DETERMINISTIC)


def text_of(perturb: str, given: Mapping[str, ParamValue], side: int) -> str:
    """The perturbation as it is applied: ``blur(kernel=17)``."""
    strength = {**published(perturb, side), **given}
    short = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in strength.items()}
    return f"{perturb}({', '.join(f'{name}={value}' for name, value in short.items())})"
