"""Shapes, warps and the mean in shape and appearance: against scikit-image, and on planted faces."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import PiecewiseAffineTransform, warp

from anonymizers.kanonymity.surrogates import Appearance, Pixels, Request
from anonymizers.kanonymity.surrogates.shapes import all_points, learn_shapes
from anonymizers.kanonymity.surrogates.warps import sample, triangulate, warp_to
from benchmark.errors import EntrantError
from benchmark.faces import canonical
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Controller
from tests.anonymizers.surrogate_requests import (
    SIZE,
    landmarks_near,
    requested,
)


@pytest.fixture(scope="module")
def asked(make_set):
    return requested(make_set)


class TestShapes:
    def test_pose_does_not_change_the_mean_shape(self):
        """Turned, scaled and moved copies of one shape are one shape, which a mean of points is not."""
        shape = canonical(*SIZE) - canonical(*SIZE).mean(dim=0)
        poses = [(1.0, 0.3, 20.0, 22.0), (1.3, -0.3, 18.0, 21.0), (0.8, 0.0, 19.0, 26.0)]
        turned = []
        for scale, angle, x, y in poses:
            turn = scale * torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            turned.append(shape @ turn.T + torch.tensor([x, y], dtype=torch.float64))
        landmarks = torch.stack(turned)
        model = learn_shapes(landmarks, 40)
        described = model.describe(landmarks)
        assert torch.allclose(described[:, 4:], described[:1, 4:].expand(3, -1), atol=1e-12)
        assert torch.allclose(model.landmarks(described), landmarks, atol=1e-9)
        mean = model.landmarks(described.mean(dim=0, keepdim=True))[0]
        scale = np.exp(np.mean(np.log([1.0, 1.3, 0.8])))
        assert torch.allclose(mean, shape * scale + torch.tensor([19.0, 23.0], dtype=torch.float64), atol=1e-9)

    def test_five_points_have_six_components_and_all_of_them_lose_nothing(self):
        landmarks = landmarks_near(200, torch.Generator().manual_seed(0), 3.0).double()
        model = learn_shapes(landmarks, 40)
        assert len(model.components.axes) == 6
        assert torch.allclose(model.landmarks(model.describe(landmarks)), landmarks, atol=0.05)
        few = learn_shapes(landmarks, 2)
        assert len(few.components.axes) == 2
        assert (few.landmarks(few.describe(landmarks)) - landmarks).abs().max() > 1

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 10**6), st.floats(0, 60))
    def test_every_pixel_is_in_a_triangle_wherever_the_landmarks_are(self, seed, spread):
        landmarks = landmarks_near(1, torch.Generator().manual_seed(seed), spread).double()
        mesh = triangulate(all_points(landmarks, SIZE)[0], SIZE)
        assert float(mesh.weights.min()) > -1e-6
        y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
        here = torch.stack([x.flatten(), y.flatten()], dim=1).double()
        assert torch.allclose(mesh.positions(all_points(landmarks, SIZE))[0], here, atol=1e-6)


class TestWarps:
    def test_equals_scikit_image(self, asked):
        """Both ways: images to the mean shape, and from there to another."""
        images = asked.images[:6]
        mean = all_points(learn_shapes(images.landmarks, 40).mean()[None], SIZE)[0]
        points = all_points(images.landmarks.double(), SIZE)
        found = warp_to(triangulate(mean, SIZE), images)
        for number in range(6):
            pixels = images.images[number].permute(1, 2, 0).double().numpy()
            there = PiecewiseAffineTransform.from_estimate(mean.numpy(), points[number].numpy())
            wanted = warp(pixels, there, order=1, mode="edge", preserve_range=True)
            assert np.abs(found[number].permute(1, 2, 0).numpy() - wanted).max() < 0.01
            back = PiecewiseAffineTransform.from_estimate(points[number].numpy(), mean.numpy())
            wanted = warp(pixels, back, order=1, mode="edge", preserve_range=True)
            positions = triangulate(points[number], SIZE).positions(mean[None])
            made = sample(torch.from_numpy(pixels).permute(2, 0, 1)[None], positions, SIZE)[0]
            assert np.abs(made.permute(1, 2, 0).numpy() - wanted).max() < 1e-6

    def test_nothing_moves_where_the_shape_is_the_mean(self, asked):
        images = dataclasses.replace(asked.images, landmarks=canonical(*SIZE).float().expand(24, 5, 2))
        mesh = triangulate(all_points(canonical(*SIZE).float().double()[None], SIZE)[0], SIZE)
        assert torch.allclose(warp_to(mesh, images), images.images.float(), atol=0.02)


SIDE = 64


def square_face(dx, dy, value=250):
    """A dark face with a bright square of 7 px over each eye, its landmarks moved by (dx, dy)."""
    points = (canonical(SIDE, SIDE) + torch.tensor([dx, dy], dtype=torch.float64)).round()
    pixels = torch.full((3, SIDE, SIDE), 20, dtype=torch.uint8)
    for x, y in points[:2].long().tolist():
        pixels[:, y - 3 : y + 4, x - 3 : x + 4] = value
    return pixels, points.float()


@pytest.fixture
def pair():
    """Two persons with squares 12 px apart."""
    faces = [square_face(-6, 0), square_face(6, 0)]
    pixels, points = (torch.stack(part) for part in zip(*faces, strict=True))
    identity = Labels(torch.tensor([0, 1]), ("a", "b"))
    images = ImageSet(pixels, ("0", "1"), identity, {}, points)
    return Request(images, torch.tensor([0, 1]), torch.tensor([0, 0]), Controller())


class TestAppearance:
    def test_squares_stay_squares_where_pixel_means_have_ghosts(self, pair):
        (ghosts,), (face,) = Pixels().render(pair), Appearance(basis="set").render(pair)
        assert int(ghosts.max()) == 135  # half of a square over half of the ground
        bright = (face[0] > 190).nonzero().double()
        eyes = (pair.images.landmarks[0, :2] + pair.images.landmarks[1, :2]).double() / 2
        for x, y in eyes.tolist():
            near = bright[(bright[:, 1] - x).abs() < 8]
            assert 25 <= len(near) <= 70
            assert torch.allclose(near.mean(dim=0), torch.tensor([y, x], dtype=torch.float64), atol=1)
        assert int((face[0] > 190).sum()) == sum(int(((bright[:, 1] - x).abs() < 8).sum()) for x, _ in eyes.tolist())

    def test_a_person_alone_gets_their_photograph_back(self, pair):
        """Warped to the mean shape and back, which is far from the mean in both faces."""
        alone = dataclasses.replace(pair, groups=torch.tensor([0, 1]))
        made = Appearance(basis="set").render(alone)
        assert (made.double() - pair.images.images.double()).abs().mean() < 2
        for face, points in zip(made, pair.images.landmarks, strict=True):
            for x, y in points[:2].long().tolist():
                assert int(face[:, y - 1 : y + 2, x - 1 : x + 2].min()) > 240

    def test_fewer_components_keep_less(self, asked):
        full, none = Appearance(basis="set").render(asked), Appearance(textures=1, shapes=1, basis="set").render(asked)
        spread = [faces.double().std(dim=0).mean() for faces in (full, none)]
        assert spread[1] < 0.8 * spread[0]

    @pytest.mark.parametrize("where", ["set", "train"])
    @pytest.mark.parametrize("lack", ["all", "one"])
    def test_says_that_landmarks_are_missing(self, where, lack, asked):
        def cut(images):
            points = images.landmarks.clone()
            points[3] = torch.nan
            return images.without(landmarks=True) if lack == "all" else dataclasses.replace(images, landmarks=points)

        lacking = dataclasses.replace(asked, images=cut(asked.images))
        if where == "train":
            lacking = dataclasses.replace(asked, controller=Controller(train=cut(asked.controller.train)))
        count = {"set": 24, "train": 20}[where]
        found = count if lack == "all" else 1
        with pytest.raises(EntrantError, match=f"{found} of {count} images have none: use surrogate=pixels"):
            Appearance().render(lacking)
