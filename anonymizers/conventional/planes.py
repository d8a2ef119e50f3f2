"""Runs OpenCV's 8-bit filters over planar images, four planes at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch

from benchmark.filters import Filter
from benchmark.images import ImageSet, Released
from benchmark.protocols import Controller

Plane = np.ndarray[Any, np.dtype[np.uint8]]
Operation = Callable[[Plane, Plane], object]
LANES = 4


def as_planes(images: torch.Tensor) -> Plane:
    """Views uint8 ``[N, 3, H, W]`` as planes, uint8 ``[3 N, H, W]``, without a copy where memory allows."""
    planes: Plane = images.detach().cpu().contiguous().numpy().reshape(-1, *images.shape[2:])
    return planes


def filter_planes(images: torch.Tensor, operation: Operation, out: torch.Tensor | None = None) -> torch.Tensor:
    """Applies an OpenCV filter to every plane of a batch.

    OpenCV vectorises its running sums for four interleaved channels but not for one or three, so planes are packed by
    fours, which halves the time of ``cv2.blur``. A last, incomplete pack repeats planes: every plane goes through the
    same code, whatever the batch.

    Args:
        images: uint8 ``[N, 3, H, W]``.
        operation: called with source and destination, both uint8 ``[H, W, 4]``; must treat channels alike.
        out: contiguous, like ``images``; where to write, a new tensor if None.

    Returns:
        uint8 ``[N, 3, H, W]``.
    """
    result = torch.empty(images.shape, dtype=torch.uint8) if out is None else out
    source, released = as_planes(images), as_planes(result)
    packed, filtered = (np.empty((*source.shape[1:], LANES), np.uint8) for _ in range(2))
    sources, targets = list(source), list(released)
    whole = len(source) // LANES * LANES
    for start in range(0, whole, LANES):
        cv2.merge(sources[start : start + LANES], dst=packed)
        operation(packed, filtered)
        cv2.split(filtered, targets[start : start + LANES])
    if whole < len(source):
        cv2.merge((sources[whole:] * LANES)[:LANES], dst=packed)
        operation(packed, filtered)
        released[whole:] = np.moveaxis(filtered, -1, 0)[: len(source) - whole]
    return result


class PlaneFilter(Filter):
    """A filter made of one OpenCV call on planes; it writes where the released images will stay."""

    def operation(self) -> Operation:
        """What ``filter_planes`` is to apply."""
        raise NotImplementedError

    def filter(self, images: ImageSet, controller: Controller) -> torch.Tensor:
        """Returns the filtered images, uint8 ``[N, 3, H, W]``."""
        return filter_planes(images.images, self.operation())

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Filters the set batch by batch."""
        released = torch.empty(images.images.shape, dtype=torch.uint8)
        for start in range(0, len(images), controller.batch_size):
            part = slice(start, start + controller.batch_size)
            done = filter_planes(images.images[part], self.operation(), out=released[part])
            controller.progress(len(done))
        return Released(released)
