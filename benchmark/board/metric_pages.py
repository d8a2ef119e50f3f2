"""One page per column: what it measures, with what, how far it was checked, and the values of all entrants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmark.board.cells import ColumnView
from benchmark.board.load import Selection
from benchmark.board.rows import Row, ordered
from benchmark.board.templating import rendered, with_neighbours
from benchmark.records import MetricCard, SuiteFacts, Weights


def metric_pages(selection: Selection, views: Sequence[ColumnView], rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Addresses and contents of the pages of all columns."""
    by_slug = {row.entrant.slug: row for row in rows}
    for view, previous, following in with_neighbours(views):
        held = [entrant for entrant in selection.entrants if entrant.slug in view.scores]
        context: dict[str, Any] = {
            "root": "../",
            "suite": selection.suite,
            "view": view,
            "card": view.column.card,
            "models": models_of(view.column.card, selection.suite),
            "rows": [by_slug[entrant.slug] for entrant in ordered(held, view)],
            "previous": previous,
            "following": following,
        }
        yield f"metrics/{view.column.slug}.html", rendered("metric.html.j2", context)


def models_of(card: MetricCard, suite: SuiteFacts) -> list[Weights]:
    """The models behind a metric: its own, then those of the suite; one the suite does not name has no hash."""
    own = [Weights(name=name, sha256=digest) for name, digest in sorted(card.weights.items())]
    known = {model.name: model for model in suite.referees}
    return [*own, *(known.get(name, Weights(name=name, sha256="")) for name in card.referees)]
