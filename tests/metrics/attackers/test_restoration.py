"""The trained inverter: what it starts from, what it learns, and what it may not depend on."""

from __future__ import annotations

import pytest
import torch

from metrics.attackers.restoration import RestorationNetwork, fit_network


def pairs(count: int, side: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft blobs, and the same darker; float32 in [0, 1] in steps of 1/255."""
    generator = torch.Generator().manual_seed(count)
    rough = torch.rand(count, 3, 4, 4, generator=generator)
    clear = (torch.nn.functional.interpolate(rough, side, mode="bilinear") * 255).round() / 255
    return (clear * 255 / 2).round() / 255, clear


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (3, 5)])
def test_an_untrained_network_returns_the_guess(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    released, guess = torch.rand(2, 2, 3, *size, generator=generator)
    torch.testing.assert_close(RestorationNetwork(8)(torch.cat([released, guess], -2)), guess)


def test_it_learns_what_the_guess_lacks() -> None:
    released, clear = pairs(64)
    restorer = fit_network(released, released, clear, steps=40)
    seen, wanted = pairs(20)
    assert (restorer(seen, seen) - wanted).square().mean() < 0.4 * (seen - wanted).square().mean()


def test_a_perfect_guess_stays_nearly_perfect() -> None:
    released, clear = pairs(32)
    restorer = fit_network(released, clear, clear, steps=20)
    assert (restorer(released, clear) - clear).abs().mean() < 0.03


def test_the_same_pairs_train_the_same_network_whatever_happened_before() -> None:
    released, clear = pairs(24)
    torch.manual_seed(1)
    first = fit_network(released, released, clear, steps=3)
    after = torch.random.get_rng_state()
    torch.manual_seed(2)
    second = fit_network(released, released, clear, steps=3)
    assert torch.equal(first(released, released), second(released, released))
    torch.manual_seed(1)
    assert torch.equal(after, torch.random.get_rng_state())


def test_two_pairs_are_enough() -> None:
    released, clear = pairs(2)
    assert fit_network(released, released, clear, steps=2)(released, released).isfinite().all()
