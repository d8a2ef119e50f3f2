"""EDI-Anon written down a second time, from its description: one image, one plain step at a time, in float64."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from anonymizers.edi_anon import EdiAnon
from anonymizers.edi_anon.rounds import round_seed
from benchmark.images import ImageSet, Labels, Released, check_released
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.protocols import Controller
from benchmark.seeding import laplace, normal
from benchmark.trace import Trace

Array = np.ndarray[Any, np.dtype[Any]]
HEIGHT, WIDTH, COUNT, CLASSES = 21, 26, 14, 6
NAMES = tuple(f"person {number}" for number in range(CLASSES))
STRANGERS = (3, 11)
"""Images that are never recognised: their label is another person's."""


class Tiny(nn.Module):
    """Every value counts, and no two alike: gradients without ties."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 12, 5, stride=4, padding=2)
        self.head = nn.LazyLinear(classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images."""
        logits: torch.Tensor = self.head(torch.tanh(3 * self.features(images - 0.5)).flatten(1))
        return 3 * logits


def tiny_network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = Tiny()
        network(torch.zeros(1, 3, HEIGHT, WIDTH))
    return network.double().eval().requires_grad_(False)


NETWORK = tiny_network()


def recogniser() -> Classifier:
    return Classifier("tiny", Architecture("tiny", NAMES), NETWORK, sha256="")


def probes() -> ImageSet:
    """Noise on slopes, named as the recogniser names it, but for the strangers."""
    generator = np.random.default_rng(2)
    slopes = generator.uniform(-4, 4, (COUNT, 3, 2, 1, 1))
    plain = 128 + slopes[:, :, 0] * (np.arange(HEIGHT)[:, None] - 10) + slopes[:, :, 1] * (np.arange(WIDTH) - 12)
    noisy = plain + generator.normal(0, 40, plain.shape)
    images = torch.from_numpy(noisy.clip(0, 255).astype(np.uint8))
    named = NETWORK(images.double() / 255).argmax(1)
    named[list(STRANGERS)] = (named[list(STRANGERS)] + 1) % CLASSES
    return ImageSet(images, tuple(f"image {row}" for row in range(COUNT)), Labels(named, NAMES))


PROBES = probes()


# Perturbations of one image in float64, grey levels, [3, H, W]


def box_mean(image: Array, kernel: int, seed: int, key: str) -> Array:
    reach = kernel // 2
    padded = np.pad(image.astype(float), ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    return windows.mean((3, 4))


def sampled(image: Array, size: int, seed: int, key: str) -> Array:
    """Bilinear samples at the centres of floor(side / size) cells, rounded, and enlarged to the nearest."""
    grey, (height, width) = image.astype(float), image.shape[1:]
    cells = np.empty((3, height // size, width // size))
    for row, column in itertools.product(*map(range, cells.shape[1:])):
        y, x = (row + 0.5) * height / cells.shape[1] - 0.5, (column + 0.5) * width / cells.shape[2] - 0.5
        top, left = int(y), int(x)
        below, right = y - top, x - left
        upper = grey[:, top, left] * (1 - right) + grey[:, top, min(left + 1, width - 1)] * right
        lower = grey[:, min(top + 1, height - 1), left] * (1 - right)
        lower += grey[:, min(top + 1, height - 1), min(left + 1, width - 1)] * right
        cells[:, row, column] = upper * (1 - below) + lower * below
    rows = [row * cells.shape[1] // height for row in range(height)]
    columns = [column * cells.shape[2] // width for column in range(width)]
    return cells.round()[:, rows][:, :, columns]


def noisy_cells(image: Array, stream: str, b: int, m: int, eps: float, seed: int, key: str) -> Array:
    """Mean of each cell and one Laplace draw of scale 255 m / (pixels of the cell x eps); painted, not rounded."""
    _, height, width = image.shape
    shape = (3, -(-height // b), -(-width // b))
    draws = laplace(seed, stream, [key], shape)[0].numpy()
    painted = np.empty(image.shape)
    for channel, row, column in itertools.product(*map(range, shape)):
        place = (channel, slice(row * b, row * b + b), slice(column * b, column * b + b))
        cell = image[place].astype(float)
        painted[place] = cell.mean() + draws[channel, row, column] * 255 * m / (cell.size * eps)
    return painted


def gaussian(values: Array, kernel: int) -> Array:
    """Separable Gaussian with OpenCV's own sigma, reflected borders, in float64."""
    sigma, reach = 0.3 * ((kernel - 1) / 2 - 1) + 0.8, kernel // 2
    weights = np.exp(-((np.arange(kernel) - reach) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    for axis in (1, 2):
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[axis] = (reach, reach)
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, pad, mode="reflect"), kernel, axis=axis)
        values = windows @ weights
    return values


def dp_pix(image: Array, seed: int, key: str) -> Array:
    return noisy_cells(image, "dp-pix", 6, 3, 0.4, seed, key)


def dp_blur(image: Array, seed: int, key: str) -> Array:
    return gaussian(noisy_cells(image, "dp-blur", 5, 2, 0.5, seed, key), 11)


def dp_blur_8_bit(image: Array, seed: int, key: str) -> Array:
    """Cells rounded and clipped before the blur, and OpenCV's blur on 8 bits: what the conventional filter publishes."""
    cells = to_8_bit(noisy_cells(image, "dp-blur", 5, 2, 0.5, seed, key)).transpose(1, 2, 0)
    hint = cv2.ALGO_HINT_ACCURATE
    blurred = cv2.GaussianBlur(np.ascontiguousarray(cells), (11, 11), 0, borderType=cv2.BORDER_REFLECT_101, hint=hint)
    return blurred.transpose(2, 0, 1).astype(float)


def noisy(image: Array, seed: int, key: str) -> Array:
    return image + 60 * normal(seed, "gaussian-noise", [key], image.shape)[0].numpy()


def painted(colour: tuple[int, int, int]) -> Callable[[Array, int, str], Array]:
    return lambda image, seed, key: np.broadcast_to(np.array(colour, float)[:, None, None], image.shape)


def to_8_bit(values: Array) -> Array:
    return np.round(values).clip(0, 255).astype(np.uint8)


# The mask of one image


def as_published(saliency: Array, q: float) -> Array:
    return saliency >= np.percentile(saliency, q)


def published_rectangles(saliency: Array, q: float) -> Array:
    """The red plane of the published mask, every chosen pixel drawn as the published code draws it."""
    plane = Image.new("L", saliency.shape[:0:-1])
    pencil = ImageDraw.Draw(plane)
    for y, x in np.argwhere(as_published(saliency, q)[0]).tolist():
        pencil.rectangle((x - 0.05, y - 0.05, x + 0.05, y + 0.05), fill=255)
    return np.broadcast_to(np.array(plane) > 0, saliency.shape)


def count_of(values: int, q: float) -> int:
    return int((np.arange(values) >= np.percentile(np.arange(values), q)).sum())


def largest_that_move(scores: Array, able: Array, q: float) -> Array:
    """The largest scores of those that are able, as many as the percentile leaves of all."""
    order = [place for place in np.argsort(-scores, axis=None).tolist() if able.flat[place]]
    chosen = np.zeros(scores.size, bool)
    chosen[order[: count_of(scores.size, q)]] = True
    return chosen.reshape(scores.shape)


@dataclass(frozen=True)
class Told:
    """What the oracle says about a run."""

    images: Array
    curve: list[float]
    rounds: Array
    changed: Array
    recognised: Array


@dataclass(frozen=True)
class Case:
    """An entrant and the oracle's perturbation."""

    entrant: EdiAnon
    perturb: Callable[[Array, int, str], Array]

    @property
    def deterministic(self) -> bool:
        return self.entrant.perturb in ("blur", "pixelate", "mask")

    def mask(self, saliency: Array, moves: Array) -> Array:
        q, covering = self.entrant.percentile, self.entrant.perturb == "mask"
        if self.entrant.mode == "reference":
            return published_rectangles(saliency, q) if covering else as_published(saliency, q)
        if covering:
            return np.broadcast_to(largest_that_move(saliency.max(0), moves.any(0), q), saliency.shape)
        return largest_that_move(saliency, moves, q)

    def next(self, image: Array, saliency: Array, seed: int, key: str) -> Array:
        """``x = (1 - M) x + M P(x)``, rounded to 8 bit."""
        perturbed = self.perturb(image, seed, key)
        mask = self.mask(saliency, to_8_bit(perturbed) != image).astype(float)
        return to_8_bit((1 - mask) * image + mask * perturbed)

    def run(self, images: ImageSet, seed: int) -> Told:
        """All images, one at a time; until the risk is below the target, nothing changes, or the rounds are used up."""
        assert images.identity is not None
        state, labels = images.images.numpy().copy(), images.identity.values.tolist()
        curve, rounds = [], np.zeros(len(state), int)
        changed, stuck = np.zeros(state.shape, bool), np.zeros(len(state), bool)
        for number in itertools.count():
            named = np.array([prediction(image)[0] for image in state]) == labels
            curve.append(float(named.mean()))
            if curve[-1] < self.entrant.target or number == self.entrant.rounds:
                break
            for row in np.flatnonzero(named & ~stuck):
                draws = round_seed(seed, number)
                new = self.next(state[row], gradient(state[row]), draws, images.keys[row])
                if self.deterministic and (new == state[row]).all():
                    stuck[row] = True
                    continue
                changed[row] |= new != state[row]
                state[row], rounds[row] = new, rounds[row] + 1
            if not (named & ~stuck).any():
                break
        return Told(state, curve, rounds, changed.sum((1, 2, 3)), named)


def prediction(image: Array) -> list[int]:
    """Classes, the most likely first."""
    logits = NETWORK(torch.from_numpy(image)[None].double() / 255)
    order: list[int] = logits[0].argsort(descending=True).tolist()
    return order


def gradient(image: Array) -> Array:
    """Of the cross-entropy towards the runner-up."""
    given = (torch.from_numpy(image)[None].double() / 255).requires_grad_()
    runner_up = torch.tensor([prediction(image)[1]])
    nn.functional.cross_entropy(NETWORK(given), runner_up).backward()
    assert given.grad is not None
    return given.grad[0].numpy()


def case(base: Callable[[Array, int, str], Array], **parameters: Any) -> Case:
    return Case(EdiAnon(**{"target": 0.2, "rounds": 12, "q": 90.0} | parameters), base)


def blur_of(kernel: int) -> Callable[[Array, int, str], Array]:
    return lambda image, seed, key: box_mean(image, kernel, seed, key)


def cells_of(size: int) -> Callable[[Array, int, str], Array]:
    return lambda image, seed, key: sampled(image, size, seed, key)


def cases(mode: str) -> Iterator[Case]:
    yield case(blur_of(5), perturb="blur", kernel=5, mode=mode)
    yield case(blur_of(9), perturb="blur", kernel=9, mode=mode, q=97.3, rounds=25)
    yield case(cells_of(4), perturb="pixelate", size=4, mode=mode)
    yield case(dp_pix, perturb="dp-pix", b=6, m=3, eps=0.4, mode=mode)
    yield case(
        dp_blur if mode == "reference" else dp_blur_8_bit,
        perturb="dp-blur", b=5, m=2, eps=0.5, kernel=11, mode=mode,
    )  # fmt: skip
    yield case(noisy, perturb="noise", sigma=60.0, mode=mode)
    yield case(painted((0, 0, 0)), perturb="mask", mode=mode, q=99.5)
    yield case(painted((255, 0, 0)), perturb="mask", colour="red", mode=mode, q=98.5)


CASES = [*cases("reference"), *cases("standard")]


def name_of(given: Case) -> str:
    return f"{given.entrant.mode} {given.entrant.perturb} {given.entrant.percentile:g}"


def anonymized(entrant: EdiAnon, images: ImageSet = PROBES, **controller: Any) -> tuple[Released, Trace]:
    released = entrant.anonymize(images, Controller(recogniser=recogniser(), **controller))
    check_released(released, images)
    assert released.trace is not None
    return released, released.trace


def after_each_round(given: Case) -> list[tuple[torch.Tensor, Trace]]:
    """The set after 1, 2, ... rounds."""
    most = len(anonymized(given.entrant)[1].risk) - 1
    limits = [dataclasses.replace(given.entrant, rounds=limit) for limit in range(1, most + 1)]
    runs = [anonymized(entrant) for entrant in limits]
    return [(released.images, trace) for released, trace in runs]
