"""Rules about the values per image: complete, of the right images, and giving the numbers the record says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from benchmark import statistics
from benchmark.records import BELOW_CHANCE, RISK, Interval, MetricCard, Record, Score
from benchmark.submission.facts import AGAIN, CLOSE, Finding, is_audit
from benchmark.submission.known import Known
from benchmark.submission.tables import Table, Values

SHIFT = 0.2
"""How far the ends of a resampled interval may move, as a share of its width."""
TRACED = ("trace.rounds", "trace.changed", "trace.recognised")


def findings_of_values(record: Record, table: Table, known: Known) -> Iterator[Finding]:
    """Everything the values per image get wrong."""
    yield from _whole(record, table)
    for name, rows in table.metrics.items():
        card, score = next((card for card in record.metrics if card.name == name), None), record.score(name)
        if card is not None and score is not None and (name == RISK or known.card(name) is not None):
            yield from of_score(known.card(name) or card, score, rows)
    yield from _shown(record, table)
    yield from _risk(record, table)
    yield from _lost(record, table)
    yield from _trace(record, table)


def _whole(record: Record, table: Table) -> Iterator[Finding]:
    """One row per image and metric, all metrics over the same images."""
    if table.seeds != {record.seed}:
        yield "values", f"holds the seeds {sorted(table.seeds)[:5]} instead of {record.seed}", AGAIN
    wanted = {card.name for card in record.metrics} | set(TRACED if record.trace is not None else ())
    for name in [name for name in table.metrics if name not in wanted]:
        yield "values", f"holds values of {name}, which is no metric of the record", AGAIN
    missing = [name for name in TRACED if record.trace is not None and name not in table.metrics]
    missing += [score.metric for score in record.scores if _needs_values(record, score, table)]
    for name in missing:
        yield "values", f"holds no values of {name}", AGAIN
    yield from _same_images(record, table)


def _needs_values(record: Record, score: Score, table: Table) -> bool:
    attacks = score.metric == RISK or any(
        card.rung or is_audit(card) for card in record.metrics if card.name == score.metric
    )
    return attacks and score.value is not None and score.metric not in table.metrics


def _same_images(record: Record, table: Table) -> Iterator[Finding]:
    first: Values | None = None
    for name, rows in table.metrics.items():
        first = rows if first is None else first
        if len(rows.image) != record.coverage.n_expected:
            yield "values", f"{name} has {len(rows.image)} rows for {record.coverage.n_expected} images", AGAIN
        elif not np.array_equal(rows.image, first.image) or not np.array_equal(rows.person, first.person):
            yield "values", f"{name} is of other images, or other people, than the metric before it", AGAIN
        if not np.array_equal(rows.scored, ~np.isnan(rows.value)) or np.isinf(rows.value).any():
            yield "values", f"{name} has a status that does not fit its values", AGAIN
    yield from _people(record, table, first) if first is not None else ()


def _people(record: Record, table: Table, first: Values) -> Iterator[Finding]:
    if len(np.unique(first.image)) != len(first.image):
        yield "values", "an image occurs twice", AGAIN
    if any(not name.isprintable() or len(name) > 500 for name in (*table.images, *table.people)):
        yield "text", "the name of an image or a person cannot be printed or is too long", AGAIN
    named = {table.people[code] for code in np.unique(first.person).tolist()} - {""}
    probe = next((split.n_identities for split in record.suite.splits if split.name == "probe"), 0)
    if len(named) != probe:
        yield "values", f"shows {len(named)} people, and the suite has {probe}", AGAIN


def of_score(card: MetricCard, score: Score, rows: Values) -> Iterator[Finding]:
    """One score against its values per image."""
    values = rows.finite
    if score.value is None:
        if len(values) and score.status != "not-applicable":
            yield "consistency", f"{score.metric} is '{score.status}' and has values per image", AGAIN
        return
    if not len(values):
        yield "consistency", f"{score.metric} is {score.value:g} and has no value of any image", AGAIN
        return
    low, high = bounds(card, values)
    slack = CLOSE * max(1.0, abs(low), abs(high))
    if not low - slack <= score.value <= high + slack:
        span = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
        yield "consistency", f"{score.metric} is {score.value:.6g}, its values per image give {span}", AGAIN
    yield from _counted(score, rows)
    yield from _spread(card, score, rows)


def bounds(card: MetricCard, values: np.ndarray) -> tuple[float, float]:
    """Between which numbers a score must lie, given its values per image (finite, at least one).

    Attackers, the risk and most others are means over images. What audits a claim is the smallest value. Of a macro
    average the values say only who was answered rightly: all right is 1, none right is 0, everything else between.
    """
    if is_audit(card):
        return float(values.min()), float(values.min())
    mean = float(values.mean())
    if is_macro(card) and set(np.unique(values).tolist()) <= {0.0, 1.0}:
        return (mean, mean) if mean in (0.0, 1.0) else (0.0, 1.0)
    return mean, mean


def is_macro(card: MetricCard) -> bool:
    """Whether a score is an average over classes, of which the values per image say only who was answered rightly."""
    return not card.rung and "macro" in card.definition.lower()


def _counted(score: Score, rows: Values) -> Iterator[Finding]:
    if score.n != len(rows.finite) or score.n_clusters != rows.people:
        have, there = f"{score.n} images of {score.n_clusters} people", f"{len(rows.finite)} of {rows.people}"
        yield "consistency", f"{score.metric} counts {have}, its values per image are {there}", AGAIN
    same = score.details.get("identical images")
    if same is not None and same != int(np.isnan(rows.value).sum()):
        yield "consistency", f"{score.metric} counts {same:g} identical images, its values per image do not", AGAIN


def _spread(card: MetricCard, score: Score, rows: Values) -> Iterator[Finding]:
    """An interval over people cannot be narrower than none where people differ, and a flag needs its interval."""
    span, chance = score.interval, score.anchors.get("chance")
    if BELOW_CHANCE in score.flags and span is not None and chance is not None and span.high >= chance:
        yield "consistency", f"{score.metric} is flagged '{BELOW_CHANCE}', its interval reaches chance", AGAIN
    if span is None or "bootstrap" not in span.method or rows.people < 5:
        return
    if not np.isfinite(rows.finite).all():
        return  # said already
    means = _means_of_people(rows)
    if span.low == span.high and float(means.min()) < float(means.max()):
        yield "ranges", f"{score.metric}: an interval of no width, although people differ", AGAIN
    mean = float(rows.finite.mean())
    if score.value is not None and not is_macro(card) and abs(score.value - mean) <= CLOSE * max(1.0, abs(mean)):
        yield from _recomputed(score, span, rows)


def _recomputed(score: Score, span: Interval, rows: Values) -> Iterator[Finding]:
    """The interval of a mean, resampled here: other orders of the people move its ends by little."""
    there = ~np.isnan(rows.value)
    people = np.unique(rows.person[there], return_inverse=True)[1]
    with np.errstate(over="ignore", invalid="ignore"):  # a stranger's numbers may be any
        low, high = resampled(rows.value[there], people)
        step = float(rows.finite.max() - rows.finite.min()) / len(rows.finite)
    if max(abs(span.low - low), abs(span.high - high)) > SHIFT * (high - low) + step:
        text = f"{score.metric}: the interval is {span.low:.4g}..{span.high:.4g}, its values per image give"
        yield "consistency", f"{text} {low:.4g}..{high:.4g}", AGAIN


@lru_cache(maxsize=4)
def _draws(people: int) -> np.ndarray:
    """How often each of so many people is drawn, float64 ``[RESAMPLES, people]``."""
    picks = np.random.default_rng(statistics.SEED).integers(people, size=(statistics.RESAMPLES, people))
    rows = np.arange(statistics.RESAMPLES)[:, None] * people
    counts = np.bincount((picks + rows).ravel(), minlength=statistics.RESAMPLES * people)
    return counts.reshape(statistics.RESAMPLES, people).astype(np.float64)


def resampled(values: np.ndarray, people: np.ndarray) -> tuple[float, float]:
    """Percentile interval of a mean over images, people resampled.

    Args:
        values: float64 ``[N]``.
        people: int64 ``[N]``, 0..C-1, each of them there.
    """
    draws = _draws(int(people.max()) + 1)
    means = (draws @ np.bincount(people, values)) / (draws @ np.bincount(people))
    tail = (1 - statistics.LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail]).tolist()
    return low, high


def _means_of_people(rows: Values) -> np.ndarray:
    there = ~np.isnan(rows.value)
    people = np.unique(rows.person[there], return_inverse=True)[1]
    return np.asarray(np.bincount(people, rows.value[there]) / np.bincount(people))


def _lost(record: Record, table: Table) -> Iterator[Finding]:
    """Images that were never released count as identified, by every attacker."""
    lost = record.coverage.n_failed
    for card in record.metrics:
        score = record.score(card.name)
        if not card.rung or score is None or score.value is None or card.name not in table.metrics:
            continue
        named = int((table.metrics[card.name].finite >= 1 - CLOSE).sum())
        if named < lost:
            yield "consistency", f"{card.name} names {named} images, and {lost} that are missing count as named", AGAIN
        if score.details.get("missing", 0) != lost:
            have = score.details.get("missing", 0)
            yield "consistency", f"{card.name} counts {have:g} missing images, and {lost} failed", AGAIN


def _shown(record: Record, table: Table) -> Iterator[Finding]:
    """Pictures are of images that were measured."""
    sequences = () if record.trace is None else record.trace.sequences
    groups = () if record.sheet is None else record.sheet.groups
    keys = {example.key for example in record.examples} | {part.key for part in sequences}
    keys |= {key for group in groups for key in group.keys}
    for key in sorted(keys - set(table.images)):
        yield "consistency", f"it shows the image {key}, which has no values", AGAIN


def _risk(record: Record, table: Table) -> Iterator[Finding]:
    """The values of the risk are those of the attacker it names."""
    said = record.score(RISK)
    if said is None or said.value is None or RISK not in table.metrics or said.by not in table.metrics:
        return
    if not np.array_equal(table.metrics[RISK].value, table.metrics[said.by].value):
        yield "consistency", f"the values of the risk are not those of {said.by}", AGAIN


def _trace(record: Record, table: Table) -> Iterator[Finding]:
    """The rounds that a record tells of, against those of its images."""
    if record.trace is None or any(name not in table.metrics for name in TRACED):
        return
    rounds, changed, named = (table.metrics[name].finite for name in TRACED)
    if not len(rounds) or len(rounds) != len(changed) or len(rounds) != len(named):
        yield "values", "the rounds are not known of every image", AGAIN
        return
    values = 3 * record.suite.image_size**2
    pairs = [
        (record.trace.risk[-1], float(named.mean()), "last risk"),
        (record.trace.recognised, float(named.sum()), "recognised"),
        (record.trace.rounds_median, float(np.median(rounds)), "median of the rounds"),
        (record.trace.rounds_max, float(rounds.max()), "most rounds"),
        (record.trace.changed_mean, float(changed.mean()) / values, "mean of what changed"),
    ]
    for said, right, what in pairs:
        if abs(said - right) > CLOSE:
            yield "consistency", f"trace: the {what} is {said:g}, its values per image give {right:g}", AGAIN
