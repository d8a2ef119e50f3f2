"""What the rounds of EDI-Anon cost: ``python -m tests.bench.bench_edi_anon``.

Against a plain loop of the same arithmetic, image by image as the published code goes, and against what N images times
the number of rounds would cost. Wall time, the same threads on both sides, on the recogniser of portraits-v1. A second
thread slows the plain loop down, so the row with one thread is the fair one.
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.machine import idle_cores, prepare_environment, use_threads

prepare_environment()  # before torch is imported, as the commands do

# ruff: noqa: E402
import cv2
import numpy as np
import torch
from torch import nn

from anonymizers.edi_anon import EdiAnon
from anonymizers.edi_anon.perturbations import published
from anonymizers.edi_anon.rounds import Rounds
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Classifier
from benchmark.protocols import Controller, SuiteOptions
from benchmark.registry import load
from benchmark.store import cache_root
from benchmark.trace import Trace
from tests.bench.bench_street import row

PROBES, LIMIT, FASTER = 96, 36, 5.0
"""Images and rounds of the comparison with the loop (neither reaches the target), and how many times as fast we must be."""
EXACT_PROBES, EXACT_TARGET, EXACT_LIMIT = 12, 0.3, 20
"""The same in float64, where the last digits decide no near ties; both stop on their own before the limit."""
MANY, FEW_ROUNDS, LOOKS = 240, 8, 1.5
"""Images, rounds, and how many times as much as in the first pass a look may cost."""
FAMILY_ROUNDS, FAMILY_BAR = 10, 4.0
"""Rounds for each perturbation, and seconds on two cores that ``PROBES`` images may take."""
FAMILIES = (
    EdiAnon(perturb="blur", rounds=FAMILY_ROUNDS),
    EdiAnon(perturb="pixelate", rounds=FAMILY_ROUNDS),
    EdiAnon(perturb="dp-pix", rounds=FAMILY_ROUNDS),
    EdiAnon(perturb="dp-blur", rounds=FAMILY_ROUNDS),
    EdiAnon(perturb="noise", sigma=50, rounds=FAMILY_ROUNDS),
    EdiAnon(perturb="mask", rounds=FAMILY_ROUNDS),
)


@dataclass
class PlainLoop:
    """EDI-Anon with a box blur as a straightforward loop over files, every image by itself.

    Lenient: the published code also runs images that are safe a second time and writes them anew in every round.

    Attributes:
        images: with the people on them.
        network: the recogniser; its parameters get gradients that nobody uses.
        folder: where images are between rounds.
        dtype: of the recogniser.
        target: stop when the share of recognised images is below this.
        limit: rounds at most.
        q: percentile of the selected values.
    """

    images: ImageSet
    network: nn.Module
    folder: Path
    dtype: torch.dtype
    target: float
    limit: int
    q: float = 90.0

    def run(self) -> tuple[torch.Tensor, int]:
        """Released images, uint8 ``[N, 3, H, W]``, and the rounds it took."""
        assert self.images.identity is not None
        labels = self.images.identity.values.tolist()
        state = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in self.images.images]
        made = 0
        while True:
            recognised = [self._names(image) == label for image, label in zip(state, labels, strict=True)]
            if sum(recognised) / len(state) < self.target or made == self.limit:
                return torch.from_numpy(np.stack(state)).permute(0, 3, 1, 2).contiguous(), made
            for index in np.flatnonzero(recognised).tolist():
                state[index] = self._stored(index, self._changed(state[index]))
            made += 1

    def _given(self, image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().to(self.dtype) / 255

    @torch.no_grad()
    def _names(self, image: np.ndarray) -> int:
        return int(self.network(self._given(image)).argmax())

    def _changed(self, image: np.ndarray) -> np.ndarray:
        given = self._given(image).requires_grad_()
        logits = self.network(given)
        nn.functional.cross_entropy(logits, logits.topk(2).indices[:, 1]).backward()
        assert given.grad is not None
        gradient = given.grad[0].permute(1, 2, 0).numpy()
        self.network.zero_grad()
        mask = (gradient >= np.percentile(gradient, self.q)).astype(np.float64)
        kernel = int(published("blur", min(self.images.size))["kernel"])
        blurred = cv2.blur(image, (kernel, kernel), borderType=cv2.BORDER_REFLECT_101)
        changed: np.ndarray = np.rint((1 - mask) * image + mask * blurred).astype(np.uint8)
        return changed

    def _stored(self, index: int, image: np.ndarray) -> np.ndarray:
        path = str(self.folder / f"{index:04}.png")
        cv2.imwrite(path, image)
        stored = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        assert stored is not None
        return stored


@dataclass(frozen=True)
class Run:
    """One side of a comparison: what it released, after how many rounds, and how long that took."""

    images: torch.Tensor
    rounds: int
    seconds: float


def plain(images: ImageSet, recogniser: Classifier, dtype: torch.dtype, target: float, limit: int) -> Run:
    """The plain loop."""
    network = copy.deepcopy(recogniser.network).to(dtype).requires_grad_()
    with tempfile.TemporaryDirectory() as place:
        loop = PlainLoop(images, network, Path(place), dtype, target, limit)
        started = time.perf_counter()
        released, made = loop.run()
        return Run(released, made, time.perf_counter() - started)


def batched(images: ImageSet, recogniser: Classifier, dtype: torch.dtype, target: float, limit: int) -> Run:
    """The entrant, with the published rule of selection."""
    entrant = EdiAnon(mode="reference", target=target, rounds=limit)
    converted = dataclasses.replace(recogniser, network=copy.deepcopy(recogniser.network).to(dtype))
    started = time.perf_counter()
    released = entrant.anonymize(images, Controller(recogniser=converted))
    took = time.perf_counter() - started
    assert released.trace is not None
    return Run(released.images, len(released.trace.risk) - 1, took)


def equal_images(one: torch.Tensor, other: torch.Tensor) -> int:
    """How many images of two sets are the same byte for byte."""
    return int((one == other).flatten(1).all(1).sum())


def verdict(well: bool) -> str:
    return "ok" if well else "MISS"


def compare(images: ImageSet, recogniser: Classifier, threads: int) -> None:
    """Speed against the plain loop in float32. Near ties fall differently there, image by image."""
    settings = (images, recogniser, torch.float32, 0.01, LIMIT)
    theirs, ours = plain(*settings), batched(*settings)
    ratio = theirs.seconds / ours.seconds
    print(
        f"{f'{len(images)} images, at most {LIMIT} rounds, {threads} thread(s)':44} {ours.seconds:8.2f} s  "
        f"plain loop {theirs.seconds:7.2f} s  {ratio:6.2f} times as fast  demand {FASTER:.1f}  {verdict(ratio >= FASTER)}"
    )
    same = equal_images(theirs.images, ours.images)
    print(f"    rounds {ours.rounds} and {theirs.rounds}, {same} of {len(images)} images equal byte for byte (float32)")


def check_equality(images: ImageSet, recogniser: Classifier) -> None:
    """The same bytes and the same rounds in float64."""
    settings = (images, recogniser, torch.float64, EXACT_TARGET, EXACT_LIMIT)
    theirs, ours = plain(*settings), batched(*settings)
    same = equal_images(theirs.images, ours.images)
    well = same == len(images) and ours.rounds == theirs.rounds < EXACT_LIMIT
    print(
        f"{f'float64, {len(images)} images, target {EXACT_TARGET:.0%}':44} rounds {ours.rounds} and {theirs.rounds}, "
        f"{same} of {len(images)} images equal byte for byte  {verdict(well)}"
    )


@dataclass
class Timed:
    """A run of the rounds with a clock that notes the end of each pass."""

    rounds: Rounds
    trace: Trace
    passes: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Wall seconds of all passes."""
        return self.passes[-1]


def timed(entrant: EdiAnon, images: ImageSet, recogniser: Classifier) -> Timed:
    """Runs an entrant and keeps its rounds, which count the images they look at."""
    ends: list[float] = []
    clock = Controller(recogniser=recogniser, progress=lambda _: ends.append(time.perf_counter()))
    rounds = entrant._rounds(images, clock)
    started = time.perf_counter()
    trace = rounds.run()
    return Timed(rounds, trace, [end - started for end in ends])


def looks(images: ImageSet, recogniser: Classifier) -> None:
    """Images looked at, and what a look costs, in the first pass and later, where few images fill a batch."""
    run = timed(EdiAnon(), images, recogniser)
    count, made, looked_at = len(images), len(run.trace.risk) - 1, run.rounds.looked_at
    first, later = run.passes[0] / count, (run.seconds - run.passes[0]) / max(1, looked_at - count)
    cost = run.seconds / looked_at / first
    well = looked_at == count + int(run.trace.rounds.sum()) and cost <= LOOKS
    print(
        f"{f'{count} images, {made} rounds to the target':44} {run.seconds:8.2f} s  "
        f"{count} x {made + 1} passes would be {count * (made + 1)} looks, these are {looked_at}: "
        f"{looked_at / (count * (made + 1)):.1%}"
    )
    print(
        f"    {first * 1e3:.2f} ms per look in the first pass, {later * 1e3:.2f} ms later; on average {cost:.2f}  "
        f"bar {LOOKS:.1f}  {verdict(well)}"
    )


def strangers(images: ImageSet, recogniser: Classifier) -> ImageSet:
    """The images under labels that the recogniser does not give them."""
    assert images.identity is not None
    wrong = (recogniser.predictions(images.images) + 1) % len(images.identity.classes)
    return dataclasses.replace(images, identity=Labels(wrong, images.identity.classes))


def joined(one: ImageSet, other: ImageSet) -> ImageSet:
    """Both sets, images and people alone."""
    assert one.identity is not None
    assert other.identity is not None
    labels = Labels(torch.cat([one.identity.values, other.identity.values]), one.identity.classes)
    return ImageSet(torch.cat([one.images, other.images]), one.keys + other.keys, labels)


def never_recognised(images: ImageSet, others: ImageSet, recogniser: Classifier) -> None:
    """As many images again that are never recognised cost one look each, and change nothing about the rest."""
    entrant = EdiAnon(target=1e-9, rounds=FEW_ROUNDS)  # a set twice as large has half the risk
    both = joined(images, strangers(others, recogniser))
    pairs = [(timed(entrant, images, recogniser), timed(entrant, both, recogniser)) for _ in range(3)]
    alone, doubled = pairs[0]
    extra = doubled.rounds.looked_at - alone.rounds.looked_at
    kept = equal_images(torch.cat([alone.rounds.images, others.images]), doubled.rounds.images)
    costs = statistics.median((more.seconds - one.seconds) / one.passes[0] for one, more in pairs)
    times = statistics.median(more.seconds / one.seconds for one, more in pairs)
    well = costs <= LOOKS and extra == len(others) and kept == len(both)
    print(
        f"{f'{len(others)} more that are never recognised':44} {times:8.2f} times the time: {extra} more looks, each "
        f"{costs:.2f} of a look in the first pass  bar {LOOKS:.1f}  {kept} of {len(both)} images as before  {verdict(well)}"
    )


def spread(probes: ImageSet, count: int, start: int = 0) -> ImageSet:
    """``count`` images, from the whole set."""
    return probes.select(torch.arange(start, len(probes), len(probes) // count)[:count])


def main() -> None:
    """Prints speed, equality, and costs per look."""
    suite = load("suites", "portraits-v1")(SuiteOptions(store=cache_root() / "store"))
    probes, recogniser = suite.images("probe"), suite.referees().recogniser
    assert recogniser is not None
    threads = use_threads(idle_cores())
    images = spread(probes, PROBES)
    timed(EdiAnon(rounds=1), images, recogniser)  # pays for imports
    compare(images, recogniser, threads)
    if threads > 1:
        use_threads(1)
        compare(images, recogniser, 1)
        use_threads(threads)
    check_equality(spread(probes, EXACT_PROBES), recogniser)
    looks(spread(probes, MANY), recogniser)
    never_recognised(spread(probes, MANY), spread(probes, MANY, 1), recogniser)
    for entrant in FAMILIES:
        took = timed(entrant, images, recogniser).seconds
        row(f"{entrant.perturb}, {PROBES} images, at most {FAMILY_ROUNDS} rounds", took, FAMILY_BAR)


if __name__ == "__main__":
    main()
