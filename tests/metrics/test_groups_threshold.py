"""When two photographs are held for one person: whose photographs say so, and what the networks depend on."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.hashing import sha256_json
from metrics.groups import ReIdentification, seeing
from metrics.groups.seeing import BACKGROUND, Threshold, rows_of_some
from tests.metrics.grey_people import CALIBRATION, GROUP, apart, grey, referees, scored

METRICS = Path(seeing.__file__).parents[1]
SEEN_BY = [f"attackers/{name}.py" for name in ("alignment", "deepface", "embedders", "embedding", "mobilefacenet")]
SEEN_BY += ["kanonymity.py"]


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


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(2, 30))
def test_people_count_with_all_their_photographs(people: list[int], most: int) -> None:
    rows = rows_of_some(torch.tensor(people), most).tolist()
    if len(people) <= most:
        assert rows == list(range(len(people)))
        return
    wanted: list[int] = []
    for person in sorted(set(people)):
        theirs = [row for row, who in enumerate(people) if who == person][: most // 2]
        if len(wanted) + len(theirs) > most:
            break
        wanted += theirs
    assert rows == sorted(wanted)
    assert len({people[row] for row in rows}) >= min(2, len(set(people)))


def test_scores_are_kept_under_the_source_of_what_people_are_seen_by() -> None:
    """Packages that stand apart are hashed alone, so this one writes down the hash of the others it depends on."""
    sources = {name: (METRICS / name).read_text(encoding="utf-8") for name in SEEN_BY}
    assert sha256_json(sources) == seeing.SEEN_BY, (
        "metrics changed by which groups are measured: write the new hash there"
    )


def test_nothing_else_of_the_metrics_is_leant_on() -> None:
    trees = [ast.parse(path.read_text()) for path in (METRICS / "groups").glob("*.py")]
    names = {
        node.module for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    outside = {name for name in names if name.startswith("metrics.") and not name.startswith("metrics.groups")}
    assert outside <= {f"metrics.{name[:-3].replace('/', '.')}" for name in SEEN_BY} | {"metrics.answers"}


def test_the_face_detector_is_among_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds the faces on images whose landmarks nobody knows."""
    monkeypatch.setattr(seeing, "found_weights", lambda name: {name: "a" * 64})
    assert ReIdentification(network="mobilefacenet").card.weights["yunet"] == "a" * 64
    assert ReIdentification().card.weights == {}
