"""Surrogates of AnonFACES: the members' latents are mixed, and a style-based generator draws the mix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from anonymizers.kanonymity import embeddings
from anonymizers.kanonymity.generator.adjusting import Adjusted, adjust
from anonymizers.kanonymity.generator.files import Generator, hash_of, load_generator, training_of
from anonymizers.kanonymity.generator.latents import drawn, latents_of
from anonymizers.kanonymity.generator.mixing import in_layers, mix_latents, truncated
from anonymizers.kanonymity.persons import Persons
from anonymizers.kanonymity.surrogates.base import Request
from anonymizers.kanonymity.surrogates.comparing import Comparison
from benchmark.records import Weights

Mix = Literal["naive", "random", "adjusted"]
Layers = Literal["all", "coarse", "middle", "fine"]


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
            found = self._adjusted(latents, request, network)
            return self.shaped(found.latents, network)
        mixed = mix_latents(
            latents, groups, self.mix, contents=request.contents, seed=request.controller.seed, compat=self.compat
        )
        return self.shaped(mixed, network)

    def _adjusted(self, latents: Tensor, request: Request, network: Generator) -> Adjusted:
        def drawing(mixed: Tensor) -> Tensor:
            return drawn(network, self.shaped(mixed, network), request.images.size)

        compare = Comparison(request, self.embedding, drawing)
        origin, threshold = network.network.mean_latent.cpu(), compare.threshold
        groups = request.groups.numpy()
        found = adjust(latents, groups, compare, k=self.k, origin=origin, threshold=threshold, compat=self.compat)
        request.notes["adjusted"] = found.told(self.k, threshold)
        return found

    def shaped(self, mixed: Tensor, network: Generator) -> Tensor:
        """Mixed latents after the choice of layers and truncation."""
        mean = network.network.mean_latent.cpu()
        styles = getattr(network.network.design, "styles", mixed.shape[1])
        kept = in_layers(mixed[:, :styles], mean[:styles], self.layers)
        coarse = self.layers in ("all", "coarse")  # as the map is
        rest = mixed[:, styles:] if coarse else mean[styles:].expand_as(mixed[:, styles:])
        return truncated(torch.cat([kept, rest], dim=1), mean, self.psi)
