"""DeepFace as attacker: the same numbers as the package's own functions, on graphs made here."""

from __future__ import annotations

import dataclasses
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.errors import EnvironmentProblem
from benchmark.hashing import sha256_file
from benchmark.protocols import Missing
from benchmark.weights import REGISTRY
from metrics.attackers.deepface import MODELS, deepface_embedder
from metrics.attackers.embedders import FaceEmbedder
from tests.metrics.attackers.tiny_onnx import bgr, deepface_home, put, tiny_graph, weights_folder

SHAPES: dict[str, tuple[str, int, int, int]] = {
    "VGG-Face": ("deepface-vggface", 224, 224, 4096),
    "Facenet": ("deepface-facenet", 160, 160, 128),
    "Facenet512": ("deepface-facenet512", 160, 160, 512),
    "OpenFace": ("deepface-openface", 96, 96, 128),
    "DeepFace": ("deepface-fbdeepface", 152, 152, 4096),
    "DeepID": ("deepface-deepid", 55, 47, 160),
    "ArcFace": ("deepface-arcface", 112, 112, 512),
    "SFace": ("deepface-sface", 112, 112, 128),
    "GhostFaceNet": ("deepface-ghostfacenet", 112, 112, 512),
}
"""File, height, width and length, from the table in deepface's documentation of its models."""


def graph_of(model: str) -> bytes:
    _, height, width, length = SHAPES[model]
    if model == "SFace":
        return tiny_graph((1, 3, height, width), length, channels_last=False)
    return tiny_graph(("n", height, width, 3), length)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return weights_folder(tmp_path, monkeypatch)


@pytest.fixture
def unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """SFace's hash is known, so no stand-in would be taken."""
    entry = dataclasses.replace(REGISTRY["deepface-sface"], sha256="", size=0)
    monkeypatch.setitem(REGISTRY, "deepface-sface", entry)


def faces(height: int, width: int, count: int = 3) -> torch.Tensor:
    """Coarse coloured patterns with noise, and one that is all black."""
    made = torch.Generator().manual_seed(3)
    coarse = torch.rand(count, 3, 4, 4, generator=made)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    noisy = smooth * 220 + torch.rand(count, 3, height, width, generator=made) * 35
    noisy[-1] = 0
    return noisy.to(torch.uint8)


def official(model: str, path: Path, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> np.ndarray[Any, Any]:
    """``represent`` of the package, which finds the file in a home of its own."""
    from deepface.modules import representation

    with deepface_home(path, monkeypatch):
        found = representation.represent(bgr(images), model_name=model, detector_backend="skip")
    return np.array([face["embedding"] for (face,) in found])


def embedder(model: str) -> FaceEmbedder:
    made = deepface_embedder(model, "cpu")
    assert isinstance(made, FaceEmbedder), made
    return made


def test_every_model_of_the_table_is_there() -> None:
    assert set(MODELS) == set(SHAPES)
    assert len(set(MODELS)) == len(MODELS)


@pytest.mark.usefixtures("unpinned")
@pytest.mark.parametrize("model", MODELS)
def test_numbers_are_those_of_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    weights, height, width, length = SHAPES[model]
    path = put(folder, weights, graph_of(model))
    ours, images = embedder(model), faces(height, width)
    assert (ours.height, ours.width) == (height, width)
    found = ours.run(images)
    assert (found.dtype, found.shape) == (torch.float32, (len(images), length))
    np.testing.assert_allclose(found, official(model, path, images, monkeypatch), rtol=0, atol=1e-6)
    assert sha256_file(path) in ours.identity


PROGRAM = """
import socket, sys
def refuse(*_): raise AssertionError("somebody wants the network")
socket.socket.connect = socket.getaddrinfo = refuse
from metrics.attackers.deepface import deepface_embedder
import torch
print(tuple(deepface_embedder("VGG-Face", "cpu").run(torch.zeros(1, 3, 224, 224, dtype=torch.uint8)).shape))
print(sorted({"tensorflow", "keras", "deepface.DeepFace"} & set(sys.modules)))
"""


def test_no_tensorflow_and_nothing_left_in_the_home(folder: Path) -> None:
    """In a process of its own, since importing is what leaves things behind."""
    put(folder, "deepface-vggface", graph_of("VGG-Face"))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    words = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["(1, 4096)", "[]"], done.stderr
    assert not list((folder.parent / "home").iterdir())


@pytest.mark.usefixtures("unpinned")
@pytest.mark.parametrize("model", ["ArcFace", "SFace", "VGG-Face", "DeepID"])
def test_a_batch_is_its_images_one_by_one(folder: Path, model: str) -> None:
    weights, height, width, _ = SHAPES[model]
    put(folder, weights, graph_of(model))
    ours, images = embedder(model), faces(height, width, 19)
    whole = ours.run(images)
    torch.testing.assert_close(torch.cat([ours.run(image[None]) for image in images]), whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.run(images.flip(0)).flip(0), whole, rtol=0, atol=1e-5)


def test_arcface_by_hand(folder: Path) -> None:
    """Means of BGR cells in 0..1 times the stored weights, in plain NumPy."""
    put(folder, "deepface-arcface", graph_of("ArcFace"))
    images = faces(112, 112)
    cells = images.flip(1).double().div(255).unfold(2, 28, 28).unfold(3, 28, 28).mean((-2, -1)).flatten(1)
    weights = np.random.default_rng(0).standard_normal((48, 512), dtype=np.float32)
    np.testing.assert_allclose(embedder("ArcFace").run(images), cells.numpy() @ weights, rtol=0, atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_a_missing_file_says_what_to_do(folder: Path, model: str) -> None:
    weights = SHAPES[model][0]
    found = deepface_embedder(model, "cpu")
    assert isinstance(found, Missing)
    assert f"{weights} weights unavailable" in found.reason
    fetchable = REGISTRY[weights].fetchable
    assert (f"anonbench weights fetch {weights}" if fetchable else REGISTRY[weights].url) in found.remedy


def test_a_graph_of_another_model_is_refused(folder: Path) -> None:
    put(folder, "deepface-arcface", graph_of("Facenet512"))
    with pytest.raises(EnvironmentProblem, match=r"input 'image' is \[any, 160, 160, 3\] where \[any, 112, 112, 3\]"):
        deepface_embedder("ArcFace", "cpu")


@pytest.mark.parametrize("stated", [True, False])
def test_a_graph_of_another_length_is_refused(folder: Path, stated: bool) -> None:
    """Whether or not it says so: onnxruntime works the length out."""
    put(folder, "deepface-facenet", tiny_graph(("n", 160, 160, 3), 512, stated=stated))
    with pytest.raises(EnvironmentProblem, match=r"output 'out' is \[any, 512\] where \[any, 128\] should be"):
        deepface_embedder("Facenet", "cpu")


@pytest.mark.parametrize("content", [b"\x00\x01", b"\x80\x04K*."])
def test_something_else_is_refused(folder: Path, content: bytes) -> None:
    put(folder, "deepface-arcface", content)
    with pytest.raises(EnvironmentProblem, match=r"cannot be read as an ONNX graph.*replace it by deepface-arcface"):
        deepface_embedder("ArcFace", "cpu")


@pytest.mark.parametrize(
    ("model", "content", "reason"),
    [
        ("ArcFace", b"<!doctype html><html>Not found</html>", "an HTML page"),
        ("SFace", b"0" * (40 << 20), "expected sha256 0ba9fbfa01b5"),
    ],
)
def test_what_the_registry_refuses_is_missing(folder: Path, model: str, content: bytes, reason: str) -> None:
    put(folder, SHAPES[model][0], content)
    found = deepface_embedder(model, "cpu")
    assert isinstance(found, Missing)
    assert f"is not the {SHAPES[model][0]} file of the registry: {reason}" in found.reason


def test_another_file_gives_another_identity(folder: Path) -> None:
    put(folder, "deepface-arcface", graph_of("ArcFace"))
    before, images = embedder("ArcFace"), faces(112, 112)
    put(folder, "deepface-arcface", tiny_graph(("n", 112, 112, 3), 512, seed=1))
    after = embedder("ArcFace")
    assert before.identity != after.identity
    assert not torch.equal(before.run(images), after.run(images))


@pytest.mark.parametrize("model", MODELS)
def test_the_registry_has_deepfaces_own_addresses(model: str) -> None:
    from deepface.modules.modeling import AVAILABLE_MODELS

    sources = AVAILABLE_MODELS["facial_recognition"][model]
    module = importlib.import_module((sources.get("onnx") or sources["any"]).rpartition(".")[0])
    addresses = [value for name, value in vars(module).items() if "WEIGHTS" in name]
    entry = REGISTRY[SHAPES[model][0]]
    assert any(entry.url in ([address] if isinstance(address, str) else address) for address in addresses)
    assert entry.url.rpartition("/")[2] == entry.file


def test_the_template_is_arcfaces_on_the_centred_square(folder: Path) -> None:
    put(folder, "deepface-arcface", graph_of("ArcFace"))
    put(folder, "deepface-deepid", graph_of("DeepID"))
    expected = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    np.testing.assert_allclose(embedder("ArcFace").template, expected, atol=1e-9)
    smaller = (np.array(expected) + 0.5) * 47 / 112 + (0, 4) - 0.5
    np.testing.assert_allclose(embedder("DeepID").template, smaller, atol=1e-9)
