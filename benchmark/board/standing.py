"""Who may be ranked by what: results that are no results, and values that mean nothing."""

from __future__ import annotations

from benchmark.records import BELOW_CHANCE, TOO_WEAK, Record, Score

MUTED = (TOO_WEAK, BELOW_CHANCE)
"""Flags of a score that take it out of the comparison; other flags are badges of the entrant."""


def has_value(score: Score) -> bool:
    """Whether a score is a number that counts."""
    return score.status == "ok" and score.value is not None


def muted(score: Score) -> str:
    """The flag that takes a value out of the comparison, or empty."""
    return next((word for word in MUTED if word in score.flags), "")


def comparable(score: Score) -> bool:
    """Whether a score is a number that others may be held against."""
    return has_value(score) and not muted(score)


def is_flagged(record: Record) -> bool:
    """Whether a record's result is no result: it never stands above one that is."""
    return bool(record.flags)


def is_claimed(record: Record) -> bool:
    """Whether nobody but the submitter says so: it stands below what others measured, until it is reproduced."""
    return record.claims.self_reported and not record.claims.reproduced_by


def is_apart(record: Record) -> bool:
    """Whether a record opens no tied group, stretches no scale and has no place on a front."""
    return is_flagged(record) or is_claimed(record)


def place(record: Record) -> int:
    """0 for results, 1 for claimed ones below them, 2 for flagged ones, 3 for failures at the end."""
    if record.status == "failed":
        return 3
    return 2 if is_flagged(record) else int(is_claimed(record))


def loud_flags(record: Record) -> list[tuple[str, str]]:
    """Flags of scores that speak about the entrant rather than about one value, as short name and sentence."""
    return [(name, text) for name, text in score_flags(record) if name.partition(":")[0] not in MUTED]


def quiet_flags(record: Record) -> list[tuple[str, str]]:
    """Flags of scores that take one value out of the comparison; the risk repeats those of its attackers."""
    return [(name, text) for name, text in score_flags(record) if name in MUTED]


def score_flags(record: Record) -> list[tuple[str, str]]:
    """Flags of all scores, as short name and sentence with the metric's title."""
    titles = {card.name: card.title for card in record.metrics}
    found = [(name, f"{titles[score.metric]}: {text}") for score in record.scores for name, text in score.flags.items()]
    return sorted(found)
