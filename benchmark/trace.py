"""How an anonymizer that works in rounds came to what it released."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

PREFIX = "trace."
"""Of the arrays of a trace among the arrays of a release."""
MOST_ROUNDS, MOST_SEQUENCES, MOST_PICTURES = 10_000, 16, 32
"""What a trace may hold at most: rounds, sequences, and pictures of a sequence."""
TOLERANCE = 1e-3
"""How far a saliency may lie beyond 0 and 1 by rounding; less than a grey level."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """One image on its way, at a few of its rounds.

    Attributes:
        row: which image of the set it is.
        after: int64 ``[T]``, how many rounds each picture has behind it; the first is the original, the last is released.
        images: uint8 ``[T, 3, H, W]``.
        saliency: float32 ``[T, H, W]``, what mattered on each picture, 0 (not at all) to 1; all zeros where it
            noted nothing.
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
        return next(self._problems(count, size), "")

    def _problems(self, count: int, size: tuple[int, int]) -> Iterator[str]:
        """The first one counts: later checks take for granted what earlier ones found."""
        if not _are_shares(self.risk):
            yield "risk must be shares from 0 to 1, one before the first round and one after each"
        if not isinstance(self.target, (int, float)) or not 0 <= self.target <= 1:
            yield f"target must be a share from 0 to 1, not {self.target}"
        most = {"rounds": len(self.risk) - 1, "changed": 3 * size[0] * size[1], "recognised": 1}
        for name, highest in most.items():
            values, kind = getattr(self, name), torch.bool if name == "recognised" else torch.int64
            yield from _unlike(name, values, kind, [count])
            if ((values < 0) | (values > highest)).any():
                yield f"{name} must lie from 0 to {highest}, not from {int(values.min())} to {int(values.max())}"
        if count and abs(float(self.risk[-1]) - float(self.recognised.double().mean())) > 0.5 / count:
            yield "risk must end with the share of images that are still recognised"
        if len(self.risk) > MOST_ROUNDS + 1 or len(self.sequences) > MOST_SEQUENCES:
            yield f"at most {MOST_ROUNDS} rounds and {MOST_SEQUENCES} sequences are kept"
        for part in self.sequences:
            yield from _problems_of(part, count, size)

    def untruth(self, original: torch.Tensor, released: torch.Tensor, missing: torch.Tensor | None = None) -> str:
        """What a sequence shows that is not so; empty if nothing is.

        Args:
            original: uint8 ``[N, 3, H, W]``.
            released: the same.
            missing: images that are not published, bool ``[N]``.
        """
        for part in self.sequences:
            if missing is not None and missing[part.row]:
                return "a sequence must not show an image that is not released"
            if not torch.equal(part.images[0], original[part.row]):
                return "a sequence must begin with the original"
            if not torch.equal(part.images[-1], released[part.row]) or part.after[-1] != self.rounds[part.row]:
                return "a sequence must end with the released image, after all of its rounds"
        return ""

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
            row = torch.tensor(int(part.row))
            parts = {"row": row, "after": part.after, "images": part.images, "saliency": part.saliency.float()}
            named |= {f"sequences.{number}.{name}": values for name, values in parts.items()}
        # Copies, because a file holds no two arrays that share memory: all sequences may have one ``after``.
        return {f"{PREFIX}{name}": values.detach().cpu().contiguous().clone() for name, values in named.items()}


def _problems_of(part: Sequence, count: int, size: tuple[int, int]) -> Iterator[str]:
    if not 0 <= part.row < count:
        yield f"a sequence is of row {part.row}, and there are {count} images"
    pictures = len(part.images)
    if pictures > MOST_PICTURES:
        yield f"at most {MOST_PICTURES} pictures of a sequence are kept"
    yield from _unlike("images of a sequence", part.images, torch.uint8, [pictures, 3, *size])
    yield from _unlike("after of a sequence", part.after, torch.int64, [pictures])
    if not pictures or part.after[0] != 0 or (part.after.diff() <= 0).any():
        yield f"after of a sequence must start with 0 (the original) and rise, not be {part.after.tolist()}"
    if part.saliency.shape != (pictures, *size):
        yield f"saliency of a sequence must be {[pictures, *size]}, not {list(part.saliency.shape)}"
    if not ((part.saliency >= -TOLERANCE) & (part.saliency <= 1 + TOLERANCE)).all():
        yield "saliency of a sequence must lie from 0 to 1"


def _are_shares(values: object) -> bool:
    if not isinstance(values, torch.Tensor):
        return False
    return values.dim() == 1 and len(values) > 0 and bool(((values >= 0) & (values <= 1)).all())


def _unlike(name: str, values: object, kind: torch.dtype, shape: list[int]) -> Iterator[str]:
    if not isinstance(values, torch.Tensor):
        yield f"{name} must be a tensor, {kind} {shape}, not {type(values).__name__}"
    elif values.dtype != kind or list(values.shape) != shape:
        yield f"{name} must be {kind} {shape}, not {values.dtype} {list(values.shape)}"


def from_arrays(arrays: Mapping[str, torch.Tensor]) -> Trace | None:
    """The trace that ``Trace.arrays`` wrote; None where there is none.

    Raises:
        KeyError: a part is missing.
        ValueError: a sequence has no number.
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
