"""A kept score belongs to the code and the weights that made it, whatever changes while a run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from benchmark import scoring
from benchmark.images import ImageSet
from benchmark.protocols import Referees, Report, Scores, quiet
from benchmark.records import MetricCard, Score, SuiteFacts
from benchmark.registry import Entrant, build_entrant
from benchmark.release import Release, Settings
from benchmark.scoring import Scorer
from benchmark.store import Store

IMAGES = ImageSet(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), ("a", "b"))
RELEASE = Release("cell", "pixels", IMAGES.keys, ("x", "y"), 1.0, None, None, {}, (), reused=False)


class Metric:
    """Says how often it was asked, and may find its weights replaced while it is."""

    weights: ClassVar[str] = ""
    replaced_by: ClassVar[str] = ""
    asked: ClassVar[int] = 0

    @property
    def card(self) -> MetricCard:
        return MetricCard(
            name="asked",
            version=1,
            title="asked",
            group="quality",
            unit="1",
            higher_is_better=True,
            range=(0.0, None),
            definition="how often",
            weights={"model": Metric.weights},
        )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        Metric.asked += 1
        Metric.weights = Metric.replaced_by or Metric.weights
        return Scores(Score(metric="asked", value=Metric.asked, n=len(original)))


class Suite:
    """Two black images."""

    metrics = ("asked",)
    entrants = ()
    facts = SuiteFacts(name="s", version="1", suite_hash="s", title="s", image_size=16, splits=())

    def images(self, split: str, report: Report = quiet) -> ImageSet:
        return IMAGES

    def referees(self, report: Report = quiet) -> Referees:
        return Referees()


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "build_metric", lambda _: Metric())
    monkeypatch.setattr(Scorer, "released", lambda *_: IMAGES)
    for name, value in {"weights": "old", "replaced_by": "", "asked": 0}.items():
        monkeypatch.setattr(Metric, name, value)


@pytest.fixture
def entrant() -> Entrant:
    return build_entrant("identity")


def value(scorer: Scorer, entrant: Entrant) -> float | None:
    (scores,) = scorer.score(entrant, 0, RELEASE, Settings())
    return scores.score.value


def test_kept_until_the_weights_change(tmp_path: Path, entrant: Entrant) -> None:
    scorer = Scorer(Store(tmp_path), Suite())
    assert [value(scorer, entrant), value(scorer, entrant)] == [1, 1]
    Metric.weights = "new"
    assert value(scorer, entrant) == 2
    Metric.weights = "old"
    assert value(scorer, entrant) == 1


def test_not_kept_if_the_weights_change_meanwhile(tmp_path: Path, entrant: Entrant) -> None:
    scorer = Scorer(Store(tmp_path), Suite())
    Metric.replaced_by = "new"
    assert value(scorer, entrant) == 1
    assert not list(tmp_path.rglob("*.json"))


def test_source_edited_meanwhile_is_not_the_source_that_ran(
    tmp_path: Path, entrant: Entrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "source_hash", lambda _: "as it was imported")
    scorer = Scorer(Store(tmp_path), Suite())
    monkeypatch.setattr(scoring, "source_hash", lambda _: "edited")
    assert value(scorer, entrant) == 1
    assert value(Scorer(Store(tmp_path), Suite()), entrant) == 2


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "NoneType"),
        (Scores(Score(metric="another", value=1.0)), "'another', not of 'asked'"),
        (Scores(Score(metric="asked", value=1.0), {"asked": torch.zeros(3)}), r"[3]; expected [2]"),
    ],
)
def test_a_metric_that_breaks_the_protocol_harms_itself_alone(
    returned: Any, reason: str, tmp_path: Path, entrant: Entrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Metric, "score", lambda *_: returned)
    (scores,) = Scorer(Store(tmp_path), Suite()).score(entrant, 0, RELEASE, Settings())
    assert scores.score.status == "failed"
    assert reason in scores.score.reason


def test_copy_and_claim_go_to_metrics_that_declare_them(
    tmp_path: Path, entrant: Entrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Referees] = []

    def score(_: Metric, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        seen.append(referees)
        return Scores(Score(metric="asked", value=1.0))

    plain = Metric().card
    monkeypatch.setattr(Metric, "score", score)
    for needs_copy in (False, True):
        monkeypatch.setattr(Metric, "card", plain.model_copy(update={"needs_copy": needs_copy}))
        Scorer(Store(tmp_path), Suite()).score(entrant, 0, RELEASE, Settings())
    assert [referees.copy is None for referees in seen] == [True, False]
