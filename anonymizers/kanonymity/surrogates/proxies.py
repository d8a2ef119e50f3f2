"""People who lend their faces: their codes, and the network that learned to draw them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from anonymizers.conventional.ksame import number_persons
from anonymizers.kanonymity.surrogates.network import UpConvolution
from anonymizers.kanonymity.surrogates.shapes import all_points, learn_shapes
from anonymizers.kanonymity.surrogates.warps import triangulate, warp_to
from benchmark.faces import usable
from benchmark.filters import to_bytes
from benchmark.hashing import sha256_json, sha256_tensor
from benchmark.images import ImageSet
from benchmark.kept import kept
from benchmark.learning.training import one_thread
from benchmark.registry import source_hash
from benchmark.store import Store, cache_root

NEUTRAL = "neutral"
"""The class that surrogates show where there is one of this name."""


@dataclass(frozen=True)
class Recipe:
    """How the network is trained.

    Attributes:
        people: proxies at most.
        steps: of the optimiser.
        batch: photographs per step.
        rate: peak learning rate.
        width: share of the published channels; with half of them a step takes less than half of the time.
    """

    people: int = 64
    steps: int = 3000
    batch: int = 16
    rate: float = 3e-3
    width: float = 0.5


@dataclass(frozen=True, eq=False)
class Proxies:
    """Photographs of people who are not in the set, and what is known about each.

    Attributes:
        images: uint8 ``[M, 3, H, W]``, in the order of their content.
        drawn: uint8 ``[M, 3, H, W]``, what the network learns to draw: the images, warped to one shape where there are
            landmarks.
        person: int64 ``[M]``, 0 to Q - 1 by first photograph.
        conditions: float32 ``[M, C]``: the class of an attribute as 0 and 1; C may be 0.
        shown: float32 ``[C]``, the conditions of surrogates.
    """

    images: torch.Tensor
    drawn: torch.Tensor
    person: torch.Tensor
    conditions: torch.Tensor
    shown: torch.Tensor

    @property
    def people(self) -> int:
        """Their number Q."""
        return int(self.person.max()) + 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.images.shape[2]), int(self.images.shape[3])

    @property
    def means(self) -> torch.Tensor:
        """Mean images, float32 ``[Q, 3 * H * W]``."""
        sums = torch.zeros(self.people, self.images[0].numel(), dtype=torch.int32)
        sums.index_add_(0, self.person, self.images.flatten(1).int())
        return sums.float() / self.person.bincount()[:, None]

    @property
    def content(self) -> str:
        """sha256 over everything."""
        return sha256_json([sha256_tensor(getattr(self, part.name)) for part in dataclasses.fields(self)])


def choose_proxies(train: ImageSet, people: int, attribute: str) -> Proxies:
    """The first ``people`` in the order of ``train``; without identities every image is a person of its own.

    Args:
        train: other people, in the order of their content.
        people: at most.
        attribute: whose classes are conditions, where it is labelled.
    """
    numbers: dict[int, int] = {}
    person = torch.tensor([numbers.setdefault(found, len(numbers)) for found in number_persons(train).tolist()])
    rows = (person < people).nonzero().flatten()
    chosen = train.select(rows)
    return Proxies(chosen.images, _aligned(chosen), person[rows], *_conditions(chosen, attribute))


def _aligned(images: ImageSet) -> torch.Tensor:
    """The images warped to their mean shape where all have landmarks: a small network cannot also learn poses."""
    if images.landmarks is None or not bool(usable(images.landmarks).all()):
        return images.images
    points = all_points(learn_shapes(images.landmarks, 1).mean()[None], images.size)[0]
    mesh = triangulate(points, images.size)
    return torch.cat([to_bytes(warp_to(mesh, part)) for part in images.batches(64)])


def _conditions(images: ImageSet, attribute: str) -> tuple[torch.Tensor, torch.Tensor]:
    """1 for the class of the image, 0 for others; and the class that is shown: neutral, or the most frequent."""
    if attribute not in images.attributes:
        return torch.zeros(len(images), 0), torch.zeros(0)
    labels = images.attributes[attribute]
    values = nn.functional.one_hot(labels.values, len(labels.classes)).float()
    common = int(values.sum(dim=0).argmax())
    shown = labels.classes.index(NEUTRAL) if NEUTRAL in labels.classes else common
    return values, nn.functional.one_hot(torch.tensor(shown), len(labels.classes)).float()


def learned(proxies: Proxies, recipe: Recipe, seed: int, device: str) -> UpConvolution:
    """The network that draws the proxies, trained once for the same photographs, recipe and seed."""
    network = _untrained(proxies, recipe, seed)
    half = half_precision(device)
    parts = [proxies.content, dataclasses.asdict(recipe), seed, half, source_hash(UpConvolution)]
    store = Store(cache_root() / "store")
    network.load_state_dict(kept(store, "surrogates", parts, lambda: _train(network, proxies, recipe, seed, device)))
    return network.eval().requires_grad_(False)


def _untrained(proxies: Proxies, recipe: Recipe, seed: int) -> UpConvolution:
    """Random weights around the mean face, which is where learning begins."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UpConvolution(proxies.people, proxies.conditions.shape[1], proxies.size, recipe.width)
    network.mean.copy_((proxies.drawn.double().mean(dim=0) / 255).clamp(0.02, 0.98).logit())
    return network


def half_precision(device: str) -> bool:
    """Whether convolutions are computed in bfloat16: on GPUs, and on processors that have it, where it is twice as fast."""
    return device != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _train(network: UpConvolution, proxies: Proxies, recipe: Recipe, seed: int, device: str) -> dict[str, torch.Tensor]:
    """Least absolute error on all photographs; the state of the network, on the CPU."""
    with one_thread(), torch.enable_grad():
        network.to(device).to(memory_format=torch.channels_last).train()
        optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=recipe.steps + 1)
        for rows in _draws(len(proxies.images), recipe, seed):
            optimiser.zero_grad()
            _loss(network, proxies, rows, device).backward()
            optimiser.step()
            schedule.step()
    network.to("cpu").to(memory_format=torch.contiguous_format)
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _draws(count: int, recipe: Recipe, seed: int) -> Iterator[torch.Tensor]:
    """Photographs of every step: shuffled passes, one after the other."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.zeros(0, dtype=torch.int64)
    for _ in range(recipe.steps):
        while len(order) < recipe.batch:
            order = torch.cat([order, torch.randperm(count, generator=generator)])
        yield order[: recipe.batch]
        order = order[recipe.batch :]


def _loss(network: UpConvolution, proxies: Proxies, rows: torch.Tensor, device: str) -> torch.Tensor:
    codes = nn.functional.one_hot(proxies.person[rows], proxies.people).float().to(device)
    wanted = proxies.drawn[rows].to(device).float() / 255
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half_precision(device)):
        drawn: torch.Tensor = network(codes, proxies.conditions[rows].to(device))
    return (drawn - wanted).abs().mean()
