"""Sweeps over a parameter: the values, the knee of curves whose knee is known, and a run from the store."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from benchmark.cli import cli
from benchmark.cli.tuning import _doubts
from benchmark.errors import UsageError
from benchmark.records import EntrantFacts
from benchmark.registry import Entrant
from benchmark.specs import Spec, parse_spec
from benchmark.sweeping import MOST_VALUES, Sweep, parse_over, sweep_of, with_knee
from benchmark.tuning import (
    ABOVE,
    AMONG,
    GROUPS,
    RULE,
    Tuning,
    knee_of,
    paths_shortened,
    published_command,
    read_tuning,
    without_folders,
)
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
    assert sweep.name(3) == "ksame-eigen-components=3-over-k-seed-3"


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
    assert report.refused() == {2: ("named", "too large")}
    strict = report.curves[1].model_copy(update={"allowed": (0.0, 0.0, 0.0)})
    report = report.model_copy(update={"curves": (report.curves[0], strict, *report.curves[2:])})
    nothing = with_knee(report, report.curves[0].metric)
    assert nothing.knee is None
    bends = "the curve of loss(network=x) itself bends at k = 5"
    assert nothing.no_knee == f"every value is refused: by named, too large (k=2, 5, 9); {bends}"


def test_the_reason_for_no_knee_names_all_that_refuse() -> None:
    report = Tuning.model_validate(tuning(knee=None, no_knee="not yet"))
    loss, named, other, _ = report.curves
    gone = {"values": (None,) * 3}
    unmeasured = report.model_copy(update={"curves": (loss.model_copy(update=gone), *report.curves[1:])})
    assert with_knee(unmeasured, loss.metric).no_knee == f"{loss.metric} was not measured at any value"
    strict = other.model_copy(update={"allowed": (1.0, 0.1, 0.1)})
    both = report.model_copy(update={"curves": (loss, named, strict, report.curves[3])})
    words = f"by named, too large (k=2), by {other.metric}, too large (k=5, 9)"
    bends = f"the curve of {loss.metric} itself bends at k = 5"
    assert with_knee(both, loss.metric).no_knee == f"every value is refused: {words}; {bends}"
    short = loss.model_copy(update={"values": (0.5, None, None)})
    one = report.model_copy(update={"curves": (short, *report.curves[1:])})
    words = f"every value at which {loss.metric} was measured is refused: by named, too large (k=2)"
    assert with_knee(one, loss.metric).no_knee == words
    two = loss.model_copy(update={"values": (0.5, 0.7, None)})
    few = report.model_copy(update={"curves": (two, *report.curves[1:])})
    assert with_knee(few, loss.metric).no_knee == f"a knee takes three values, and {loss.metric} was measured at 2"


def with_gaps(places: list[int]) -> Tuning:
    """A report in which the metric that bounds was not measured at some places."""
    report = Tuning.model_validate(tuning(knee=None, no_knee="not yet"))
    gaps = {
        name: tuple(None if row in places else value for row, value in enumerate(getattr(report.curves[1], name)))
        for name in ("values", "low", "high", "allowed")
    }
    reasons = {str(report.values[row]): "no photographs" for row in places}
    named = report.curves[1].model_copy(update={**gaps, "reasons": reasons})
    return report.model_copy(update={"curves": (report.curves[0], named, *report.curves[2:])})


def test_what_was_not_measured_is_not_allowed() -> None:
    report = with_gaps([1])
    assert report.refused() == {2: ("named", "too large"), 5: ("named", "not measured")}
    found = with_knee(report, report.curves[0].metric)
    assert found.knee is None, "5 is the only value between the ends"
    assert list(_doubts(found)) == [
        "k = 2 is refused: named too large",
        "k = 5 is refused: named not measured",
        "named not measured at k = 5: no photographs",
    ]


def test_where_nothing_bounds_nothing_is_called_allowed() -> None:
    report = with_gaps([0, 1, 2])
    assert report.refused() == {}
    assert not report.bounded
    found = with_knee(report, report.curves[0].metric)
    assert found.knee is not None
    assert "allowed" not in found.knee.rule
    assert list(_doubts(found)) == [
        "named not measured at k = 2, 5, 9: no photographs",
        "No metric says how large it may be, so no value is called allowed",
    ]
    assert "allowed" in RULE + AMONG


# Files that parameters name


@given(
    st.one_of(
        st.text(max_size=30), st.sampled_from(["/home/me/x.pt", "/me://x", "a/b/", "C:\\me\\x.pt", "../x", "x.pt"])
    )
)
def test_no_folder_is_left_of_a_path(text: str) -> None:
    shown = str(without_folders(text))
    remote = re.match(r"(?!file:)[a-z][a-z0-9+.-]*://", text, re.IGNORECASE)
    assert remote or not {"/", "\\"} & set(shown)
    assert text.endswith(shown) or text.rstrip("/\\").endswith(shown)
    assert shown == text or {"/", "\\"} & set(text)


@pytest.mark.parametrize("text", ["file:///home/me/x.pt", "FILE://x.pt", "/home/a://x.pt", "C:\\a://x.pt"])
def test_an_address_of_a_file_here_is_a_path(text: str) -> None:
    assert without_folders(text) == "x.pt"
    assert without_folders("https://host/me/x.pt") == "https://host/me/x.pt"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("No such file or directory: '/tmp/x/se cret/m.bin'", "No such file or directory: 'm.bin'"),
        ("/home/me/m.bin: no, nor (/srv/a/b.pt), /srv/c/.", "m.bin: no, nor (b.pt), c."),
        (r"at C:\\me\\m.bin or 'D:/my dir/n.bin'", "at m.bin or 'n.bin'"),
        ("PosixPath('/tmp/x/m.bin') path=/tmp/m.bin ~/x/m.bin", "PosixPath('m.bin') path=m.bin m.bin"),
        ("at file:///home/me/m.bin", "at m.bin"),
        ("see https://host/a/b, 1/2 of them and/or a / b", "see https://host/a/b, 1/2 of them and/or a / b"),
    ],
)
def test_no_folder_is_left_of_a_path_in_a_message(text: str, shown: str) -> None:
    assert paths_shortened(text) == shown
    assert paths_shortened(shown) == shown


@given(st.text(max_size=60))
def test_a_text_without_slashes_is_no_path(text: str) -> None:
    plain = text.replace("/", "").replace("\\", "")
    assert paths_shortened(plain) == plain


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (["tune", "s", "-e", "kanon(generator='/home/me/faces.pt', psi=0.5)"], "-e 'kanon(generator=faces.pt, psi=0.5)'"),
        (["tune", "--data", "/home/me/faces", "--out=/tmp/x/"], "--data faces --out=x"),
        (["tune", "-e", "/home/me/my.py:My(k=3)", "--over", "k=2..20"], "-e 'my.py:My(k=3)' --over k=2..20"),
        (["tune", "--out", "/home/me (old)/out"], "--out out"),
    ],
)  # fmt: skip
def test_a_command_is_published_without_folders(typed: list[str], shown: str) -> None:
    found = published_command(shlex.join(["anonbench", *typed]))
    assert found.endswith(shown)
    assert "/home" not in found
    assert published_command(found) == found


class Held:
    """Depends on a file."""

    def __init__(self, digest: str) -> None:
        self.digest = digest

    def anonymize(self, images: Any, controller: Any) -> Any:
        raise NotImplementedError

    def found(self) -> dict[str, str]:
        return {"generator x.pt": self.digest}


def test_two_files_of_one_name_give_two_reports() -> None:
    def name(path: str, digest: str) -> str:
        facts = EntrantFacts(name="f", family="f", params={"generator": path, "k": 2}, entry_hash="0" * 64)
        one = Entrant(Spec("f", {"generator": path, "k": 2}), Held(digest), facts)
        return Sweep(Spec("f", {"generator": path}), "k", {2: one}).name(0)

    assert "home" not in name("/home/me/x.pt", "a")
    assert name("/home/me/x.pt", "a") == name("/srv/x.pt", "a") != name("/srv/x.pt", "b")


def test_files_of_one_relative_name_in_two_folders_give_two_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.pt").write_text(folder)
        monkeypatch.chdir(tmp_path / folder)
        names.append(sweep_of("kanon(generator='x.pt')", "k=2,3").name(0))
    assert names[0] != names[1]
    monkeypatch.chdir(tmp_path)
    assert sweep_of("kanon(generator='two/x.pt')", "k=2,3").name(0) == names[1], "the same file is the same report"


@pytest.mark.parametrize("text", ["kanon", "kanon(surrogate=style)", "kanon(surrogate=pixels)"])
def test_a_report_without_files_of_its_own_has_a_plain_name(text: str) -> None:
    assert sweep_of(text, "k=2,3").name(0) == f"{parse_spec(text).slug}-over-k-seed-0"


def test_files_of_which_nothing_is_known_are_told_apart_by_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "class Own:\n"
        "    def __init__(self, k=2, file=''):\n        self.k, self.file = k, file\n"
        "    def anonymize(self, images, controller):\n        raise NotImplementedError\n"
    )
    names = {sweep_of(f"{tmp_path}/own.py:Own(file='{folder}/x.pt')", "k=2,3").name(0) for folder in ("/a", "/b")}
    assert len(names) == 2


# A run


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("swept")
    return root, run(root, "k=2,3,5")


def run(root: Path, over: str, *more: str) -> str:
    result = CliRunner(env={"ANONBENCH_CACHE": str(root / "cache")}).invoke(
        cli,
        ["tune", "portraits-smoke", "-e", "ksame-pixel", "--over", over, "-m", "re-identification", "-m", "homogeneity",
         "--threads", "1", "--out", str(root / "out"), *more],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return result.output


def test_a_sweep_measures_every_value_without_attackers(swept: tuple[Path, str]) -> None:
    root, output = swept
    report = read_tuning(root / "out" / "tuning" / "ksame-pixel-over-k-seed-0.json")
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
    refused = [
        value for value, most in zip(report.curves[0].values, report.curves[0].allowed, strict=True) if value > most
    ]  # type: ignore[operator]
    assert output.count("is refused: re-identification(network=background) too large") == len(refused)
    details = report.curves[0].details
    assert details[GROUPS] == (12, 8, 4)
    assert all(above is not None and 0 <= above <= 12 for above in details[ABOVE])
    assert report.found == {}


def test_two_seeds_are_two_reports(swept: tuple[Path, str]) -> None:
    root, _ = swept
    run(root, "k=2,3", "--seed", "1")
    seeds = {path.name: read_tuning(path).seed for path in (root / "out" / "tuning").iterdir()}
    assert seeds == {"ksame-pixel-over-k-seed-0.json": 0, "ksame-pixel-over-k-seed-1.json": 1}


def test_what_is_in_the_store_is_not_measured_again(swept: tuple[Path, str]) -> None:
    root, _ = swept
    scores = {path: path.stat().st_mtime_ns for path in (root / "cache").rglob("scores/**/*.json")}
    before = read_tuning(root / "out" / "tuning" / "ksame-pixel-over-k-seed-0.json")
    run(root, "k=2,3,5")
    assert {path: path.stat().st_mtime_ns for path in (root / "cache").rglob("scores/**/*.json")} == scores
    after = read_tuning(root / "out" / "tuning" / "ksame-pixel-over-k-seed-0.json")
    assert after.model_copy(update={"created_utc": before.created_utc}) == before


def test_a_value_at_which_the_entrant_fails_is_a_gap(swept: tuple[Path, str]) -> None:
    root, _ = swept
    run(root, "k=5,25")
    report = read_tuning(root / "out" / "tuning" / "ksame-pixel-over-k-seed-0.json")
    assert list(report.failures) == ["25"]
    assert "24" in report.failures["25"]
    assert [curve.values[1] for curve in report.curves] == [None] * len(report.curves)


def test_a_failure_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    secret = tmp_path / "se cret" / "m.bin"
    (tmp_path / "own.py").write_text(
        "from benchmark.images import Released\n"
        "class Own:\n"
        "    def __init__(self, k=2):\n        self.k = k\n"
        "    def anonymize(self, images, controller):\n"
        f"        open({str(secret)!r}) if self.k == 3 else None\n"
        "        return Released(images.images)\n"
    )
    result = CliRunner(env={"ANONBENCH_CACHE": str(tmp_path / "cache")}).invoke(
        cli,
        ["tune", "portraits-smoke", "-e", f"{tmp_path}/own.py:Own", "--over", "k=2,3", "-m", "homogeneity",
         "--threads", "1", "--out", str(tmp_path / "out")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "out" / "tuning").iterdir()
    assert "m.bin" in read_tuning(path).failures["3"]
    assert str(tmp_path) not in path.read_text()


def test_one_entrant_is_tuned_at_a_time() -> None:
    result = CliRunner().invoke(cli, ["tune", "portraits-smoke", "-e", "blur", "-e", "mask", "--over", "kernel=3,5"])
    assert result.exit_code == 2
    assert "2 entrants were named" in result.output
