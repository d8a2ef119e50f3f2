"""Pixelation against block means written out, and against OpenCV's resizing."""

from __future__ import annotations

import math
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizers.conventional.pixelate import Pixelate
from benchmark.protocols import Controller


def block_means(image, size):
    result = np.empty(image.shape)
    for top in range(0, image.shape[1], size):
        for left in range(0, image.shape[2], size):
            cell = (slice(None), slice(top, top + size), slice(left, left + size))
            result[cell] = image[cell].mean(axis=(1, 2), keepdims=True)
    return result


@settings(max_examples=80, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 50))
def test_mean_is_the_block_mean(make_set, height, width, size):
    images = make_set(2, height, width)
    released = Pixelate(size).anonymize(images, Controller()).images.numpy()
    for image, result in zip(images.images.numpy(), released, strict=True):
        assert np.abs(result - block_means(image, size)).max() <= 0.5 + 1e-9


def test_mean_equals_opencv_area(make_set):
    images = make_set(2, 224, 160)
    released = Pixelate(16).anonymize(images, Controller()).images.numpy()
    for image, result in zip(images.images.numpy(), released, strict=True):
        small = cv2.resize(image.transpose(1, 2, 0), (10, 14), interpolation=cv2.INTER_AREA)
        large = cv2.resize(small, (160, 224), interpolation=cv2.INTER_NEAREST)
        assert np.abs(result - large.transpose(2, 0, 1).astype(int)).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(224, 224), (218, 178), (19, 64), (7, 5)])
@pytest.mark.parametrize("size", [5, 20, 75])
def test_edi_is_bilinear_down_and_nearest_up(make_set, height, width, size):
    images = make_set(2, height, width)
    released = Pixelate(size, "edi").anonymize(images, Controller()).images.numpy()
    grid = (max(1, width // size), max(1, height // size))
    for image, result in zip(images.images.numpy(), released, strict=True):
        small = cv2.resize(image.transpose(1, 2, 0), grid, interpolation=cv2.INTER_LINEAR)
        # Not cv2's nearest: its positions in floating point miss the first row of a cell at 109 * 10 / 218 = 5.
        rows = [math.floor(Fraction(row * grid[1], height)) for row in range(height)]
        columns = [math.floor(Fraction(column * grid[0], width)) for column in range(width)]
        large = small.reshape(grid[1], grid[0], 3)[rows][:, columns]
        assert np.abs(result - large.transpose(2, 0, 1).astype(int)).max() <= 1


def test_edi_samples_while_mean_averages(make_set):
    """On noise the cells of EDI-Anon keep far more contrast than means do."""
    images = make_set(2, 224, 224)
    spread = [
        float(Pixelate(16, name).anonymize(images, Controller()).images.double().std()) for name in ("mean", "edi")
    ]
    assert spread[1] > 5 * spread[0]
