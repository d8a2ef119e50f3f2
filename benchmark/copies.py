"""An entrant in other hands: run on photographs of the attacker's own, with a controller of the attacker's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmark.hashing import sha256_json
from benchmark.images import ImageSet
from benchmark.learning.classifier import Classifier
from benchmark.protocols import USES, Controller, Report, Shared, quiet
from benchmark.registry import Entrant
from benchmark.release import Settings, disguised, released_once
from benchmark.store import Store

WORTH_KEEPING = 20.0
"""Seconds of work beyond which the copy's images are kept in the store; what filters make is made again instead."""

RECOGNISERS = {"enrol": "parrot", "background": "embedding"}
"""Which of the attacker's models knows the people of a split."""


@dataclass
class OwnCopy:
    """The copy of one entrant for one suite and seed.

    Attributes:
        entrant: who anonymizes.
        cell: content address of the real release; the copy's output is kept under one made from it.
        seed: of the real run; the copy's is another.
        photographs: clear photographs by split.
        attackers: the attacker's models by name.
        salt: hash of the suite.
        settings: device and batch size.
        store: where expensive output is kept.
        report: shows progress.
    """

    entrant: Entrant
    cell: str
    seed: int
    photographs: Callable[[str], ImageSet]
    attackers: Mapping[str, Classifier]
    salt: str
    settings: Settings
    store: Store
    report: Report = quiet
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def identity(self) -> str:
        """Content address of everything the copy's output depends on besides the photographs."""
        models = {name: model.sha256 for name, model in sorted(self.attackers.items())}
        return sha256_json([self.cell, models if "recogniser" in self.entrant.uses else {}])

    def once(self, name: str, make: Callable[[], Shared]) -> Shared:
        """What ``make`` returns, made once for this entrant."""
        if name not in self._made:
            self._made[name] = make()
        made: Shared = self._made[name]
        return made

    def released(self, split: str) -> torch.Tensor:
        """What the copy makes of a split: uint8 ``[N, 3, H, W]``, in the order of the photographs.

        Raises:
            EntrantFailed: the entrant raised or broke the protocol.
        """
        return self.once(f"released {split}", lambda: self._released(split))

    def _released(self, split: str) -> torch.Tensor:
        from safetensors.torch import save

        images = self.photographs(split)
        path = self.store.path("copies", f"{sha256_json([self.identity, split, images.content])}.safetensors")
        found = _kept(path)
        if found is not None:
            return found
        started = time.perf_counter()
        with self.report(f"{self.entrant.spec} in the attacker's hands, {split}", len(images)) as progress:
            controller = Controller(
                seed=own_seed(self.seed),
                device=self.settings.device,
                batch_size=self.settings.batch_size,
                train=self._others() if "train" in self.entrant.uses else None,
                recogniser=self._recogniser(split) if "recogniser" in self.entrant.uses else None,
                progress=progress,
                private=self.settings.private,
                covered=self.settings.covered,
            )
            made = released_once(self.entrant.fresh(), images, controller, f"{self.salt}/{split}")
        if time.perf_counter() - started > WORTH_KEEPING:
            self.store.remember(path, lambda: save({"images": made.contiguous()}))
        return made

    def _others(self) -> ImageSet:
        return disguised(self.photographs("background"), USES, self.salt)

    def _recogniser(self, split: str) -> Classifier | None:
        model = self.attackers.get(RECOGNISERS[split])
        return None if model is None else model.copy()


def _kept(path: Path) -> torch.Tensor | None:
    """What an earlier run kept; None if it kept nothing, or the file is damaged and thereby removed."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())["images"]
    except FileNotFoundError:
        return None
    except SafetensorError:
        path.unlink(missing_ok=True)
        return None


def own_seed(seed: int) -> int:
    """The attacker's seed: fixed by the real one, and never the same."""
    drawn = int(sha256_json(["attacker", seed])[:8], 16)
    return drawn + (drawn == seed)
