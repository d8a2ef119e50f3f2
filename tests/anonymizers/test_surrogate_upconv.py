"""The up-convolutional network and its proxies."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizers.kanonymity.surrogates import Request, UpConv
from anonymizers.kanonymity.surrogates.network import UpConvolution, layout
from anonymizers.kanonymity.surrogates.proxies import Recipe
from anonymizers.kanonymity.surrogates.upconv import _nearest
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Controller
from tests.anonymizers.surrogate_requests import (
    TINY,
    requested,
    shuffled,
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def asked(make_set):
    return requested(make_set)


def _first_of_each(proxies):
    return [
        proxies.images[(proxies.person == person).nonzero()[0, 0]] - _noise(proxies, person) + 4 for person in range(4)
    ]


def _noise(proxies, person):
    """What was added to the colour of the first photograph of a proxy."""
    first = proxies.images[(proxies.person == person).nonzero()[0, 0]]
    return int(first.min()) - 40


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
