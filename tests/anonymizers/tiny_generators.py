"""Small generators of this project with random weights, and smooth pictures to feed them."""

from __future__ import annotations

import torch

from anonymizers.kanonymity.generator.encoder import Encoder
from anonymizers.kanonymity.generator.files import write_generator
from anonymizers.kanonymity.generator.network import Design, StyleGenerator
from benchmark.faces import canonical
from benchmark.images import ImageSet, Labels

TINY = Design((8, 8, 8), base=4, style=8, mapping=2, mapping_rate=0.01, centred=True)
FACTS = {"trained_on": "noise", "photographs": 3}


def tiny_networks(seed=0, design=TINY):
    """A generator and an encoder whose latents differ visibly from picture to picture, and whose mean is not 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, encoder = StyleGenerator(design), Encoder(design, 8)
        with torch.no_grad():
            network.mean_latent.normal_(std=0.5)
            encoder.out.weight.mul_(6)
    return network.eval(), encoder.eval()


def write_tiny(path, seed=0, design=TINY):
    """Writes one and returns its path."""
    write_generator(path, *tiny_networks(seed, design), FACTS)
    return path


def smooth_people(persons=12, photographs=2, size=(16, 16), seed=0, name="image", noise=0.25):
    """Coarse coloured patterns: everybody has one of their own, which photographs change a little.

    Images of a person are not neighbours, and the attribute ``kind`` is the same on all of them.
    """
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(persons, 3, 4, 4, generator=generator)
    who = torch.arange(persons).repeat(photographs)
    coarse = (base[who] + noise * (torch.rand(len(who), 3, 4, 4, generator=generator) - 0.5)).clamp(0, 1)
    pixels = torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=True)
    return ImageSet(
        (pixels * 255).round().byte(),
        tuple(f"{name}-{index:03}" for index in range(len(who))),
        Labels(who, tuple(f"{name} person {number}" for number in range(persons))),
        {
            "kind": Labels(who % 2, ("even", "odd")),
            "photograph": Labels(torch.arange(len(who)) // persons, _names(photographs)),
        },
        (canonical(*size) + 0.3 * torch.randn(len(who), 5, 2, generator=generator, dtype=torch.float64)).float(),
    )


def _names(count):
    return tuple(f"number {index}" for index in range(count))
