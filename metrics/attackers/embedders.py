"""Face recognisers that describe an aligned face by a vector, under one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from benchmark.errors import EnvironmentProblem
from benchmark.faces import ARCFACE_TEMPLATE
from benchmark.protocols import Missing
from benchmark.weights import Unusable, first_located, missing
from metrics.attackers import mobilefacenet
from metrics.attackers.mobilefacenet import HEIGHT, WIDTH

SHIFT = 8.0
"""px that the 96 px wide template of MobileFaceNet lies left of ArcFace's, which was made from it by widening."""
REMEDY = "anonbench weights verify"


@dataclass(frozen=True, eq=False)
class FaceEmbedder:
    """A frozen face recogniser.

    Attributes:
        name: for progress and messages.
        identity: hash of the weights, and the name of everything else the result depends on.
        height: of an aligned face in px.
        width: of an aligned face in px.
        template: ``[5, 2]`` (x, y) in px, where the landmarks are on an aligned face.
        run: aligned faces, uint8 RGB ``[B, 3, height, width]``, to ``[B, D]``; alike means a large cosine.
    """

    name: str
    identity: str
    height: int
    width: int
    template: torch.Tensor
    run: Callable[[torch.Tensor], torch.Tensor]


def embedder(name: str, device: str) -> FaceEmbedder | Missing:
    """A face recogniser with the weights on this machine, or what is missing.

    Args:
        name: ``mobilefacenet``, or one of deepface's models (``metrics.attackers.deepface.MODELS``).
        device: torch device name.
    """
    if name == mobilefacenet.NAME:
        return _mobilefacenet(device)
    from metrics.attackers.deepface import deepface_embedder

    try:
        return deepface_embedder(name, device)
    except EnvironmentProblem as error:
        return Missing(str(error), REMEDY)


def _mobilefacenet(device: str) -> FaceEmbedder | Missing:
    lacking = missing([mobilefacenet.NAME])
    if lacking is not None:
        return lacking
    _, path, sha256 = first_located([mobilefacenet.NAME])
    try:
        network = mobilefacenet.loaded(path, sha256, device)
    except EnvironmentProblem as error:
        return Missing(str(error), f"{REMEDY} {mobilefacenet.NAME}")
    return FaceEmbedder(
        name="MobileFaceNet",
        identity=f"{sha256} mobilefacenet (x - 127.5) / 128 mirrored mean",
        height=HEIGHT,
        width=WIDTH,
        template=torch.tensor(ARCFACE_TEMPLATE, dtype=torch.float64) - torch.tensor([SHIFT, 0.0], dtype=torch.float64),
        run=lambda faces: mobilefacenet.described(network, faces),
    )


def missing_for(name: str) -> Missing | None:
    """What a recogniser lacks on this machine, without loading it."""
    if name == mobilefacenet.NAME:
        return missing([name])
    from metrics.attackers.deepface import deepface_missing

    return deepface_missing(weights_name(name))


def weights_of(name: str) -> Mapping[str, str]:
    """sha256 by name of the weights of a recogniser that are on this machine."""
    return found_weights(weights_name(name))


def found_weights(file: str) -> dict[str, str]:
    """sha256 by name of a weight file of the registry; empty if it is not on this machine."""
    try:
        return {file: first_located([file])[2]}
    except Unusable:
        return {}


def weights_name(name: str) -> str:
    """What the registry calls the weights of a recogniser."""
    if name == mobilefacenet.NAME:
        return name
    from metrics.attackers.deepface import deepface_weights

    return deepface_weights(name)
