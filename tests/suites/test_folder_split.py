"""Properties of the split that hold for every data set."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmark.errors import UsageError
from benchmark.images import ImageSet, Labels
from suites.folder.split import split_folder

PARTS = ["background", "enrol", "probe", "spare"]


def image_set(counts: list[int], attributes: dict[str, list[int]], known: bool = True) -> ImageSet:
    """``counts[p]`` photographs of person p, whose classes are ``attributes[name][p]``."""
    person = torch.tensor([row for row, count in enumerate(counts) for _ in range(count)], dtype=torch.int64)
    keys = tuple(f"p{row}/{shot}.png" for row, count in enumerate(counts) for shot in range(count))
    labels = {name: Labels(torch.tensor(values)[person], ("x", "y", "z")) for name, values in attributes.items()}
    pixels = torch.arange(len(keys), dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 1, 1).contiguous()
    people = Labels(person, tuple(f"p{row}" for row in range(len(counts))))
    return ImageSet(pixels, keys, people if known else None, labels)


@st.composite
def image_sets(draw: st.DrawFn, known: bool = True) -> ImageSet:
    counts = draw(st.lists(st.integers(1, 9), min_size=4, max_size=12))
    assume(sum(count > 1 for count in counts) >= 3)
    names = draw(st.sampled_from([["age"], ["age", "gender"]] if not known else [[], ["age"], ["age", "gender"]]))
    classes = st.lists(st.integers(0, 2), min_size=len(counts), max_size=len(counts))
    return image_set(counts, {name: draw(classes) for name in names}, known)


def people_in(part: ImageSet) -> set[str]:
    assert part.identity is not None
    return {part.identity.classes[value] for value in part.identity.values.tolist()}


seeds = st.integers(0, 2**63)
shares = st.floats(0.05, 0.95)


@given(image_sets(), seeds, shares)
@settings(deadline=None, max_examples=100)
def test_parts_are_disjoint_and_complete(images: ImageSet, seed: int, share: float) -> None:
    parts = split_folder(images, seed, share)
    assert list(parts) == PARTS
    assert sorted(key for part in parts.values() for key in part.keys) == sorted(images.keys)
    assert len(parts["spare"]) == 0
    for part in parts.values():
        assert list(part.keys) == sorted(part.keys)
        places = [images.keys.index(key) for key in part.keys]
        assert torch.equal(part.images, images.images[places])
        for name, labels in images.attributes.items():
            assert part.attributes[name].classes == labels.classes
            assert torch.equal(part.attributes[name].values, labels.values[places])


@given(image_sets(), seeds, shares)
@settings(deadline=None, max_examples=100)
def test_people_keep_to_their_side(images: ImageSet, seed: int, share: float) -> None:
    parts = split_folder(images, seed, share)
    enrol, probe, background = (parts[name] for name in ("enrol", "probe", "background"))
    assert enrol.identity is not None
    assert probe.identity is not None
    assert people_in(enrol) == people_in(probe)
    assert enrol.identity.classes == probe.identity.classes == tuple(sorted(people_in(enrol)))
    assert not people_in(background) & people_in(enrol)
    for part in (enrol, probe, background):
        assert part.identity is not None
        assert set(part.identity.classes) == people_in(part)
        names = [part.identity.classes[value] for value in part.identity.values.tolist()]
        assert names == [key.split("/")[0] for key in part.keys]


@given(image_sets(), seeds, shares)
@settings(deadline=None, max_examples=100)
def test_share_of_enrolled_photographs(images: ImageSet, seed: int, share: float) -> None:
    parts = split_folder(images, seed, share)
    for name in people_in(parts["enrol"]):
        enrolled, probes = (sum(key.startswith(f"{name}/") for key in parts[part].keys) for part in ("enrol", "probe"))
        total = enrolled + probes
        assert enrolled == min(max(math.ceil(round(share * total, 6)), 1), total - 1)


@given(image_sets(), seeds, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_order_does_not_matter(images: ImageSet, seed: int, random: object) -> None:
    order = list(range(len(images)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = split_folder(images.select(torch.tensor(order)), seed)
    for name, part in split_folder(images, seed).items():
        assert shuffled[name].content == part.content


@given(image_sets(known=False), seeds)
@settings(deadline=None, max_examples=60)
def test_without_people_half_is_background(images: ImageSet, seed: int) -> None:
    parts = split_folder(images, seed)
    assert len(parts["background"]) == len(images) // 2
    assert sorted(parts["background"].keys + parts["probe"].keys) == sorted(images.keys)
    assert parts["enrol"].images.shape == (0, 3, 1, 1)
    assert all(part.identity is None for part in parts.values())
    for value in range(3):
        counts = [int((parts[name].attributes["age"].values == value).sum()) for name in ("background", "probe")]
        if len(images.attributes) == 1:
            assert abs(counts[0] - counts[1]) <= 1


def test_strata_are_halved() -> None:
    images = image_set([3] * 24, {"age": [row % 2 for row in range(24)], "gender": [row % 3 for row in range(24)]})
    background = split_folder(images, seed=5)["background"]
    pairs = list(zip(*(background.attributes[name].values.tolist() for name in ("age", "gender")), strict=True))
    assert {pair: pairs.count(pair) for pair in sorted(set(pairs))} == {(a, g): 6 for a in (0, 1) for g in (0, 1, 2)}


def test_without_attributes_nobody_is_background() -> None:
    parts = split_folder(image_set([10, 10, 4], {}), seed=0)
    assert parts["background"].images.shape == (0, 3, 1, 1)
    assert (len(parts["enrol"]), len(parts["probe"])) == (7 + 7 + 3, 3 + 3 + 1)


@pytest.mark.parametrize("attributes", [{}, {"age": [0, 1, 0, 1]}])
def test_one_photograph_is_background(attributes: dict[str, list[int]]) -> None:
    parts = split_folder(image_set([1, 2, 2, 2], attributes), seed=0)
    assert "p0/0.png" in parts["background"].keys


def test_share_is_free_of_binary_rounding() -> None:
    assert len(split_folder(image_set([20, 20], {}), 0, 0.55)["enrol"]) == 22


def test_seed_matters() -> None:
    images = image_set([6] * 12, {"age": [0] * 6 + [1] * 6})
    splits = [split_folder(images, seed) for seed in range(4)]
    assert len({split["background"].keys for split in splits}) > 1
    assert len({split["probe"].keys for split in splits}) == 4


def test_too_few_people() -> None:
    with pytest.raises(UsageError, match=r"needs at least two people with two photographs each, and here are 1; add"):
        split_folder(image_set([3, 1, 1], {}), seed=0)
    with pytest.raises(UsageError, match=r"needs at least three people .*, and here are 2; add photographs"):
        split_folder(image_set([3, 3], {"age": [0, 1]}), seed=0)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_impossible_share(share: float) -> None:
    with pytest.raises(UsageError, match="must lie between 0 and 1"):
        split_folder(image_set([3, 3], {}), 0, share)
