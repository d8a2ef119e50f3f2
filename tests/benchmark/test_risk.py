"""The worst attacker is named, gaps in the ladder keep an entrant from being ranked, nonsense is flagged."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.images import ImageSet
from benchmark.protocols import Scores
from benchmark.records import TOO_WEAK, Interval, MetricCard, Score
from benchmark.risk import image_flags, number_flags, risk_card, risk_of

IMAGES = ImageSet(torch.arange(4 * 3 * 4 * 4).reshape(4, 3, 4, 4).to(torch.uint8), ("a", "b", "c", "d"))
RUNGS = ("static", "transfer", "adaptive")


def card(name: str, rung: str = "", **more: Any) -> MetricCard:
    given = {"version": 1, "title": name, "group": "privacy", "unit": "share", "range": (0.0, 1.0), "definition": name}
    return MetricCard(name=name, rung=rung, **{**given, "higher_is_better": False, **more})


CARDS = [*(card(name, name, needs_copy=name == "adaptive") for name in RUNGS), card("other")]


def risk(**scores: Score) -> Score:
    values = {name: torch.full((4,), float(number)) for number, name in enumerate(scores)}
    parts = [Scores(score, {name: values[name]}) for name, score in scores.items()]
    made = risk_card(CARDS)
    assert made is not None
    found = risk_of(made, CARDS, parts, len(IMAGES))
    if found.score.value is not None:
        assert torch.equal(found.per_image["risk"], values[found.score.by])
    return found.score


def score(name: str, value: float, **more: Any) -> Score:
    return Score(metric=name, value=value, n=4, **more)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_the_worst_is_named(values: list[float]) -> None:
    found = risk(**{name: score(name, value) for name, value in zip(RUNGS, values, strict=True)})
    assert found.value == max(values)
    assert found.by == RUNGS[values.index(max(values))]


def test_interval_and_anchors_are_the_worst_attackers() -> None:
    interval = Interval(level=0.95, method="m", low=0.4, high=0.6, seed=0, resamples=10)
    worst = score("transfer", 0.5, interval=interval, anchors={"chance": 0.25, "originals": 0.9}, details={"mAP": 0.1})
    found = risk(static=score("static", 0.1), transfer=worst, adaptive=score("adaptive", 0.2))
    assert (found.interval, found.anchors, found.details) == (interval, worst.anchors, {})


def test_other_metrics_are_no_attackers() -> None:
    assert risk(static=score("static", 0.1), other=score("other", 1.0)).by == "static"


def test_a_too_weak_attacker_does_not_count_and_is_named() -> None:
    weak = score("transfer", 0.9, flags={TOO_WEAK: "only 30 % on originals"})
    found = risk(static=score("static", 0.1), transfer=weak, adaptive=score("adaptive", 0.2))
    assert (found.by, found.flags) == ("adaptive", {"too-weak: transfer": "only 30 % on originals"})


def test_without_a_strong_attacker_there_is_no_risk() -> None:
    found = risk(static=score("static", 0.1, flags={TOO_WEAK: "weak"}))
    assert (found.status, found.value) == ("unavailable", None)
    assert "strong enough" in found.reason


@pytest.mark.parametrize("status", ["failed", "unavailable"])
def test_an_entrant_that_got_away_from_a_rung_is_not_ranked(status: Any) -> None:
    gap = Score(metric="adaptive", status=status, reason="no", remedy="do this")
    found = risk(static=score("static", 0.34), adaptive=gap)
    assert (found.status, found.by, found.details, found.remedy) == (
        "unavailable",
        "static",
        {"at least": 0.34},
        "do this",
    )
    assert "adaptive" in found.reason
    assert "34.0%" in found.reason


def test_weights_missing_for_everybody_leave_a_risk() -> None:
    gap = Score(metric="transfer", status="unavailable", reason="no weights", remedy="fetch")
    assert risk(static=score("static", 0.34), transfer=gap).value == 0.34


def test_data_without_people_have_no_risk() -> None:
    nobody = [Score(metric=name, status="not-applicable", reason="nobody") for name in RUNGS]
    assert risk(**dict(zip(RUNGS, nobody, strict=True))).status == "not-applicable"


def test_attackers_that_are_not_on_this_machine_are_not_called_weak() -> None:
    lacking = Score(metric="transfer", status="unavailable", reason="no weights here", remedy="fetch them")
    found = risk(static=Score(metric="static", status="not-applicable", reason="no"), transfer=lacking)
    assert (found.status, found.remedy) == ("unavailable", "fetch them")
    assert "no weights here" in found.reason


def test_no_attackers_no_risk() -> None:
    assert risk_card([card("other")]) is None


def test_the_card_carries_what_the_attackers_are_made_of() -> None:
    made = risk_card([card("embedding(network=x)", "embedding", weights={"x": "sha"}, referees=("r",))])
    assert made is not None
    assert (made.weights, made.referees) == ({"x": "sha"}, ("r",))
    assert "embedding(network=x) v1" in made.definition


def flags(released: ImageSet, *scores: Score) -> dict[str, str]:
    cards = [card("risk"), card("x"), card("fid", range=(0.0, None)), card("kid", range=(None, None))]
    return image_flags(IMAGES, released) | number_flags(cards, scores)


def with_rows(rows: int, value: torch.Tensor) -> ImageSet:
    images = 255 - IMAGES.images
    images[:rows] = value[:rows]
    return IMAGES.with_images(images)


@pytest.mark.parametrize(("rows", "flagged"), [(0, False), (2, False), (3, True), (4, True)])
def test_no_op(rows: int, flagged: bool) -> None:
    assert ("no-op" in flags(with_rows(rows, IMAGES.images))) is flagged


@pytest.mark.parametrize(("rows", "flagged"), [(0, False), (2, False), (3, True), (4, True)])
def test_images_of_one_colour(rows: int, flagged: bool) -> None:
    colours = torch.tensor([1, 2, 3], dtype=torch.uint8)[None, :, None, None].expand(4, 3, 4, 4)
    assert ("constant" in flags(with_rows(rows, colours))) is flagged


def test_one_image_for_all() -> None:
    assert "constant" in flags(IMAGES.with_images(255 - IMAGES.images[:1].expand_as(IMAGES.images)))


def test_missing_images_are_no_no_op() -> None:
    import dataclasses

    gone = dataclasses.replace(IMAGES, missing=torch.tensor([True, True, False, False]))
    assert "no-op" not in flags(gone)


@pytest.mark.parametrize("flagged", [True, False])
def test_risk_below_chance(flagged: bool) -> None:
    worst = score("x", 0.1, flags={"below-chance": "worse than guessing"} if flagged else {})
    found = flags(with_rows(0, IMAGES.images), score("risk", 0.1, by="x"), worst)
    assert found == ({"below-chance": "worse than guessing"} if flagged else {})


@pytest.mark.parametrize(("metric", "value", "flagged"), [("fid", -1.0, True), ("kid", -1.0, True), ("kid", -0.5, False),
                                                          ("fid", 999.0, True), ("fid", 12.0, False)])  # fmt: skip
def test_sentinels(metric: str, value: float, flagged: bool) -> None:
    assert ("sentinel" in flags(with_rows(0, IMAGES.images), score(metric, value))) is flagged
