"""Tuning reports: curves over a parameter, how large they may be, and the suggested value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from benchmark.board import numbers
from benchmark.board.columns import base_of
from benchmark.board.load import LoadedTuning, Selection
from benchmark.board.rows import Row
from benchmark.board.templating import rendered
from benchmark.records import EntrantFacts, MetricCard
from benchmark.specs import Spec
from benchmark.tuning import Curve, Number, Tuning, above_text, published, published_word

Line = tuple[float | None, ...]


@dataclass(frozen=True)
class Panel:
    """One drawing: a metric, or the mean over metrics that differ in a parameter alone."""

    title: str
    card: MetricCard
    """Of the metric, or of the first of them: unit and direction."""
    values: Line
    low: Line
    high: Line
    allowed: Line
    parts: tuple[tuple[str, Line], ...]
    """Titles and values of the metrics behind a mean."""
    details: dict[str, Line]
    """Of a single metric: other numbers of its scores."""

    @property
    def factor(self) -> float:
        """Shares are shown in percent."""
        return 100.0 if self.card.unit == numbers.SHARE else 1.0

    @property
    def unit(self) -> str:
        """Unit of the numbers shown."""
        return numbers.unit_text(self.card)

    @property
    def better(self) -> str:
        """Direction in words."""
        return "higher is better" if self.card.higher_is_better else "lower is better"

    def text(self, place: int) -> str:
        """The number at one value of the parameter; empty where there is none."""
        value = self.values[place]
        return "" if value is None else numbers.with_unit(self.card, value)

    def above(self, place: int) -> str:
        """How many groups have more matched than one over their size; empty where nobody counted."""
        return above_text({name: line[place] for name, line in self.details.items()})

    def most(self, place: int) -> str:
        """How large it may be there; empty where nothing says so."""
        value = self.allowed[place]
        return "" if value is None else numbers.with_unit(self.card, value)

    def too_large(self, place: int) -> bool:
        """Whether it is larger than allowed."""
        value, most = self.values[place], self.allowed[place]
        return value is not None and most is not None and value > most

    @property
    def bounded(self) -> bool:
        """Whether anything says how large it may be."""
        return any(value is not None for value in self.allowed)

    def as_json(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {
            "title": self.title,
            "unit": self.unit,
            "values": self._shown(self.values),
            "low": self._shown(self.low),
            "high": self._shown(self.high),
            "allowed": self._shown(self.allowed) if self.bounded else [],
            "parts": [{"title": title, "values": self._shown(values)} for title, values in self.parts],
        }

    def _shown(self, line: Line) -> list[float | None]:
        return [None if value is None else float(f"{self.factor * value:.6g}") for value in line]


@dataclass(frozen=True)
class Sweep:
    """One tuning report as it is shown."""

    loaded: LoadedTuning
    rows: dict[Number, Row]
    """Rows of the board by the parameter's value."""
    others: tuple[Row, ...]
    """Rows of the same method in another version, or with other weights."""
    number: int

    @property
    def tuning(self) -> Tuning:
        """What is shown."""
        return self.loaded.tuning

    @property
    def key(self) -> str:
        """Its name on the page."""
        return f"tuning-{self.number}"

    @property
    def href(self) -> str:
        """Its place on the page of all reports, seen from the board's folder."""
        return f"tuning.html#{self.key}-title"

    @property
    def address(self) -> str:
        """Its file seen from the result folder."""
        return f"tuning/{quote(self.loaded.path.name)}"

    @cached_property
    def panels(self) -> list[Panel]:
        """The drawings: single metrics, then means."""
        cards = {card.name: card for card in self.tuning.metrics}
        families: dict[str, list[Curve]] = defaultdict(list)
        for curve in self.tuning.curves:
            card = cards[curve.metric]
            families[base_of(card) if card.group == "utility" and not card.about_claim else card.name].append(curve)
        panels = [_panel(members, cards) for members in families.values()]
        return sorted(panels, key=lambda panel: bool(panel.parts))

    @property
    def knee(self) -> Row | None:
        """The row of the suggested value, where it stands on the board."""
        return None if self.tuning.knee is None else self.rows.get(self.tuning.knee.value)

    @staticmethod
    def name_of(row: Row) -> str:
        """A row's name without the folders of the files it names."""
        name = row.entrant.record.entry.name
        return row.name.replace(name, published_word(name))

    @cached_property
    def titles(self) -> dict[str, str]:
        """Titles of its metrics by name."""
        return {card.name: card.title for card in self.tuning.metrics}

    @cached_property
    def refused(self) -> dict[Number, str]:
        """Values that are not allowed, and why."""
        return {value: f"{self.titles[found.metric]} {found.why}" for value, found in self.tuning.refused().items()}

    def verdict(self, value: Number) -> str:
        """What is said of a value; empty where nothing says how large a metric may be, and of what failed."""
        if str(value) in self.tuning.failures:
            return ""
        if value in self.refused:
            return self.refused[value]
        if self.tuning.knee is not None and self.tuning.knee.value == value:
            return "suggested"
        return "allowed" if self.tuning.bounded else ""

    @property
    def missing(self) -> list[tuple[str, str, str]]:
        """Metrics that were not measured: title, reason, and at which values."""
        return [(self.titles[name], reason, ", ".join(values)) for name, reason, values in self.tuning.missing()]

    def is_about(self, row: Row) -> bool:
        """Whether a row is one of its values."""
        return any(row is other for other in self.rows.values())

    @property
    def drawn(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {
            "parameter": self.tuning.parameter,
            "x": list(self.tuning.values),
            "hrefs": [self.rows[value].href if value in self.rows else "" for value in self.tuning.values],
            "knee": None if self.tuning.knee is None else self.tuning.knee.value,
            "panels": [panel.as_json() for panel in self.panels],
        }


def _panel(members: Sequence[Curve], cards: dict[str, MetricCard]) -> Panel:
    first = members[0]
    card = cards[first.metric]
    if len(members) == 1:
        return Panel(card.title, card, first.values, first.low, first.high, first.allowed, (), first.details)
    none: Line = (None,) * len(first.values)
    mean = tuple(_mean([curve.values[place] for curve in members]) for place in range(len(first.values)))
    parts = tuple((cards[curve.metric].title, curve.values) for curve in members)
    base = base_of(card)
    title = f"Mean {base.upper() if len(base) < 4 else base} of {len(members)}"
    return Panel(title, card, mean, none, none, none, parts, {})


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if len(there) == len(values) else None


def sweeps_of(tunings: Sequence[LoadedTuning], selection: Selection, rows: Sequence[Row]) -> list[Sweep]:
    """The reports of the board's suite, by name."""
    same = [loaded for loaded in tunings if loaded.tuning.suite_hash == selection.suite.suite_hash]
    ordered = sorted(same, key=lambda loaded: (loaded.tuning.name, loaded.path.name))
    return [_sweep(loaded, rows, number) for number, loaded in enumerate(ordered, 1)]


def _sweep(loaded: LoadedTuning, rows: Sequence[Row], number: int) -> Sweep:
    tuning = loaded.tuning
    found: dict[Number, Row] = {}
    others: list[Row] = []
    for row in rows:
        entry = row.entrant.record.entry
        value = _value(tuning, entry)
        if value is not None and _of_version(tuning, entry):
            found[value] = row
        elif value is not None or _of_other_code(tuning, entry):
            others.append(row)
    return Sweep(loaded, found, tuple(others), number)


def _value(tuning: Tuning, entry: EntrantFacts) -> Number | None:
    """At which value of the parameter an entrant stands; None for another method or other parameters."""
    params = published(Spec(entry.family, entry.params)).params
    value = entry.params.get(tuning.parameter)
    others = {name: part for name, part in params.items() if name != tuning.parameter}
    same = (entry.family, others) == (tuning.family, tuning.params) and isinstance(value, int | float)
    return value if same and value in tuning.values else None


def _of_version(tuning: Tuning, entry: EntrantFacts) -> bool:
    weights = [sorted(model.sha256 for model in part.weights) for part in (tuning, entry)]
    return tuning.entry_hash == entry.entry_hash and weights[0] == weights[1]


def _of_other_code(tuning: Tuning, entry: EntrantFacts) -> bool:
    return tuning.family == entry.family and tuning.entry_hash != entry.entry_hash


def tuning_page(selection: Selection, sweeps: Sequence[Sweep]) -> Iterator[tuple[str, str]]:
    """Address and content of the page of all reports; there is none where there are no reports."""
    if sweeps:
        context = {"root": "", "suite": selection.suite, "sweeps": sweeps}
        yield "tuning.html", rendered("tuning.html.j2", context)
