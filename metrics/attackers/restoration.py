"""A network that restores photographs: trained on pairs, on top of a linear restoration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from benchmark.learning.classifier import SCORING_BATCH
from benchmark.learning.training import Recipe, train

CELL = 4
"""Side of the cells in px whose pixels become channels."""
RANGE = 255.0


class RestorationNetwork(nn.Module):
    """Corrects a first guess: three convolutions on cells of 4 x 4 px (sub-pixel convolution, Shi et al. 2016).

    It takes the released photograph above the guess, float ``[N, 3, 2 H, W]`` in [0, 1], and returns ``[N, 3, H, W]``. It
    starts as the guess itself.

    Args:
        width: channels between the convolutions.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, 3 * CELL**2, 3, padding=1)
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(
            nn.Conv2d(6 * CELL**2, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            last,
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``[N, 3, 2 H, W]`` to ``[N, 3, H, W]``."""
        released, guess = images.chunk(2, -2)
        height, width = guess.shape[-2:]
        both = torch.cat([released, guess], 1) - 0.5
        whole = nn.functional.pad(both, (0, -width % CELL, 0, -height % CELL), mode="replicate")
        change = nn.functional.pixel_shuffle(self.body(nn.functional.pixel_unshuffle(whole, CELL)), CELL)
        return guess + change[..., :height, :width]


@dataclass(frozen=True)
class Restorer:
    """A trained network.

    Attributes:
        network: takes released photographs and first guesses.
    """

    network: nn.Module

    @torch.inference_mode()
    def __call__(self, released: torch.Tensor, guess: torch.Tensor) -> torch.Tensor:
        """Restores float32 ``[N, 3, H, W]`` in [0, 1], in fixed batches."""
        both = torch.cat([released, guess.clamp(0, 1)], -2)
        return torch.cat([self.network(part) for part in both.split(SCORING_BATCH)])


def fit_network(
    released: torch.Tensor, guess: torch.Tensor, original: torch.Tensor, steps: int, width: int = 48, seed: int = 0
) -> Restorer:
    """Trains a ``RestorationNetwork`` on the mean squared error.

    Args:
        released: float32 ``[n, 3, H, W]`` in [0, 1], in steps of 1/255.
        guess: of a restoration that did not learn the pair it restores.
        original: float32 ``[n, 3, H, W]`` in [0, 1].
        steps: of the optimiser, 16 pairs each; a little more to make whole passes over few pairs.
        width: channels of the network.
        seed: of its initialisation and of the order of the pairs.
    """
    recipe = Recipe(
        epochs=1, min_steps=steps, batch=16, rate=2e-3, shift=0.0, zoom=0.0, turn=0.0, gain=0.0, flip=False
    )  # fmt: skip
    rows = torch.randperm(len(released), generator=torch.Generator().manual_seed(seed))[: steps * recipe.batch]
    both = (torch.cat([released, guess.clamp(0, 1)], -2)[rows] * RANGE).round().to(torch.uint8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = train(
            RestorationNetwork(width), both, original[rows], recipe, seed, loss=nn.functional.mse_loss
        )  # fmt: skip
    return Restorer(network)
