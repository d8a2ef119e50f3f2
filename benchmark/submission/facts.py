"""Rules about a record alone: its name, texts, times, claims, counts and the ranges of its numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from benchmark.errors import UsageError
from benchmark.records import RISK, Claims, MetricCard, Record, Score, result_id
from benchmark.risk import risk_card, risk_of
from benchmark.specs import parse_spec
from benchmark.submission.places import Place
from benchmark.submission.problems import Rule
from benchmark.submission.texts import findings_of_texts

Finding = tuple[Rule, str, str]
"""Rule, what is wrong, and what to do."""
AGAIN = "Run and score the entrant again; records are not edited by hand"
LARGEST_COST = 1e9
CLOSE = 1e-6
"""Numbers that are the same thing computed twice differ by less, relative to 1 or to the number."""
OFFICIAL = ("maintainer", "maintainers", "maintainers of this board", "anonbench")
"""Names under which nobody hands in a claim: the board says so of rows that are none."""
SHARES = re.compile(r"(AUC|EER|TAR@FAR|rank-|mAP|D_sys|learner |inverter |picked: )")
"""Details of attackers that lie in 0..1."""


def findings_of_facts(record: Record, place: Place) -> Iterator[Finding]:
    """Everything that a record gets wrong by itself."""
    yield from _named(record, place)
    if result_id(record) != record.result_id:
        yield (
            "id",
            f"result_id is {record.result_id[:12] or 'empty'}, its content gives {result_id(record)[:12]}",
            AGAIN,
        )
    yield from findings_of_texts(record)
    yield from times(record)
    yield from claims(record.claims, record)
    yield from counts(record)
    for card in record.metrics:
        score = record.score(card.name)
        yield from ranges(card, score, record) if score is not None else ()
    yield from costs(record)
    yield from risk(record)


def _named(record: Record, place: Place) -> Iterator[Finding]:
    try:
        slug = parse_spec(record.entry.name).slug
    except UsageError as error:
        yield "path", f"the entrant's name cannot be read: {error}", AGAIN
        return
    if slug != place.slug or place.run != f"seed-{record.seed}":
        yield "path", f"holds records/{slug}/seed-{record.seed}", "Move it there, or run with --out again"
    if parse_spec(record.entry.name).family != record.entry.family:
        yield "path", f"the entrant is called {record.entry.name} and its family {record.entry.family}", AGAIN
    if record.status != "failed" and not re.fullmatch("[0-9a-f]{64}", record.release_sha256):
        yield "schema", "it names no hash of its released images", AGAIN
    if not re.fullmatch("[0-9a-f]{64}", record.entry.entry_hash):
        yield "schema", "it names no hash of the method", AGAIN
    if record.run.seed != record.seed:
        yield "path", f"it was run with seed {record.run.seed} and says {record.seed}", AGAIN


def times(record: Record) -> Iterator[Finding]:
    """Times that are none, lie ahead, or run backwards."""
    named = {"created_utc": record.created_utc, "run.started_utc": record.run.started_utc,
             "run.ended_utc": record.run.ended_utc}  # fmt: skip
    read = {name: _time(text) for name, text in named.items()}
    for name, moment in read.items():
        if moment is None:
            yield "times", f"{name} is {named[name]}", "Write it as in 2026-11-21T16:23:07Z"
        elif moment > datetime.now(UTC) + timedelta(days=1):
            yield "times", f"{name} lies ahead: {named[name]}", "Set the clock and run again"
    started, ended = read["run.started_utc"], read["run.ended_utc"]
    if started and ended and ended < started:
        yield "times", "the run ended before it started", AGAIN


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def claims(said: Claims, record: Record) -> Iterator[Finding]:
    """Claims that are incomplete, or that contradict each other."""
    if said.self_reported:
        named = {"submitted_by": "--by", "conflict_of_interest": "--conflict-of-interest",
                 "training_overlap": "--training-overlap"}  # fmt: skip
        for name, option in named.items():
            if not getattr(said, name).strip():
                yield "claims", f"{name} is empty", f"Hand it in with: anonbench submit RESULT {option} TEXT"
        if plain(said.submitted_by).removeprefix("the ") in OFFICIAL:
            yield "claims", f"{said.submitted_by} do not submit claims", "Give your own name: --by NAME"
        if said.publishable is not True:
            yield (
                "claims",
                "nobody said that it may be published",
                "Hand it in with: anonbench submit RESULT --publishable",
            )
    again = (said.reproduced_by, said.reproduced_utc, said.max_abs_diff is not None, said.max_abs_diff_metric)
    if any(again) and not (all(again) and said.self_reported):
        yield "claims", "it is half reproduced", "Only `anonbench reproduce RESULT` fills in these fields; empty them"
    if said.max_abs_diff is not None and said.max_abs_diff < 0:
        yield "claims", f"max_abs_diff is {said.max_abs_diff:g}", "Type: anonbench reproduce RESULT"
    if said.max_abs_diff_metric and record.score(said.max_abs_diff_metric) is None:
        yield "claims", f"max_abs_diff_metric names {said.max_abs_diff_metric}, which has no score", _AGAIN_CLAIM
    if said.reproduced_utc and _time(said.reproduced_utc) is None:
        yield "claims", f"reproduced_utc is {said.reproduced_utc}", _AGAIN_CLAIM


def plain(name: str) -> str:
    """A name without what does not tell two names apart: case, spaces around and between."""
    return " ".join(name.split()).casefold()


_AGAIN_CLAIM = "Type: anonbench reproduce RESULT"


def counts(record: Record) -> Iterator[Finding]:
    """Images that do not add up, and a status that does not fit them."""
    part, probe = record.coverage, next((split for split in record.suite.splits if split.name == "probe"), None)
    if probe is None or part.n_expected != probe.n_images or part.n_expected < 1:
        images = "no probe split" if probe is None else f"{probe.n_images} probe images"
        yield "coverage", f"{part.n_expected} images were expected, and the suite has {images}", AGAIN
    if min(part.n_output, part.n_failed, part.n_scored) < 0 or part.n_output + part.n_failed != part.n_expected:
        yield "coverage", f"{part.n_output} released and {part.n_failed} failed are not {part.n_expected} images", AGAIN
    failed = record.status == "failed"
    if part.n_scored != (0 if failed else part.n_expected):
        yield "coverage", f"{part.n_scored} of {part.n_expected} images were scored in a {record.status} record", AGAIN
    lost = [failure.key for failure in part.failures]
    if len(lost) > part.n_failed or len(set(lost)) < len(lost) or (failed and not lost):
        yield "coverage", f"it names {len(lost)} failures, and {part.n_failed} images failed", AGAIN
    if record.status != _status(record):
        yield "coverage", f"the status is '{record.status}' and should be '{_status(record)}'", AGAIN
    names = [score.metric for score in record.scores]
    wanted = [] if failed else [card.name for card in record.metrics]
    if names != wanted:
        yield "coverage", "its scores are not one for every metric card, in their order", AGAIN


def _status(record: Record) -> str:
    part = record.coverage
    if not record.scores:
        return "failed" if part.n_output == 0 else "no scores"
    broken = any(score.status == "failed" for score in record.scores)
    return "partial" if part.n_failed or broken else "ok"


def ranges(card: MetricCard, score: Score, record: Record) -> Iterator[Finding]:
    """Numbers of a score that cannot be."""
    numbers = {"value": score.value, **{f"anchor {name}": value for name, value in score.anchors.items()}}
    if score.interval is not None:
        numbers |= {"low end": score.interval.low, "high end": score.interval.high}
    for name, value in numbers.items():
        if value is not None and not _within(value, card.range):
            yield "ranges", f"{score.metric}: {name} {value:g} is outside {card.range[0]}..{card.range[1]}", AGAIN
    yield from _interval(score)
    people = max((split.n_identities for split in record.suite.splits if split.name == "probe"), default=0)
    most = people or record.coverage.n_expected
    if not 0 <= score.n <= record.coverage.n_expected or not 0 <= score.n_clusters <= min(most, score.n):
        yield "ranges", f"{score.metric}: {score.n} images of {score.n_clusters} people", AGAIN
    ranks = [score.value, score.details.get("rank-5"), score.details.get("rank-10")] if card.rung else []
    if any(low is not None and high is not None and high < low - CLOSE for low, high in pairwise(ranks)):
        yield "ranges", f"{score.metric}: more images are named first than among the first 5, or 10", AGAIN
    for name, value in score.details.items():
        if card.rung and SHARES.match(name) and not -CLOSE <= value <= 1 + CLOSE:
            yield "ranges", f"{score.metric}: {name} is {value:g}, not a share", AGAIN


def costs(record: Record) -> Iterator[Finding]:
    """Costs and promises that cannot be."""
    spent = record.cost
    for name, value in (("seconds_per_image", spent.seconds_per_image), ("seconds_fit", spent.seconds_fit),
                        ("peak_memory_mb", spent.peak_memory_mb)):  # fmt: skip
        if value is not None and not 0 <= value <= LARGEST_COST:
            yield "ranges", f"cost: {name} is {value:g}", AGAIN
    yield from _promise(record)


def _promise(record: Record) -> Iterator[Finding]:
    """Who claims k-anonymity is audited, and nobody else."""
    k, cards = record.entry.k_anonymity, [card for card in record.metrics if card.about_claim]
    people = next((split.n_identities for split in record.suite.splits if split.name == "probe"), 0)
    if k is not None and not 2 <= k <= max(2, people):
        yield "ranges", f"it claims {k}-anonymity among {people} people", AGAIN
    if k is not None and record.scores and not any(map(is_audit, cards)):
        yield "consistency", f"it claims {k}-anonymity, and no metric audits it", AGAIN
    for card in cards if record.scores else ():
        score = record.score(card.name)
        audited = score is not None and score.status == "ok"
        if not is_audit(card) and (score is None or score.status == "not-applicable"):
            continue  # a measure of groups may need labels that the images do not have
        if k is None and score is not None and score.status != "not-applicable":
            yield "consistency", f"{card.name} is '{score.status}', and nothing is claimed", AGAIN
        elif k is not None and record.coverage.n_output and not audited:
            yield "consistency", f"it claims {k}-anonymity, and {card.name} did not audit it", AGAIN
        elif k is not None and score is not None and audited and score.details.get("claimed") != k:
            yield "consistency", f"{card.name} audited another claim than {k}", AGAIN


def is_audit(card: MetricCard) -> bool:
    """Whether a metric tells if a claim is kept; others that know the claim measure something else about it."""
    return card.about_claim and "audited" in card.title


def _within(value: float, limits: tuple[float | None, float | None]) -> bool:
    low, high = limits
    slack = CLOSE * max(1.0, abs(value))
    return (low is None or value >= low - slack) and (high is None or value <= high + slack)


def _interval(score: Score) -> Iterator[Finding]:
    span = score.interval
    if span is None:
        return
    if score.value is None:
        yield "ranges", f"{score.metric}: an interval without a value", AGAIN
    elif not 0 < span.level < 1 or span.resamples < 1 or not _within(score.value, (span.low, span.high)):
        yield "ranges", f"{score.metric}: {score.value:g} lies outside its interval {span.low:g}..{span.high:g}", AGAIN


def risk(record: Record) -> Iterator[Finding]:
    """The risk has to be the worst attacker's score, under the card that these attackers give."""
    from benchmark.protocols import Scores

    cards = [card for card in record.metrics if card.name != RISK]
    said, card = record.score(RISK), risk_card(cards)
    have = next((one for one in record.metrics if one.name == RISK), None)
    if have != card:
        yield "cards", "the card of the risk is not that of its attackers", AGAIN
    if card is None or not record.scores:
        return
    others = [Scores(score) for score in record.scores if score.metric != RISK]
    right = risk_of(card, cards, others, record.coverage.n_expected).score
    if said != right:
        yield "consistency", f"risk is {_brief(said)}, its attackers give {_brief(right)}", AGAIN


def _brief(score: Score | None) -> str:
    if score is None or score.value is None:
        return "missing" if score is None else f"{score.status} ({score.reason})"
    return f"{score.value:.6g} by {score.by} (n={score.n}, {len(score.flags)} flags)"
