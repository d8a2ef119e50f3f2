"""The columns of a board: every metric the records bring along, and what the release cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from benchmark.board.load import LoadedRecord
from benchmark.board.standing import has_value
from benchmark.records import RISK, Cost, Group, MetricCard, Record, Score
from benchmark.specs import Spec

GROUPS: tuple[Group, ...] = ("privacy", "utility", "quality", "cost")
FITTING = "cost.seconds_fit"
Identity = tuple[str, int, tuple[tuple[str, str], ...]]
Counts = dict[Identity, set[int]]
"""Numbers of images behind the values of a metric; 0 where they do not matter."""


@dataclass(frozen=True)
class Column:
    """One column: a metric in one version with one set of weights, on one number of images, or one cost."""

    key: str
    """Machine name: the metric's spec, with its version or number of images where two of them meet on one board."""
    card: MetricCard
    read: Callable[[Record], Score]
    """The score of a record in this column; always one, if need be with a status that says why it has no value."""
    note: str = ""
    """What tells it from columns of the same title."""
    mean_of: str = ""
    """Of a mean over columns: the name they share, ``f1``."""

    @property
    def is_risk(self) -> bool:
        """Whether it is the worst of the attackers."""
        return self.card.name == RISK

    @property
    def title(self) -> str:
        """Its heading."""
        return f"{self.card.title}, {self.note}" if self.note else self.card.title

    @property
    def href(self) -> str:
        """Its page, seen from the board's folder."""
        return f"metrics/{quote(self.slug)}.html"

    @property
    def slug(self) -> str:
        """File name of its page."""
        return Spec(self.key, {}).slug

    @property
    def group(self) -> Group:
        """Which group it stands in."""
        return self.card.group

    @property
    def better(self) -> str:
        """Direction in words."""
        return "higher is better" if self.card.higher_is_better else "lower is better"


def columns_of(records: Sequence[LoadedRecord]) -> tuple[Column, ...]:
    """All columns of ``records`` but means: by group, the attackers first, then in the suite's order, costs last.

    Measures that some entrants bring along have no column here, see ``measures_of``.
    """
    own = _names_of_measures(records)
    columns = [column for column in _of_metrics(records) if column.card.name not in own]
    return tuple(sorted([*columns, *_cost_columns(records)], key=lambda c: (GROUPS.index(c.group), _rank(c))))


def measures_of(records: Sequence[LoadedRecord]) -> tuple[Column, ...]:
    """Columns of the metrics that depend on a claim and that not every record holds: they say nothing of the others."""
    own = _names_of_measures(records)
    return tuple(column for column in _of_metrics(records) if column.card.name in own)


def _names_of_measures(records: Sequence[LoadedRecord]) -> set[str]:
    held = [{card.name for card in item.record.metrics} for item in records]
    claims = {card.name for item in records for card in item.record.metrics if card.about_claim}
    return {name for name in claims if not all(name in names for names in held)}


def _of_metrics(records: Sequence[LoadedRecord]) -> list[Column]:
    cards: dict[str, dict[Identity, MetricCard]] = {}
    counts: Counts = {}
    holders: Counter[Identity] = Counter()
    for record in (item.record for item in records):
        for card in record.metrics:
            cards.setdefault(card.name, {})[identity(card)] = card
            score = record.score(card.name)
            if score is not None and has_value(score):
                holders[identity(card)] += 1
                counts.setdefault(identity(card), set()).add(score.n if card.per_count else 0)
    # Of rival columns the one of most records comes first: no single record leads the board with a column of its own.
    common = [sorted(rivals.values(), key=lambda card: -holders[identity(card)]) for rivals in cards.values()]
    return [column for rivals in common for column in _metric_columns(rivals, counts)]


def _rank(column: Column) -> int:
    return 0 if column.is_risk else 1 if column.card.rung else 2


def identity(card: MetricCard) -> Identity:
    """What two values must share to stand in one column, the number of images excepted."""
    return card.name, card.version, tuple(sorted(card.weights.items()))


def base_of(card: MetricCard) -> str:
    """The name without its parameters: ``f1`` of ``f1(attribute=age)``."""
    return card.name.partition("(")[0]


def _metric_columns(rivals: Sequence[MetricCard], counts: Counts) -> list[Column]:
    """One column per version, set of weights and number of images that values of a metric have.

    A score without a value opens no column; it stands in all columns of its metric. Where weights are missing, say, the
    card cannot name them.
    """
    shown = [card for card in rivals if identity(card) in counts] or rivals[-1:]
    return [column for card in shown for column in _columns_of_card(card, len(shown) > 1, counts)]


def _columns_of_card(card: MetricCard, crowded: bool, counts: Counts) -> list[Column]:
    key, notes = card.name, []
    if crowded:
        digests = [digest[:8] for _, digest in sorted(card.weights.items())]
        key = "-".join([f"{card.name}@v{card.version}", *digests])
        notes = [f"version {card.version}", *(f"weights {digest}" for digest in digests)]
    meeting = sorted(counts.get(identity(card), ()))
    if len(meeting) < 2:
        return [Column(key, card, _reader(card, None), ", ".join(notes))]
    return [Column(f"{key}@n={n}", card, _reader(card, n), ", ".join([*notes, f"N = {n}"])) for n in meeting]


def _reader(card: MetricCard, count: int | None) -> Callable[[Record], Score]:
    return lambda record: _score(record, card, count)


def _score(record: Record, card: MetricCard, count: int | None) -> Score:
    score = record.score(card.name)
    if score is None:
        return _without(card, "The record holds no score for this metric.", "Score this entrant again.")
    if not has_value(score):
        return score
    if identity(card) not in map(identity, record.metrics):
        return _without(card, "Scored with another version or other weights.", "Score this entrant again.")
    if count is not None and score.n != count:
        return _without(card, f"Its value is of {score.n} images and stands in the column of that number.", "")
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
