"""Plain recomputation of what a generator draws of a group."""

from __future__ import annotations

import torch

from anonymizers.kanonymity.generator.latents import latents_of

GROUPS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 2])


def person_means(generator, asked, steps=0):
    latents = latents_of(generator, asked.images.images, steps).double()
    return torch.stack([latents[asked.of_image == person].mean(dim=0) for person in range(len(asked.groups))])


def group_means(generator, asked, weights=None):
    """Mean over the persons of a group, one by one."""
    means, weights = person_means(generator, asked), torch.ones(10).double() if weights is None else weights
    found = []
    for group in range(3):
        members = (asked.groups == group).nonzero().flatten().tolist()
        found.append(sum(means[m] * weights[m] for m in members) / sum(weights[m] for m in members))
    return torch.stack(found)


def picture(generator, latents, size=(16, 16)):
    """Grey levels before they are rounded."""
    made = generator.network(latents.float()).double()
    if made.shape[-2:] != size:
        made = torch.nn.functional.interpolate(made.float(), size, mode="bicubic", antialias=True).double()
    return ((made + 1) * 127.5).clamp(0, 255)


def near(images, wanted):
    assert images.dtype == torch.uint8
    assert images.shape == wanted.shape
    assert (images.double() - wanted).abs().max() <= 0.51
