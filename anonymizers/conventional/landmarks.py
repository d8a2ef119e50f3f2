"""Five points of a face: from the suite, from YuNet, or where an aligned crop has them."""

from __future__ import annotations

import torch

from benchmark.faces import YUNET, canonical, detect, usable
from benchmark.images import ImageSet
from benchmark.weights import WeightsMissing, locate


def find_landmarks(images: ImageSet) -> tuple[torch.Tensor, str]:
    """Landmarks of every image, from the best source there is.

    The suite's landmarks are taken where it has any, else YuNet's. Images for which these are missing or useless get
    the canonical positions: a face that nobody finds must not be released untouched.

    Returns:
        float64 ``[N, 5, 2]`` (x, y) in px, and where they come from, such as ``"yunet 48, canonical 2"``.
    """
    fallback = canonical(*images.size)
    if images.landmarks is not None:
        name, points = "suite", images.landmarks.double()
    else:
        try:
            name, points = YUNET, detect(images.images, locate(YUNET))
        except WeightsMissing as error:
            return fallback.expand(len(images), 5, 2), f"canonical ({error})"
    good = usable(points)
    return torch.where(good[:, None, None], points, fallback), _sources(name, int(good.sum()), len(images))


def _sources(name: str, found: int, total: int) -> str:
    if found == total:
        return name
    return f"{name} {found}, canonical {total - found}" if found else "canonical"
