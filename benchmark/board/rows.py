"""The rows of the board in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from benchmark.board.badges import Badge, badges_of, failure_text
from benchmark.board.cells import Cell, ColumnView
from benchmark.board.load import Entrant
from benchmark.board.standing import comparable, is_claimed, is_flagged, place


@dataclass(frozen=True)
class Row:
    """One entrant on the board."""

    entrant: Entrant
    name: str
    href: str
    """Its page, seen from the board's folder."""
    subtitle: str
    badges: list[Badge]
    cells: list[Cell]
    failure: str
    """Why it failed; empty for entrants that did not fail."""

    @property
    def flagged(self) -> bool:
        """Whether its result is no result, so that it stands below those that are."""
        return not self.failure and is_flagged(self.entrant.record)

    @property
    def claimed(self) -> bool:
        """Whether nobody has reproduced it, so that it stands below what others measured."""
        return not self.failure and not self.flagged and is_claimed(self.entrant.record)

    @property
    def search(self) -> str:
        """What the text filter looks at."""
        entry = self.entrant.record.entry
        words = [self.name, entry.family, entry.display_name, entry.authors, *(badge.text for badge in self.badges)]
        return " ".join(words).lower()


def rows_of(entrants: Sequence[Entrant], views: Sequence[ColumnView]) -> list[Row]:
    """All rows: by the first column with the best protection first, then without a value, claimed, flagged, failed."""
    names = labels(entrants)
    return [_row(entrant, names[entrant.slug], views) for entrant in ordered(entrants, views[0])]


def ordered(entrants: Sequence[Entrant], view: ColumnView) -> list[Entrant]:
    """Entrants in the order of one column: those without a value by name, then claimed, flagged and failed ones."""
    sign = -1.0 if view.column.card.higher_is_better else 1.0

    def key(entrant: Entrant) -> tuple[int, bool, float, str, str]:
        score, record = view.scores[entrant.slug], entrant.record
        value = sign * score.value if comparable(score) and score.value is not None else None
        return place(record), value is None, value or 0.0, record.entry.name, entrant.slug

    return sorted(entrants, key=key)


def labels(entrants: Sequence[Entrant]) -> dict[str, str]:
    """Names by slug; two entrants of one name are told apart by the hash of their code, then by their slug."""
    names = Counter(entrant.record.entry.name for entrant in entrants)
    hashes = Counter((entrant.record.entry.name, entrant.record.entry.entry_hash[:8]) for entrant in entrants)
    return {entrant.slug: _label(entrant, names, hashes) for entrant in entrants}


def _label(entrant: Entrant, names: Counter[str], hashes: Counter[tuple[str, str]]) -> str:
    entry = entrant.record.entry
    if names[entry.name] == 1:
        return entry.name
    digest = entry.entry_hash[:8]
    return f"{entry.name} · {entrant.slug if hashes[entry.name, digest] > 1 else digest}"


def _row(entrant: Entrant, name: str, views: Sequence[ColumnView]) -> Row:
    record = entrant.record
    failed = record.status == "failed"
    return Row(
        entrant=entrant,
        name=name,
        href=f"entrants/{quote(entrant.slug)}.html",
        subtitle=record.entry.display_name if record.entry.display_name != record.entry.name else "",
        badges=badges_of(entrant),
        cells=[] if failed else [view.cell(entrant.slug) for view in views],
        failure=failure_text(record) if failed else "",
    )
