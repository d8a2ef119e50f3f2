"""Risk: the worst of the ladder of attackers, named; and what keeps a result from being ranked at all."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.images import ImageSet
from benchmark.protocols import Scores
from benchmark.records import AT_LEAST, BELOW_CHANCE, RISK, TOO_WEAK, MetricCard, Score

SENTINELS = (-1.0, -99.0, -999.0, -9999.0, 999.0, 9999.0)
"""Numbers that are printed where nothing was measured."""


def attackers_of(cards: Sequence[MetricCard]) -> list[MetricCard]:
    """The cards of the attackers, in their order."""
    return [card for card in cards if card.rung]


def risk_card(cards: Sequence[MetricCard]) -> MetricCard | None:
    """The card of the risk over the attackers among ``cards``; None where there are none.

    It carries their weights: risks under other attackers do not share a column.
    """
    ladder = attackers_of(cards)
    if not ladder:
        return None
    versions = ", ".join(f"{card.name} v{card.version}" for card in ladder)
    return MetricCard(
        name=RISK,
        version=1,
        title="Risk, worst attacker",
        group="privacy",
        unit="share",
        higher_is_better=False,
        range=(0.0, 1.0),
        definition=(
            "The largest closed-set top-1 accuracy that any attacker of the ladder reaches on the released probe images, "
            f"with the attacker's name. The ladder here: {versions}. An attacker that is too weak on originals does not "
            "count; an entrant that some attackers could not be run against has no risk."
        ),
        source="worst case over attackers: Hanisch et al., A False Sense of Privacy, PoPETs 2024(1)",
        weights={name: digest for card in ladder for name, digest in card.weights.items()},
        referees=tuple(dict.fromkeys(name for card in ladder for name in card.referees)),
        calibration="Releasing originals gives the best attacker's accuracy on originals, releasing nothing gives chance.",
    )


def risk_of(card: MetricCard, cards: Sequence[MetricCard], scores: Sequence[Scores], count: int) -> Scores:
    """The worst attacker's score under the name ``risk``, or why there is none.

    Args:
        card: of the risk.
        cards: of all metrics.
        scores: of all metrics.
        count: number of images.
    """
    rungs = {one.name: one for one in attackers_of(cards)}
    ladder = [part.score for part in scores if part.score.metric in rungs]
    counted = [score for score in ladder if score.value is not None and TOO_WEAK not in score.flags]
    worst = max(counted, key=lambda score: score.value or 0.0, default=None)
    gaps = [score for score in ladder if _left_out(score, rungs[score.metric])]
    if worst is None or gaps:
        return Scores(_no_risk(card, worst, gaps, ladder, count))
    values = next(part.per_image for part in scores if part.score.metric == worst.metric)
    update = {"metric": card.name, "by": worst.metric, "details": {}, "refused": {}, "flags": _weak(ladder)}
    column = {card.name: values[worst.metric]} if worst.metric in values else {}
    return Scores(worst.model_copy(update=update), column)


def _left_out(score: Score, card: MetricCard) -> bool:
    """Whether this entrant got away from an attacker that others have to face."""
    return score.status == "failed" or (score.status == "unavailable" and card.needs_copy)


def _weak(ladder: Sequence[Score]) -> dict[str, str]:
    """Which attackers do not count, as a flag of the risk."""
    weak = {score.metric: score.flags[TOO_WEAK] for score in ladder if TOO_WEAK in score.flags}
    return {f"{TOO_WEAK}: {name}": text for name, text in weak.items()}


def _no_risk(
    card: MetricCard, worst: Score | None, gaps: Sequence[Score], ladder: Sequence[Score], count: int
) -> Score:
    if gaps:
        least = f" It is at least {worst.value:.1%} ({worst.metric})." if worst and worst.value is not None else ""
        names = " and ".join(score.metric for score in gaps)
        reason = f"{names} could not be run against it.{least}"
        details = {AT_LEAST: worst.value} if worst and worst.value is not None else {}
        return Score(
            metric=card.name,
            status="unavailable",
            reason=reason,
            remedy=gaps[0].remedy,
            n=count,
            details=details,
            by=worst.metric if worst else "",
        )
    lacking = next((score for score in ladder if score.status == "unavailable"), None)
    reason, remedy, status = "no attacker applies to these data", "", "not-applicable"
    if lacking is not None:
        reason, remedy, status = (
            f"no attacker that counts could be run: {lacking.reason}",
            lacking.remedy,
            "unavailable",
        )
    elif any(score.value is not None for score in ladder):
        reason, status = "no attacker is strong enough on originals", "unavailable"
    return Score(metric=card.name, status=status, reason=reason, remedy=remedy, n=count, flags=_weak(ladder))


def image_flags(original: ImageSet, released: ImageSet) -> dict[str, str]:
    """What makes a release no release: nothing happened, or nothing is left.

    Args:
        original: the originals.
        released: what was released.

    Returns:
        Sentences by short name: ``no-op``, ``constant``.
    """
    found = {"no-op": _unchanged(original, released), "constant": _constant(released)}
    return {name: text for name, text in found.items() if text}


def number_flags(cards: Sequence[MetricCard], scores: Sequence[Score]) -> dict[str, str]:
    """What makes scores no measurement: worse than guessing, or numbers that cannot be.

    Args:
        cards: of all metrics, the risk among them.
        scores: of the same.

    Returns:
        Sentences by short name: ``below-chance``, ``sentinel``.
    """
    found = {BELOW_CHANCE: _below_chance(scores), "sentinel": _sentinels(cards, scores)}
    return {name: text for name, text in found.items() if text}


def _unchanged(original: ImageSet, released: ImageSet) -> str:
    same = int(((released.images == original.images).flatten(1).all(1) & released.delivered).sum())
    if 2 * same <= len(original):
        return ""
    return f"{same} of {len(original)} released images are their originals, bit for bit."


def _constant(released: ImageSet) -> str:
    there = released.images[released.delivered].flatten(2)
    bare = int((there == there[:, :, :1]).flatten(1).all(1).sum())
    if 2 * bare > len(there):
        return f"{bare} of {len(there)} released images are of one colour."
    if len(there) > 1 and bool((there == there[:1]).all()):
        return "All released images are the same."
    return ""


def _below_chance(scores: Sequence[Score]) -> str:
    """What the worst attacker's own flag says: nobody does better than it, and it does worse than guessing."""
    by = next((score.by for score in scores if score.metric == RISK and score.value is not None), "")
    return next((score.flags.get(BELOW_CHANCE, "") for score in scores if score.metric == by), "")


def _sentinels(cards: Sequence[MetricCard], scores: Sequence[Score]) -> str:
    ranges = {card.name: card.range for card in cards}
    for score in scores:
        if score.value is None:
            continue
        low, high = ranges[score.metric]
        outside = (low is not None and score.value < low) or (high is not None and score.value > high)
        if outside or score.value in SENTINELS:
            return f"{score.metric} = {score.value:g} is no measurement."
    return ""
