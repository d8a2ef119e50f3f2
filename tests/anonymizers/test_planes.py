"""Packing of planes: every plane gets the same treatment wherever it lies."""

from __future__ import annotations

import cv2
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizers.conventional.planes import filter_planes


def copy(four, out):
    out[:] = four


@given(count=st.integers(1, 9), height=st.integers(1, 9), width=st.integers(1, 9))
def test_planes_come_back_in_place(make_set, count, height, width):
    images = make_set(count, height, width).images
    assert torch.equal(filter_planes(images, copy), images)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 5), height=st.integers(1, 40), width=st.integers(1, 40), kernel=st.integers(1, 60))
def test_the_lane_of_a_plane_does_not_matter(make_set, count, height, width, kernel):
    one = make_set(1, height, width).images[:, :1].expand(count, 3, -1, -1)
    filtered = filter_planes(one, lambda four, out: cv2.blur(four, (kernel, kernel), dst=out))
    assert (filtered == filtered[:1, :1]).all()


@pytest.mark.parametrize("count", [1, 4, 5])
def test_result_is_written_where_it_is_wanted(make_set, count):
    images = make_set(count + 2).images
    out = torch.zeros_like(images)
    filter_planes(images[1:-1], copy, out=out[1:-1])
    assert torch.equal(out[1:-1], images[1:-1])
    assert not out[0].any()
    assert not out[-1].any()
