"""A record and the one made again: everything that a board shows of the first has to be in the second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmark.decode import one_line
from benchmark.records import RISK, Interval, MetricCard, Record, Score
from benchmark.submission.values import SHIFT

ROUNDING = 1e-9
FURTHER = 3.0
"""Numbers beside a value (anchors, details) may differ by so much more than the value: an attacker that is trained anew on
another processor keeps its accuracy more closely than, say, its hits at one false accept in a thousand."""
BY_CHOICE = "picked: "
"""Details that are named after what an attacker chose; another choice of equal strength is no other result."""
Number = float | str | None


@dataclass(frozen=True)
class Comparison:
    """One thing, claimed and made again.

    Attributes:
        what: what it is: a metric, or ``metric: anchor chance``, or a field of the record.
        claimed, again: numbers, or texts where they are none.
        limit: largest difference of numbers that still agrees, in their unit.
        left_out: why it was not compared; empty if it was.
        is_value: whether it is the value of a score and no number beside it.
    """

    what: str
    claimed: Number
    again: Number
    limit: float = 0.0
    left_out: str = ""
    is_value: bool = False

    @property
    def difference(self) -> float | None:
        """Absolute difference; None where one is no number."""
        if isinstance(self.claimed, str) or isinstance(self.again, str) or self.left_out:
            return None
        return None if self.claimed is None or self.again is None else abs(self.claimed - self.again)

    @property
    def share_of_limit(self) -> float:
        """The difference as a multiple of what is allowed."""
        return (self.difference or 0.0) / (self.limit + ROUNDING)

    @property
    def agrees(self) -> bool:
        """Whether they are the same, or close enough, or nothing could be compared."""
        if self.left_out:
            return True
        apart = self.difference
        return self.claimed == self.again if apart is None else apart <= self.limit + ROUNDING


def compared(record: Record, again: Record, excused: Mapping[str, str], share: float) -> list[Comparison]:
    """Everything that is to agree.

    Args:
        record: what is claimed.
        again: what was made here, under the same cards.
        excused: why a metric cannot be computed on this machine now, by its name.
        share: largest difference, absolute of shares and relative of other numbers.
    """
    found = [*_of_record(record, again, share), *_of_trace(record, again, share)]
    for card in record.metrics:
        found += _of_score(card, record.score(card.name), again.score(card.name), excused, share, record)
    return found


def _of_record(record: Record, again: Record, share: float) -> Iterator[Comparison]:
    """Status, flags, counts; and the bytes, where they were handed in and not made."""
    yield Comparison("status", record.status, again.status)
    yield Comparison("flags", _names(record.flags), _names(again.flags))
    slack = 0.0 if record.entry.deterministic else share * again.coverage.n_expected
    for name in ("n_expected", "n_output", "n_scored", "n_failed"):
        claimed, made = (float(getattr(part.coverage, name)) for part in (record, again))
        yield Comparison(f"coverage: {name}", claimed, made, 0.0 if name == "n_expected" else slack)
    if record.entry.kind == "precomputed":
        yield Comparison("released images", record.release_sha256[:12], again.release_sha256[:12])


def _of_trace(record: Record, again: Record, share: float) -> Iterator[Comparison]:
    """What a record tells of its rounds."""
    mine, made = record.trace, again.trace
    if mine is None or made is None:
        yield Comparison("rounds", _there(mine), _there(made))
        return
    pairs = {
        "last risk": (mine.risk[-1], made.risk[-1]),
        "target": (mine.target, made.target),
        "recognised": (mine.recognised, made.recognised),
        "median": (mine.rounds_median, made.rounds_median),
        "most": (mine.rounds_max, made.rounds_max),
        "changed": (mine.changed_mean, made.changed_mean),
    }
    for name, (claimed, here) in pairs.items():
        yield Comparison(f"rounds: {name}", float(claimed), float(here), FURTHER * share * max(1.0, abs(claimed)))


def _of_score(
    card: MetricCard,
    claimed: Score | None,
    made: Score | None,
    excused: Mapping[str, str],
    share: float,
    record: Record,
) -> Iterator[Comparison]:
    """One metric: its value, and all that stands beside it."""
    if claimed is None or made is None:
        yield Comparison(card.name, _status(claimed), _status(made), is_value=True)
        return
    scale = share * (1.0 if card.unit == "share" else abs(claimed.value or 0.0))
    if made.value is None and card.name in excused:
        yield Comparison(card.name, claimed.value, None, scale, excused[card.name], is_value=True)
        return
    if claimed.value is None or made.value is None:
        yield Comparison(card.name, _told(claimed), _told(made), is_value=True)
        return
    yield Comparison(card.name, claimed.value, made.value, scale, is_value=True)
    yield Comparison(f"{card.name}: flags", _names(claimed.flags), _names(made.flags))
    if card.name == RISK and claimed.by != made.by:
        return  # two attackers as strong as each other; what stands beside is that of the other one
    count = share * record.coverage.n_expected
    for name in ("n", "n_clusters"):
        yield Comparison(f"{card.name}: {name}", float(getattr(claimed, name)), float(getattr(made, name)), count)
    yield from _spans(card.name, claimed.interval, made.interval, scale)
    for part in ("anchors", "details"):
        yield from _further(f"{card.name}: {part}", getattr(claimed, part), getattr(made, part), share)


def _spans(what: str, claimed: Interval | None, made: Interval | None, scale: float) -> Iterator[Comparison]:
    if claimed is None or made is None:
        yield Comparison(f"{what}: interval", _there(claimed), _there(made))
        return
    yield Comparison(f"{what}: interval, method", claimed.method, made.method)
    yield Comparison(f"{what}: interval, level", claimed.level, made.level)
    limit = max(scale, SHIFT * (made.high - made.low))
    yield Comparison(f"{what}: interval, low end", claimed.low, made.low, limit)
    yield Comparison(f"{what}: interval, high end", claimed.high, made.high, limit)


def _further(what: str, claimed: Mapping[str, float], made: Mapping[str, float], share: float) -> Iterator[Comparison]:
    for name in dict.fromkeys([*claimed, *made]):
        if name.startswith(BY_CHOICE):
            continue
        one, other = claimed.get(name), made.get(name)
        limit = FURTHER * share * max(1.0, abs(one or 0.0))
        yield Comparison(
            f"{what} {name}", "missing" if one is None else one, "missing" if other is None else other, limit
        )


def _names(flags: Mapping[str, str]) -> str:
    return ", ".join(sorted(flags)) or "none"


def _there(part: object) -> str:
    return "none" if part is None else "there"


def _status(score: Score | None) -> str:
    return "missing" if score is None else score.status


def _told(score: Score) -> Number:
    return score.status if score.value is None else score.value


def as_table(comparisons: Sequence[Comparison], shown: Callable[[float], str] = "{:.6g}".format) -> str:
    """Claimed, reproduced and difference, one thing a line."""
    rows = [("metric", "claimed", "reproduced", "difference", "allowed")]
    for part in comparisons:
        values = [_cell(value, shown) for value in (part.claimed, part.again)]
        apart, limit = ("", "") if part.difference is None else (shown(part.difference), shown(part.limit))
        rows.append((one_line(part.what), values[0], values[1], apart, limit))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cell(value: Number, shown: Callable[[float], str]) -> str:
    if value is None:
        return "none"
    return one_line(value)[:60] if isinstance(value, str) else shown(value)
