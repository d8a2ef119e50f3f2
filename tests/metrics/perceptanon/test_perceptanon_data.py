"""Images as the networks see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.errors import UsageError
from metrics.perceptanon.data import (
    Examples,
    Moves,
    augmented,
    draw_moves,
    load_examples,
    load_pictures,
    moved,
    normalised,
    plain,
    squashed,
)
from metrics.perceptanon.table import read_table


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(50, 90), (33, 20), (16, 16), (200, 150)])
def test_squashing_is_pillows_antialiased_bilinear(shape: tuple[int, int]) -> None:
    image = noise(3, *shape)
    reference = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((32, 32), Image.Resampling.BILINEAR)
    found = squashed(image[None], 32)[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(found - np.asarray(reference)).max() <= 1


def test_normalisation_is_that_of_imagenet() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    found = normalised(images)
    torch.testing.assert_close(found[0, :, 0, 0], -torch.tensor([0.485 / 0.229, 0.456 / 0.224, 0.406 / 0.225]))
    torch.testing.assert_close(found[1, 0, 0, 0], torch.tensor((1 - 0.485) / 0.229))


def test_every_file_is_kept_once(study: Path) -> None:
    one = load_examples(read_table(study, "HA1"), "mean", "regression", 16)
    assert one.original is None
    assert one.bank.shape == (64, 3, 16, 16)
    two = load_examples(read_table(study, "HA2"), "labels5", "classification", 16)
    assert two.original is not None
    assert two.bank.shape == (64 + 16, 3, 16, 16)
    assert two.targets.dtype == torch.int64
    assert torch.equal(two.original[:4], two.original[:1].expand(4))
    assert one.content != two.content


def test_a_broken_image_is_named(study: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"broken\.png is not an image"):
        load_pictures([study / "data/coco/original/0.png", tmp_path / "broken.png"], 16)
    with pytest.raises(UsageError, match="at least 1 pixel"):
        load_pictures([], 0)


def test_no_move_leaves_the_image_and_a_flip_mirrors_it() -> None:
    images = noise(2, 3, 17, 17)
    flips = torch.tensor([1.0, -1.0])
    found = moved(images, Moves(flips, torch.zeros(2)))
    torch.testing.assert_close(found[0] * 255, images[0].float())
    torch.testing.assert_close(found[1] * 255, images[1].flip(2).float())


def test_a_quarter_turn_turns() -> None:
    images = noise(1, 3, 16, 16)
    found = moved(images, Moves(torch.ones(1), torch.full((1,), torch.pi / 2)))[0] * 255
    assert any(torch.allclose(found, images[0].float().rot90(turns, (1, 2)), atol=1e-3) for turns in (1, 3))


def test_moves_stay_in_range() -> None:
    moves = draw_moves(4000, torch.Generator().manual_seed(1))
    assert moves.angle.abs().max() <= 10 * torch.pi / 180
    assert moves.angle.abs().max() > 9.9 * torch.pi / 180
    assert (moves.flip == 1).float().mean() == pytest.approx(0.5, abs=0.03)
    assert set(moves.flip.tolist()) == {1.0, -1.0}


def pair() -> Examples:
    """The same images as originals and as released ones."""
    return Examples(noise(9, 3, 16, 16), torch.arange(9), torch.arange(9), torch.zeros(9))


def test_a_pair_moves_together_unless_told_otherwise() -> None:
    rows = torch.arange(9)
    first, second = augmented(pair(), rows, torch.Generator().manual_seed(0), False, "cpu")
    assert first is not None
    assert torch.equal(first, second)
    first, second = augmented(pair(), rows, torch.Generator().manual_seed(0), True, "cpu")
    assert first is not None
    assert not torch.equal(first, second)


def test_augmentation_follows_its_generator() -> None:
    rows = torch.arange(9)
    one, two, three = (augmented(pair(), rows, torch.Generator().manual_seed(s), False, "cpu")[1] for s in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_a_test_batch_is_only_normalised() -> None:
    examples = pair()
    first, second = plain(examples, torch.tensor([2, 5]), "cpu")
    assert first is not None
    assert torch.equal(second, normalised(examples.bank[[2, 5]]))
    assert torch.equal(first, second)
