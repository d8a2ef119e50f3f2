"""The trade-off of a board: who is not beaten in privacy and utility, and how much each family of strengths covers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmark.board.cells import ColumnView
from benchmark.board.numbers import SHARE
from benchmark.board.rows import Row
from benchmark.board.standing import comparable
from benchmark.records import Score
from benchmark.tradeoff import STRENGTHS, Point, family_area, hypervolume, normalised_risk, pareto_front


@dataclass(frozen=True)
class Placed:
    """An entrant in the unit square."""

    row: Row
    point: Point
    """Privacy and utility."""


@dataclass(frozen=True)
class TradeOff:
    """Privacy against one family of utility columns."""

    risk: ColumnView
    utility: ColumnView
    placed: list[Placed]
    without: list[Row]
    """Entrants with a risk and without this utility."""

    @cached_property
    def volume(self) -> float:
        """Share of the unit square that is reached."""
        return hypervolume([one.point for one in self.placed])

    @cached_property
    def front(self) -> list[Placed]:
        """Entrants that nobody beats, the most private first."""
        return [self.placed[place] for place in pareto_front([one.point for one in self.placed])]

    @cached_property
    def families(self) -> dict[tuple[str, str], list[Placed]]:
        """Entrants by family and code of the method: they differ in parameters alone."""
        found: dict[tuple[str, str], list[Placed]] = defaultdict(list)
        for one in self.placed:
            entry = one.row.entrant.record.entry
            found[entry.family, entry.entry_hash].append(one)
        return dict(found)


@dataclass(frozen=True)
class FamilyRow:
    """One family in the table of areas."""

    name: str
    strengths: int
    areas: list[float | None]
    """One per trade-off; None where too few strengths have that utility."""


@dataclass(frozen=True)
class LeftOut:
    """Entrants that have no place in the square."""

    word: str
    rows: list[Row]


@dataclass(frozen=True)
class TradeOffs:
    """All trade-offs of a board; there are none without a risk or without a mean utility."""

    shown: list[TradeOff]
    left_out: list[LeftOut]

    @property
    def families(self) -> list[FamilyRow]:
        """Areas of families with enough strengths, by name."""
        keys = sorted({key for one in self.shown for key in one.families})
        rows = [_family_row(key, keys, self.shown) for key in keys]
        return [row for row in rows if any(area is not None for area in row.areas)]

    @property
    def fronts(self) -> dict[str, dict[str, list[str]]]:
        """Addresses of the front's members, by the columns of risk and utility."""
        found: dict[str, dict[str, list[str]]] = {}
        for one in self.shown:
            members = [placed.row.href for placed in one.front]
            found.setdefault(one.risk.column.key, {})[one.utility.column.key] = members
        return found


def tradeoffs_of(views: Sequence[ColumnView], rows: Sequence[Row]) -> TradeOffs:
    """Privacy (1 - normalised risk) against the mean of each family of utility columns that are shares.

    Controls, entrants that failed, are flagged or only claimed, or have no risk are left out, and named.
    """
    risk = next((view for view in views if view.column.is_risk), None)
    means = [view for view in views if view.column.mean_of and _is_share(view)]
    if risk is None or not means:
        return TradeOffs([], [])
    groups: dict[str, list[Row]] = {word: [] for word in ("", *_REASONS)}
    for row in rows:
        groups[_why_out(row, risk)].append(row)
    placed = groups.pop("")
    left_out = [LeftOut(word, found) for word, found in groups.items() if found]
    return TradeOffs([_tradeoff(placed, risk, utility) for utility in means], left_out)


def _is_share(view: ColumnView) -> bool:
    return view.column.card.unit == SHARE and view.column.card.higher_is_better


_REASONS: dict[str, Callable[[Row, Score], bool]] = {
    "failed": lambda row, score: bool(row.failure),
    "control": lambda row, score: row.entrant.record.entry.control,
    "flagged": lambda row, score: row.flagged,
    "claimed": lambda row, score: row.claimed,
    "not ranked by risk": lambda row, score: not comparable(score) or not _can_guess_wrong(score),
}


def _can_guess_wrong(score: Score) -> bool:
    """Whether chance is known and below 1: with one person, guessing is always right."""
    return score.anchors.get("chance", 1.0) < 1


def _why_out(row: Row, risk: ColumnView) -> str:
    score = risk.scores[row.entrant.slug]
    return next((word for word, holds in _REASONS.items() if holds(row, score)), "")


def _tradeoff(rows: Sequence[Row], risk: ColumnView, utility: ColumnView) -> TradeOff:
    inside = [row for row in rows if row.entrant.slug in utility.compared]
    without = [row for row in rows if row.entrant.slug not in utility.compared]
    return TradeOff(risk, utility, [Placed(row, _point(row, risk, utility)) for row in inside], without)


def _point(row: Row, risk: ColumnView, utility: ColumnView) -> Point:
    score = risk.scores[row.entrant.slug]
    privacy = 1 - normalised_risk(score.value or 0.0, score.anchors["chance"])
    return privacy, utility.scores[row.entrant.slug].value or 0.0


def _family_row(key: tuple[str, str], keys: Sequence[tuple[str, str]], shown: Sequence[TradeOff]) -> FamilyRow:
    members = [one.families.get(key, []) for one in shown]
    areas = [family_area([one.point for one in part]) if len(part) >= STRENGTHS else None for part in members]
    family, code = key
    name = family if [other for other, _ in keys].count(family) == 1 else f"{family} · {code[:8]}"
    return FamilyRow(name, max(map(len, members)), areas)
