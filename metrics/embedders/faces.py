"""Images to face embeddings, under one interface.

The networks are those of the embedding attacker: aligned by five landmarks (the images' own, else YuNet's), weights
from the registry. dlib's descriptor (King; what the program face_recognition and AnonFACES use) needs the packages
dlib and face_recognition_models, which bring code to compile and weights of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from benchmark.errors import EnvironmentProblem
from benchmark.faces import YUNET
from benchmark.features import FeatureNetwork, features_of
from benchmark.images import ImageSet
from benchmark.protocols import Missing, Referees
from benchmark.registry import source_hash
from metrics.attackers.alignment import aligned
from metrics.attackers.embedders import FaceEmbedder, embedder, found_weights, weights_of
from metrics.attackers.embedding import landmarks_of

DLIB_THRESHOLD = 0.6
"""Distance up to which dlib's own documentation takes two faces for one person's."""
EYES_TO_BOX = 2.3
"""Side of a detected face in distances of the eyes, about as dlib's detector draws it."""


@dataclass(frozen=True, eq=False)
class DescribesFaces:
    """One face recogniser.

    Attributes:
        name: of the recogniser.
        threshold: Euclidean distance up to which it takes two faces for one person's; None where nobody published one.
        run: images and a torch device name to ``[N, D]``.
        weights: what it is made of on this machine, by hash or version.
    """

    name: str
    threshold: float | None
    run: Callable[[ImageSet, str], torch.Tensor]
    weights: Callable[[], dict[str, str]]

    def found(self) -> dict[str, str]:
        """What embeddings depend on besides the images and this package, by name.

        The weights, YuNet's, which finds faces that nobody marked, and the attackers' source, whose networks and
        alignment these are.
        """
        return {**self.weights(), **found_weights(YUNET), "attackers": source_hash(FaceEmbedder)}

    def __call__(self, images: ImageSet, device: str = "cpu") -> torch.Tensor:
        """Embeddings, float64 ``[N, D]``.

        Raises:
            EnvironmentProblem: weights or a package are missing; the message says what to type.
        """
        return self.run(images, device).double()


def by_network(name: str) -> DescribesFaces:
    """MobileFaceNet, or one of deepface's recognisers; embeddings of unit length."""

    def run(images: ImageSet, device: str) -> torch.Tensor:
        face = embedder(name, device)
        if isinstance(face, Missing):
            raise EnvironmentProblem(f"{name}: {face.reason}. Type: {face.remedy}")
        points = landmarks_of(images, Referees(device=device))
        crops = aligned(images.images, points, face.template, face.height, face.width)
        network = FeatureNetwork(face.name, face.identity, device, face.run)
        return normalize(features_of(network, crops, Referees(device=device)))

    return DescribesFaces(name, published_threshold(name), run, lambda: dict(weights_of(name)))


def published_threshold(name: str) -> float | None:
    """deepface's threshold for Euclidean distances of embeddings of unit length; None where it has none."""
    if find_spec("deepface") is None:
        return None
    from deepface.config.threshold import thresholds

    value = thresholds.get(name, {}).get("euclidean_l2")
    return None if value is None else float(value)


def by_dlib() -> DescribesFaces:
    """dlib's ResNet descriptor, on faces that its own five-point model aligns."""
    return DescribesFaces("dlib", DLIB_THRESHOLD, _described_by_dlib, _dlib_versions)


def _dlib_versions() -> dict[str, str]:
    installed = {part.metadata["Name"].lower().replace("-", "_"): part.version for part in distributions()}
    return {name: installed[name] for name in ("dlib", "dlib_bin", "face_recognition_models") if name in installed}


def _described_by_dlib(images: ImageSet, device: str) -> torch.Tensor:
    dlib, align, describe = _dlib()
    pictures = images.images.permute(0, 2, 3, 1).contiguous().numpy()
    found = []
    for picture, points in zip(pictures, landmarks_of(images, Referees(device=device)), strict=True):
        left, top, right, bottom = face_box(points)
        found.append(
            describe.compute_face_descriptor(picture, align(picture, dlib.rectangle(left, top, right, bottom)))
        )
    return torch.tensor([list(values) for values in found], dtype=torch.float64)


def face_box(points: torch.Tensor) -> tuple[int, int, int, int]:
    """A square about the five landmarks ``[5, 2]`` as dlib's detector draws it: left, top, right, bottom in px."""
    half = EYES_TO_BOX / 2 * float((points[1] - points[0]).norm())
    x, y = points.mean(dim=0).tolist()
    return round(x - half), round(y - half), round(x + half), round(y + half)


@cache
def _dlib() -> tuple[Any, Any, Any]:
    """The package, its five-point model and its descriptor.

    Raises:
        EnvironmentProblem: a package is missing.
    """
    absent = [name for name in ("dlib", "face_recognition_models") if find_spec(name) is None]
    if absent:
        raise EnvironmentProblem(f"dlib: not installed: {' '.join(absent)}. Type: pip install {' '.join(absent)}")
    import dlib

    # The package of models is not imported: it needs pkg_resources, which current setuptools no longer has.
    places = getattr(find_spec("face_recognition_models"), "submodule_search_locations", None) or [""]
    folder = Path(places[0]) / "models"
    align = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
    return dlib, align, dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))
