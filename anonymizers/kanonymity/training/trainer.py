"""Trains a small style-based generator with its encoder on photographs: an autoencoder whose averages are faces too.

First the decoded photograph must equal the original: in its pixels and edges, with more weight on eyes and mouth where
landmarks say where they are, and at several scales. A linear reading of the latents must tell attributes and landmarks
where they are known, so that the mean of some latents keeps what they have in common. Then a discriminator joins: decoded
photographs must look the same to it (its features, Larsen et al., ICML 2016), and it must not tell from photographs what
is decoded, nor what is decoded from the *mean* of several latents (as Berthelot et al., ICLR 2019, do for pairs). The
mapping network learns to give latents like those of photographs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from anonymizers.kanonymity.generator.encoder import Encoder
from anonymizers.kanonymity.generator.network import Design, StyleGenerator
from anonymizers.kanonymity.generator.pictures import as_pictures
from anonymizers.kanonymity.training.batch import Batch
from anonymizers.kanonymity.training.discriminator import Discriminator
from anonymizers.kanonymity.training.losses import (
    feature_difference,
    means_of_some,
    pixel_loss,
    reading_loss,
    sliced_distance,
)
from anonymizers.kanonymity.training.recipe import Recipe

PLANNED = 4
"""Times the steps before the discriminator joins that the learning rate is planned for: it stays high, because averages are
spoiled, overdrawn or pale, where the generator follows too slowly."""
STEEPEST = 1.0
"""Norm that gradients are clipped to."""
MEMORY = 256
"""Latents of earlier steps that are remembered."""


class Trainer:
    """Networks, optimisers and the step reached; everything a checkpoint holds.

    Args:
        design: of the generator.
        recipe: how to train.
        pictures: uint8 ``[N, 3, S, S]``.
        landmarks: float32 ``[N, 5, 2]`` in pixels, or None.
        labels: int64 ``[N, attributes]`` of labelled photographs, which the discriminator names.
    """

    def __init__(
        self,
        design: Design,
        recipe: Recipe,
        pictures: Tensor,
        landmarks: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.design, self.recipe, self.pictures = design, recipe, pictures
        self.landmarks, self.labels = landmarks, labels
        self.generator, self.encoder = StyleGenerator(design), Encoder(design)
        self.classes: tuple[int, ...] = () if labels is None else tuple((labels.amax(dim=0) + 1).tolist())
        self.discriminator = Discriminator(tuple(reversed(design.channels))[1:], self.classes)
        told = sum(self.classes) + (0 if landmarks is None else 2 * landmarks.shape[1])
        self.reader = nn.Linear(design.layers * design.style, told) if told else None
        for network in (self.generator, self.encoder, self.discriminator):
            network.to(memory_format=torch.channels_last)
        self.kept = copy.deepcopy(nn.ModuleList([self.generator, self.encoder])).requires_grad_(False)
        # The generator's weights are stored at unit variance, the encoder's are not: they take smaller steps.
        makers = [
            {"params": list(self.generator.parameters()), "share": 1.0},
            {"params": list(self.encoder.parameters()), "share": recipe.encoder_share},
        ]
        if self.reader is not None:
            makers.append({"params": list(self.reader.parameters()), "share": recipe.encoder_share})
        self.maker = torch.optim.Adam(makers, lr=recipe.rate, betas=(0.9, 0.99))
        self.judge = torch.optim.Adam(self.discriminator.parameters(), lr=recipe.adversary_rate, betas=(0.0, 0.99))
        self.memory = torch.zeros(0, design.layers, design.style)
        self.step = 0
        self.log: dict[str, float] = {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"step": self.step, "memory": self.memory, **{name: part.state_dict() for name, part in self._parts()}}

    def _parts(self) -> list[tuple[str, Any]]:
        names = ("generator", "encoder", "discriminator", "reader", "kept", "maker", "judge")
        return [(name, getattr(self, name)) for name in names if getattr(self, name) is not None]

    def resume(self, state: dict[str, Any]) -> None:
        """Continues where a checkpoint was written."""
        self.step, self.memory = state["step"], state["memory"]
        for name, part in self._parts():
            part.load_state_dict(state[name])

    def run(self, until: int) -> Iterator[int]:
        """Trains up to a step and yields after each."""
        while self.step < min(until, self.recipe.steps):
            self._train()
            self.step += 1
            yield self.step

    @torch.no_grad()
    def finished(self) -> tuple[StyleGenerator, Encoder]:
        """Generator and encoder with the averaged weights, and the mean latent of the photographs."""
        network, encoder = self.kept
        assert isinstance(network, StyleGenerator)
        assert isinstance(encoder, Encoder)
        rows = torch.linspace(0, len(self.pictures) - 1, min(len(self.pictures), 2048)).round().long()
        latents = torch.cat([encoder(as_pictures(self.pictures[part])) for part in rows.split(64)])
        network.mean_latent.copy_(latents.mean(dim=0))
        return network.eval(), encoder.eval()

    def _train(self) -> None:
        batch = self._batch()
        for group in self.maker.param_groups:
            group["lr"] = self._rate() * group["share"]
        self.judge.param_groups[0]["lr"] = self.recipe.adversary_rate
        if self.step < self.recipe.adversarial_from:
            made, latents = self._decoded(batch.pictures)
            self._learn(self._pixels(made, batch) + self._read(latents, batch), self.maker)
        else:
            self._contest(batch)
        self._keep()

    def _generator(self, use: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.step * 7 + use)

    def _rows(self, count: int) -> Tensor:
        """Photographs of this step: epochs in a shuffled order."""
        total = len(self.pictures)
        first = self.step * count
        places = torch.arange(first, first + count)
        epochs = {int(epoch) for epoch in places // total}
        orders = {
            epoch: torch.randperm(total, generator=torch.Generator().manual_seed(self.recipe.seed + epoch))
            for epoch in epochs
        }
        return torch.stack([orders[int(place) // total][int(place) % total] for place in places])

    def _rate(self) -> float:
        """A short warm-up, then the beginning of half a cosine; half of it against the discriminator."""
        recipe = self.recipe
        warm = min(1.0, (self.step + 1) / 300) * (1.0 if self.step < recipe.adversarial_from else 0.5)
        done = self.step / max(recipe.steps, PLANNED * recipe.adversarial_from)
        return recipe.rate * warm * (0.05 + 0.95 * 0.5 * (1 + torch.cos(torch.tensor(done * torch.pi)).item()))

    def _batch(self) -> Batch:
        """The photographs of this step, mirrored or not, and what is known of them."""
        rows = self._rows(self.recipe.batch)
        batch = Batch(
            as_pictures(self.pictures[rows]),
            None if self.landmarks is None else self.landmarks[rows],
            None if self.labels is None else self.labels[rows],
        )
        return batch.mirrored() if bool(torch.rand((), generator=self._generator(1)) < 0.5) else batch

    def _decoded(self, originals: Tensor) -> tuple[Tensor, Tensor]:
        """Decoded photographs, and their latents."""
        with torch.autocast("cpu", torch.bfloat16):
            latents = self.encoder(originals)
            return self.generator(latents).float(), latents

    def _pixels(self, made: Tensor, batch: Batch) -> Tensor:
        """The loss of decoded photographs."""
        self.log["psnr"] = float(-10 * torch.log10((made.detach() - batch.pictures).square().mean() / 4))
        return pixel_loss(made, batch.pictures, batch.focus(self.recipe.focus))

    def _read(self, latents: Tensor, batch: Batch) -> Tensor:
        """What a linear reading of the latents misses of attributes and landmarks: a mean of latents then keeps them."""
        if self.reader is None:
            return latents.new_zeros(())
        loss = reading_loss(self.reader(latents.flatten(1)), self.classes, batch)
        self.log |= {"read": float(loss.detach())}
        return self.recipe.reading * loss

    def _contest(self, batch: Batch) -> None:
        """One step of both sides.

        The terms meet on the pictures: each pulls with its share of the length of the pixels' gradient there, so that
        neither a strong nor a weak discriminator runs away with the training.
        """
        made, latents = self._decoded(batch.pictures)
        averaged = self._averaged(latents)
        wanted = self._teach_judge(batch, torch.cat([made[: self.recipe.generated], averaged]).detach())
        self.discriminator.requires_grad_(False)
        pull, share = self._pull(made.detach(), batch, wanted)
        fooled = share * self._fooled_by(averaged.detach())
        self.discriminator.requires_grad_(True)
        self.maker.zero_grad(set_to_none=True)
        rest = self._mapped(latents) + self._read(latents, batch)
        torch.autograd.backward([made, averaged, rest], [pull, fooled, None])
        self._remember(latents)
        self._step(self.maker)

    def _pull(self, made: Tensor, batch: Batch, wanted: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Gradient of all terms on decoded photographs, and the factor of the discriminator's verdict in it."""
        pictures = made.requires_grad_(True)
        pixels = torch.autograd.grad(self._pixels(pictures, batch), pictures)[0]
        with torch.autocast("cpu", torch.bfloat16):
            verdict, found = self.discriminator(pictures)
        alike = torch.stack([feature_difference(a, b) for a, b in zip(found, wanted, strict=True)]).mean()
        fooled = -verdict.float().mean()
        self.log |= {"alike": float(alike.detach()), "fooled": float(fooled.detach())}
        to_alike = torch.autograd.grad(alike, pictures, retain_graph=True)[0]
        to_fooled = torch.autograd.grad(fooled, pictures)[0]
        length = pixels.norm()
        share = self.recipe.adversarial * length / to_fooled.norm().clamp(min=1e-12)
        perceptual = self.recipe.perceptual * length / to_alike.norm().clamp(min=1e-12)
        return pixels + perceptual * to_alike + share * to_fooled, share

    def _fooled_by(self, pictures: Tensor) -> Tensor:
        """Gradient of the discriminator's verdict on generated pictures."""
        pictures.requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16):
            verdict, _ = self.discriminator(pictures)
        return torch.autograd.grad(-verdict.float().mean(), pictures)[0]

    def _averaged(self, latents: Tensor) -> Tensor:
        """Pictures of the means of 2 to ``average`` latents: this batch's, and some that are remembered."""
        random = self._generator(2)
        pool = torch.cat([latents, self.memory[torch.randperm(len(self.memory), generator=random)]])
        means = means_of_some(pool[: max(self.recipe.average, len(latents))], self.recipe.generated, random)
        with torch.autocast("cpu", torch.bfloat16):
            made: Tensor = self.generator(means).float()
        return made

    def _mapped(self, latents: Tensor) -> Tensor:
        """How far what the mapping network gives is distributed from latents of photographs."""
        random = self._generator(3)
        known = torch.cat([latents.detach(), self.memory])
        drawn = self.generator.latents(torch.randn(len(known), self.design.style, generator=random)).flatten(1)
        return sliced_distance(drawn, (known - known.mean(dim=0)).flatten(1), random)

    def _remember(self, latents: Tensor) -> None:
        self.memory = torch.cat([latents.detach(), self.memory])[:MEMORY]

    def _teach_judge(self, batch: Batch, made: Tensor) -> list[Tensor]:
        """One step of the discriminator; returns its features of the originals."""
        with torch.autocast("cpu", torch.bfloat16):
            real, features = self.discriminator(batch.pictures)
            fake, _ = self.discriminator(made)
        loss = functional.relu(1 - real.float()).mean() + functional.relu(1 + fake.float()).mean()
        self.log |= {"judge": float(loss.detach())}
        if batch.labels is not None:
            naming = self.discriminator.naming_loss(features, batch.labels)
            self.log |= {"naming": float(naming.detach())}
            loss = loss + self.recipe.naming * naming
        self._learn(loss, self.judge)
        return [feature.detach() for feature in features]

    @staticmethod
    def _learn(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        Trainer._step(optimiser)

    @staticmethod
    def _step(optimiser: torch.optim.Optimizer) -> None:
        for group in optimiser.param_groups:
            nn.utils.clip_grad_norm_(group["params"], STEEPEST)
        optimiser.step()

    @torch.no_grad()
    def _keep(self) -> None:
        decay = min(self.recipe.smooth, (1 + self.step) / (10 + self.step))
        now = nn.ModuleList([self.generator, self.encoder])
        for kept, value in zip(self.kept.parameters(), now.parameters(), strict=True):
            kept.lerp_(value, 1 - decay)
