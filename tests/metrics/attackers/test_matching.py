"""Which pairs may be compared, and which similarities may be judged."""

from __future__ import annotations

import pytest
import torch

from metrics.attackers.matching import Matches, checked, same_photographs


def noise(count: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 6, 5), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_planted_duplicates_are_the_same_photographs() -> None:
    probes, gallery = noise(5, 0), noise(7, 1)
    gallery[3], gallery[6], gallery[0] = probes[1], probes[1], probes[4]
    expected = torch.zeros(5, 7, dtype=torch.bool)
    expected[1, 3] = expected[1, 6] = expected[4, 0] = True
    assert same_photographs(probes, gallery).equal(expected)


def test_one_grey_level_makes_another_photograph() -> None:
    probes = noise(3, 0)
    gallery = probes.clone()
    gallery[1, 2, 5, 4] ^= 1
    assert same_photographs(probes, gallery).equal(torch.diag(torch.tensor([True, False, True])))


def test_nothing_is_the_same_as_nothing() -> None:
    assert same_photographs(noise(0, 0), noise(4, 0)).shape == (0, 4)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_broken_similarities_are_an_error(value: float) -> None:
    similarity = torch.zeros(2, 3)
    similarity[1, 2] = value
    with pytest.raises(ValueError, match="NaN or \\+inf"):
        checked(Matches(similarity, torch.arange(3)), torch.tensor([0, 1]))


def test_what_an_undetected_probe_seems_like_does_not_matter() -> None:
    similarity = torch.tensor([[1.0, 2.0, 3.0], [torch.nan, torch.inf, -torch.inf]])
    found = checked(Matches(similarity, torch.arange(3), torch.tensor([False, True])), torch.tensor([0, 1]))
    assert found.similarity.tolist() == [[1, 2, 3], [0, 0, -torch.inf]]
    assert found.detected.tolist() == [True, False]


@pytest.mark.parametrize(("rows", "columns", "owners"), [(3, 3, 3), (2, 3, 2), (2, 0, 0)])
def test_shapes_that_do_not_fit_are_an_error(rows: int, columns: int, owners: int) -> None:
    with pytest.raises(ValueError, match="one row per probe"):
        checked(Matches(torch.zeros(rows, columns), torch.arange(owners)), torch.tensor([0, 1]))
