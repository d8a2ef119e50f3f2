"""Which numbers of a record nothing in it checks, so that only making it again tells whether they are true."""

from __future__ import annotations

from benchmark.records import RISK, MetricCard, Record, Score
from benchmark.submission.facts import is_audit
from benchmark.submission.values import is_macro

OF_ATTACKERS = "AUC, EER, TAR, rank-5, rank-10, mAP and D_sys of the attackers"


def not_recomputed(record: Record) -> list[str]:
    """Names of what the values per image do not give.

    Returns:
        Families of metrics, then the attackers' further numbers, if there are attackers, then the costs.
    """
    cards = {card.name: card for card in record.metrics}
    scores = [score for score in record.scores if score.value is not None]
    found = [_named(cards[score.metric]) for score in scores if not _given(cards[score.metric], score)]
    if any(cards[score.metric].rung for score in scores):
        found.append(OF_ATTACKERS)
    if record.cost.seconds_per_image is not None:
        found.append("time and memory")
    return list(dict.fromkeys(found))


def _given(card: MetricCard, score: Score) -> bool:
    """Whether a score follows from its values per image: it is their mean, or their minimum."""
    if card.name == RISK or card.rung or is_audit(card):
        return True
    of_images = not card.about_claim  # measures of groups have no values per image
    return of_images and score.interval is not None and "bootstrap" in score.interval.method and not is_macro(card)


def _named(card: MetricCard) -> str:
    family = card.name.split("(")[0]
    return f"{family} (within bounds)" if is_macro(card) else family
