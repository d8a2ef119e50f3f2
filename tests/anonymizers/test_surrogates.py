"""Surrogates against plain recomputation, scikit-image and scikit-learn, and on planted faces."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import PiecewiseAffineTransform, warp
from sklearn.decomposition import PCA

from anonymizers.kanonymity.surrogates import Appearance, Eigenfaces, Pixels, Request, Surrogate, UpConv
from anonymizers.kanonymity.surrogates.base import group_means
from anonymizers.kanonymity.surrogates.components import learn_components
from anonymizers.kanonymity.surrogates.network import UpConvolution, layout
from anonymizers.kanonymity.surrogates.proxies import Recipe
from anonymizers.kanonymity.surrogates.shapes import all_points, learn_shapes
from anonymizers.kanonymity.surrogates.upconv import _nearest
from anonymizers.kanonymity.surrogates.warps import sample, triangulate, warp_to
from benchmark.errors import EntrantError
from benchmark.faces import canonical
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Controller

SIZE = (48, 40)
TINY = Recipe(people=8, steps=4, batch=4, width=0.1)
MAKERS = [Pixels(), Eigenfaces(), Eigenfaces(basis="set"), Appearance(), Appearance(basis="set"), UpConv(TINY)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))
    return tmp_path


def landmarks_near(count, generator, spread=1.5, size=SIZE):
    """The template of an aligned crop with some noise, float32 ``[count, 5, 2]``."""
    noise = torch.randn(count, 5, 2, generator=generator, dtype=torch.float64) * spread
    return (canonical(*size) + noise).float()


def smooth_faces(make_set, count, persons, seed=0, name="image"):
    """Coarse random images with landmarks, persons, and an attribute; identities in no order."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 5, generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear", align_corners=True)
    who = torch.cat([torch.arange(persons), torch.randint(persons, (count - persons,), generator=generator)])
    return ImageSet(
        (pixels * 255).round().byte(),
        tuple(f"{name}-{index:03}" for index in range(count)),
        Labels(who, tuple(f"person {number}" for number in range(persons))),
        {"expression": Labels(torch.arange(count) % 3, ("happy", "neutral", "sad"))},
        landmarks_near(count, generator),
    )


@pytest.fixture(scope="module")
def asked(make_set):
    """24 images of 10 persons in 3 groups, and 20 images of 8 others."""
    images, train = smooth_faces(make_set, 24, 10), smooth_faces(make_set, 20, 8, seed=1, name="other")
    groups = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 2])
    return Request(images, images.identity.values, groups, Controller(train=train, batch_size=7))


def shuffled(request, seed=0):
    """The same people and groups: other order and keys of all images, other numbers of persons."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(request.images), generator=generator)
    number = torch.randperm(len(request.groups), generator=generator)
    groups = torch.empty_like(request.groups)
    groups[number] = request.groups
    train = renamed(request.controller.train, torch.randperm(len(request.controller.train), generator=generator))
    images = renamed(request.images, order)
    controller = dataclasses.replace(request.controller, train=train)
    return Request(images, number[request.of_image[order]], groups, controller)


def renamed(images, order):
    """Images in another order under other keys."""
    chosen = images.select(order)
    return dataclasses.replace(chosen, keys=tuple(f"key {index:03}" for index in order.flip(0).tolist()))


def only(request, group):
    """One group by itself."""
    persons = (request.groups == group).nonzero().flatten()
    rows = torch.isin(request.of_image, persons).nonzero().flatten()
    number = torch.full_like(request.groups, -1)
    number[persons] = torch.arange(len(persons))
    of_image = number[request.of_image[rows]]
    return Request(
        request.images.select(rows), of_image, torch.zeros(len(persons), dtype=torch.int64), request.controller
    )


def exact_means(request):
    """Means over persons of means over photographs in rational numbers, rounded half to even."""
    pixels = request.images.images.flatten(1).tolist()
    made = []
    for group in range(int(request.groups.max()) + 1):
        persons = [person for person, found in enumerate(request.groups.tolist()) if found == group]
        total = [Fraction(0)] * len(pixels[0])
        for person in persons:
            rows = [pixels[row] for row, found in enumerate(request.of_image.tolist()) if found == person]
            total = [
                t + Fraction(sum(values), len(rows)) for t, values in zip(total, zip(*rows, strict=True), strict=True)
            ]
        made.append([round(value / len(persons)) for value in total])
    return torch.tensor(made)


class TestEveryMaker:
    @pytest.mark.parametrize("maker", MAKERS, ids=str)
    def test_depends_neither_on_batches_nor_on_order_nor_on_names(self, maker, asked):
        plain = maker.render(asked)
        assert isinstance(maker, Surrogate)
        assert plain.dtype == torch.uint8
        assert plain.shape == (3, 3, *SIZE)
        assert len({bytes(face.numpy()) for face in plain}) == 3
        for batch_size, seed in [(1, 1), (24, 2)]:
            controller = dataclasses.replace(asked.controller, batch_size=batch_size)
            again = shuffled(dataclasses.replace(asked, controller=controller), seed)
            assert torch.equal(maker.render(again), plain)

    @pytest.mark.parametrize("maker", [maker for maker in MAKERS if getattr(maker, "basis", "") != "set"], ids=str)
    def test_depends_on_the_group_alone(self, maker, asked):
        plain = maker.render(asked)
        for group in range(3):
            assert torch.equal(maker.render(only(asked, group))[0], plain[group])

    @pytest.mark.parametrize("maker", MAKERS, ids=str)
    def test_sees_nothing_it_did_not_declare(self, maker, asked):
        images = asked.images.without(
            identity="identity" not in maker.uses, attributes=True, landmarks="landmarks" not in maker.uses
        )
        controller = asked.controller if "train" in maker.uses else dataclasses.replace(asked.controller, train=None)
        cut = dataclasses.replace(asked, images=images, controller=controller)
        assert torch.equal(maker.render(cut), maker.render(asked))

    @pytest.mark.parametrize("maker", [Eigenfaces(), Appearance(), UpConv(TINY)], ids=str)
    @pytest.mark.parametrize("train", ["none", "empty"])
    def test_says_that_there_are_no_other_people(self, maker, train, asked):
        others = None if train == "none" else asked.controller.train[:0]
        lacking = dataclasses.replace(asked, controller=Controller(train=others))
        with pytest.raises(EntrantError, match=r"images of other people.* use surrogate=pixels"):
            maker.render(lacking)


class TestMeans:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 9))
    def test_pixel_means_are_exact(self, seed, groups, more):
        rng = np.random.default_rng(seed)
        persons = groups + more
        of_group = np.concatenate([np.arange(groups), rng.integers(0, groups, more)])
        of_image = np.concatenate([np.arange(persons), rng.integers(0, persons, 5)])
        pixels = torch.from_numpy(rng.integers(0, 256, (len(of_image), 3, 2, 2), dtype=np.uint8))
        images = ImageSet(pixels, tuple(map(str, range(len(of_image)))))
        request = Request(images, torch.from_numpy(of_image), torch.from_numpy(of_group), Controller(batch_size=3))
        assert torch.equal(Pixels().render(request).flatten(1).long(), exact_means(request))

    def test_people_count_once_however_often_they_were_photographed(self):
        pixels = torch.tensor([0, 0, 0, 200], dtype=torch.uint8).reshape(4, 1, 1, 1).expand(4, 3, 4, 4)
        images = ImageSet(pixels, ("a", "b", "c", "d"))
        request = Request(images, torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0]), Controller())
        assert Pixels().render(request).unique().tolist() == [100]

    def test_other_values_than_pixels(self, asked):
        found = group_means(asked, lambda batch: batch.landmarks.flatten(1).double())
        for group, mean in enumerate(found):
            persons = (asked.groups == group).nonzero().flatten()
            points = [asked.images.landmarks[asked.of_image == person].double().mean(dim=0) for person in persons]
            assert torch.allclose(mean, torch.stack(points).mean(dim=0).flatten(), atol=1e-4)


class TestEigenfaces:
    @pytest.mark.parametrize("components", [0.5, 0.95, 3])
    @pytest.mark.parametrize("basis", ["train", "set"])
    def test_equals_scikit_learn(self, components, basis, asked):
        source = asked.controller.train if basis == "train" else asked.images
        pixels, labels = source.images.flatten(1).double().numpy(), source.identity.values.numpy()
        people = np.stack([pixels[labels == label].mean(axis=0) for label in np.unique(labels)])
        pca = PCA(components, svd_solver="full").fit(people)
        wanted = pca.inverse_transform(pca.transform(group_means(asked).numpy()))
        made = Eigenfaces(components, basis).render(asked).flatten(1).numpy()
        assert np.abs(made - np.clip(wanted, 0, 255)).max() <= 0.501

    def test_all_components_of_the_set_give_the_pixel_mean(self, asked):
        assert torch.equal(Eigenfaces(10**6, "set").render(asked), Pixels().render(asked))

    def test_rows_do_not_depend_on_each_other(self):
        generator = torch.Generator().manual_seed(0)
        learned = learn_components(torch.randn(50, 700, generator=generator), 20)
        points = torch.randn(70, 700, generator=generator, dtype=torch.float64)
        whole = learned.nearest(points)
        for row in (0, 5, 33, 69):
            assert torch.equal(learned.nearest(points[row : row + 1])[0], whole[row])


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


class TestUpConvolution:
    @pytest.mark.parametrize(
        ("size", "base", "doublings"),
        [
            ((96, 96), (3, 3), 5), ((64, 64), (4, 4), 4), ((112, 112), (7, 7), 4), ((256, 320), (4, 5), 6),
            ((97, 101), (7, 7), 4), ((20, 17), (5, 5), 2),
        ],
    )  # fmt: skip
    def test_reaches_every_size(self, size, base, doublings):
        assert layout(size) == (base, doublings)
        assert all(0 <= start * 2**doublings - side < 2**doublings for start, side in zip(base, size, strict=True))
        network = UpConvolution(4, 0, size, 0.05).eval()
        assert network(torch.eye(4), torch.zeros(4, 0)).shape == (4, 3, *size)

    def planted(self, count=4):
        """Flat faces of ``count`` colours, four photographs each, and a set of two of each colour."""
        colours = torch.tensor([[230, 40, 40], [40, 230, 40], [40, 40, 230], [220, 220, 40]], dtype=torch.uint8)[:count]
        noise = torch.randint(0, 9, (4 * count, 1, 1, 1), generator=torch.Generator().manual_seed(0))
        pixels = colours.repeat_interleave(4, 0)[:, :, None, None].expand(-1, 3, 24, 24) + noise.byte()
        identity = Labels(torch.arange(count).repeat_interleave(4), tuple("abcd"[:count]))
        train = ImageSet(pixels, tuple(f"{row}" for row in range(len(pixels))), identity)
        persons = colours.repeat_interleave(2, 0)[:, :, None, None].expand(-1, 3, 24, 24).contiguous()
        images = ImageSet(persons, tuple(f"p{row}" for row in range(len(persons))))
        return train, images, colours

    def test_learns_four_people_and_mixes_the_nearest(self):
        train, images, colours = self.planted()
        maker = UpConv(Recipe(people=4, steps=150, batch=8, width=0.2))
        persons, controller = torch.arange(8), Controller(train=train)
        alone = maker.render(Request(images[::2], torch.arange(4), torch.arange(4), controller))
        assert (alone.double() - (colours + 4)[:, :, None, None]).abs().mean() < 12
        proxies = maker.proxies(controller)
        request = Request(images, persons, torch.tensor([0, 1, 0, 1, 2, 3, 2, 3]), controller)
        own = [colours.tolist().index((image[:, 0, 0] - 4).tolist()) for image in _first_of_each(proxies)]
        codes = maker.codes(request, proxies)
        assert [sorted(own[q] for q in code.nonzero().flatten().tolist()) for code in codes] == [[0, 1]] * 2 + [
            [2, 3]
        ] * 2
        assert torch.equal(codes.sum(dim=1), torch.ones(4, dtype=torch.float64))
        compat = dataclasses.replace(maker, compat=True).codes(request, proxies)
        assert torch.allclose(compat, codes * 2**0.5)
        everybody = dataclasses.replace(request, groups=torch.zeros(8, dtype=torch.int64))
        assert maker.codes(everybody, proxies).tolist() == [[0.25] * 4]
        assert dataclasses.replace(maker, compat=True).codes(everybody, proxies).tolist() == [[0.5] * 4]

    def test_is_trained_once_for_the_same_people(self, cache, asked):
        maker = UpConv(TINY)
        maker.fit(asked.controller.train, asked.controller)
        (file,) = (cache / "store" / "surrogates").iterdir()
        first, before = file.read_bytes(), file.stat().st_mtime_ns
        plain = maker.render(shuffled(asked))
        assert [file] == list((cache / "store" / "surrogates").iterdir())
        assert file.stat().st_mtime_ns == before
        file.unlink()
        assert torch.equal(maker.render(asked), plain)
        assert file.read_bytes() == first
        other = dataclasses.replace(asked, controller=dataclasses.replace(asked.controller, seed=1))
        assert not torch.equal(maker.render(other), plain)
        assert len(list((cache / "store" / "surrogates").iterdir())) == 2
        darker = asked.controller.train.with_images(asked.controller.train.images // 2)
        maker.fit(darker, dataclasses.replace(asked.controller, train=darker))
        assert len(list((cache / "store" / "surrogates").iterdir())) == 3

    def test_training_leaves_the_global_randomness_alone(self, asked):
        torch.manual_seed(5)
        wanted = torch.rand(3)
        torch.manual_seed(5)
        UpConv(TINY).render(asked)
        assert torch.equal(torch.rand(3), wanted)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 10**6))
    def test_every_member_lends_a_face_of_its_own(self, members, people, seed):
        distances = torch.rand(members, people, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        counts = _nearest(distances)
        assert counts.sum() == members
        assert counts.max() - counts.min() <= 1 if members % people == 0 else counts.max() <= members // people + 1
        if members == 1:
            assert int(counts.argmax()) == int(distances[0].argmin())

    def test_shows_neutral_where_there_is_such_a_class(self, asked):
        proxies = UpConv(TINY).proxies(asked.controller)
        assert proxies.shown.tolist() == [0, 1, 0]
        assert proxies.conditions.shape == (len(proxies.images), 3)
        bare = dataclasses.replace(asked.controller, train=asked.controller.train.without(attributes=True))
        assert UpConv(TINY).proxies(bare).conditions.shape[1] == 0


def _first_of_each(proxies):
    return [
        proxies.images[(proxies.person == person).nonzero()[0, 0]] - _noise(proxies, person) + 4 for person in range(4)
    ]


def _noise(proxies, person):
    """What was added to the colour of the first photograph of a proxy."""
    first = proxies.images[(proxies.person == person).nonzero()[0, 0]]
    return int(first.min()) - 40
