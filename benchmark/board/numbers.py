"""Numbers as text: the unit decides the digits, so that a column reads evenly."""

from __future__ import annotations

from benchmark.records import Interval, MetricCard

NO_BREAK = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
EN_DASH = "\N{EN DASH}"
SHARE = "share"


def unit_text(card: MetricCard) -> str:
    """The unit a column's numbers are shown in: shares become percent, a bare index has none."""
    return {SHARE: "%", "1": ""}.get(card.unit, card.unit)


def plain(card: MetricCard, value: float) -> str:
    """The number alone, in the unit of the header."""
    if card.unit == SHARE:
        text = f"{100 * value:.1f}"
    elif card.unit == "dB":
        text = f"{value:.1f}"
    elif _is_index(card):
        text = f"{value:.3f}"
    else:
        text = three_digits(value)
    return _signed(text)


def with_unit(card: MetricCard, value: float) -> str:
    """The number as it stands in a cell: percent with its sign, other units are said by the header."""
    return plain(card, value) + (f"{NO_BREAK}%" if card.unit == SHARE else "")


def percent(share: float) -> str:
    """A share, 0..1, in percent with its sign."""
    return f"{_signed(f'{100 * share:.1f}')}{NO_BREAK}%"


def span(card: MetricCard, low: float, high: float) -> str:
    """Two bounds: ``94.1–97.2``; negative bounds are set apart with words."""
    joint = f"{NO_BREAK}to{NO_BREAK}" if low < 0 else EN_DASH
    return f"{plain(card, low)}{joint}{plain(card, high)}"


def interval_facts(interval: Interval) -> str:
    """How an interval came about, as one phrase."""
    return f"{level_text(interval)}, {interval.method}, {interval.resamples} resamples, seed {interval.seed}"


def level_text(interval: Interval) -> str:
    """``95 % interval``."""
    return f"{100 * interval.level:g}{NO_BREAK}% interval"


def three_digits(value: float) -> str:
    """At least three significant digits, thousands set apart, powers of ten below 0.0001."""
    size = abs(value)
    if value == 0 or size >= 100:
        return f"{value:,.0f}".replace(",", NO_BREAK)
    if size >= 1:
        return f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    digits, _, exponent = f"{value:#.3g}".partition("e")
    return f"{digits}×10{str(int(exponent)).translate(_RAISED)}" if exponent else digits


def range_text(card: MetricCard) -> str:
    """Smallest and largest possible value in words: ``0 to 1``, ``0 upward``."""
    low, high = (None if bound is None else _bound(bound) for bound in card.range)
    if low is None or high is None:
        return f"{low} upward" if low is not None else f"{high} downward" if high is not None else "unbounded"
    return f"{low} to {high}"


def correlation(value: float | None) -> str:
    """A correlation with its sign."""
    if value is None:
        return "none"
    text = _signed(f"{value:.3f}")
    return f"+{text}" if text.strip("0.") and not text.startswith(MINUS) else text


def images(count: int) -> str:
    """``N = 960``."""
    return f"N{NO_BREAK}={NO_BREAK}{count:,}".replace(",", NO_BREAK)


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 image``, ``2 images``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}".replace(",", NO_BREAK)


def _bound(value: float) -> str:
    return _signed(f"{value:,.0f}".replace(",", NO_BREAK) if value.is_integer() else f"{value:g}")


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _is_index(card: MetricCard) -> bool:
    low, high = card.range
    return low is not None and high is not None and high - low <= 2


def _signed(text: str) -> str:
    """A true minus sign, and no minus in front of a rounded zero."""
    if not text.startswith("-"):
        return text
    return text[1:] if not text.strip("-0.") else MINUS + text[1:]
