"""Surrogates of AnonFACES: the members' latents are mixed, and a style-based generator draws the mix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizers.kanonymity import embeddings
from anonymizers.kanonymity.generator.adjusting import adjust
from anonymizers.kanonymity.generator.files import Generator, hash_of, load_generator, training_of
from anonymizers.kanonymity.generator.latents import drawn, latents_of
from anonymizers.kanonymity.generator.mixing import in_layers, mix_latents, truncated
from anonymizers.kanonymity.persons import Persons
from anonymizers.kanonymity.surrogates.base import Request
from benchmark.errors import EntrantError
from benchmark.images import ImageSet
from benchmark.records import Weights

Mix = Literal["naive", "random", "adjusted"]
Layers = Literal["all", "coarse", "middle", "fine"]
PAIRED = 1500
"""Photographs whose pairs say where one person ends and another begins, at most."""


@dataclass(frozen=True)
class Style:
    """One generated face per group.

    A person is the mean latent of their photographs; a group's latent is the mix of its persons'.

    Attributes:
        generator: ``portraits``, which ships along, or a file.
        mix: naive, random, or adjusted until few enough members resemble their surrogate.
        layers: of W+ that are mixed; the others show the generator's mean face.
        psi: truncation of the mix towards the mean face.
        steps: of projection, after the encoder where there is one.
        embedding: by which ``adjusted`` compares members with their surrogate.
        k: at most 1/k of the members may resemble it.
        compat: the arithmetic of the authors' program.
    """

    generator: str = "portraits"
    mix: Mix = "naive"
    layers: Layers = "all"
    psi: float = 1.0
    steps: int = 0
    embedding: str = embeddings.PCA
    k: int = 5
    compat: bool = False

    uses: ClassVar[frozenset[str]] = frozenset({"identity"})
    source: ClassVar[str] = "Le, Khan, Tsaloli, Carlsson and Buchegger, AnonFACES, WPES 2020"

    @property
    def weights(self) -> tuple[Weights, ...]:
        """The generator's file."""
        return (Weights(name=f"generator {self.generator.rpartition('/')[2]}", sha256=hash_of(self.generator)),)

    @property
    def training_data(self) -> tuple[str, ...]:
        """What the generator was trained on, where its file says so."""
        told = training_of(self.generator)
        return (told,) if told else ()

    def render(self, request: Request) -> Tensor:
        """One face per group, uint8 ``[G, 3, H, W]``.

        Raises:
            EntrantError: the generator's file is missing or broken, or ``adjusted`` has nothing to compare by.
        """
        network = load_generator(self.generator, request.controller.device)
        persons = Persons(request.of_image, known=True)
        latents = persons.means(
            latents_of(network, request.images.images, self.steps, request.controller.progress)
        ).float()
        mixed = self._mixed(latents, request, network)
        return drawn(network, mixed, request.images.size)

    def _mixed(self, latents: Tensor, request: Request, network: Generator) -> Tensor:
        groups = request.groups.numpy()
        if self.mix == "adjusted":
            compare = _Comparison(request, network, self)
            origin = network.network.mean_latent.cpu()
            found = adjust(
                latents, groups, compare, k=self.k, origin=origin, threshold=compare.threshold, compat=self.compat
            )
            return self.shaped(found.latents, network)
        mixed = mix_latents(latents, groups, self.mix, seed=request.controller.seed, compat=self.compat)
        return self.shaped(mixed, network)

    def shaped(self, mixed: Tensor, network: Generator) -> Tensor:
        """Mixed latents after the choice of layers and truncation."""
        mean = network.network.mean_latent.cpu()
        styles = getattr(network.network.design, "styles", mixed.shape[1])
        kept = in_layers(mixed[:, :styles], mean[:styles], self.layers)
        coarse = self.layers in ("all", "coarse")  # as the map is
        rest = mixed[:, styles:] if coarse else mean[styles:].expand_as(mixed[:, styles:])
        return truncated(torch.cat([kept, rest], dim=1), mean, self.psi)


class _Comparison:
    """Draws surrogates and says how far every person is from the one of their group."""

    def __init__(self, request: Request, network: Generator, style: Style) -> None:
        self.request, self.network, self.style = request, network, style
        self.space = embeddings.embedding(style.embedding, request.images, request.controller)
        self.persons = Persons(request.of_image, known=True)
        self.originals = self.space.describe(request.images)

    @cached_property
    def threshold(self) -> float:
        """Distance up to which a person counts as recognised.

        Raises:
            EntrantError: nothing says where that is.
        """
        return self.space.threshold if self.space.threshold is not None else same_person(self.originals, self.persons)

    def __call__(self, latents: Tensor, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean distance of every person's photographs from the surrogate, ``[P]``; NaN where there is none."""
        made = drawn(self.network, self.style.shaped(latents, self.network), self.request.images.size)
        found = self.space.describe(ImageSet(made, tuple(f"surrogate-{group}" for group in groups.tolist())))
        place = torch.full((self.request.count,), -1, dtype=torch.int64)
        place[torch.from_numpy(groups)] = torch.arange(len(groups))
        rows = place[self.request.group_of_image]
        distances = (self.originals - found[rows]).norm(dim=1)
        distances[rows < 0] = torch.nan
        unseen = torch.zeros(self.persons.count, dtype=torch.bool)
        unseen[self.request.of_image[distances.isnan()]] = True  # no surrogate, or no face on it: not a distance of 0
        return self.persons.means(distances.nan_to_num(0)[:, None])[:, 0].masked_fill(unseen, torch.nan).numpy()


def same_person(values: Tensor, persons: Persons) -> float:
    """The distance at which as many pairs of one person lie beyond as pairs of two persons lie within.

    Args:
        values: embeddings ``[N, D]``; of many images those of some persons, all photographs of each.
        persons: who is on them.

    Raises:
        EntrantError: nobody has two photographs.
    """
    rows = _some(persons)
    one, other = torch.triu_indices(len(rows), len(rows), 1)
    who = persons.of_image[rows]
    same = who[one] == who[other]
    if not bool(same.any()):
        raise EntrantError(
            "mix=adjusted needs a distance up to which two faces are one person's, and nobody here has two photographs to "
            "learn it from: use mix=naive, or an embedding with a threshold of its own"
        )
    distances = torch.nn.functional.pdist(values[rows])
    order = distances.argsort()
    same = same[order].double()
    beyond = 1 - same.cumsum(0) / same.sum()
    within = (1 - same).cumsum(0) / (1 - same).sum().clamp(min=1)
    return float(distances[order[(beyond - within).abs().argmin()]])


def _some(persons: Persons) -> Tensor:
    """All photographs, or, where there are more than ``PAIRED``, so many of persons with several, spread evenly."""
    if len(persons.of_image) <= PAIRED:
        return torch.arange(len(persons.of_image))
    several = (persons.photographs > 1).nonzero().flatten()
    most = max(1, PAIRED * len(several) // max(1, int(persons.photographs[several].sum())))
    chosen = several[torch.linspace(0, len(several) - 1, min(most, len(several))).round().long()]
    rows = torch.isin(persons.of_image, chosen).nonzero().flatten()
    return rows[torch.linspace(0, len(rows) - 1, min(len(rows), PAIRED)).round().long()]
