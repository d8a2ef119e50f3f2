"""When two photographs are held for one person: whose photographs say so, and what the networks depend on."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark import statistics
from benchmark.hashing import sha256_json
from benchmark.statistics import rows_of_some
from metrics.groups import ReIdentification, seeing
from metrics.groups.seeing import BACKGROUND, Threshold
from tests.metrics.grey_people import CALIBRATION, GROUP, apart, grey, referees, scored

METRICS = Path(seeing.__file__).parents[1]


def test_the_threshold_comes_from_people_that_nobody_trained_on() -> None:
    wider = grey([0, 30, 200, 230], "uuvv")
    score = scored(ReIdentification(), given=referees(GROUP, splits={"enrol": CALIBRATION, "background": wider}))
    assert "photographs of threshold (enrol)" in score.details
    assert score.refused["threshold of spare people"].endswith("set by the evaluated people's own clear photographs")
    alone = {"spare": grey([0, 1, 2], "uvw"), "background": wider}
    score = scored(ReIdentification(), given=referees(GROUP, splits=alone))
    assert score.details["threshold"] == pytest.approx(apart(0, 30), abs=1e-6), "pairs of two people alone say nothing"
    assert score.refused["threshold of spare people"].endswith("background people, whom this network has learned")
    assert scored(ReIdentification()).refused == {}
    score = scored(ReIdentification(), given=referees(GROUP, splits={}))
    assert score.status == "not-applicable"
    assert "threshold" in score.reason


def test_another_network_has_learned_nobody_of_the_suite() -> None:
    background = Threshold(1.0, 0.1, "background", 9)
    assert "learned" in background.reservation(BACKGROUND)
    assert background.reservation("mobilefacenet").endswith("background people")
    assert Threshold(1.0, 0.1, "spare", 9).reservation(BACKGROUND) == ""


def test_of_many_photographs_whole_people_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first six would have one photograph of w."""
    monkeypatch.setattr(seeing, "MOST_PHOTOGRAPHS", 6)
    given = {"spare": grey([0, 200, 10, 210, 100, 5, 105], "uvuvwuw")}
    score = scored(ReIdentification(), given=referees(GROUP, splits=given))
    assert score.details["photographs of threshold (spare)"] == 5, "three of u, two of v"
    assert score.details["threshold"] == pytest.approx(apart(0, 10), abs=1e-6)


def test_people_with_one_photograph_do_not_crowd_out_pairs() -> None:
    singles, several = torch.arange(2100), torch.arange(2100, 2600).repeat_interleave(3)
    rows = rows_of_some(torch.cat([singles, several]), 2000)
    assert rows.tolist() == [*range(500), *range(2100, 3600)]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(2, 30))
def test_people_count_with_all_their_photographs(people: list[int], most: int) -> None:
    rows = rows_of_some(torch.tensor(people), most).tolist()
    if len(people) <= most:
        assert rows == list(range(len(people)))
        return
    wanted: list[int] = []
    for person in sorted(set(people), key=lambda person: (people.count(person) == 1, person)):
        theirs = [row for row, who in enumerate(people) if who == person][: most // 2]
        if len(wanted) + len(theirs) > most:
            break
        wanted += theirs
    assert rows == sorted(wanted)
    assert len({people[row] for row in rows}) >= min(2, len(set(people)))


def imported(path: Path) -> set[Path]:
    """Files under ``metrics/`` that a file imports, at its top or inside functions, in packages or out of them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    stems = [METRICS.parent.joinpath(*name.split(".")) for name in names if name.startswith("metrics.")]
    files = {file for stem in stems for file in (stem.with_suffix(".py"), stem / "__init__.py")}
    return {file for file in files if file.is_file()}


def leant_on() -> dict[str, str]:
    """Sources outside the package by which people are seen, by file."""
    own = set((METRICS / "groups").glob("*.py"))
    found, waiting = set(own), list(own)
    while waiting:
        new = imported(waiting.pop()) - found
        found |= new
        waiting += sorted(new)
    sources = {path.relative_to(METRICS).as_posix(): path.read_text(encoding="utf-8") for path in found - own}
    return {**sources, "statistics.py": Path(statistics.__file__).read_text(encoding="utf-8")}


def test_scores_are_kept_under_the_source_of_what_people_are_seen_by() -> None:
    """Packages that stand apart are hashed alone, so this one writes down the hash of the others it depends on."""
    assert sha256_json(leant_on()) == seeing.SEEN_BY, (
        "code changed by which groups are measured: write the new hash there"
    )


def test_what_is_leant_on_is_followed_through_imports() -> None:
    direct, package, through = "attackers/embedding.py", "attackers/mobilefacenet.py", "onnx_model.py"
    assert {direct, package, through, "statistics.py"} <= set(leant_on())
    assert not any(name.startswith("groups/") for name in leant_on())


def test_the_face_detector_is_among_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds the faces on images whose landmarks nobody knows."""
    monkeypatch.setattr(seeing, "found_weights", lambda name: {name: "a" * 64})
    assert ReIdentification(network="mobilefacenet").card.weights["yunet"] == "a" * 64
    assert ReIdentification().card.weights == {}
