"""Tuning: a few metrics of one entrant over the values of one parameter, and which value is suggested."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from benchmark.records import Finite, MetricCard, ParamValue, Part

Number = int | Finite
FOLDER = "tuning"
"""Of the files, beside ``records``."""
ALLOWED = "allowed"
"""Anchor of a score that says how large it may be."""
RULE = (
    "the value where the curve, scaled to the unit square, is farthest above the chord between its ends (Kneedle without "
    "smoothing: Satopaa, Albrecht, Irwin and Raghavan, ICDCS workshops 2011), among the values that are allowed"
)


class Curve(Part):
    """One metric over all values of the parameter; None where there is no number."""

    metric: str
    """As on its card."""
    values: tuple[Finite | None, ...]
    low: tuple[Finite | None, ...]
    """Low ends of the intervals."""
    high: tuple[Finite | None, ...]
    allowed: tuple[Finite | None, ...]
    """How large it may be, of metrics that say so."""
    reasons: dict[str, str] = Field(default={})
    """Why a number is missing, by the parameter's value."""


class Knee(Part):
    """What is suggested."""

    value: Number
    metric: str
    """Whose curve has its knee there."""
    rule: str


class Tuning(Part):
    """The whole report, of one entrant on one suite under one seed."""

    schema_version: Literal[1] = 1
    name: str
    """Slug, the name of its file."""
    entrant: str
    """Its spec without the parameter."""
    family: str
    params: dict[str, ParamValue]
    """All parameters but the one, defaults expanded."""
    entry_hash: str
    """sha256 over the source files of the method."""
    parameter: str
    values: Annotated[tuple[Number, ...], Field(min_length=2)]
    seed: int
    suite_name: str
    suite_hash: str
    metrics: tuple[MetricCard, ...]
    """Cards of the curves, in their order."""
    curves: tuple[Curve, ...]
    failures: dict[str, str] = Field(default={})
    """What went wrong at which value of the parameter."""
    knee: Knee | None = None
    no_knee: str = ""
    """Why nothing is suggested."""
    command: str
    harness_version: str
    created_utc: str

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        if [curve.metric for curve in self.curves] != [card.name for card in self.metrics]:
            raise ValueError("curves and metric cards are not one each, in one order")
        for curve in self.curves:
            if {len(part) for part in (curve.values, curve.low, curve.high, curve.allowed)} != {len(self.values)}:
                raise ValueError(f"{curve.metric} has not one number per value of {self.parameter}")
        if (self.knee is None) != bool(self.no_knee):
            raise ValueError("a tuning has a knee, or a reason why there is none")
        return self

    def refused(self) -> dict[Number, str]:
        """Values at which some metric is larger than allowed, with its name."""
        found: dict[Number, str] = {}
        for curve in self.curves:
            for value, number, most in zip(self.values, curve.values, curve.allowed, strict=True):
                if number is not None and most is not None and number > most:
                    found.setdefault(value, curve.metric)
        return found


def read_tuning(path: Path) -> Tuning:
    """Reads and validates one file of ``OUT/tuning``."""
    return Tuning.model_validate_json(path.read_bytes())


def knee_of(x: Sequence[float], y: Sequence[float], allowed: Sequence[bool]) -> int | None:
    """The place of a curve's knee, see ``RULE``.

    Args:
        x: the parameter's values, ascending, at least two.
        y: the metric's values.
        allowed: which places may be suggested.

    Returns:
        None for a curve that does not bend towards its end, and where nothing is allowed.
    """
    wide, high = x[-1] - x[0], y[-1] - y[0]
    if not wide or not high:
        return None
    above = [(value - y[0]) / high - (place - x[0]) / wide for value, place in zip(y, x, strict=True)]
    between = [row for row in range(1, len(x) - 1) if allowed[row]]
    best = max(between, key=lambda row: above[row], default=None)
    return best if best is not None and above[best] > 1e-9 else None
