"""Photographs to latents and back, the same for a photograph whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from anonymizers.kanonymity.generator.files import Generator
from anonymizers.kanonymity.generator.perception import lpips_features
from anonymizers.kanonymity.generator.pictures import as_pictures, resized
from anonymizers.kanonymity.generator.projection import Weights, project
from benchmark.errors import EntrantError
from benchmark.features import FeatureNetwork, features_of, inference
from benchmark.filters import to_bytes
from benchmark.protocols import Progress, Referees, silent

BATCH = 16
"""Rows through a network at a time: always as many, because kernels for other numbers round in another order."""
STEPS = 200
"""Of projection where there is no encoder to begin with."""
WEIGHTS = Weights(perceptual=1.0, pixel=1.0, latent=0.01)

REMEDY = "choose another file with generator=, or make one with: anonbench generator train"


def in_batches(run: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Runs a network over rows, ``BATCH`` at a time; the last batch is filled up with copies of its last row."""
    padded = torch.cat([values, values[-1:].expand(-len(values) % BATCH, *values.shape[1:])])
    return torch.cat([run(part) for part in padded.split(BATCH)])[: len(values)]


def latents_of(generator: Generator, images: Tensor, steps: int = 0, progress: Progress = silent) -> Tensor:
    """Projects photographs to W+, each of them once per process.

    A generator with an encoder begins there, and ``steps`` of optimisation may follow, which compare pixels and the
    encoder's own features. One without begins at its mean latent, compares LPIPS features, and takes ``STEPS`` where
    none are asked for.

    Args:
        generator: ready to use.
        images: uint8 ``[N, 3, H, W]``.
        steps: of optimisation.
        progress: told how many images are done; those projected before come at the end.

    Returns:
        float32 ``[N, layers, style]`` on the CPU.

    Raises:
        EnvironmentProblem: there is no encoder, and the weights of LPIPS are not on this machine.
        EntrantError: latents are not finite: the generator is broken.
    """
    told = _Told(progress)
    try:
        found = features_of(
            _projector(generator, steps), images, Referees(report=lambda title, total: nullcontext(told))
        )
    except ValueError as error:
        raise EntrantError(f"{error}: {REMEDY}") from error
    progress(len(images) - told.count)
    return found.view(len(images), generator.network.design.layers, generator.network.design.style)


def _projector(generator: Generator, steps: int) -> FeatureNetwork:
    """Photographs to W+, one row per photograph, kept by the generator's content and the steps."""
    network, begin, features = generator.network, _start(generator), _features(generator, steps)
    device = network.mean_latent.device

    def projected(rows: Tensor) -> Tensor:
        pictures = as_pictures(resized(rows, network.design.size)).to(device)
        with torch.no_grad():
            start = begin(pictures).clone()
        if not bool(start.isfinite().all()):
            raise ValueError("the generator gives latents that are not finite")
        if features is None:
            return start.cpu()
        return project(network, pictures, start, steps=steps or STEPS, perceptual=features, weights=WEIGHTS).cpu()

    def run(rows: Tensor) -> Tensor:
        with torch.inference_mode(False):  # optimisation takes gradients
            return in_batches(projected, rows.clone()).flatten(1)

    return FeatureNetwork("latents", f"{generator.sha256} latents {steps}", str(device), run)


class _Told:
    """Counts what it passes on."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.count = progress, 0

    def __call__(self, count: int) -> None:
        self.count += count
        self.progress(count)


def _start(generator: Generator) -> Callable[[Tensor], Tensor]:
    encoder, mean = generator.encoder, generator.network.mean_latent
    return encoder if encoder is not None else lambda pictures: mean.expand(len(pictures), -1, -1)


def _features(generator: Generator, steps: int) -> Callable[[Tensor], Sequence[Tensor]] | None:
    """What pictures are compared by besides their pixels; None where nothing is optimised."""
    if generator.encoder is None:
        return lpips_features(device=str(generator.network.mean_latent.device))
    return generator.encoder.features if steps else None


def drawn(generator: Generator, latents: Tensor, size: tuple[int, int]) -> Tensor:
    """Draws latents ``[N, layers, style]`` as images: uint8 ``[N, 3, *size]``, on the CPU."""
    device = generator.network.mean_latent.device

    def pictures(rows: Tensor) -> Tensor:
        with inference():
            made = generator.network(rows.to(device)).float().cpu()
        if made.shape[-2:] != size:
            made = functional.interpolate(made, size, mode="bicubic", antialias=True)
        return to_bytes((made.double() + 1) * 127.5)

    return in_batches(pictures, latents.float())
