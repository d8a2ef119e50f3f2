"""Sweeps over a parameter: the values, the knee of curves whose knee is known, and a run from the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from benchmark.cli import cli
from benchmark.errors import UsageError
from benchmark.sweeping import MOST_VALUES, parse_over, sweep_of, with_knee
from benchmark.tuning import Tuning, knee_of, read_tuning
from tests.benchmark.test_board_groups import tuning


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("k=2..5", [2, 3, 4, 5]),
        ("k = 2..9..3", [2, 5, 8]),
        ("k=10,2, 5,2", [2, 5, 10]),
        ("t=0.1..0.4..0.1", [0.1, 0.2, 0.3, 0.4]),
        ("t=-1..1", [-1, 0, 1]),
    ],
)
def test_values_of_a_sweep(text: str, values: list[float]) -> None:
    assert parse_over(text) == (text[0], values)
    assert [type(value) for value in parse_over(text)[1]] == [type(value) for value in values]


@pytest.mark.parametrize(
    "text", ["", "k", "k=", "=2..3", "k=2..", "k=a..b", "k=5..2", "k=2..9..0", "k=3", "k=1..100000", "k=1;2"]
)
def test_what_is_no_sweep_is_a_usage_error_of_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="--over") as error:
        parse_over(text)
    assert "\n" not in str(error.value)


@given(st.text(max_size=20))
def test_any_text_is_a_sweep_or_a_usage_error(text: str) -> None:
    try:
        _, values = parse_over(text)
    except UsageError:
        return
    assert values == sorted(set(values))
    assert 2 <= len(values) <= MOST_VALUES


def test_an_unknown_parameter_names_those_that_are_known() -> None:
    with pytest.raises(UsageError, match=r"ksame-pixel has no parameter .kk. \(it takes k\)"):
        sweep_of("ksame-pixel", "kk=2..3")
    with pytest.raises(UsageError, match="k=1"):
        sweep_of("ksame-pixel", "k=1..3")


def test_every_value_is_an_entrant_and_a_given_value_is_replaced() -> None:
    sweep = sweep_of("ksame-eigen(k=7, components=3)", "k=2,4")
    assert [entrant.facts.params for entrant in sweep.entrants.values()] == [
        {"k": 2, "components": 3},
        {"k": 4, "components": 3},
    ]
    assert sweep.name == "ksame-eigen-components=3-over-k"


# The knee


def everywhere(x: Any) -> list[bool]:
    return [True] * len(x)


@pytest.mark.parametrize("y", [[0.5, 0.3, 0.45, 0.6, 0.7], [0.30, 0.29, 0.40, 0.45, 0.50]])
def test_a_dip_after_the_first_value_does_not_make_it_the_knee(y: list[float]) -> None:
    """The chord joins the ends of the curve, wherever its extremes lie."""
    x = [2, 3, 4, 5, 6]
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    above = [value - (y[0] + slope * (place - x[0])) for value, place in zip(y, x, strict=True)]
    wanted = max(range(1, 4), key=lambda row: above[row])
    assert knee_of(x, y, everywhere(y)) == (wanted if above[wanted] > 1e-9 else None)
    assert knee_of(x, y, everywhere(y)) != 0


def test_the_knee_of_satopaas_example() -> None:
    # y = -1 / x + 5, the figure of the paper: the knee of ten points in 0..1 lies at x = 0.22.
    x = np.linspace(0.0, 1.0, 10)
    y = -1 / (x + 0.1) + 5
    place = knee_of(x.tolist(), y.tolist(), everywhere(x))
    assert place is not None
    assert x[place] == pytest.approx(0.22, abs=0.01)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_knee_of_a_parabola_is_where_its_slope_is_the_chords(sign: float) -> None:
    x = np.linspace(0, 1, 101)
    y = sign * (1 - (1 - x) ** 2)  # slope 2 (1 - x) is 1 at a half
    assert knee_of(x.tolist(), y.tolist(), everywhere(x)) == 50


def test_only_allowed_values_are_suggested() -> None:
    x = list(range(2, 12))
    y = [1 - 1 / value for value in x]
    best = knee_of(x, y, everywhere(x))
    assert best is not None
    allowed = [value > x[best] for value in x]
    later = knee_of(x, y, allowed)
    assert later == best + 1, "the nearest that is allowed, for beyond the knee the curve nears its chord"
    assert knee_of(x, y, [False] * 10) is None


@pytest.mark.parametrize("y", [[1, 2, 3, 4], [4, 3, 2, 1], [2, 2, 2, 2], [0, 1, 4, 9], [9, 8, 5, 0]])
def test_curves_that_do_not_bend_towards_their_end_have_no_knee(y: list[float]) -> None:
    assert knee_of([1, 2, 3, 4], y, everywhere(y)) is None


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=12), st.floats(0.1, 50), st.floats(-50, 50))
def test_the_knee_does_not_depend_on_units(y: list[float], factor: float, shift: float) -> None:
    rounded = [round(value, 1) for value in y]
    x = list(range(len(y)))
    other = knee_of([10 * place + 3 for place in x], [factor * value + shift for value in rounded], everywhere(x))
    mine = knee_of(x, rounded, everywhere(x))
    if mine is None or other is None or mine == other:
        return
    wide, low, high = x[-1], min(rounded), max(rounded)
    rises = rounded[-1] > rounded[0]
    above = [
        ((value - low) if rises else (high - value)) / (high - low) - place / wide
        for value, place in zip(rounded, x, strict=True)
    ]
    assert above[mine] == pytest.approx(above[other], abs=1e-9), "only a tie may be broken otherwise"


def test_a_report_suggests_only_what_no_metric_forbids() -> None:
    none = {"knee": None, "no_knee": "not yet"}
    report = Tuning.model_validate(tuning(**none))
    found = with_knee(report, report.curves[0].metric)
    assert found.knee is not None
    assert found.knee.value == 5
    assert report.refused() == {2: "named"}
    strict = report.curves[1].model_copy(update={"allowed": (0.0, 0.0, 0.0)})
    report = report.model_copy(update={"curves": (report.curves[0], strict, *report.curves[2:])})
    nothing = with_knee(report, report.curves[0].metric)
    assert nothing.knee is None
    assert nothing.no_knee == "named is larger than allowed, or missing, at every value"


# A run


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("swept")
    return root, run(root, "k=2,3,5")


def run(root: Path, over: str) -> str:
    result = CliRunner(env={"ANONBENCH_CACHE": str(root / "cache")}).invoke(
        cli,
        ["tune", "portraits-smoke", "-e", "ksame-pixel", "--over", over, "-m", "re-identification", "-m", "homogeneity",
         "--threads", "1", "--out", str(root / "out")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return result.output


def test_a_sweep_measures_every_value_without_attackers(swept: tuple[Path, str]) -> None:
    root, output = swept
    report = read_tuning(root / "out" / "tuning" / "ksame-pixel-over-k.json")
    assert report.values == (2, 3, 5)
    names = [curve.metric for curve in report.curves]
    assert names[:2] == ["re-identification(network=background)", "homogeneity"]
    assert names[2:] == [f"f1(attribute={name})" for name in ("gender", "age", "skin_tone", "expression", "glasses")]
    assert report.curves[0].allowed == (1 / 2, 1 / 3, 1 / 5)
    assert all(value is not None for curve in report.curves for value in curve.values)
    homogeneity = report.curves[1].values
    assert homogeneity[0] is not None
    assert homogeneity[2] is not None
    assert homogeneity[0] > homogeneity[2]
    assert "There is no board yet" in output


def test_what_is_in_the_store_is_not_measured_again(swept: tuple[Path, str]) -> None:
    root, _ = swept
    scores = {path: path.stat().st_mtime_ns for path in (root / "cache").rglob("scores/**/*.json")}
    before = read_tuning(root / "out" / "tuning" / "ksame-pixel-over-k.json")
    run(root, "k=2,3,5")
    assert {path: path.stat().st_mtime_ns for path in (root / "cache").rglob("scores/**/*.json")} == scores
    after = read_tuning(root / "out" / "tuning" / "ksame-pixel-over-k.json")
    assert after.model_copy(update={"created_utc": before.created_utc}) == before


def test_a_value_at_which_the_entrant_fails_is_a_gap(swept: tuple[Path, str]) -> None:
    root, _ = swept
    run(root, "k=5,25")
    report = read_tuning(root / "out" / "tuning" / "ksame-pixel-over-k.json")
    assert list(report.failures) == ["25"]
    assert "24" in report.failures["25"]
    assert [curve.values[1] for curve in report.curves] == [None] * len(report.curves)


def test_one_entrant_is_tuned_at_a_time() -> None:
    result = CliRunner().invoke(cli, ["tune", "portraits-smoke", "-e", "blur", "-e", "mask", "--over", "kernel=3,5"])
    assert result.exit_code == 2
    assert "2 entrants were named" in result.output
