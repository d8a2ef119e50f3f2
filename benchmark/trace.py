"""How an anonymizer that works in rounds came to what it released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

PREFIX = "trace."
"""Of the arrays of a trace among the arrays of a release."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """One image on its way, at a few of its rounds.

    Attributes:
        row: which image of the set it is.
        after: int64 ``[T]``, how many rounds each picture has behind it; the first is the original, the last is released.
        images: uint8 ``[T, 3, H, W]``.
        saliency: float32 ``[T, H, W]``, what mattered on each picture, 0 (not at all) to 1; all zeros where the method
            did not ask.
    """

    row: int
    after: torch.Tensor
    images: torch.Tensor
    saliency: torch.Tensor


@dataclass(frozen=True, eq=False)
class Trace:
    """The rounds of a whole set of N images. An attacker never sees it.

    Attributes:
        risk: float64 ``[R + 1]``, share of all N images that the method's own recogniser names rightly, before the first
            round and after each.
        target: the share below which the method stops.
        rounds: int64 ``[N]``, rounds each image went through.
        changed: int64 ``[N]``, values (pixel x channel) that were ever changed.
        recognised: bool ``[N]``, images that are still named rightly at the end.
        sequences: of a few images.
    """

    risk: torch.Tensor
    target: float
    rounds: torch.Tensor
    changed: torch.Tensor
    recognised: torch.Tensor
    sequences: tuple[Sequence, ...] = ()

    def problem(self, count: int, size: tuple[int, int]) -> str:
        """What is wrong with it for ``count`` images of ``size`` (height, width); empty if nothing is."""
        per_image = {"rounds": torch.int64, "changed": torch.int64, "recognised": torch.bool}
        for name, kind in per_image.items():
            found = getattr(self, name)
            if found.dtype != kind or found.shape != (count,):
                return f"{name} must be {kind} [{count}], not {found.dtype} {list(found.shape)}"
        if self.risk.dim() != 1 or len(self.risk) == 0 or not ((self.risk >= 0) & (self.risk <= 1)).all():
            return "risk must be shares from 0 to 1, one before the first round and one after each"
        return next((text for part in self.sequences if (text := _problem(part, count, size))), "")

    def arrays(self) -> dict[str, torch.Tensor]:
        """Everything as arrays by name, for a file."""
        named = {
            "risk": self.risk.double(),
            "target": torch.tensor(self.target, dtype=torch.float64),
            "rounds": self.rounds,
            "changed": self.changed,
            "recognised": self.recognised,
        }
        for number, part in enumerate(self.sequences):
            row = torch.tensor(part.row)
            parts = {"row": row, "after": part.after, "images": part.images, "saliency": part.saliency.float()}
            named |= {f"sequences.{number}.{name}": values for name, values in parts.items()}
        return {f"{PREFIX}{name}": values.cpu().contiguous() for name, values in named.items()}


def _problem(part: Sequence, count: int, size: tuple[int, int]) -> str:
    pictures = len(part.after)
    if not 0 <= part.row < count:
        return f"a sequence is of row {part.row}, and there are {count} images"
    if part.images.dtype != torch.uint8 or part.images.shape != (pictures, 3, *size):
        return f"images of a sequence must be uint8 {[pictures, 3, *size]}, not {list(part.images.shape)}"
    if part.saliency.shape != (pictures, *size):
        return f"saliency of a sequence must be {[pictures, *size]}, not {list(part.saliency.shape)}"
    return ""


def from_arrays(arrays: Mapping[str, torch.Tensor]) -> Trace | None:
    """The trace that ``Trace.arrays`` wrote; None where there is none.

    Raises:
        KeyError: a part is missing.
    """
    named = {name.removeprefix(PREFIX): values for name, values in arrays.items() if name.startswith(PREFIX)}
    if not named:
        return None
    numbers = sorted({int(name.split(".")[1]) for name in named if name.startswith("sequences.")})
    sequences = tuple(_sequence(named, f"sequences.{number}.") for number in numbers)
    per_image = {name: named[name] for name in ("rounds", "changed", "recognised")}
    return Trace(risk=named["risk"], target=float(named["target"]), sequences=sequences, **per_image)


def _sequence(named: Mapping[str, torch.Tensor], prefix: str) -> Sequence:
    parts = {name: named[prefix + name] for name in ("after", "images", "saliency")}
    return Sequence(row=int(named[prefix + "row"]), **parts)
