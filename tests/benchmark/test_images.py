"""Image sets keep pictures, keys and labels together; what an anonymizer returns is held against the protocol."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import EntrantError
from benchmark.images import ImageSet, Labels, Released, check_released

COUNT = 10


def sample() -> ImageSet:
    """Every part of an image says which one it is."""
    numbers = torch.arange(COUNT)
    return ImageSet(
        numbers.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 5).clone(),
        tuple(f"image {row}" for row in range(COUNT)),
        Labels(numbers.clone(), tuple(f"person {row}" for row in range(COUNT))),
        {"age": Labels(numbers * 2, tuple(f"age {row}" for row in range(2 * COUNT)))},
        numbers.float().view(-1, 1, 1).expand(-1, 5, 2).clone(),
    )


def rows_of(images: ImageSet) -> list[int]:
    """The row each image had in the sample, after checking that all its parts agree."""
    rows = [int(key.split()[1]) for key in images.keys]
    assert images.images[:, 0, 0, 0].tolist() == rows
    assert images.identity is not None
    assert images.identity.values.tolist() == rows
    assert images.attributes["age"].values.tolist() == [2 * row for row in rows]
    assert images.landmarks is not None
    assert images.landmarks[:, 0, 0].tolist() == rows
    return rows


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.slices(COUNT).filter(lambda part: (part.step or 1) > 0))
def test_slice_keeps_the_parts_together(part: slice) -> None:
    assert rows_of(sample()[part]) == list(range(COUNT))[part]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, COUNT - 1), unique=True))
def test_selection_keeps_the_parts_together_in_the_given_order(rows: list[int]) -> None:
    assert rows_of(sample().select(torch.tensor(rows, dtype=torch.int64))) == rows


@pytest.mark.parametrize("size", [1, 3, 10, 64])
def test_batches_cover_all_images_once(size: int) -> None:
    batches = list(sample().batches(size))
    assert [row for batch in batches for row in rows_of(batch)] == list(range(COUNT))
    assert all(len(batch) <= size for batch in batches)


@pytest.mark.parametrize(
    "images",
    [torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2, 1, 4, 4, dtype=torch.uint8)],
)
def test_other_tensors_are_refused(images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="uint8"):
        ImageSet(images, ("a", "b"))


@pytest.mark.parametrize("keys", [("a",), ("a", "a"), ("a", "b", "c")])
def test_keys_are_unique_and_one_per_image(keys: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="keys"):
        ImageSet(torch.zeros(2, 3, 1, 1, dtype=torch.uint8), keys)


def test_size_is_height_and_width() -> None:
    assert sample().size == (4, 5)


def test_without_forgets_what_is_named_and_nothing_else() -> None:
    blind = sample().without(identity=True, attributes=True, landmarks=True)
    assert (blind.identity, dict(blind.attributes), blind.landmarks) == (None, {}, None)
    assert rows_of(sample().without()) == list(range(COUNT))
    assert sample().without(identity=True).landmarks is not None


def changed(part: str) -> ImageSet:
    """The sample with one part changed in one image."""
    images = sample()
    pixels, keys, landmarks = images.images.clone(), list(images.keys), images.landmarks
    assert landmarks is not None
    assert images.identity is not None
    people, attributes = images.identity.values.clone(), dict(images.attributes)
    if part == "pixel":
        pixels[3, 1, 2, 2] += 1
    if part == "key":
        keys[3] = "another"
    if part == "identity":
        people[3] = 4
    if part == "attribute":
        attributes["age"] = Labels(attributes["age"].values.flip(0), attributes["age"].classes)
    if part == "landmark":
        landmarks[3, 0, 0] += 1
    return ImageSet(pixels, tuple(keys), Labels(people, images.identity.classes), attributes, landmarks)


@pytest.mark.parametrize("part", ["pixel", "key", "identity", "attribute", "landmark"])
def test_content_changes_with_everything_an_entrant_may_see(part: str) -> None:
    assert changed("nothing").content == sample().content
    assert changed(part).content != sample().content


def test_released_that_keeps_the_protocol_passes() -> None:
    images = sample()
    released = Released(images.images.flip(3), {"groups": torch.zeros(COUNT)})
    assert check_released(released, images) is released


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (torch.zeros(COUNT, 3, 4, 5, dtype=torch.uint8), "not Tensor"),
        (None, "not NoneType"),
        (Released(torch.zeros(COUNT, 3, 4, 5)), "not torch.float32"),
        (Released(np.zeros((COUNT, 3, 4, 5), np.uint8)), "uint8 tensor"),  # type: ignore[arg-type]
        (Released([1]), "not list"),  # type: ignore[arg-type]
        (Released(torch.zeros(COUNT - 1, 3, 4, 5, dtype=torch.uint8)), "one released image per original"),
        (Released(torch.zeros(COUNT, 3, 5, 4, dtype=torch.uint8)), "expected (10, 3, 4, 5)"),
    ],
)
def test_anything_else_is_an_entrant_error_of_one_line(returned: object, says: str) -> None:
    with pytest.raises(EntrantError) as caught:
        check_released(returned, sample())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
