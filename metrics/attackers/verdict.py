"""From an attacker's matches to its score: closed-set and open-set numbers beside those on originals."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.images import ImageSet
from benchmark.protocols import Scores
from benchmark.records import MetricCard
from metrics.attackers.matching import Matches


def verdict(
    card: MetricCard,
    original: ImageSet,
    released: ImageSet,
    found: Matches,
    clean: Matches,
    details: Mapping[str, float] | None = None,
) -> Scores:
    """Scores an attacker.

    Args:
        card: of the attacker.
        original: the probes, with identities.
        released: what was released of them; missing images count as identified.
        found: the attacker's matches on released images.
        clean: the same attacker's matches on the original probes.
        details: further numbers to show.

    Returns:
        Closed-set top-1 with anchors ``chance`` and ``originals``.
    """
    raise NotImplementedError
