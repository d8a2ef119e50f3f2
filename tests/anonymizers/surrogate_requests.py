"""Requests for surrogates: people, groups, and the same in another order."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import torch

from anonymizers.kanonymity.surrogates import Request
from anonymizers.kanonymity.surrogates.proxies import Recipe
from benchmark.faces import canonical
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Controller

SIZE = (48, 40)
TINY = Recipe(people=8, steps=4, batch=4, width=0.1)


def landmarks_near(count, generator, spread=1.5, size=SIZE):
    """The template of an aligned crop with some noise, float32 ``[count, 5, 2]``."""
    noise = torch.randn(count, 5, 2, generator=generator, dtype=torch.float64) * spread
    return (canonical(*size) + noise).float()


def smooth_faces(make_set, count, persons, seed=0, name="image"):
    """Coarse random images with landmarks, persons, and an attribute; identities in no order."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 5, generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear", align_corners=True)
    who = torch.cat([torch.arange(persons), torch.randint(persons, (count - persons,), generator=generator)])
    return ImageSet(
        (pixels * 255).round().byte(),
        tuple(f"{name}-{index:03}" for index in range(count)),
        Labels(who, tuple(f"person {number}" for number in range(persons))),
        {"expression": Labels(torch.arange(count) % 3, ("happy", "neutral", "sad"))},
        landmarks_near(count, generator),
    )


def requested(make_set):
    """24 images of 10 persons in 3 groups, and 20 images of 8 others."""
    images, train = smooth_faces(make_set, 24, 10), smooth_faces(make_set, 20, 8, seed=1, name="other")
    groups = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 2])
    return Request(images, images.identity.values, groups, Controller(train=train, batch_size=7))


def shuffled(request, seed=0):
    """The same people and groups: other order and keys of all images, other numbers of persons."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(request.images), generator=generator)
    number = torch.randperm(len(request.groups), generator=generator)
    groups = torch.empty_like(request.groups)
    groups[number] = request.groups
    train = renamed(request.controller.train, torch.randperm(len(request.controller.train), generator=generator))
    images = renamed(request.images, order)
    controller = dataclasses.replace(request.controller, train=train)
    return Request(images, number[request.of_image[order]], groups, controller)


def renamed(images, order):
    """Images in another order under other keys."""
    chosen = images.select(order)
    return dataclasses.replace(chosen, keys=tuple(f"key {index:03}" for index in order.flip(0).tolist()))


def only(request, group):
    """One group by itself."""
    persons = (request.groups == group).nonzero().flatten()
    rows = torch.isin(request.of_image, persons).nonzero().flatten()
    number = torch.full_like(request.groups, -1)
    number[persons] = torch.arange(len(persons))
    of_image = number[request.of_image[rows]]
    return Request(
        request.images.select(rows), of_image, torch.zeros(len(persons), dtype=torch.int64), request.controller
    )


def exact_means(request):
    """Means over persons of means over photographs in rational numbers, rounded half to even."""
    pixels = request.images.images.flatten(1).tolist()
    made = []
    for group in range(int(request.groups.max()) + 1):
        persons = [person for person, found in enumerate(request.groups.tolist()) if found == group]
        total = [Fraction(0)] * len(pixels[0])
        for person in persons:
            rows = [pixels[row] for row, found in enumerate(request.of_image.tolist()) if found == person]
            total = [
                t + Fraction(sum(values), len(rows)) for t, values in zip(total, zip(*rows, strict=True), strict=True)
            ]
        made.append([round(value / len(persons)) for value in total])
    return torch.tensor(made)
