"""The data of the privacy-utility plot; the page's script only draws it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from benchmark.board.cells import ColumnView, measure
from benchmark.board.load import Entrant
from benchmark.board.numbers import SHARE, unit_text
from benchmark.board.standing import is_apart
from benchmark.records import ParamValue

Triple = tuple[float, float, float]
"""Value, low and high."""
Fronts = dict[str, dict[str, list[str]]]


@dataclass(frozen=True)
class Axis:
    """Something the plot can show on an axis."""

    key: str
    title: str
    unit: str
    factor: float
    """What a number is multiplied with to be in ``unit``."""
    better: str
    values: dict[str, Triple]
    """By slug; entrants without a value are left out."""
    anchors: dict[str, float]
    group: str
    intervals: bool = True

    def as_json(self) -> dict[str, Any]:
        """What the script needs."""
        return {
            "key": self.key,
            "title": self.title,
            "unit": self.unit,
            "better": self.better,
            "group": self.group,
            "intervals": self.intervals,
            "anchors": {name: self.factor * value for name, value in self.anchors.items()},
        }


def scatter_data(views: Sequence[ColumnView], entrants: Sequence[Entrant], fronts: Fronts) -> dict[str, Any] | None:
    """Axes and points, or None where the records hold no pair of privacy and something else to draw.

    Args:
        views: of all columns.
        entrants: that did not fail; flagged and claimed ones are left out.
        fronts: addresses of the front's members, by the columns across and up.
    """
    drawn = [view for view in views if view.compared]
    across = [axis_of(view) for view in drawn if view.column.group == "privacy"]
    up = [axis_of(view) for view in drawn if view.column.group in ("utility", "quality")]
    if not across or not up:
        return None
    shown = [entrant for entrant in entrants if not is_apart(entrant.record)]
    return {
        "x": [axis.as_json() for axis in across],
        "y": [axis.as_json() for axis in up],
        "families": _families([*across, *up], shown),
        "fronts": fronts,
    }


def axis_of(view: ColumnView) -> Axis:
    """One column as an axis."""
    card = view.column.card
    measured = [measure(slug, score) for slug, score in view.compared.items()]
    return Axis(
        key=view.column.key,
        title=view.column.title,
        unit=unit_text(card),
        factor=100.0 if card.unit == SHARE else 1.0,
        better=view.column.better,
        values={one.name: (one.value, one.low, one.high) for one in measured},
        anchors={name: low for name, (low, high) in view.anchor_bounds.items() if low == high},
        group=card.group,
        intervals=not view.column.mean_of,
    )


def _families(axes: Sequence[Axis], entrants: Sequence[Entrant]) -> list[dict[str, Any]]:
    members: dict[str, list[Entrant]] = defaultdict(list)
    for entrant in entrants:
        members[entrant.record.entry.family].append(entrant)
    return [_family(name, members[name], axes) for name in sorted(members)]


def _family(name: str, members: Sequence[Entrant], axes: Sequence[Axis]) -> dict[str, Any]:
    knob = strength(members)
    key = (lambda e: (e.record.entry.params[knob], e.slug)) if knob else (lambda e: (0, e.slug))
    ordered = sorted(members, key=key)
    return {"name": name, "knob": knob, "points": [_point(entrant, axes) for entrant in ordered]}


def strength(members: Sequence[Entrant]) -> str:
    """The one numeric parameter in which the members of a family differ, or empty."""
    params = [entrant.record.entry.params for entrant in members]
    names = {name for given in params for name in given}
    varying = [name for name in sorted(names) if len({given.get(name) for given in params}) > 1]
    if len(varying) != 1 or not all(_is_number(given.get(varying[0])) for given in params):
        return ""
    return varying[0]


def _is_number(value: ParamValue | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _point(entrant: Entrant, axes: Sequence[Axis]) -> dict[str, Any]:
    values = {
        axis.key: [axis.factor * v for v in axis.values[entrant.slug]] for axis in axes if entrant.slug in axis.values
    }
    entry = entrant.record.entry
    return {
        "name": entry.name,
        "href": f"entrants/{quote(entrant.slug)}.html",
        "control": entry.control,
        "values": values,
    }
