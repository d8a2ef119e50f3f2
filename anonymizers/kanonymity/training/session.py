"""One training from photographs to a generator file, which a second call of the same command takes up again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from anonymizers.kanonymity.generator.files import write_generator
from anonymizers.kanonymity.generator.network import Design
from anonymizers.kanonymity.generator.pictures import as_pictures, resized
from anonymizers.kanonymity.training.checkpoint import marks_of, take_up, write_checkpoint
from anonymizers.kanonymity.training.recipe import Recipe
from anonymizers.kanonymity.training.trainer import Trainer
from benchmark.errors import UsageError
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
        adversarial_from: step at which the discriminator joins; None for six sevenths of all.
        seed: of start weights and batches.
    """

    steps: int
    adversarial_from: int | None = None
    seed: int = 0

    def recipe(self) -> Recipe:
        """The recipe with the rest at its defaults."""
        joins = round(6 * self.steps / 7) if self.adversarial_from is None else self.adversarial_from
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
        UsageError: there are too few photographs, or the checkpoint is of another training or code.
    """
    if len(images) < 2 * plan.recipe().batch:
        raise UsageError(f"{len(images)} photographs are too few to train a generator; it takes at least 32")
    trainer, held = _prepared(images, plan.recipe())
    _run(trainer, out.with_suffix(".checkpoint"), marks_of(trainer, images), report)
    network, encoder = trainer.finished()
    psnr = decoded_psnr(network, encoder, as_pictures(held))
    facts = {
        "trained_on": trained_on,
        "photographs": len(trainer.pictures),
        "steps": plan.steps,
        "held_out_psnr": round(psnr, 2),
    }
    write_generator(out, network, encoder, facts)
    return psnr


def _prepared(images: ImageSet, recipe: Recipe) -> tuple[Trainer, Tensor]:
    """A trainer that has done nothing yet, and the pictures held out."""
    held = min(HELD_OUT, len(images) // 10)
    design = design_for(max(images.size))
    pictures, landmarks, labels = resized(images.images, design.size), scaled(images, design.size), labels_of(images)
    taught = [None if part is None else part[:-held] for part in (landmarks, labels)]
    return Trainer(design, recipe, pictures[:-held], *taught), pictures[-held:]


def _run(trainer: Trainer, checkpoint: Path, marks: Mapping[str, str], report: Report) -> None:
    """All steps that are left, with a checkpoint now and then and at the end."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    take_up(trainer, checkpoint, marks)
    steps = trainer.recipe.steps
    with report("train generator", steps) as progress:
        progress(trainer.step)
        for step in trainer.run(steps):
            progress(1)
            if step % SAVE_EVERY == 0 or step == steps:
                write_checkpoint(trainer, checkpoint, marks)


def scaled(images: ImageSet, side: int) -> Tensor | None:
    """Where landmarks come to be on pictures of another side, ``[N, 5, 2]`` in px; None where there are none."""
    if images.landmarks is None or images.size == (side, side):
        return images.landmarks
    height, width = images.size
    return (images.landmarks + 0.5) * torch.tensor([side / width, side / height]) - 0.5


def labels_of(images: ImageSet) -> Tensor | None:
    """All attributes, int64 ``[N, attributes]``; None where there are none."""
    values = [labels.values for labels in images.attributes.values()]
    return torch.stack(values, dim=1) if values else None


@torch.no_grad()
def decoded_psnr(network: torch.nn.Module, encoder: torch.nn.Module, pictures: Tensor) -> float:
    """Mean PSNR in dB of pictures ``[N, 3, S, S]``, -1..1, against what is decoded from their latents."""
    made = network(encoder(pictures)).clamp(-1, 1)
    return float((-10 * torch.log10((made - pictures).square().mean(dim=(1, 2, 3)) / 4)).mean())
