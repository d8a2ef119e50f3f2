"""Alignment against scikit-image and OpenCV, and on faces that were turned on purpose."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from benchmark.faces import ARCFACE_TEMPLATE
from metrics.attackers.alignment import aligned, similarity_to

TEMPLATE = torch.tensor(ARCFACE_TEMPLATE, dtype=torch.float64)


def smooth(side: int = 120, count: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(count, 3, 8, 8, generator=generator) * 255
    large = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=True)
    return large.clamp(0, 255).round().to(torch.uint8)


def moved(points: torch.Tensor, angle: float, scale: float, shift: tuple[float, float]) -> torch.Tensor:
    turn = scale * torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + torch.tensor(shift, dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_same_matrix_as_scikit_image(seed: int) -> None:
    points = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 200
    found = similarity_to(points, TEMPLATE)
    for matrix, one in zip(found, points, strict=True):
        oracle = SimilarityTransform.from_estimate(one.numpy(), TEMPLATE.numpy())
        np.testing.assert_allclose(matrix.numpy(), oracle.params[:2], atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(-3, 3), scale=st.floats(0.3, 4), x=st.floats(-50, 50), y=st.floats(-50, 50))
def test_moved_landmarks_come_back_to_the_template(angle: float, scale: float, x: float, y: float) -> None:
    points = moved(TEMPLATE, angle, scale, (x, y))
    matrix = similarity_to(points[None], TEMPLATE)[0]
    torch.testing.assert_close(points @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=1e-8, rtol=0)


def test_the_same_pixels_as_opencv() -> None:
    images, points = smooth(), moved(TEMPLATE, 0.3, 0.8, (12, 9))[None]
    found = aligned(images, points, TEMPLATE, 112, 112)[0].permute(1, 2, 0).numpy()
    matrix = similarity_to(points, TEMPLATE)[0].numpy()
    expected = cv2.warpAffine(images[0].permute(1, 2, 0).numpy(), matrix, (112, 112), borderValue=0)
    difference = np.abs(found.astype(int) - expected.astype(int))
    assert np.quantile(difference, 0.99) <= 2
    assert difference.mean() < 0.5


def test_a_turned_and_scaled_image_gives_the_same_crop() -> None:
    image, points = smooth(240), TEMPLATE + 60
    turn = cv2.getRotationMatrix2D((120, 120), 20, 1.2)
    turned = cv2.warpAffine(image[0].permute(1, 2, 0).numpy(), turn, (240, 240), flags=cv2.INTER_CUBIC)
    other = torch.from_numpy(turned).permute(2, 0, 1)[None]
    there = points @ torch.from_numpy(turn[:, :2]).T + torch.from_numpy(turn[:, 2])
    straight, back = (aligned(i, p[None], TEMPLATE, 112, 112) for i, p in ((image, points), (other, there)))
    assert (straight.float() - back.float()).abs().max() <= 6


def test_landmarks_on_the_template_change_nothing_and_outside_is_black() -> None:
    image = smooth(112)
    assert torch.equal(aligned(image, TEMPLATE[None], TEMPLATE, 112, 112), image)
    assert not aligned(image, TEMPLATE[None] + 500, TEMPLATE, 112, 112).any()


def test_batches_do_not_matter() -> None:
    images = smooth(60, 70)
    generator = torch.Generator().manual_seed(1)
    points = TEMPLATE / 2 + 4 * torch.rand(70, 5, 2, generator=generator, dtype=torch.float64)
    together = aligned(images, points, TEMPLATE, 112, 96)
    assert together.shape == (70, 3, 112, 96)
    assert torch.equal(together[66:67], aligned(images[66:67], points[66:67], TEMPLATE, 112, 96))


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 2)])
def test_any_size(size: tuple[int, int]) -> None:
    assert aligned(torch.zeros(2, 3, *size, dtype=torch.uint8), TEMPLATE.repeat(2, 1, 1), TEMPLATE, 8, 6).shape[2:] == (
        8,
        6,
    )
    assert aligned(torch.zeros(0, 3, *size, dtype=torch.uint8), TEMPLATE[None][:0], TEMPLATE, 8, 6).shape == (
        0,
        3,
        8,
        6,
    )
