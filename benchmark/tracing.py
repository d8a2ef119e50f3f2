"""What a record keeps of a trace: a curve, a few counts, per-image columns and pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator

import cv2
import torch

from benchmark.images import ImageSet
from benchmark.records import TraceFacts, TraceSequence, TraceStep
from benchmark.trace import Sequence, Trace

PICTURES = "rounds"
"""Folder of the pictures beside the record."""
QUALITY = 80
"""Of the pictures, WebP 0..100; examples beside the record show what is released pixel for pixel."""


def facts_of(trace: Trace, original: ImageSet, shows_faces: bool) -> TraceFacts:
    """The record's part of a trace.

    Args:
        trace: in the order of ``original``.
        original: the probe images.
        shows_faces: whether pictures may be kept.
    """
    numbered = enumerate(trace.sequences if shows_faces else ())
    changed = trace.changed.double() / original.images[0].numel()
    return TraceFacts(
        risk=tuple(trace.risk.tolist()),
        target=trace.target,
        recognised=int(trace.recognised.sum()),
        rounds_median=float(trace.rounds.double().quantile(0.5)),
        rounds_max=int(trace.rounds.max()),
        changed_mean=float(changed.mean()),
        sequences=tuple(_sequence(number, part, original.keys[part.row]) for number, part in numbered),
    )


def _sequence(number: int, sequence: Sequence, key: str) -> TraceSequence:
    named = [TraceStep(after=after, picture=f"{PICTURES}/{number}-{after}.webp") for after in sequence.after.tolist()]
    return TraceSequence(key=key, steps=tuple(named))


def columns_of(trace: Trace) -> dict[str, torch.Tensor]:
    """Values per image by the name they have in the table beside the record, float64 ``[N]``."""
    named = {"rounds": trace.rounds, "changed": trace.changed, "recognised": trace.recognised}
    return {f"trace.{name}": values.double() for name, values in named.items()}


def pictures_of(trace: Trace, facts: TraceFacts) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the pictures that ``facts`` names."""
    for sequence, named in zip(trace.sequences, facts.sequences, strict=False):
        for step, image, saliency in zip(named.steps, sequence.images, sequence.saliency, strict=True):
            yield step.picture, _picture(image, saliency)


def _picture(image: torch.Tensor, saliency: torch.Tensor) -> bytes:
    """An image above its saliency in false colours, as WebP; uint8 ``[3, H, W]`` and float ``[H, W]`` in 0..1."""
    from PIL import Image

    grey = (saliency * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    coloured = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    pixels = torch.cat([image.permute(1, 2, 0), torch.from_numpy(coloured)])
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, "webp", quality=QUALITY, method=6)
    return buffer.getvalue()
