"""One training from photographs to a generator file, which a second call of the same command takes up again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from anonymizers.kanonymity.generator.files import write_generator
from anonymizers.kanonymity.generator.network import Design
from anonymizers.kanonymity.generator.pictures import as_pictures, resized
from anonymizers.kanonymity.training.trainer import Recipe, Trainer, write_checkpoint
from benchmark.errors import UsageError
from benchmark.hashing import sha256_json
from benchmark.images import ImageSet
from benchmark.protocols import Report

WIDTHS = (160, 160, 160, 128, 64, 32)
"""Channels per resolution; the last one belongs to the finest."""
STYLE, MAPPING = 128, 4
LOWER_RATE = 1.0
MAP = 8
"""Channels of the coarse map."""
SAVE_EVERY = 500
HELD_OUT = 64


@dataclass(frozen=True)
class Plan:
    """What can be chosen about a training.

    Attributes:
        steps: in all.
        adversarial_from: step at which the discriminator joins; None for a quarter of all.
        seed: of start weights and batches.
    """

    steps: int
    adversarial_from: int | None = None
    seed: int = 0

    def recipe(self) -> Recipe:
        """The recipe with the rest at its defaults."""
        joins = round(self.steps / 4) if self.adversarial_from is None else self.adversarial_from
        return Recipe(steps=self.steps, adversarial_from=joins, seed=self.seed)


def design_for(side: int) -> Design:
    """The smallest design that draws pictures of at least ``side`` px: 4 to 8 px, doubled three to five times."""
    doublings = max(3, min(len(WIDTHS) - 1, int(math.log2(side / 4))))
    base = max(4, math.ceil(side / 2**doublings))
    return Design(WIDTHS[-doublings - 1 :], base, STYLE, MAPPING, LOWER_RATE, centred=True, map_channels=MAP)


def train_generator(images: ImageSet, plan: Plan, out: Path, trained_on: str, report: Report) -> float:
    """Trains, keeping a checkpoint beside the file, and writes the generator.

    Args:
        images: of people nobody is evaluated on; the last tenth, 64 photographs at most, is held out.
        plan: how long.
        out: the file.
        trained_on: title of the data, for the file.
        report: shows progress.

    Returns:
        Mean PSNR of the photographs held out, decoded from what they are encoded to.

    Raises:
        UsageError: there are too few photographs, or the checkpoint belongs to another training.
    """
    if len(images) < 2 * plan.recipe().batch:
        raise UsageError(f"{len(images)} photographs are too few to train a generator; it takes at least 32")
    held = min(HELD_OUT, len(images) // 10)
    design = design_for(images.size[0])
    pictures, landmarks = resized(images.images, design.size), images.landmarks
    scaled = None if landmarks is None else landmarks * (design.size / images.size[0])
    labels = labels_of(images)
    taught = [None if part is None else part[:-held] for part in (scaled, labels)]
    trainer = Trainer(design, plan.recipe(), pictures[:-held], *taught)
    checkpoint = out.with_suffix(".checkpoint")
    out.parent.mkdir(parents=True, exist_ok=True)
    identity = sha256_json([design.as_dict(), vars(plan.recipe()), images.content])
    _take_up(trainer, checkpoint, identity)
    with report("train generator", plan.steps) as progress:
        progress(trainer.step)
        for step in trainer.run(plan.steps):
            progress(1)
            if step % SAVE_EVERY == 0 or step == plan.steps:
                write_checkpoint(trainer, checkpoint, identity)
    network, encoder = trainer.finished()
    psnr = decoded_psnr(network, encoder, as_pictures(pictures[-held:]))
    facts = {
        "trained_on": trained_on,
        "photographs": len(images) - held,
        "steps": plan.steps,
        "held_out_psnr": round(psnr, 2),
    }
    write_generator(out, network, encoder, facts)
    return psnr


def labels_of(images: ImageSet) -> torch.Tensor | None:
    """All attributes, int64 ``[N, attributes]``; None where there are none."""
    values = [labels.values for labels in images.attributes.values()]
    return torch.stack(values, dim=1) if values else None


def _take_up(trainer: Trainer, checkpoint: Path, identity: str) -> None:
    if not checkpoint.is_file():
        return
    try:
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    except (RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
        raise UsageError(f"{checkpoint} is damaged or no checkpoint: delete it first") from error
    if state.get("identity") != identity:
        raise UsageError(
            f"{checkpoint} belongs to a training on other photographs or with other settings: delete it first"
        )
    trainer.resume(state)


@torch.no_grad()
def decoded_psnr(network: torch.nn.Module, encoder: torch.nn.Module, pictures: torch.Tensor) -> float:
    """Mean PSNR in dB of pictures ``[N, 3, S, S]``, -1..1, against what is decoded from their latents."""
    made = network(encoder(pictures)).clamp(-1, 1)
    return float((-10 * torch.log10((made - pictures).square().mean(dim=(1, 2, 3)) / 4)).mean())
