"""Scores without a value: what a metric returns where the data do not allow it, or this machine does not."""

from __future__ import annotations

from benchmark.protocols import Missing, Scores
from benchmark.records import Score


def not_applicable(metric: str, reason: str, n: int) -> Scores:
    """The score of a metric that has no meaning on ``n`` images, with the reason."""
    return Scores(Score(metric=metric, status="not-applicable", reason=reason, n=n))


def unavailable(metric: str, lacking: Missing, n: int) -> Scores:
    """The score of a metric that cannot be computed here, with what is missing and what to type."""
    return Scores(Score(metric=metric, status="unavailable", reason=lacking.reason, remedy=lacking.remedy, n=n))
