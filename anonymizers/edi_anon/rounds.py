"""The rounds: look at the images that are still recognised, stop or change them, and look again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch.backends import cudnn

from anonymizers.edi_anon.perturbations import Perturbation
from anonymizers.edi_anon.saliency import BLOCK, Explainer
from anonymizers.edi_anon.selection import Selection, explains
from anonymizers.edi_anon.watching import Seen, Watch
from benchmark.hashing import sha256_json
from benchmark.images import ImageSet
from benchmark.learning.training import one_thread
from benchmark.protocols import Progress, silent
from benchmark.trace import Trace


@dataclass(frozen=True)
class Look:
    """What a pass over some images found: those that are still recognised, and what the next round would make of them.

    Attributes:
        rows: of the recognised images in the set, int64 ``[A]``.
        proposed: uint8 ``[A, 3, H, W]``.
        moving: whether any later round could still change the image, bool ``[A]``.
        seen: of the watched images.
    """

    rows: torch.Tensor
    proposed: torch.Tensor
    moving: torch.Tensor
    seen: Sequence[tuple[int, Seen]] = ()


@dataclass
class Rounds:
    """EDI-Anon on a set of images. Their state is 8-bit, so the risk that is measured is that of what is released.

    Attributes:
        original: N images.
        labels: who is on each, as classes of the recogniser, int64 ``[N]``.
        explain: says who is recognised, and why.
        perturb: the base perturbation P.
        select: the mask M.
        target: stop as soon as the share of recognised images is below this.
        limit: rounds at most.
        batch: images per pass at most.
        seed: of all draws.
        device: torch device of the recogniser.
        dtype: of its parameters.
        layout: memory format of its input.
        progress: told how many images are done with.
    """

    original: ImageSet
    labels: torch.Tensor
    explain: Explainer
    perturb: Perturbation
    select: Selection
    target: float = 0.01
    limit: int = 200
    batch: int = 64
    seed: int = 0
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    layout: torch.memory_format = torch.contiguous_format
    progress: Progress = silent

    def __post_init__(self) -> None:
        self.images = self.original.images.clone(memory_format=torch.contiguous_format)
        self.made = torch.zeros(len(self.images), dtype=torch.int64)
        self.changed = torch.zeros(self.images.shape, dtype=torch.bool)
        self.watch = Watch()
        self.looked_at = 0
        """Images that went through the recogniser, once per round in which they did."""
        self._done = 0

    def run(self) -> Trace:
        """Rounds until the target is reached, nothing can change any more, or the limit; what is released is ``images``.

        An image that is not recognised is never touched again, so it cannot become recognisable. Batches are shared
        out to as many workers as PyTorch has threads, each computing with one: how a library divides a convolution
        among threads decides its last digits.
        """
        workers = torch.get_num_threads() if torch.device(self.device).type == "cpu" else 1
        exact = cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with exact, one_thread(), ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return self._run(pool, workers)

    def _run(self, pool: Executor, workers: int) -> Trace:
        curve: list[float] = []
        active, stuck = torch.arange(len(self.images)), torch.zeros(0, dtype=torch.int64)
        for number in itertools.count():
            look = self._look(active, number, pool, workers)
            recognised = torch.cat([look.rows, stuck])
            curve.append(len(recognised) / max(1, len(self.images)))
            if curve[-1] < self.target or number == self.limit:
                break
            stuck, active = torch.cat([stuck, look.rows[~look.moving]]), look.rows[look.moving]
            self._tell(len(self.images) - len(active))
            if not len(active):
                break
            self._commit(active, look.proposed[look.moving])
        self._tell(len(self.images))
        return self._trace(curve, recognised)

    def _look(self, rows: torch.Tensor, number: int, pool: Executor, workers: int) -> Look:
        """One pass after ``number`` rounds; no image is changed."""
        self.looked_at += len(rows)
        draws = round_seed(self.seed, number)
        share = -(-len(rows) // (workers * BLOCK)) * BLOCK  # whole blocks, so that nobody fills up more than one
        batches = rows.split(max(1, min(self.batch, share)))
        parts = list(pool.map(lambda part: self._look_at(part, number, draws), batches))
        self.watch.keep(item for part in parts for item in part.seen)
        return Look(
            torch.cat([part.rows for part in parts]),
            torch.cat([part.proposed for part in parts]),
            torch.cat([part.moving for part in parts]),
        )

    def _look_at(self, rows: torch.Tensor, number: int, draws: int) -> Look:
        keys = [self.original.keys[row] for row in rows.tolist()]
        given = (self.images[rows].to(self.device).to(self.dtype) / 255).contiguous(memory_format=self.layout)
        found = self.explain(given, self.labels[rows].to(self.device), keys, draws)
        named, saliency = found.named.cpu(), found.saliency[found.named].contiguous()
        kept = ImageSet(
            self.images[rows[named]], tuple(key for key, yes in zip(keys, named.tolist(), strict=True) if yes)
        )
        if not len(kept):
            return Look(rows[named], kept.images, named[named])
        seen = self.watch.seen_in(number, rows[named], kept.images, saliency)
        return Look(rows[named], *self._next(kept, saliency, draws), seen)

    def _next(self, images: ImageSet, saliency: torch.Tensor, draws: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One round, ``(1 - M) x + M P(x)``, and whether it or a later one can change the image."""
        perturbed = self.perturb(images, draws)
        mask = self.select(saliency, (perturbed != images.images).to(saliency.device)).cpu()
        proposed = torch.where(mask, perturbed, images.images)
        moving = (proposed != images.images).flatten(1).any(1)
        if not (
            self.perturb.deterministic and self.explain.deterministic
        ):  # the next draw may change what this one left
            moving |= explains(saliency).cpu()
        return proposed, moving

    def _commit(self, rows: torch.Tensor, proposed: torch.Tensor) -> None:
        self.changed[rows] |= proposed != self.images[rows]
        self.images[rows] = proposed
        self.made[rows] += 1

    def _tell(self, done: int) -> None:
        self.progress(done - self._done)
        self._done = done

    def _trace(self, curve: list[float], recognised: torch.Tensor) -> Trace:
        still = torch.zeros(len(self.images), dtype=torch.bool)
        still[recognised] = True
        return Trace(
            risk=torch.tensor(curve, dtype=torch.float64),
            target=self.target,
            rounds=self.made,
            changed=self.changed.flatten(1).sum(1),
            recognised=still,
            sequences=self.watch.sequences(self.made, self.images),
        )


def round_seed(seed: int, number: int) -> int:
    """Seed of the draws in the pass after ``number`` rounds."""
    return int(sha256_json(["edi-anon", seed, number])[:15], 16)
