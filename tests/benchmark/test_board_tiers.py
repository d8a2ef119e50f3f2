from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.board import numbers
from benchmark.board.cells import BAR_MARGIN, BAR_WIDTH, Scale
from benchmark.board.tiers import Measured, letters, tied_groups
from benchmark.records import MetricCard


@st.composite
def measured(draw: st.DrawFn) -> list[Measured]:
    values = draw(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 4), st.integers(0, 4)), max_size=12))
    return [Measured(f"e{i:02}", v, v - below, v + above) for i, (v, below, above) in enumerate(values)]


def brute_force(entrants: list[Measured], higher_is_better: bool) -> list[set[str]]:
    """The rule word by word, without a running state: cut off one group after the other."""
    left = sorted(entrants, key=lambda one: (-one.value if higher_is_better else one.value, one.name))
    groups = []
    while left:
        apart = [i for i, one in enumerate(left) if one.low > left[0].high or one.high < left[0].low]
        cut = apart[0] if apart else len(left)
        groups.append({one.name for one in left[:cut]})
        left = left[cut:]
    return groups


@given(measured(), st.booleans())
def test_tied_groups_follow_the_rule(entrants: list[Measured], higher_is_better: bool) -> None:
    found = tied_groups(entrants, higher_is_better)
    groups = brute_force(entrants, higher_is_better)
    assert found == {name: letters(i + 1) for i, group in enumerate(groups) for name in group}


@given(measured(), st.booleans(), st.randoms())
def test_tied_groups_do_not_depend_on_order(entrants: list[Measured], higher: bool, random: Random) -> None:
    shuffled = random.sample(entrants, len(entrants))
    assert tied_groups(shuffled, higher) == tied_groups(entrants, higher)


def test_touching_intervals_are_tied_and_separate_ones_are_not() -> None:
    entrants = [Measured("a", 1, 0, 2), Measured("b", 3, 2, 4), Measured("c", 5, 3, 7)]
    assert tied_groups(entrants, higher_is_better=False) == {"a": "A", "b": "A", "c": "B"}


@pytest.mark.parametrize(("number", "text"), [(1, "A"), (26, "Z"), (27, "AA"), (52, "AZ"), (703, "AAA")])
def test_letters(number: int, text: str) -> None:
    assert letters(number) == text


def card(unit: str, low: float | None = 0.0, high: float | None = None) -> MetricCard:
    return MetricCard(
        name="m",
        version=1,
        title="M",
        group="quality",
        unit=unit,
        higher_is_better=True,
        range=(low, high),
        definition="",
    )


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        (card("share", 0, 1), 0.9583, "95.8\N{NO-BREAK SPACE}%"),
        (card("share", 0, 1), 0.0, "0.0\N{NO-BREAK SPACE}%"),
        (card("dB"), 23.456, "23.5"),
        (card("1", -1, 1), 0.12345, "0.123"),
        (card("1", -1, 1), -0.25, "\N{MINUS SIGN}0.250"),
        (card("1", -1, 1), -0.0001, "0.000"),
        (card("grey levels²"), 4335.4, "4\N{NO-BREAK SPACE}335"),
        (card("grey levels²"), 12.34, "12.3"),
        (card("ms per image"), 0.012345, "0.0123"),
        (card("ms per image"), 1.5, "1.50"),
        (card("ms per image"), 0, "0"),
        (card("1"), 0.00123, "0.00123"),
        (card("1"), 0.1, "0.100"),
        (card("1"), 0.0005, "0.000500"),
        (card("1", None), 0, "0"),
        (card("1", None), -0.0, "0"),
        (card("1", None), -0.00123, "\N{MINUS SIGN}0.00123"),
        (card("1", None), -0.0000123, "\N{MINUS SIGN}1.23×10⁻⁵"),
        (card("1", None), 0.00009999, "0.000100"),
        (card("1"), 287.4, "287"),
        (card("1", 1, 10), 5.234, "5.23"),
        (card("1", 0, 2), 1.2345, "1.234"),
    ],
)
def test_numbers_are_shown_by_unit(metric: MetricCard, value: float, text: str) -> None:
    assert numbers.with_unit(metric, value) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0, 1, "0 to 1"),
        (0, None, "0 upward"),
        (None, 1, "1 downward"),
        (None, None, "unbounded"),
        (-0.5, 65025, "\N{MINUS SIGN}0.5 to 65\N{NO-BREAK SPACE}025"),
    ],
)
def test_ranges_are_words(low: float | None, high: float | None, text: str) -> None:
    assert numbers.range_text(card("1", low, high)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "+0.500"),
        (-0.25, "\N{MINUS SIGN}0.250"),
        (0.0, "0.000"),
        (-0.0001, "0.000"),
        (1, "+1.000"),
        (None, "none"),
    ],
)
def test_correlations_have_signs(value: float | None, text: str) -> None:
    assert numbers.correlation(value) == text


def test_spans_with_negative_bounds_use_a_word() -> None:
    assert numbers.span(card("share", 0, 1), 0.25, 0.5) == "25.0\N{EN DASH}50.0"
    assert "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}" in numbers.span(card("1", -1, 1), -0.5, 0.5)


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(-20, 20))
def test_bars_stay_inside_their_drawing(one: float, other: float, value: float) -> None:
    assert BAR_MARGIN <= Scale(min(one, other), max(one, other))(value) <= BAR_WIDTH - BAR_MARGIN
