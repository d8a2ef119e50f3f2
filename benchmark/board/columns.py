"""The columns of a board: every metric the records bring along, and what the release cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmark.board.load import LoadedRecord
from benchmark.records import Cost, Group, MetricCard, Record, Score

GROUPS: tuple[Group, ...] = ("privacy", "utility", "quality", "cost")
FITTING = "cost.seconds_fit"
Identity = tuple[str, int, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Column:
    """One column: a metric in one version with one set of weights, or one cost."""

    key: str
    """Machine name, stable: the metric's spec, with its version where two versions meet on one board."""
    card: MetricCard
    read: Callable[[Record], Score]
    """The score of a record in this column; always one, if need be with a status that says why it has no value."""

    @property
    def group(self) -> Group:
        """Which group it stands in."""
        return self.card.group

    @property
    def better(self) -> str:
        """Direction in words."""
        return "higher is better" if self.card.higher_is_better else "lower is better"


def columns_of(records: Sequence[LoadedRecord]) -> tuple[Column, ...]:
    """All columns of ``records``: by group, then in the suite's order, costs last."""
    cards = {identity(card): card for item in records for card in item.record.metrics}
    names = Counter(card.name for card in cards.values())
    metrics = [_metric_column(card, names[card.name] > 1) for card in cards.values()]
    columns = [*metrics, *_cost_columns(records)]
    return tuple(sorted(columns, key=lambda column: GROUPS.index(column.group)))


def identity(card: MetricCard) -> Identity:
    """What two scores must share to stand in one column."""
    return card.name, card.version, tuple(sorted(card.weights.items()))


def has_value(score: Score) -> bool:
    """Whether a score is a number that counts."""
    return score.status == "ok" and score.value is not None


def _metric_column(card: MetricCard, crowded: bool) -> Column:
    weights = "".join(f"-{digest[:8]}" for _, digest in sorted(card.weights.items()))
    key = f"{card.name}@v{card.version}{weights}" if crowded else card.name
    return Column(key, card, lambda record: _score(record, card))


def _score(record: Record, card: MetricCard) -> Score:
    score = record.score(card.name)
    own = next((one for one in record.metrics if one.name == card.name), None)
    if score is None:
        return _without(card, "The record holds no score for this metric.", "Score this entrant again.")
    if own is None or identity(own) != identity(card):
        return _without(card, "Scored with another version or other weights.", "Score this entrant again.")
    if score.status == "ok" and score.value is None:
        return _without(card, "The record holds no value for this metric.", "Score this entrant again.")
    return score


def _without(card: MetricCard, reason: str, remedy: str) -> Score:
    return Score(metric=card.name, status="unavailable", reason=reason, remedy=remedy)


def _cost_columns(records: Sequence[LoadedRecord]) -> list[Column]:
    costs = [item.record.cost for item in records]
    return [_cost_column(card, value) for card, value, always in _COSTS if always or any(map(value, costs))]


def _cost_column(card: MetricCard, value: Callable[[Cost], float | None]) -> Column:
    def read(record: Record) -> Score:
        cost = value(record.cost)
        if cost is None:
            return _no_cost(card, record.cost)
        return Score(metric=card.name, value=cost, n=record.coverage.n_expected)

    return Column(card.name, card, read)


def _no_cost(card: MetricCard, cost: Cost) -> Score:
    if card.name == FITTING:
        reason = "This method prepares nothing, or its preparation was not measured."
        return Score(metric=card.name, status="not-applicable", reason=reason)
    reason = cost.note or "The cost of this release was not measured."
    return _without(card, reason, "Run the entrant again on this machine.")


def _cost_card(name: str, title: str, unit: str, definition: str) -> MetricCard:
    return MetricCard(
        name=name,
        version=1,
        title=title,
        group="cost",
        unit=unit,
        higher_is_better=False,
        range=(0.0, None),
        definition=definition,
    )


def _milliseconds(cost: Cost) -> float | None:
    return None if cost.seconds_per_image is None else 1000 * cost.seconds_per_image


_COSTS: tuple[tuple[MetricCard, Callable[[Cost], float | None], bool], ...] = (
    (
        _cost_card("cost.ms_per_image", "Time", "ms per image", "Wall time of the release per image, on its machine."),
        _milliseconds,
        True,
    ),
    (
        _cost_card(FITTING, "Fitting", "s", "Wall time to prepare the method before the first release."),
        lambda cost: cost.seconds_fit,
        False,
    ),
    (
        _cost_card(
            "cost.peak_memory_mb",
            "Memory",
            "MB",
            "Largest resident memory of the process above what it held before the release, in 10^6 bytes.",
        ),
        lambda cost: cost.peak_memory_mb,
        True,
    ),
)
