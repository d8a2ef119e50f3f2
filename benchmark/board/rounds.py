"""Entrants that work in rounds: how fast their own recogniser lost the people, and a few images on their way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from benchmark.board import numbers
from benchmark.board.load import LoadedRecord, Selection
from benchmark.board.pictures import Pictures
from benchmark.board.rows import Row
from benchmark.board.templating import rendered
from benchmark.records import TraceFacts, TraceSequence


@dataclass(frozen=True)
class Step:
    """One picture of a sequence."""

    caption: str
    """``original``, ``after 4 rounds``, ``released (31 rounds)``."""
    address: str
    """Seen from the board's folder; empty where the picture cannot be shown."""


@dataclass(frozen=True)
class Way:
    """One image on its way, from the original to what is released."""

    key: str
    steps: list[Step]


@dataclass(frozen=True)
class Rounds:
    """The rounds of one entrant."""

    row: Row
    facts: TraceFacts
    ways: list[Way]

    @property
    def href(self) -> str:
        """Its place on the page of all rounds, seen from the board's folder."""
        return f"rounds.html#{quote(self.row.entrant.slug)}"

    @property
    def count(self) -> int:
        """How many rounds there were."""
        return len(self.facts.risk) - 1

    @property
    def before(self) -> str:
        """Share that its own recogniser named rightly before the first round."""
        return numbers.percent(self.facts.risk[0])

    @property
    def after(self) -> str:
        """The same after the last round."""
        return numbers.percent(self.facts.risk[-1])

    @property
    def target(self) -> str:
        """The share below which it stops; as many digits as it has, for it was chosen and not measured."""
        return f"below {100 * self.facts.target:.3g}{numbers.NO_BREAK}%"

    @property
    def outcome(self) -> str:
        """Whether it came below its target."""
        return "reached" if self.facts.converged else "not reached"

    @property
    def named(self) -> str:
        """How many images are still named."""
        return f"{numbers.counted(self.facts.recognised, 'image')} still named"

    @property
    def curve(self) -> dict[str, Any]:
        """What the page's script draws; shares as they stand in the record."""
        facts = self.facts
        return {"name": self.row.name, "href": self.row.href, "risk": facts.risk, "target": facts.target}


def rounds_of(rows: Sequence[Row], pictures: Pictures) -> list[Rounds]:
    """The rounds of all entrants that have some and did not fail, in the order of the board."""
    return [found for row in rows if (found := _rounds(row, pictures)) is not None]


def rounds_page(selection: Selection, found: Sequence[Rounds]) -> Iterator[tuple[str, str]]:
    """Address and content of the page of all rounds; there is none where no entrant has any."""
    if found:
        curves = [one.curve for one in found]
        context = {"root": "", "suite": selection.suite, "found": found, "curves": curves}
        yield "rounds.html", rendered("rounds.html.j2", context)


def _rounds(row: Row, pictures: Pictures) -> Rounds | None:
    facts = row.entrant.record.trace
    if facts is None or row.failure:
        return None
    shown = facts.sequences if row.entrant.record.suite.shows_faces else ()
    return Rounds(row, facts, [_way(row.entrant.main, sequence, pictures) for sequence in shown])


def _way(run: LoadedRecord, sequence: TraceSequence, pictures: Pictures) -> Way:
    steps = sequence.steps
    last = len(steps) - 1
    captions = [_caption(step.after, place == last) for place, step in enumerate(steps)]
    addresses = [pictures.address(run, step.picture) for step in steps]
    return Way(sequence.key, [Step(*pair) for pair in zip(captions, addresses, strict=True)])


def _caption(after: int, released: bool) -> str:
    rounds = numbers.counted(after, "round")
    if released:
        return f"released ({rounds})"
    return f"after {rounds}" if after else "original"
