"""One column of the board as it is shown: texts, bars, reference values and tied groups."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmark.board import numbers
from benchmark.board.columns import Column
from benchmark.board.load import Entrant
from benchmark.board.standing import comparable, has_value, is_apart, muted
from benchmark.board.tiers import Measured, tied_groups
from benchmark.records import AT_LEAST, Score

BAR_WIDTH = 96
BAR_MARGIN = 3


@dataclass(frozen=True)
class Bar:
    """Positions in a small drawing ``BAR_WIDTH`` wide."""

    point: float
    low: float | None
    high: float | None
    ticks: tuple[float, ...]
    """One per reference value."""


@dataclass(frozen=True)
class Cell:
    """One entrant's value in one column, or the word that stands in its place."""

    group: str
    text: str
    interval: str = ""
    title: str = ""
    """Reason and remedy of a missing value, or how many images and people are behind a number."""
    status: str = ""
    """Empty where there is a value."""
    sort: str = ""
    tier: str = ""
    count: str = ""
    """The number of images where the value depends on it."""
    note: str = ""
    """Of the risk: whose it is, or how large it is at least."""
    flag: str = ""
    """Why the value does not count: ``too-weak``."""
    bar: Bar | None = None


@dataclass(frozen=True)
class Absence:
    """Why entrants have no value in a column."""

    word: str
    reason: str
    remedy: str
    count: int
    """How many entrants it holds for."""


@dataclass(frozen=True)
class Scale:
    """From values to positions in a bar."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        """Position of ``value``, kept inside the drawing."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0
        inner = BAR_WIDTH - 2 * BAR_MARGIN
        return round(BAR_MARGIN + inner * min(max(share, 0.0), 1.0), 1)


@dataclass(frozen=True)
class ColumnView:
    """A column together with the scores of all entrants in it."""

    column: Column
    scores: dict[str, Score]
    """By slug."""
    failed: frozenset[str]
    """Slugs of entrants that failed as a whole: they neither open a tied group nor stretch a scale."""
    apart: frozenset[str] = frozenset()
    """Slugs of entrants whose result is no result, or nobody else's: neither do they."""

    @classmethod
    def of(cls, column: Column, entrants: Sequence[Entrant]) -> ColumnView:
        """Reads the column in the main record of each entrant."""
        scores = {entrant.slug: column.read(entrant.record) for entrant in entrants}
        failed = frozenset(entrant.slug for entrant in entrants if entrant.record.status == "failed")
        apart = frozenset(entrant.slug for entrant in entrants if is_apart(entrant.record))
        return cls(column, scores, failed, apart)

    @property
    def unit(self) -> str:
        """Unit of the numbers shown."""
        return numbers.unit_text(self.column.card)

    @cached_property
    def anchors(self) -> dict[str, str]:
        """Reference values by name; a span where they differ between entrants."""
        card = self.column.card
        return {
            name: numbers.with_unit(card, low) if low == high else numbers.span(card, low, high)
            for name, (low, high) in self.anchor_bounds.items()
        }

    @cached_property
    def anchor_bounds(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest reference value by name."""
        names = dict.fromkeys(name for score in self.scores.values() for name in score.anchors)
        values = {name: [s.anchors[name] for s in self.scores.values() if name in s.anchors] for name in names}
        return {name: (min(found), max(found)) for name, found in values.items()}

    @cached_property
    def compared(self) -> dict[str, Score]:
        """Scores that count, by slug, of entrants that neither failed nor are flagged or claimed."""
        out = self.failed | self.apart
        return {slug: score for slug, score in self.scores.items() if comparable(score) and slug not in out}

    @cached_property
    def empty(self) -> bool:
        """Whether no entrant that did not fail has a value."""
        return not any(has_value(score) for slug, score in self.scores.items() if slug not in self.failed)

    @cached_property
    def absences(self) -> list[Absence]:
        """Why entrants that did not fail have no value, the most frequent reason first."""
        missing = [score for slug, score in self.scores.items() if slug not in self.failed and not has_value(score)]
        found = Counter((missing_word(score), reason_of(score), score.remedy) for score in missing)
        return [Absence(*key, count) for key, count in sorted(found.items(), key=lambda item: (-item[1], item[0]))]

    @cached_property
    def tiers(self) -> dict[str, str]:
        """Tied group by slug; there are none in a column without intervals, where nothing says what is a tie."""
        if not any(score.interval for score in self.compared.values()):
            return {}
        measured = [measure(slug, score) for slug, score in self.compared.items()]
        return tied_groups(measured, self.column.card.higher_is_better)

    @cached_property
    def scale(self) -> Scale:
        """Shares span 0 to 100 %; other columns span their values, from zero where that is possible."""
        if self.column.card.unit == numbers.SHARE:
            return Scale(0.0, 1.0)
        found = [bound for score in self.compared.values() for bound in _extent(score)]
        if not found:
            return Scale(0.0, 1.0)
        top = self.column.card.range[1]
        near_top = top is not None and max(found) > 0.5 * top
        return Scale(min(0.0, *found), top if near_top and top is not None else max(found))

    def cell(self, slug: str) -> Cell:
        """The cell of one entrant."""
        score, flag = self.scores[slug], muted(self.scores[slug])
        if not has_value(score) or score.value is None:
            return Cell(
                self.column.group, self.word(score), title=why(score), status=score.status, note=self.note(score)
            )
        return Cell(
            self.column.group,
            numbers.with_unit(self.column.card, score.value),
            interval=self.interval(score),
            title=score.flags[flag] if flag else behind(score),
            sort="" if flag else repr(score.value),
            tier=self.tiers.get(slug, ""),
            count=numbers.images(score.n) if self.column.card.per_count else "",
            note=self.note(score),
            flag=flag,
            bar=None if flag else self.bar(score),
        )

    def word(self, score: Score) -> str:
        """The word in place of a missing number; an entrant that some attackers never met has no rank."""
        return "not ranked" if self.column.is_risk and score.status == "unavailable" else missing_word(score)

    def note(self, score: Score) -> str:
        """Of the risk: the attacker it is by, or the largest risk that was found."""
        if has_value(score):
            return f"by {short(score.by)}" if score.by else ""
        least = score.details.get(AT_LEAST)
        return "" if least is None else f"{AT_LEAST} {numbers.with_unit(self.column.card, least)}"

    def interval(self, score: Score) -> str:
        """The bounds of the interval, or that there is none; costs and means have none by nature."""
        if score.interval is None:
            return "" if self.column.group == "cost" or self.column.mean_of else "no interval"
        return numbers.span(self.column.card, score.interval.low, score.interval.high)

    def bar(self, score: Score) -> Bar | None:
        """The drawing of a score that has a value."""
        if score.value is None:
            return None
        bounds = score.interval
        ticks = tuple(self.scale(value) for value in score.anchors.values())
        return Bar(
            point=self.scale(score.value),
            low=self.scale(bounds.low) if bounds else None,
            high=self.scale(bounds.high) if bounds else None,
            ticks=ticks,
        )


def measure(name: str, score: Score) -> Measured:
    """A score that has a value, as tied groups need it."""
    value = score.value or 0.0
    low, high = (score.interval.low, score.interval.high) if score.interval else (value, value)
    return Measured(name, value, low, high)


def missing_word(score: Score) -> str:
    """The word in place of a missing number."""
    return score.status.replace("-", " ") if score.status != "ok" else "no value"


def why(score: Score) -> str:
    """Reason and remedy of a missing value."""
    return " ".join(part for part in (reason_of(score), score.remedy) if part)


def reason_of(score: Score) -> str:
    """Why a number is missing, as a sentence."""
    reason = score.reason or "No reason was recorded"
    return reason if reason.endswith((".", "!", "?")) else f"{reason}."


def short(metric: str) -> str:
    """A metric's name without parameters, the network excepted: ``embedding background``, for there may be two."""
    family, _, params = metric.partition("(")
    network = re.search(r"\bnetwork=([\w.-]+)", params)
    return f"{family} {network[1]}" if network else family


def behind(score: Score) -> str:
    """The denominators of a value."""
    people = f", {numbers.counted(score.n_clusters, 'person', 'people')}" if score.n_clusters else ""
    method = f"; {numbers.level_text(score.interval)}" if score.interval else ""
    attacker = f"by {score.by}: " if score.by else ""
    return f"{attacker}{numbers.counted(score.n, 'image')}{people}{method}" if score.n else ""


def _extent(score: Score) -> list[float]:
    values = [] if score.value is None else [score.value]
    bounds = [score.interval.low, score.interval.high] if score.interval else []
    return [*values, *bounds, *score.anchors.values()]
