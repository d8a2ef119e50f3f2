"""The ladder of attackers on an entrant's page: the same numbers of each attacker under each other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.board import numbers
from benchmark.board.cells import short
from benchmark.board.standing import has_value, muted
from benchmark.records import RISK, MetricCard, Record, Score

MEASURES = ("rank-", "mAP", "TAR@FAR", "EER", "AUC", "D_sys")
"""Beginnings of the numbers that attackers have in common, in the order of the table."""
_MEASURE = re.compile(r"(rank-\d+|mAP|EER|AUC|TAR@FAR\s*=\s*[\d.eE+-]+|D_sys)(?:[\s,:(]+(.*?)\)?)?")
_INDEX = ("AUC", "D_sys")


@dataclass(frozen=True)
class Field:
    """One number of one attacker, or the word in its place."""

    text: str = ""
    reason: str = ""
    """Why there is none."""
    notes: tuple[str, ...] = ()
    """Its companions: ``floor 0.012``."""


@dataclass(frozen=True)
class Rung:
    """One attacker."""

    card: MetricCard
    score: Score
    is_risk: bool
    """Whether the risk is its value."""
    fields: list[Field]
    """One per measure of the ladder."""
    others: list[tuple[str, str]]
    """Numbers of its own: what it learned with, how it undoes the method."""
    flag: str
    """Why its value does not count."""

    @property
    def valued(self) -> bool:
        """Whether there is a value."""
        return has_value(self.score)

    def shown(self, value: float | None) -> str:
        """A value of the attacker's own scale."""
        return "none" if value is None else numbers.with_unit(self.card, value)


@dataclass(frozen=True)
class Ladder:
    """All attackers of a record."""

    measures: list[str]
    rungs: list[Rung]
    by: str
    """The attacker whose value is the risk."""

    @property
    def reasons(self) -> list[tuple[str, str, list[str]]]:
        """Number, reason and attackers of all that was refused."""
        found: dict[tuple[str, str], list[str]] = {}
        for rung in self.rungs:
            for name, reason in sorted(rung.score.refused.items()):
                found.setdefault((name, reason), []).append(short(rung.card.name))
        return [(name, reason, attackers) for (name, reason), attackers in found.items()]


def ladder_of(record: Record) -> Ladder:
    """The attackers of a record in its order."""
    scores = {card.name: record.score(card.name) for card in record.metrics if card.rung}
    found = {name: score for name, score in scores.items() if score is not None}
    measures = _measures(list(found.values()))
    risk = record.score(RISK)
    by = risk.by if risk is not None and has_value(risk) else ""
    rungs = [_rung(card, found[card.name], measures, by) for card in record.metrics if card.name in found]
    return Ladder(measures, rungs, short(by))


def _measures(scores: Sequence[Score]) -> list[str]:
    names = {split(name)[0] for score in scores for name in (*score.details, *score.refused)} - {""}
    return sorted(names, key=_order)


def _order(measure: str) -> tuple[int, float, str]:
    """``rank-5`` before ``rank-10``, lenient error rates before strict ones."""
    place = next(place for place, start in enumerate(MEASURES) if measure.startswith(start))
    number = re.search(r"[-=]\s*([\d.]+(?:[eE][+-]?\d+)?)$", measure)
    size = float(number[1]) if number else 0.0
    return place, -size if measure.startswith("TAR") else size, measure


def split(detail: str) -> tuple[str, str]:
    """Measure and companion: ``D_sys floor`` to ``("D_sys", "floor")``; no measure for an attacker's own numbers."""
    found = _MEASURE.fullmatch(detail)
    return (found[1], found[2] or "") if found else ("", detail)


def _rung(card: MetricCard, score: Score, measures: Sequence[str], by: str) -> Rung:
    others = [(name, numbers.three_digits(value)) for name, value in score.details.items() if not split(name)[0]]
    fields = [_field(measure, score) for measure in measures]
    return Rung(card, score, card.name == by, fields, others, muted(score))


def _field(measure: str, score: Score) -> Field:
    parts = {split(name)[1]: value for name, value in score.details.items() if split(name)[0] == measure}
    notes = tuple(f"{name} {_text(measure, value)}" for name, value in parts.items() if name)
    if "" in parts:
        return Field(_text(measure, parts[""]), notes=notes)
    reason = _refusal(measure, score.refused)
    return Field("refused" if reason else "none", reason or "This attacker does not report it.", notes)


def _refusal(measure: str, refused: Mapping[str, str]) -> str:
    return next((reason for name, reason in refused.items() if split(name)[0] == measure), "")


def _text(measure: str, value: float) -> str:
    if measure in _INDEX:
        return f"{value:.3f}"
    return f"{100 * value:.1f}{numbers.NO_BREAK}%"
