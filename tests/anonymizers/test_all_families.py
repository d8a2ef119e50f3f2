"""What every conventional anonymizer must hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizers.conventional.blur import Blur, GaussianBlur
from anonymizers.conventional.controls import Black, Identity
from anonymizers.conventional.differential import DpBlur, DpPix
from anonymizers.conventional.ksame import KSameEigen, KSamePixel
from anonymizers.conventional.mask import Mask
from anonymizers.conventional.noise import GaussianNoise, SaltPepper
from anonymizers.conventional.pixelate import Pixelate
from benchmark.images import check_released
from benchmark.protocols import USES, Anonymizer, Controller

FILTERS = [
    Identity(),
    Black(),
    Blur(9),
    Blur(40),
    GaussianBlur(5),
    GaussianBlur(29),
    Pixelate(8),
    Pixelate(7, "edi"),
    DpPix(),
    DpBlur(),
    GaussianNoise(),
    SaltPepper(),
    Mask("eyes"),
    Mask("mouth"),
    Mask("eyes+mouth"),
    Mask("face"),
]
SETS = [KSamePixel(2), KSameEigen(2), KSameEigen(2, 3)]
RANDOM = [DpPix(), DpBlur(), GaussianNoise(), SaltPepper()]


@pytest.fixture(autouse=True, scope="module")
def _no_weights(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ANONBENCH_WEIGHTS", raising=False)
        patch.setenv("ANONBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pixels(entrant, images, **controller):
    return check_released(entrant.anonymize(images, Controller(**controller)), images).images


@pytest.mark.parametrize("entrant", FILTERS + SETS, ids=repr)
def test_batches_do_not_change_the_bytes(entrant, make_set):
    images = make_set(67, 33, 41, persons=9)
    assert torch.equal(pixels(entrant, images, batch_size=1), pixels(entrant, images, batch_size=64))


@pytest.mark.parametrize("entrant", FILTERS, ids=repr)
def test_a_filter_treats_each_image_by_itself(entrant, make_set):
    images = make_set(7, 33, 41)
    order = torch.tensor([4, 1, 6])
    assert torch.equal(pixels(entrant, images)[order], pixels(entrant, images.select(order)))


@pytest.mark.parametrize("entrant", FILTERS + SETS, ids=repr)
def test_input_is_not_changed_and_not_shared(entrant, make_set):
    images = make_set(6, persons=6)
    before = images.images.clone()
    pixels(entrant, images).fill_(77)
    assert torch.equal(images.images, before)


@pytest.mark.parametrize("entrant", FILTERS + SETS, ids=repr)
def test_planes_need_not_be_contiguous(entrant, make_set):
    images = make_set(6, persons=6)
    strided = images.with_images(images.images.to(memory_format=torch.channels_last))
    assert torch.equal(pixels(entrant, images), pixels(entrant, strided))


@pytest.mark.parametrize("entrant", RANDOM, ids=repr)
def test_seed_decides_the_bytes(entrant, make_set):
    images = make_set()
    first = pixels(entrant, images, seed=1)
    assert torch.equal(first, pixels(entrant, images, seed=1))
    assert not torch.equal(first, pixels(entrant, images, seed=2))


@pytest.mark.parametrize("entrant", [*FILTERS, *SETS], ids=repr)
@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_any_size_works(entrant, make_set, height, width):
    pixels(entrant, make_set(4, height, width, persons=4))


@pytest.mark.parametrize("entrant", FILTERS + SETS, ids=repr)
def test_class_facts(entrant):
    family = type(entrant)
    assert isinstance(entrant, Anonymizer)
    assert family.uses <= USES
    assert family.shardable is (entrant in FILTERS)
    assert family.__doc__.splitlines()[0].endswith(".")
    assert "\n" not in family.source
    assert len(family.source) > 10
    assert getattr(family, "control", False) is (family in (Identity, Black))


@pytest.mark.parametrize("entrant", FILTERS + SETS, ids=repr)
def test_progress_adds_up_to_all_images(entrant, make_set):
    done = []
    entrant.anonymize(make_set(10, persons=10), Controller(batch_size=4, progress=done.append))
    assert sum(done) == 10


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        (Identity, {"kernel": 3}),
        (Blur, {"kernel": 0}),
        (Blur, {"kernel": 1000}),
        (Blur, {"kernel": 2.5}),
        (Blur, {"size": 3}),
        (GaussianBlur, {"kernel": 8}),
        (GaussianBlur, {"sigma": -1}),
        (Pixelate, {"size": 0}),
        (Pixelate, {"variant": "median"}),
        (DpPix, {"b": 0}),
        (DpPix, {"m": 0}),
        (DpPix, {"eps": 0}),
        (DpPix, {"eps": float("nan")}),
        (DpBlur, {"kernel": 4}),
        (GaussianNoise, {"sigma": -1}),
        (SaltPepper, {"amount": 1.1}),
        (Mask, {"region": "nose"}),
        (KSamePixel, {"k": 1}),
        (KSameEigen, {"components": 0}),
        (KSameEigen, {"components": 1.5}),
    ],
)
def test_wrong_parameters_raise_at_construction(family, parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        family(**parameters)


def test_entrants_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Blur().kernel = 3


def test_identity_is_identical_and_black_is_black(make_set):
    images = make_set()
    assert torch.equal(pixels(Identity(), images), images.images)
    assert not np.any(pixels(Black(), images).numpy())
