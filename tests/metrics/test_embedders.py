"""Face recognisers as plug-ins, for methods that have to tell people apart."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.errors import EnvironmentProblem
from benchmark.images import ImageSet
from benchmark.registry import load, names, source_hash
from benchmark.weights import missing
from metrics.attackers.embedders import FaceEmbedder
from metrics.embedders import faces
from metrics.embedders.faces import EYES_TO_BOX, face_box, published_threshold

LONDON = Path(__file__).parents[3] / "shared" / "data" / "london"


def people(count: int) -> ImageSet:
    """Two photographs each of some people of the London set."""
    folders = sorted(folder for folder in LONDON.iterdir() if (folder / "smiling.jpg").is_file())[:count]
    files = [folder / f"{look}.jpg" for folder in folders for look in ("neutral", "smiling")]
    pixels = [np.asarray(Image.open(file).convert("RGB").resize((256, 256))) for file in files]
    return ImageSet(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(), tuple(map(str, files)))


def test_every_recogniser_of_deepface_that_needs_no_compiler_is_there() -> None:
    assert {"arcface", "facenet", "facenet512", "sface", "vggface", "ghostfacenet", "openface", "deepid"} <= set(
        names("embedders")
    )
    assert {"mobilefacenet", "dlib"} <= set(names("embedders"))


def test_thresholds_are_the_packages_own() -> None:
    from deepface.modules.verification import find_threshold

    for name in ("ArcFace", "Facenet", "VGG-Face"):
        assert published_threshold(name) == find_threshold(name, "euclidean_l2")
    assert published_threshold("mobilefacenet") is None
    assert load("embedders", "dlib").threshold == 0.6


def test_a_missing_recogniser_says_what_to_type() -> None:
    image = ImageSet(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), ("a",), landmarks=torch.rand(1, 5, 2) * 64)
    for name in ("vggface", "dlib"):
        if name == "dlib" and find_spec("dlib") is not None:
            continue
        with pytest.raises(EnvironmentProblem, match="Type: "):
            load("embedders", name)(image)


@pytest.mark.parametrize("name", ["mobilefacenet", "arcface", "dlib"])
def test_what_embeddings_depend_on_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alignment is the attackers', whose source no user of a recogniser is hashed with."""
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(tmp_path))
    found = load("embedders", name).found()
    assert found["attackers"] == source_hash(FaceEmbedder)
    assert "yunet" not in found
    monkeypatch.setattr(faces, "found_weights", lambda file: {file: "a" * 64})
    assert load("embedders", name).found() == {**found, "yunet": "a" * 64}


def test_a_box_is_square_about_the_landmarks() -> None:
    points = torch.tensor([[40.0, 50.0], [60.0, 50.0], [50.0, 60.0], [42.0, 70.0], [58.0, 70.0]])
    left, top, right, bottom = face_box(points)
    assert right - left == bottom - top == round(20 * EYES_TO_BOX)
    assert ((left + right) / 2, (top + bottom) / 2) == (50.0, 60.0)


@pytest.mark.skipif(not LONDON.is_dir(), reason="the London faces are not beside the project")
@pytest.mark.parametrize("name", ["mobilefacenet", "dlib"])
def test_two_photographs_of_one_person_are_nearest(name: str) -> None:
    if name == "dlib" and find_spec("dlib") is None:
        pytest.skip("dlib is not installed")
    if missing(["yunet"]) is not None or (name == "mobilefacenet" and missing([name]) is not None):
        pytest.skip("weights of YuNet or MobileFaceNet are not on this machine")
    found = load("embedders", name)(people(6))
    distances = torch.cdist(found, found).fill_diagonal_(torch.inf)
    assert torch.equal(distances.argmin(dim=1), torch.arange(12) ^ 1)
    assert load("embedders", name).found()
