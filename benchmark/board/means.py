"""Columns of means: one over each family of utility columns that differ in a parameter alone, ``f1(attribute=...)``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from benchmark.board.columns import Column, base_of, columns_of
from benchmark.board.kinds import neighbours
from benchmark.board.load import LoadedRecord
from benchmark.board.standing import has_value
from benchmark.records import MetricCard, Record, Score


def board_columns(records: Sequence[LoadedRecord]) -> tuple[Column, ...]:
    """All columns of a board, means among them, those of a kind side by side."""
    return neighbours(with_means(columns_of(records), records))


def with_means(columns: Sequence[Column], records: Sequence[LoadedRecord]) -> tuple[Column, ...]:
    """``columns`` with the means over their utility families in front of the first utility column."""
    families: dict[tuple[str, str, bool, int], list[Column]] = defaultdict(list)
    for column in columns:
        card = column.card
        if card.group == "utility" and "(" in card.name and _any_value(column, records):
            families[base_of(card), card.unit, card.higher_is_better, card.version].append(column)
    crowded = len({key[0] for key in families}) < len(families)
    means = [_mean_column(key[0], members, crowded) for key, members in families.items() if _one_each(members)]
    first = next((place for place, column in enumerate(columns) if column.group == "utility"), len(columns))
    return (*columns[:first], *means, *columns[first:])


def _any_value(column: Column, records: Sequence[LoadedRecord]) -> bool:
    return any(has_value(column.read(item.record)) for item in records)


def _one_each(members: Sequence[Column]) -> bool:
    """Two columns of one metric (other weights, other numbers of images) do not belong in one mean."""
    return 1 < len(members) == len({column.card.name for column in members})


def _mean_column(base: str, members: Sequence[Column], crowded: bool) -> Column:
    version = members[0].card.version
    name = f"mean({base}@v{version})" if crowded else f"mean({base})"
    card = _mean_card(name, base, [column.card for column in members])
    return Column(
        name, card, lambda record: _mean_score(card, members, record), f"version {version}" if crowded else "", base
    )


def _mean_card(name: str, base: str, cards: Sequence[MetricCard]) -> MetricCard:
    titles = ", ".join(card.title for card in cards)
    return MetricCard(
        name=name,
        version=cards[0].version,
        title=f"Mean {_heading(base)} of {len(cards)} {_parameter(cards[0])}",
        group="utility",
        unit=cards[0].unit,
        higher_is_better=cards[0].higher_is_better,
        range=cards[0].range,
        definition=(
            f"Mean of {titles}, made for the board. It has no interval: the columns share their images, so that their "
            "intervals cannot simply be combined."
        ),
        weights={model: digest for card in cards for model, digest in card.weights.items()},
        referees=tuple(dict.fromkeys(model for card in cards for model in card.referees)),
    )


def _heading(base: str) -> str:
    """``F1-train`` for ``f1-train``: short words are abbreviations."""
    first, dash, rest = base.partition("-")
    return (first.upper() if len(first) < 4 else first) + dash + rest


def _parameter(card: MetricCard) -> str:
    """``attributes`` where the columns are ``f1(attribute=...)``."""
    name = card.name.partition("(")[2].partition("=")[0]
    return f"{name}s" if name.isidentifier() else "columns"


def _mean_score(card: MetricCard, members: Sequence[Column], record: Record) -> Score:
    found = [column.read(record) for column in members]
    gap = next(((c, score) for c, score in zip(members, found, strict=True) if not has_value(score)), None)
    if gap is not None:
        column, score = gap
        reason = f"{column.title} has no value: {score.reason}"
        return Score(metric=card.name, status=score.status, reason=reason, remedy=score.remedy, n=score.n)
    names = [name for name in found[0].anchors if all(name in score.anchors for score in found)]
    same = len({(score.n, score.n_clusters) for score in found}) == 1
    return Score(
        metric=card.name,
        value=_mean([score.value or 0.0 for score in found]),
        n=found[0].n if same else 0,
        n_clusters=found[0].n_clusters if same else 0,
        anchors={name: _mean([score.anchors[name] for score in found]) for name in names},
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
