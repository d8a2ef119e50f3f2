"""What a generator keeps of photographs: projected, drawn again, and held against the originals by the suite's metrics."""

from __future__ import annotations

from typing import Any

import torch

from anonymizers.kanonymity.generator.files import load_generator
from anonymizers.kanonymity.generator.latents import drawn, latents_of
from benchmark.errors import NothingComparable
from benchmark.protocols import Report, Suite
from benchmark.registry import build_metric
from benchmark.specs import parse_spec

FAMILIES = ("psnr", "f1")


def fidelity(suite: Suite, name: str, steps: int, count: int, report: Report) -> list[dict[str, Any]]:
    """Scores of projected probe images, and of the originals themselves.

    Args:
        suite: whose probe images, spread evenly over the people.
        name: of the generator, or its file.
        steps: of projection after the encoder.
        count: how many images, at most.
        report: shows progress.

    Returns:
        One row per metric: ``metric``, ``original``, ``projected``.

    Raises:
        NothingComparable: the suite has neither PSNR nor F1.
    """
    probe = suite.images("probe", report)
    rows = torch.linspace(0, len(probe) - 1, min(count, len(probe))).round().long().unique()
    original = probe.select(rows)
    generator = load_generator(name)
    with report("project", len(original)) as progress:
        latents = latents_of(generator, original.images, steps, progress)
    made = drawn(generator, latents, original.size)
    specs = [spec for spec in suite.metrics if parse_spec(spec).family in FAMILIES]
    if not specs:
        raise NothingComparable(f"{suite.facts.name} has neither psnr nor f1 among its metrics")
    referees, projected = suite.referees(report), original.with_images(made)
    found = []
    for spec in specs:
        metric = build_metric(spec)
        before, after = (metric.score(original, images, referees).score.value for images in (original, projected))
        found.append({"metric": spec, "original": _rounded(before), "projected": _rounded(after)})
    return found


def _rounded(value: float | None) -> float | str:
    return "" if value is None or value == float("inf") else round(value, 4)
