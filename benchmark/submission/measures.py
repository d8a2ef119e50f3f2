"""Rules about what entrants with a claim bring along: measures of groups, whose numbers follow from each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from benchmark.records import MetricCard, Record, Score
from benchmark.submission.facts import AGAIN, CLOSE, Finding, is_audit
from benchmark.submission.known import Known
from benchmark.tuning import ABOVE, ALLOWED, GROUPS

CLAIMED, PEOPLE, WITHOUT = "claimed", "people in groups", "people without surrogate"
SMALLEST, LARGEST = "smallest group", "largest group"
MATCHED, BY_ANY = "people matched", "people matched by any photograph"
RANK1, RANK1_MOST = "rank-1", "rank-1 allowed, surrogates over people"
SHARED = (GROUPS, PEOPLE, SMALLEST, LARGEST, WITHOUT)
"""What all measures of a record say alike: there is one set of groups."""
PUBLISHED = {GROUPS: "groups published", SMALLEST: "smallest group published"}
"""The same in the words of the audit."""
COUNTED = (*SHARED, MATCHED, BY_ANY, ABOVE)
SHARE = ("of one ", "the same in all", RANK1)
"""Beginnings of the names of details that are shares."""
IN_ORDER = ((MATCHED, BY_ANY, PEOPLE), (ABOVE, GROUPS), (SMALLEST, LARGEST, PEOPLE), (RANK1, RANK1_MOST))
"""Details of which none is larger than the next."""


def findings_of_measures(record: Record, known: Known) -> Iterator[Finding]:
    """Measures of groups whose numbers contradict each other or the claim, or were made with other weights."""
    seen = _audited(record)
    for card in record.metrics:
        score = record.score(card.name)
        if not card.about_claim or is_audit(card) or score is None or score.value is None:
            continue
        for text in _of_score(card, score):
            yield "consistency", f"{card.name}: {text}", AGAIN
        yield from _of_weights(card, known.card(card.name))
        for name in SHARED:
            have = score.details.get(name)
            other, right = seen.setdefault(name, (card.name, have)) if have is not None else ("", None)
            if have is not None and right != have:
                yield "consistency", f"{card.name}: {name} are {have:g}, and {right:g} in {other}", AGAIN


def _audited(record: Record) -> dict[str, tuple[str, float]]:
    """What the audit counted of the published groups, with its name; where images are lost it counts fewer people."""
    audits = [card.name for card in record.metrics if is_audit(card) and not record.coverage.n_failed]
    scores = [score for name in audits if (score := record.score(name)) is not None]
    pairs = [(own, score, score.details.get(name)) for score in scores for own, name in PUBLISHED.items()]
    return {own: (score.metric, value) for own, score, value in pairs if value is not None}


def _of_score(card: MetricCard, score: Score) -> Iterator[str]:
    details, claimed = score.details, score.details.get(CLAIMED)
    allowed = score.anchors.get(ALLOWED)
    if allowed is not None and (not claimed or abs(allowed - 1 / claimed) > CLOSE):
        yield f"allowed is {allowed:g}, which is not one over the {claimed or 0:g} people it claims"
    if allowed is None and MATCHED in details:
        yield "it counts who is matched and does not say how many may be"
    for name in COUNTED:
        if name in details and (details[name] < 0 or details[name] != int(details[name])):
            yield f"{name} are {details[name]:g}, no whole number"
    for name, value in details.items():
        if name.startswith(SHARE) and not -CLOSE <= value <= 1 + CLOSE:
            yield f"{name} is {value:g}, not a share"
    for names in IN_ORDER:
        there = [name for name in names if name in details]
        yield from (f"{low} are more than {high}" for low, high in pairwise(there) if _more(details, low, high))
    yield from (text for rule in RULES for text in rule(score))


def _more(details: Mapping[str, float], low: str, high: str) -> bool:
    return details[low] > details[high] + CLOSE


def _people_make_groups(score: Score) -> Iterator[str]:
    """Whether so many groups of such sizes hold so many people."""
    names = (GROUPS, PEOPLE, SMALLEST, LARGEST)
    if all(name in score.details for name in names):
        groups, people, smallest, largest = (score.details[name] for name in names)
        if not groups * smallest <= people <= groups * largest:
            yield f"{groups:g} groups of {smallest:g} to {largest:g} people do not hold {people:g}"


def _value_counts_matched(score: Score) -> Iterator[str]:
    """Whether the value is the share of people matched among those with a surrogate."""
    if MATCHED not in score.details or score.value is None:
        return
    people = score.details.get(PEOPLE, float(score.n_clusters)) - score.details.get(WITHOUT, 0.0)
    if abs(score.value * people - score.details[MATCHED]) > CLOSE * max(1.0, people):
        yield f"{score.value:g} of {people:g} people are not the {score.details[MATCHED]:g} it counts"
    if ABOVE not in score.details:
        yield f"it does not say of how many groups more than one member is matched ('{ABOVE}')"
    elif 2 * score.details[ABOVE] > score.details[MATCHED]:
        yield f"{score.details[ABOVE]:g} groups have two members matched, and {score.details[MATCHED]:g} people are"


def _value_lies_between(score: Score) -> Iterator[str]:
    """Whether a mean lies between its ends."""
    if score.value is not None and {"nearest", "farthest"} <= set(score.details):
        low, high = score.details["nearest"], score.details["farthest"]
        if not low - CLOSE <= score.value <= high + CLOSE:
            yield f"{score.value:g} is no mean of {low:g} to {high:g}"


RULES: tuple[Callable[[Score], Iterator[str]], ...] = (
    _people_make_groups,
    _value_counts_matched,
    _value_lies_between,
)


def _of_weights(card: MetricCard, installed: MetricCard | None) -> Iterator[Finding]:
    """Models that are here are those a value was made with; of what is not here, or was not there, nothing is known."""
    have = {} if installed is None else installed.weights
    shared = sorted(set(have) & set(card.weights)) or sorted(have)
    other = [name for name in shared if card.weights.get(name) != have[name]]
    if other:
        text = f"{card.name} was computed with other weights {other[0]} than those installed"
        yield "cards", text, "Type: anonbench weights fetch, and score it again"


def findings_of_brought(record: Record, measures: Sequence[str]) -> Iterator[Finding]:
    """Metrics that an installed entrant brings along and a record of it leaves out; ``measures`` are names on cards."""
    lacking = sorted(set(measures) - {card.name for card in record.metrics})
    if lacking:
        yield "cards", f"{record.entry.name} brings {', '.join(lacking)} along, and the record has none of it", AGAIN
