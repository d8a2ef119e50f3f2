"""DeepFace's face recognisers as attackers: its own classes and preprocessing on ONNX graphs from the registry.

What ``DeepFace.represent(..., detector_backend="skip", normalization="base")`` does on onnxruntime: BGR, stretched
to the model's size with black borders where the shapes differ, divided by 255, channels last (``SFace`` turns that into
RGB, 0..255, channels first by itself). As in the package, an image without a value above 1 counts as divided already.
TensorFlow is never imported, nothing is downloaded, and no folder is made in anybody's home: the module
``deepface.DeepFace``, which would make one, stays unopened.

Two of its models are left out. ``Dlib`` needs the package dlib, which has to be compiled, and ``Buffalo_L`` the
package insightface, which reads its file in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark.errors import EnvironmentProblem
from benchmark.faces import canonical
from benchmark.protocols import Missing
from benchmark.weights import REGISTRY, first_located, missing
from metrics.onnx_model import GraphShape, open_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from metrics.attackers.embedders import FaceEmbedder

FACES = "deepface.models.facial_recognition.onnx"
PACKAGES = ("deepface", "onnxruntime", "werkzeug")
"""What has to be installed; deepface imports werkzeug without asking for it."""

AT_A_TIME = 16
"""Images per run of a graph: the first layers of VGG-Face hold 13 MB per image and tensor."""


@dataclass(frozen=True)
class ModelClass:
    """A class of deepface that runs an ONNX graph.

    Attributes:
        module: where it is defined.
        name: of the class.
        weights: name of its file in the registry.
        shape: what the graph takes and gives.
    """

    module: str
    name: str
    weights: str
    shape: GraphShape


def _face(module: str, name: str, weights: str, size: tuple[int, int], length: int) -> ModelClass:
    shape = GraphShape((None, *size, 3), (None, length))
    return ModelClass(f"{FACES}.{module}", name, f"deepface-{weights}", shape)


_SFACE = GraphShape((1, 3, 112, 112), (1, 128))
_CLASSES: Mapping[str, ModelClass] = {
    "ArcFace": _face("ArcFace", "ArcFaceClient", "arcface", (112, 112), 512),
    "Facenet": _face("Facenet", "FaceNet128dClient", "facenet", (160, 160), 128),
    "Facenet512": _face("Facenet", "FaceNet512dClient", "facenet512", (160, 160), 512),
    "SFace": ModelClass(f"{FACES}.SFace", "SFaceClient", "deepface-sface", _SFACE),
    "VGG-Face": _face("VGGFace", "VggFaceClient", "vggface", (224, 224), 4096),
    "GhostFaceNet": _face("GhostFaceNet", "GhostFaceNetClient", "ghostfacenet", (112, 112), 512),
    "OpenFace": _face("OpenFace", "OpenFaceClient", "openface", (96, 96), 128),
    "DeepID": _face("DeepID", "DeepIdClient", "deepid", (55, 47), 160),
    "DeepFace": _face("FbDeepFace", "DeepFaceClient", "fbdeepface", (152, 152), 4096),
}
MODELS: tuple[str, ...] = tuple(_CLASSES)
"""The recognisers that need no TensorFlow, under deepface's own names."""


def deepface_weights(model: str) -> str:
    """What the registry calls the file of one of ``MODELS``."""
    return _CLASSES[model].weights


def deepface_embedder(model: str, device: str) -> FaceEmbedder | Missing:
    """One of deepface's recognisers, with the weights on this machine.

    Args:
        model: one of ``MODELS``.
        device: torch device name; onnxruntime computes there if its package for that device is installed.

    Returns:
        The embedder, which takes aligned faces of its own size and gives float32 ``[B, D]``; or what is missing. Its
        template is that of ArcFace on the centred square of the model's input.

    Raises:
        EnvironmentProblem: the weight file is something else.
    """
    from metrics.attackers.embedders import FaceEmbedder

    made = _CLASSES[model]
    lacking = deepface_missing(made.weights)
    if lacking is not None:
        return lacking
    client, sha256 = deepface_client(made, device)
    width, height = client.input_shape
    return FaceEmbedder(
        name=f"DeepFace {model}",
        identity=f"{sha256} deepface {metadata.version('deepface')} {model} ONNX, BGR, base",
        height=height,
        width=width,
        template=canonical(height, width),
        run=_runner(client, height, width),
    )


def deepface_missing(weights: str) -> Missing | None:
    """What is not there of the packages and of a weight file; None if all is."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        names = " ".join(absent)
        return Missing(f"not installed: {names}", f"pip install {names}")
    return missing([weights])


def deepface_client(made: ModelClass, device: str) -> tuple[Any, str]:
    """An object of one of deepface's classes with the weights on this machine, and their sha256.

    Raises:
        EnvironmentProblem: the weights are missing, or the graph is that of another model.
    """
    _, path, sha256 = first_located([made.weights])
    return _client(made, path, sha256, device, torch.get_num_threads()), sha256


@lru_cache(maxsize=2)
def _client(made: ModelClass, path: Path, sha256: str, device: str, threads: int) -> Any:
    """Opened again for another hash or number of threads, which is why they are asked for."""
    session = open_graph(made.weights, path, made.shape, device)
    module = import_module(made.module)
    with _graph_instead_of_download(module, made.weights, session):
        return getattr(module, made.name)()


@contextmanager
def _graph_instead_of_download(module: Any, weights: str, session: Any) -> Iterator[None]:
    """The constructors have no parameter for weights: they ask this one function for a file by name."""
    wanted, build = REGISTRY[weights].file, module.build_session

    def answer(file_name: str, source_url: object) -> Any:
        if file_name != wanted:
            raise EnvironmentProblem(
                f"deepface {metadata.version('deepface')} asks for {file_name} where the registry has {wanted}; "
                "type: pip install deepface==0.0.103"
            )
        return session

    module.build_session = answer
    try:
        yield
    finally:
        module.build_session = build


def to_bgr(images: torch.Tensor) -> NDArray[np.uint8]:
    """RGB uint8 ``[B, 3, H, W]`` as deepface wants it: BGR ``[B, H, W, 3]``."""
    return images.flip(1).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _runner(client: Any, height: int, width: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """uint8 RGB ``[B, 3, height, width]`` to float32 ``[B, D]`` on the CPU."""
    from deepface.modules.preprocessing import resize_image

    def described(images: torch.Tensor) -> torch.Tensor:
        faces = np.concatenate([resize_image(image, (height, width)) for image in to_bgr(images)])
        found = np.asarray(client.forward(faces), dtype=np.float32)
        return torch.from_numpy(found.reshape(len(faces), client.output_shape))

    return lambda images: torch.cat([described(part) for part in images.split(AT_A_TIME)])
