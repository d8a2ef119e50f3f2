"""Masks: what is black, what is untouched, and how shapes follow the eyes."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizers.conventional.mask import Mask
from benchmark.protocols import Controller

POINTS = {"eyes": [0, 1], "mouth": [3, 4], "eyes+mouth": [0, 1, 3, 4], "face": [0, 1, 2, 3, 4]}
UPRIGHT = torch.tensor([[-20.0, -20], [20, -20], [0, 0], [-15, 22], [15, 22]])
SIDE = 161


def turned(degrees, scale=1.0):
    angle = math.radians(degrees)
    rotation = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return UPRIGHT @ rotation * scale + SIDE // 2


@pytest.fixture(scope="module")
def masked(make_set):
    """Runs a mask over white images with given landmarks; True is black."""

    def run(region, landmarks):
        images = make_set(len(landmarks), SIDE, SIDE)
        images.images.fill_(255)
        known = dataclasses.replace(images, landmarks=landmarks)
        released = Mask(region).anonymize(known, Controller())
        assert released.notes["landmarks"] == "suite"
        assert set(released.images.unique().tolist()) <= {0, 255}
        return released.images[:, 0] == 0

    return run


@pytest.mark.parametrize("region", POINTS)
@settings(max_examples=25, deadline=None)
@given(degrees=st.integers(-180, 180), scale=st.floats(0.05, 1.2))
def test_landmarks_are_black_and_far_pixels_untouched(masked, region, degrees, scale):
    points = turned(degrees, scale)
    black = masked(region, points[None])[0]
    for x, y in points[POINTS[region]].round().int().tolist():
        assert black[y, x]
    x, y = torch.arange(SIDE).float(), torch.arange(SIDE).float()[:, None]
    near = torch.stack([(x - px) ** 2 + (y - py) ** 2 for px, py in points[POINTS[region]]]).amin(dim=0)
    distance = 40 * scale
    assert not black[near > (1.6 * distance + 2) ** 2].any()


@pytest.mark.parametrize(
    ("region", "area"),
    [
        ("eyes", 2 * math.pi * 20**2),
        ("mouth", (30 + 2 * 0.25 * 40) * 2 * 0.35 * 40),
        ("face", math.pi * 1.1 * 1.5 * 40**2),
    ],
)
@pytest.mark.parametrize("degrees", [0, 30, 90, -145])
def test_area_is_that_of_the_documented_shape(masked, region, area, degrees):
    between_pixels = turned(degrees) + torch.tensor([0.3, 0.4])
    assert masked(region, between_pixels[None])[0].sum().item() == pytest.approx(area, rel=0.03)


def test_both_is_the_union(masked):
    points = turned(20)[None]
    assert torch.equal(masked("eyes+mouth", points), masked("eyes", points) | masked("mouth", points))


def test_shapes_turn_with_the_eye_line(masked):
    upright, quarter = masked("mouth", torch.stack([turned(0), turned(90)]))
    assert torch.equal(quarter, upright.rot90(-1))


def test_other_pixels_keep_their_values(make_set):
    images = dataclasses.replace(make_set(3, SIDE, SIDE), landmarks=torch.stack([turned(a) for a in (0, 10, 20)]))
    released = Mask("eyes").anonymize(images, Controller()).images
    untouched = (released != 0).any(dim=1, keepdim=True).expand_as(released)
    assert torch.equal(released[untouched], images.images[untouched])
    assert 0.5 < untouched.double().mean() < 1
