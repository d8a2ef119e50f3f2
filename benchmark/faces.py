"""Five points of a face: what YuNet finds, and where an aligned crop has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.hashing import sha256_tensor
from benchmark.kept import kept
from benchmark.store import Store
from benchmark.weights import first_located

ARCFACE_SIDE = 112
ARCFACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Landmarks (x, y) of a 112 px crop aligned for ArcFace (CVPR 2019), in the order of ``LANDMARK_NAMES``."""

YUNET = "yunet"
"""Its name in the registry of weights."""

YUNET_SIDE = 320
"""Longer side in px beyond which images are shrunk for YuNet, whose training images had this size.

Smaller ones stay as they are: enlarging them finds no more faces, and loses blurred ones.
"""

YUNET_SCORE = 0.6
"""Least score of a face; the default of OpenCV's demonstration."""


def canonical(height: int, width: int) -> torch.Tensor:
    """The ArcFace template on the centred square of an image of ``height`` x ``width`` px, float64 ``[5, 2]``."""
    side = min(height, width)
    corner = torch.tensor([(width - side) / 2, (height - side) / 2], dtype=torch.float64)
    return (torch.tensor(ARCFACE_TEMPLATE, dtype=torch.float64) + 0.5) * (side / ARCFACE_SIDE) + corner - 0.5


def usable(points: torch.Tensor) -> torch.Tensor:
    """Which landmarks (``[N, 5, 2]``) are finite and have two distinct eyes, bool ``[N]``."""
    return points.isfinite().flatten(1).all(dim=1) & (points[:, 0] != points[:, 1]).any(dim=1)


def detections(images: torch.Tensor, store: Store | None) -> torch.Tensor:
    """What ``detect`` finds with the YuNet of the registry, computed once for the same pixels.

    Args:
        images: uint8 ``[N, 3, H, W]`` RGB.
        store: where detections are kept; None keeps them in memory alone.

    Returns:
        float64 ``[N, 5, 2]`` (x, y) in px; NaN where no face was found.

    Raises:
        Unusable: YuNet is not on this machine, or the file is something else.
    """
    import cv2

    _, path, sha256 = first_located([YUNET])
    parts = [sha256, cv2.__version__, YUNET_SIDE, YUNET_SCORE, sha256_tensor(images)]
    return kept(store, "faces", parts, lambda: {"points": detect(images, path)})["points"]


def detect(images: torch.Tensor, weights: Path) -> torch.Tensor:
    """Landmarks of the surest face on each image, by YuNet through OpenCV.

    Args:
        images: uint8 ``[N, 3, H, W]`` RGB.
        weights: the ONNX file.

    Returns:
        float64 ``[N, 5, 2]`` (x, y) in px; NaN where no face was found.
    """
    import cv2

    height, width = images.shape[2:]
    scale = min(1.0, YUNET_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    with _quiet_opencv():
        detector = cv2.FaceDetectorYN.create(str(weights), "", size, score_threshold=YUNET_SCORE)
        rows = [_surest_face(detector, image, size) for image in images.permute(0, 2, 3, 1).cpu().numpy()]
    found = torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, 5, 2, dtype=torch.float64)
    ratio = torch.tensor([width / size[0], height / size[1]], dtype=torch.float64)
    return (found + 0.5) * ratio - 0.5


def _surest_face(detector: Any, image: Any, size: tuple[int, int]) -> Any:
    import cv2

    bgr = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)[..., ::-1])
    _, faces = detector.detect(bgr)
    if faces is None:
        return np.full((5, 2), np.nan)
    # A row is the box (4), the points right eye of the person = left in the image first (10), and the score.
    return faces[faces[:, 14].argmax(), 4:14].reshape(5, 2).astype(np.float64)


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """OpenCV 5 warns on stderr, at each start of a detector, that its new engine has no targets to choose from."""
    import cv2

    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)
