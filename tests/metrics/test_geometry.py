"""Detection rate and landmark error: closed forms on planted points, and YuNet on real faces where they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmark.faces import ARCFACE_TEMPLATE, canonical, detect
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Referees
from benchmark.weights import REGISTRY
from metrics.geometry import Detection, Nme, landmark_error

SHARED = Path(__file__).parents[2].parent / "shared"
WEIGHTS = SHARED / "weights" / REGISTRY["yunet"].file
FACES = sorted((SHARED / "data" / "london").glob("*/neutral.jpg"))[:4]
TEMPLATE = torch.tensor(ARCFACE_TEMPLATE, dtype=torch.float64)
real = pytest.mark.skipif(
    not (WEIGHTS.is_file() and FACES), reason="no YuNet weights or London faces beside the repository"
)


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def yunet(no_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(WEIGHTS.parent))


def faces(side: int = 160) -> ImageSet:
    pictures = [cv2.resize(cv2.imread(str(path)), (side, side), interpolation=cv2.INTER_AREA) for path in FACES]
    pixels = torch.from_numpy(np.stack(pictures)[..., ::-1].copy()).permute(0, 3, 1, 2).contiguous()
    keys = tuple(path.parent.name for path in FACES)
    return ImageSet(pixels, keys, Labels(torch.arange(len(keys)), keys))


def test_error_in_closed_form() -> None:
    truth = TEMPLATE.repeat(4, 1, 1)
    eyes = float((TEMPLATE[0] - TEMPLATE[1]).norm())
    points = truth.clone()
    points[1] += torch.tensor([3.0, 4.0], dtype=torch.float64)
    points[2, 4, 1] += 10
    truth[3] = torch.nan
    found = torch.tensor([True, True, True, True])
    assert landmark_error(points, truth, found)[:3].tolist() == pytest.approx([0.0, 5 / eyes, 2 / eyes])
    assert landmark_error(points, truth, found)[3].isnan()
    assert landmark_error(points * torch.nan, truth, ~found)[:3].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("metric", [Detection(), Nme()])
def test_without_yunet_the_remedy_is_said(metric: Detection | Nme) -> None:
    lacking = metric.missing()
    assert lacking is not None
    assert "yunet weights unavailable" in lacking.reason
    assert metric.card.weights == {}
    images = ImageSet(torch.zeros(2, 3, 20, 20, dtype=torch.uint8), ("a", "b"))
    score = metric.score(images, images, Referees()).score
    assert (score.status, score.remedy) == ("unavailable", lacking.remedy)


@real
def test_originals_blanks_and_what_was_never_delivered(yunet: None) -> None:
    original = faces()
    released = original.images.clone()
    released[0] = 90
    lost = torch.tensor([False, True, False, False])
    published = dataclasses.replace(original.with_images(released), missing=lost)
    detection, nme = Detection().score(original, published, Referees()), Nme().score(original, published, Referees())
    assert detection.per_image["detection"].tolist() == [0, 0, 1, 1]
    assert detection.score.value == 0.5
    assert detection.score.anchors == {"originals": 1.0}
    assert nme.per_image["nme"].tolist() == [1, 1, 0, 0]
    assert nme.score.details == {"undetected": 2.0}
    assert nme.score.anchors == {"originals": 0.0}
    assert Detection().card.weights == {"yunet": REGISTRY["yunet"].sha256}


@real
def test_the_landmarks_of_the_suite_are_the_truth(yunet: None) -> None:
    original = faces()
    points = detect(original.images, WEIGHTS)
    eyes = (points[:, 0] - points[:, 1]).norm(dim=1)
    planted = (points + torch.tensor([6.0, 8.0])).float()
    planted[3] = torch.nan
    scores = Nme().score(dataclasses.replace(original, landmarks=planted), original, Referees())
    assert scores.per_image["nme"][:3].tolist() == pytest.approx((10 / eyes)[:3].tolist(), rel=1e-4)
    assert scores.score.value == pytest.approx(float((10 / eyes)[:3].mean()), rel=1e-4)
    assert scores.score.details == {"undetected": 0.0, "without landmarks": 1.0}
    assert scores.score.n == 3


@real
def test_nothing_to_compare_with(yunet: None) -> None:
    blank = ImageSet(torch.full((2, 3, 64, 64), 90, dtype=torch.uint8), ("a", "b"))
    assert Nme().score(blank, blank, Referees()).score.status == "not-applicable"
    assert Detection().score(blank, blank, Referees()).score.value == 0
    known = dataclasses.replace(blank, landmarks=canonical(64, 64).float().repeat(2, 1, 1))
    assert Nme().score(known, known, Referees()).score.value == 1
