"""The drawn pictures are always the same and show what their labels say."""

from __future__ import annotations

import pytest
import torch

from benchmark.conformance import pictures
from benchmark.conformance.calling import recogniser_of
from benchmark.conformance.faces import draw_faces
from benchmark.hashing import sha256_tensor
from benchmark.images import ImageSet

LEFT_EYE, RIGHT_EYE, NOSE, LEFT_CORNER, RIGHT_CORNER = range(5)


@pytest.fixture(scope="module")
def large() -> ImageSet:
    """Large enough to measure on."""
    return draw_faces(20, 3, (160, 160))


def colour_at(images: ImageSet, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Pixels nearest to one point per image, int64 ``[N, 3]``."""
    return images.images[torch.arange(len(images)), :, y.round().long(), x.round().long()].long()


def redness(images: ImageSet, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """How much redder than green a point is, for its brightness."""
    colour = colour_at(images, x, y).double()
    return (colour[:, 0] - colour[:, 1]) / colour.sum(1).clamp(min=1)


def labels(images: ImageSet, name: str) -> torch.Tensor:
    return images.attributes[name].values


def test_they_are_the_same_in_every_run() -> None:
    torch.manual_seed(1)
    first = draw_faces(5, 2, (48, 48))
    torch.manual_seed(2)
    assert draw_faces(5, 2, (48, 48)).content == first.content
    kinds, again = pictures.unusual(8), pictures.unusual(8)
    assert {name: part.content for name, part in kinds.items()} == {name: part.content for name, part in again.items()}


def test_a_picture_does_not_depend_on_the_others() -> None:
    assert torch.equal(draw_faces(5, 2, (48, 48)).images[4:6], draw_faces(1, 2, (48, 48), first=2).images)
    assert torch.equal(draw_faces(5, 3, (48, 48)).images[1::3], draw_faces(5, 1, (48, 48), take=1).images)


def test_no_two_pictures_are_the_same() -> None:
    parts = [pictures.faces(8), pictures.other_faces(), pictures.other_faces(other=True)]
    parts += pictures.unusual(8).values()
    hashes = [sha256_tensor(image) for part in parts for image in part.images]
    assert len(set(hashes)) == len(hashes)


def test_people_keep_their_looks_and_differ() -> None:
    """Who is nearest by the colours of hair and skin alone is mostly the same person: 5 % would be by chance."""
    faces = draw_faces(20, 2, (64, 64))
    assert faces.identity is not None
    assert faces.landmarks is not None
    nose, eye = faces.landmarks[:, NOSE], faces.landmarks[:, LEFT_EYE]
    looks = torch.cat([colour_at(faces, nose[:, 0] + dx, nose[:, 1] + dy) for dx, dy in ((6, 0), (0, -26))], 1)
    looks = torch.cat([looks.double(), 2 * (nose - eye).double()], 1)
    nearest = torch.cdist(looks, looks).fill_diagonal_(float("inf")).argmin(1)
    assert (faces.identity.values[nearest] == faces.identity.values).double().mean() > 0.5


def test_people_of_another_number_are_others() -> None:
    ours, theirs = pictures.faces(8).identity, pictures.other_faces().identity
    assert ours is not None
    assert theirs is not None
    assert not set(ours.classes) & set(theirs.classes)


@pytest.mark.parametrize("size", [(160, 160), (120, 190)])
def test_landmarks_are_where_they_are_drawn(size: tuple[int, int]) -> None:
    faces = draw_faces(20, 3, size)
    assert faces.landmarks is not None
    x, y = faces.landmarks.unbind(2)
    far = 0.045 * min(size)
    for eye in (LEFT_EYE, RIGHT_EYE):
        beside = colour_at(faces, x[:, eye] + far, y[:, eye]).sum(1)
        assert bool((beside > colour_at(faces, x[:, eye], y[:, eye]).sum(1) + 200).all()), (
            "the iris is not in the white"
        )
    for corner, inwards in ((LEFT_CORNER, 1), (RIGHT_CORNER, -1)):
        inside = x[:, corner] + inwards * 0.006 * min(size)
        outside = x[:, corner] - inwards * 0.04 * min(size)
        assert bool((redness(faces, inside, y[:, corner]) > redness(faces, outside, y[:, corner]) + 0.05).all())
    cheek = colour_at(faces, x[:, NOSE] + 0.06 * min(size), y[:, NOSE]).sum(1)
    assert bool((colour_at(faces, x[:, NOSE], y[:, NOSE]).sum(1) < cheek).all())


def test_smiles_are_bent_and_other_mouths_are_not(large: ImageSet) -> None:
    assert large.landmarks is not None
    x = large.landmarks[:, (LEFT_CORNER, RIGHT_CORNER), 0].mean(1)
    y = large.landmarks[:, (LEFT_CORNER, RIGHT_CORNER), 1].mean(1)
    level, below = redness(large, x, y), redness(large, x, y + 0.05 * 160)
    assert torch.equal((below > level).long(), labels(large, "expression"))
    assert labels(large, "expression").unique().tolist() == [0, 1]


def test_glasses_have_a_dark_frame(large: ImageSet) -> None:
    assert large.landmarks is not None
    x, y = large.landmarks[:, LEFT_EYE].unbind(1)
    darkest = torch.stack([colour_at(large, x, y + 160 * step / 1000).sum(1) for step in range(55, 80)]).amin(0)
    skin = colour_at(large, x, y + 0.105 * 160).sum(1)
    assert torch.equal((darkest < 0.5 * skin).long(), labels(large, "glasses"))
    assert labels(large, "glasses").unique().tolist() == [0, 1]


def test_kinds_are_what_they_are_called() -> None:
    kinds = {name: part.images.int() for name, part in pictures.unusual(8).items()}
    assert list(kinds) == ["grey", "no face", "several faces", "one colour", "noise"]
    assert bool((kinds["grey"].amax(1) == kinds["grey"].amin(1)).all())
    spread = {name: (part.flatten(2).amax(2) - part.flatten(2).amin(2)).amax(1) for name, part in kinds.items()}
    assert spread.pop("one colour").tolist() == [0, 0, 0, 0]
    assert all(int(part.amin()) > 60 for part in spread.values())
    levels = kinds["noise"].flatten().bincount(minlength=256)
    assert int(levels.amin()) > 0.6 * levels.double().mean()


def test_grey_is_what_pillow_makes_of_it() -> None:
    from PIL import Image

    image = pictures.faces(1).images[:1]
    pillow = Image.fromarray(image[0].permute(1, 2, 0).numpy()).convert("L")
    ours = Image.fromarray(pictures.grey(image)[0].permute(1, 2, 0).contiguous().numpy()).convert("L")
    gaps = [abs(one - other) for one, other in zip(pillow.tobytes(), ours.tobytes(), strict=True)]
    assert max(gaps) <= 1


def test_sets_have_all_labels_of_all_images() -> None:
    parts = list(pictures.unusual(8).values())
    whole = pictures.joined(parts)
    assert len(whole) == sum(map(len, parts))
    assert whole.identity is not None
    assert whole.landmarks is not None
    for start, part in zip(range(0, len(whole), pictures.OF_EACH_KIND), parts, strict=True):
        assert whole[start : start + pictures.OF_EACH_KIND].content == part.content


@pytest.mark.parametrize("count", [3, 4, 16, 24, 200])
def test_shuffling_moves_every_image_and_is_not_undone_by_turning_round(count: int) -> None:
    order = pictures.shuffled(count)
    assert sorted(order.tolist()) == list(range(count))
    assert not bool((order == torch.arange(count)).any())
    assert not torch.equal(order[order], torch.arange(count))
    if count > 4:
        assert not torch.equal(order.flip(0), count - 1 - order)


def test_the_recogniser_knows_whom_it_is_given() -> None:
    faces = pictures.faces(8)
    assert faces.identity is not None
    known = recogniser_of(faces)
    assert torch.equal(known.predictions(faces.images), faces.identity.values)
    assert known.classes == faces.identity.classes


def test_making_the_recogniser_leaves_the_randomness_of_others_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    recogniser_of(pictures.faces(8))
    assert torch.equal(torch.rand(4), expected)
