"""The three sources of landmarks; YuNet is the real one on real faces, and skipped where they are absent."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from anonymizers.conventional.landmarks import find_landmarks
from anonymizers.conventional.mask import Mask
from benchmark.errors import EnvironmentProblem
from benchmark.faces import ARCFACE_TEMPLATE, canonical, detect
from benchmark.images import ImageSet
from benchmark.protocols import Controller
from benchmark.weights import REGISTRY

SHARED = Path(__file__).parents[2].parent / "shared"
WEIGHTS = SHARED / "weights" / REGISTRY["yunet"].file
FACES = sorted((SHARED / "data" / "london").glob("*/neutral.jpg"))[:6]

needs_yunet = pytest.mark.skipif(not WEIGHTS.is_file(), reason="no YuNet weights beside the repository")
needs_faces = pytest.mark.skipif(not FACES, reason="no London faces beside the repository")


@pytest.fixture(autouse=True)
def _no_weights(tmp_path, monkeypatch):
    monkeypatch.delenv("ANONBENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))


@pytest.fixture
def yunet(monkeypatch):
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(WEIGHTS.parent))


def faces(side=224):
    pictures = [cv2.resize(cv2.imread(str(path)), (side, side), interpolation=cv2.INTER_AREA) for path in FACES]
    pixels = torch.from_numpy(np.stack(pictures)[..., ::-1].copy()).permute(0, 3, 1, 2).contiguous()
    return ImageSet(pixels, tuple(path.parent.name for path in FACES))


def test_canonical_is_the_template_and_scales():
    template = torch.tensor(ARCFACE_TEMPLATE, dtype=torch.float64)
    torch.testing.assert_close(canonical(112, 112), template)
    torch.testing.assert_close(canonical(224, 224), 2 * template + 0.5)
    torch.testing.assert_close(canonical(112, 132), template + torch.tensor([10.0, 0.0], dtype=torch.float64))


def test_landmarks_of_the_suite_come_first(make_set):
    landmarks = canonical(20, 17).float().expand(3, 5, 2) + 1
    points, source = find_landmarks(dataclasses.replace(make_set(), landmarks=landmarks))
    assert source == "suite"
    torch.testing.assert_close(points, landmarks.double())


def test_useless_landmarks_of_the_suite_are_replaced(make_set):
    landmarks = canonical(20, 17).float().repeat(3, 1, 1) + 1
    landmarks[0, 2, 0] = float("nan")
    landmarks[1] = 4
    points, source = find_landmarks(dataclasses.replace(make_set(), landmarks=landmarks))
    assert source == "suite 1, canonical 2"
    torch.testing.assert_close(points[:2], canonical(20, 17).expand(2, 5, 2))


def test_without_weights_the_positions_are_canonical_and_the_note_says_what_to_do(make_set):
    released = Mask("eyes").anonymize(make_set(), Controller())
    note = released.notes["landmarks"]
    assert note.startswith("canonical (yunet weights unavailable: put face_detection_yunet_2026may.onnx")
    assert note.endswith("into the folder named by ANONBENCH_WEIGHTS)")
    for x, y in canonical(20, 17)[:2].round().int().tolist():
        assert not released.images[:, :, y, x].any()


def test_a_wrong_weight_file_is_an_error(make_set, tmp_path, monkeypatch):
    (tmp_path / REGISTRY["yunet"].file).write_bytes(b"something else")
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="expected sha256 ebafce4e"):
        find_landmarks(make_set())


@needs_yunet
def test_images_without_a_face_get_canonical_positions(make_set, yunet):
    points, source = find_landmarks(make_set(3, 112, 112))
    assert source == "canonical"
    torch.testing.assert_close(points, canonical(112, 112).expand(3, 5, 2))


@needs_yunet
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 3), (700, 2)])
def test_yunet_takes_any_size(make_set, height, width):
    assert detect(make_set(2, height, width).images, WEIGHTS).shape == (2, 5, 2)


@needs_yunet
@needs_faces
def test_yunet_finds_real_faces(yunet):
    images = faces()
    points, source = find_landmarks(images)
    assert source == "yunet"
    left, right, nose, left_mouth, right_mouth = points.unbind(1)
    assert (left[:, 0] + 15 < right[:, 0]).all()
    assert (left_mouth[:, 0] + 10 < right_mouth[:, 0]).all()
    assert (torch.maximum(left[:, 1], right[:, 1]) < nose[:, 1]).all()
    assert (nose[:, 1] < torch.minimum(left_mouth[:, 1], right_mouth[:, 1])).all()


@needs_yunet
@needs_faces
def test_yunet_scales_with_the_image(yunet):
    small, large = find_landmarks(faces(160))[0], find_landmarks(faces(480))[0]
    assert ((small + 0.5) * 3 - (large + 0.5)).abs().max() < 12


@needs_yunet
@needs_faces
def test_found_and_not_found_are_counted(yunet):
    images = faces()
    images.images[0] = 90
    points, source = find_landmarks(images)
    assert source == f"yunet {len(images) - 1}, canonical 1"
    torch.testing.assert_close(points[0], canonical(224, 224))


@needs_yunet
@needs_faces
def test_yunet_does_not_depend_on_the_batch(yunet):
    images = faces()
    one = Mask("eyes+mouth").anonymize(images, Controller(batch_size=1)).images
    assert torch.equal(one, Mask("eyes+mouth").anonymize(images, Controller(batch_size=64)).images)
    assert torch.equal(one[2:3], Mask("eyes+mouth").anonymize(images[2:3], Controller()).images)
