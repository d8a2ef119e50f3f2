"""What can be set about a training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How a generator is trained.

    Attributes:
        steps: optimiser steps in all.
        adversarial_from: step at which the discriminator joins.
        batch: photographs per step.
        rate: peak learning rate of the generator.
        encoder_share: learning rate of the encoder, as a share of it.
        adversary_rate: learning rate of the discriminator.
        adversarial, perceptual: how hard those terms pull on a picture beside the pixels' 1.
        naming: weight of the attributes in the discriminator's loss, where photographs are labelled.
        reading: weight of what latents tell about attributes and landmarks.
        generated: pictures of averages per step.
        average: most latents in an average.
        focus: weight of pixels at eyes and mouth beside 1 elsewhere.
        smooth: decay per step of the averaged weights that are kept.
        seed: of start weights and batches.
    """

    steps: int = 3_500
    adversarial_from: int = 3_000
    batch: int = 16
    rate: float = 1.2e-2
    encoder_share: float = 0.085
    adversary_rate: float = 2e-4
    adversarial: float = 0.2
    perceptual: float = 0.5
    naming: float = 0.5
    reading: float = 0.05
    generated: int = 6
    average: int = 64
    focus: float = 10.0
    smooth: float = 0.998
    seed: int = 0
