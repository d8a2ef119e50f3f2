"""Box and Gaussian blur against sums written out, and against OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizers.conventional.blur import Blur, GaussianBlur
from benchmark.protocols import Controller


def reflected(index, side):
    """Reflect-101: ... 2 1 0 1 2 ... without repeating the border, as often as it takes."""
    if side == 1:
        return np.zeros_like(index)
    folded = np.mod(index, 2 * (side - 1))
    return np.where(folded < side, folded, 2 * (side - 1) - folded)


def separable(image, weights):
    """Weighted means of a float image ``[3, H, W]``, anchor at half of the weights."""
    offsets = np.arange(len(weights)) - len(weights) // 2
    height, width = image.shape[1:]
    rows = reflected(np.arange(height)[:, None] + offsets, height)
    columns = reflected(np.arange(width)[:, None] + offsets, width)
    down = np.einsum("chkw,k->chw", image[:, rows], weights)
    return np.einsum("chwk,k->chw", down[:, :, columns], weights)


def released(entrant, images):
    return entrant.anonymize(images, Controller()).images.numpy()


@settings(max_examples=150, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), kernel=st.integers(1, 100), seed=st.integers(0, 9))
def test_box_blur_is_the_mean_and_opencv(make_set, height, width, kernel, seed):
    images = make_set(2, height, width, seed=seed)
    for image, result in zip(images.images.numpy(), released(Blur(kernel), images), strict=True):
        mean = separable(image.astype(float), np.full(kernel, 1 / kernel))
        opencv = cv2.blur(image.transpose(1, 2, 0), (kernel, kernel), borderType=cv2.BORDER_REFLECT_101)
        assert np.abs(result - mean).max() <= 1
        assert np.abs(result - opencv.transpose(2, 0, 1).astype(int)).max() <= 1


@pytest.mark.parametrize("kernel", [2, 9, 40, 999])
def test_box_blur_of_a_real_size(make_set, kernel):
    images = make_set(3, 224, 180)
    for image, result in zip(images.images.numpy(), released(Blur(kernel), images), strict=True):
        opencv = cv2.blur(image.transpose(1, 2, 0), (kernel, kernel), borderType=cv2.BORDER_REFLECT_101)
        assert np.abs(result - opencv.transpose(2, 0, 1).astype(int)).max() <= 1


def test_even_kernel_reaches_further_to_the_left(make_set):
    images = make_set(1, 1, 9)
    images.images.zero_()
    images.images[..., 4] = 200
    assert released(Blur(4), images)[0, 0, 0].tolist() == [0, 0, 0, 50, 50, 50, 50, 0, 0]


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), half=st.integers(0, 40), sigma=st.sampled_from([0, 0.5, 4]))
def test_gaussian_equals_opencv(make_set, height, width, half, sigma):
    images, kernel = make_set(2, height, width), 2 * half + 1
    for image, result in zip(images.images.numpy(), released(GaussianBlur(kernel, sigma), images), strict=True):
        opencv = cv2.GaussianBlur(image.transpose(1, 2, 0), (kernel, kernel), sigma, borderType=cv2.BORDER_REFLECT_101)
        assert np.abs(result - opencv.transpose(2, 0, 1).astype(int)).max() <= 1


@pytest.mark.parametrize("kernel", [9, 29, 99])
def test_gaussian_with_sigma_zero_is_the_documented_gaussian(make_set, kernel):
    """On a smooth picture, where the rounding of the weights to 1/256 does not show."""
    y, x = np.mgrid[0:120, 0:150]
    images = make_set(1, 120, 150)
    images.images.numpy()[:] = (127 + 60 * np.sin(x / 25) + 60 * np.cos(y / 30)).astype(np.uint8)
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    weights = np.exp(-((np.arange(kernel) - kernel // 2) ** 2) / (2 * sigma**2))
    expected = separable(images.images[0].numpy().astype(float), weights / weights.sum())
    assert np.abs(released(GaussianBlur(kernel), images)[0] - expected).max() <= 2
