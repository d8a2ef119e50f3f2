"""Every maker of surrogates, means, and eigenfaces: against exact arithmetic and scikit-learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from anonymizers.kanonymity.surrogates import Appearance, Eigenfaces, Pixels, Request, Surrogate, UpConv
from anonymizers.kanonymity.surrogates.base import group_means, in_content_order
from anonymizers.kanonymity.surrogates.components import learn_components
from benchmark.errors import EntrantError
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Controller
from tests.anonymizers.surrogate_requests import (
    SIZE,
    TINY,
    exact_means,
    only,
    requested,
    shuffled,
)

MAKERS = [Pixels(), Eigenfaces(), Eigenfaces(basis="set"), Appearance(), Appearance(basis="set"), UpConv(TINY)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def asked(make_set):
    return requested(make_set)


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


class TestContentOrder:
    def test_is_the_same_whatever_images_are_called(self, asked):
        plain, again = in_content_order(asked.images), in_content_order(shuffled(asked).images)
        assert torch.equal(plain.images, again.images)
        assert sorted(plain.keys) == sorted(asked.images.keys) != list(plain.keys)

    def test_persons_with_the_same_photograph_are_told_apart_by_their_others(self):
        """Two show the same photograph; whose comes first must follow from their other ones."""
        orders = []
        for names, who in (("abcd", [0, 0, 1, 1]), ("dcba", [1, 1, 0, 0]), ("badc", [1, 1, 0, 0])):
            levels = torch.tensor([5, 6, 5, 7], dtype=torch.uint8)
            images = ImageSet(
                levels[:, None, None, None].expand(-1, 3, 2, 2), tuple(names), Labels(torch.tensor(who), ("x", "y"))
            )
            found = in_content_order(images)
            levels, owners = found.images[:, 0, 0, 0].tolist(), found.identity.values.tolist()
            other = {owner: level for level, owner in zip(levels, owners, strict=True) if level != 5}
            orders.append([other[owner] for level, owner in zip(levels, owners, strict=True) if level == 5])
        assert orders[0] == orders[1] == orders[2]
        assert sorted(orders[0]) == [6, 7]


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
