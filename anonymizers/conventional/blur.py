"""Box and Gaussian blur with OpenCV's borders and rounding."""

from __future__ import annotations

from typing import Annotated, ClassVar

import cv2
from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from anonymizers.conventional.planes import Operation, PlaneFilter


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError(f"a Gaussian kernel has an odd side: {kernel - 1} or {kernel + 1}, not {kernel}")
    return kernel


BoxKernel = Annotated[int, Field(ge=1, le=999, description="side of the box in px")]
GaussianKernel = Annotated[int, Field(ge=1, le=999, description="side of the kernel in px, odd"), AfterValidator(_odd)]
Sigma = Annotated[float, Field(ge=0, le=1000, description="standard deviation in px; 0: 0.3*((kernel-1)/2-1)+0.8")]


def box_operation(kernel: int) -> Operation:
    """Mean over ``kernel`` x ``kernel`` px, reflect-101 border, anchor ``kernel // 2``.

    An even kernel covers ``i - kernel/2 .. i + kernel/2 - 1``. OpenCV keeps running sums, so the time hardly grows
    with the kernel, and reflects as often as it takes where the kernel is larger than the image.
    """
    side = (kernel, kernel)
    return lambda four, out: cv2.blur(four, side, dst=out, borderType=cv2.BORDER_REFLECT_101)


def gaussian_operation(kernel: int, sigma: float) -> Operation:
    """Separable Gaussian of ``kernel`` x ``kernel`` px, reflect-101 border, as ``cv2.GaussianBlur`` on 8 bits.

    OpenCV rounds the weights to 1/256 there and takes fixed tables for kernels up to 7 at sigma 0, so on pure noise the
    result is a few grey levels away from a Gaussian in float. This is what published baselines ran, and the accurate
    hint makes it the same bytes on every machine.

    Args:
        kernel: odd side in px.
        sigma: standard deviation in px; 0 derives it from the kernel.
    """
    side, border, hint = (kernel, kernel), cv2.BORDER_REFLECT_101, cv2.ALGO_HINT_ACCURATE
    return lambda four, out: cv2.GaussianBlur(four, side, sigma, dst=out, borderType=border, hint=hint)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Blur(PlaneFilter):
    """Box blur: mean over a square window."""

    source: ClassVar[str] = "OpenCV blur; baseline of EDI-Anon (Transactions on Data Privacy, 2025)"

    kernel: BoxKernel = 9

    def operation(self) -> Operation:
        """Box mean of one pack of planes."""
        return box_operation(self.kernel)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class GaussianBlur(PlaneFilter):
    """Gaussian blur; sigma 0 is derived from the kernel as OpenCV does."""

    source: ClassVar[str] = "OpenCV GaussianBlur; baseline of SEBA (arXiv 2407.06648)"

    kernel: GaussianKernel = 29
    sigma: Sigma = 0.0

    def operation(self) -> Operation:
        """Gaussian of one pack of planes."""
        return gaussian_operation(self.kernel, self.sigma)
